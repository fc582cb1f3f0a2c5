#include "rendezvous/bus_messages.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <type_traits>
#include <utility>

namespace codio::rendezvous {
namespace {

using content_id::ContentId;
using nlohmann::json;

constexpr std::uint64_t kBusVersion = 1;
constexpr std::size_t kMaxHead = 8 * 1024;
constexpr int kMaxDepth = 3;

Error malformed(std::string_view what) { return {ErrorCode::kMalformed, "a bus message's " + std::string(what)}; }

const json* member(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

Result<std::string> name_member(const json& object, const char* name) {
  const json* value = member(object, name);
  const auto* text = value == nullptr ? nullptr : value->get_ptr<const std::string*>();
  if (text == nullptr || !is_name(*text)) return std::unexpected(malformed(name));
  return *text;
}

Result<std::uint64_t> number_member(const json& object, const char* name) {
  const json* value = member(object, name);
  const auto* number = value == nullptr ? nullptr : value->get_ptr<const json::number_unsigned_t*>();
  if (number == nullptr) return std::unexpected(malformed(name));
  return *number;
}

Result<BusBody> parse_find(const json& head) {
  const auto id = number_member(head, "id");
  if (!id) return std::unexpected(id.error());
  const json* text = member(head, "cid");
  if (text == nullptr || !text->is_string()) return std::unexpected(malformed("cid"));
  auto cid = ContentId::parse(text->get_ref<const std::string&>());
  if (!cid) return std::unexpected(malformed("cid"));
  return BusFind{*id, *std::move(cid)};
}

Result<BusBody> parse_found(const json& head) {
  const auto id = number_member(head, "id");
  if (!id) return std::unexpected(id.error());
  const json* list = member(head, "peers");
  if (list == nullptr || !list->is_array() || list->size() > kMaxProviders) return std::unexpected(malformed("peers"));
  BusFound found{*id, {}};
  for (const json& entry : *list) {
    const auto* peer = entry.get_ptr<const std::string*>();
    if (peer == nullptr || !is_name(*peer)) return std::unexpected(malformed("peers"));
    found.peers.push_back(*peer);
  }
  return found;
}

Result<BusBody> parse_signal(const json& head, std::string_view signal) {
  auto to = name_member(head, "to");
  if (!to) return std::unexpected(to.error());
  auto message = parse_server_message(signal);
  if (!message) return std::unexpected(message.error());
  BusSignal result{*std::move(to), Unreachable{}};
  const bool is_signal = std::visit(
      [&](auto& one) {
        constexpr bool kIsSignal = std::is_constructible_v<decltype(result.message), decltype(one)>;
        if constexpr (kIsSignal) result.message = std::move(one);
        return kIsSignal;
      },
      *message);
  if (!is_signal) return std::unexpected(malformed("signal"));
  return result;
}

template <class Body>
Result<BusBody> parse_about_peer(const json& head) {
  auto peer = name_member(head, "peer");
  if (!peer) return std::unexpected(peer.error());
  return Body{*std::move(peer)};
}

Result<BusBody> parse_body(const std::string& type, const json& head, std::string_view rest) {
  if (type == "signal") return parse_signal(head, rest);
  if (type == "find") return parse_find(head);
  if (type == "found") return parse_found(head);
  if (type == "where") return parse_about_peer<BusWhere>(head);
  if (type == "here") return parse_about_peer<BusHere>(head);
  if (type == "hello") return BusHello{};
  if (type == "bye") return BusBye{};
  return fail(ErrorCode::kUnsupported, "there is no bus message of this type");
}

json head_of(std::string_view node, std::string_view type) {
  return {{"version", kBusVersion}, {"node", node}, {"type", type}};
}

struct Json {
  std::string_view node;

  std::string operator()(const BusHello& /*m*/) const { return head_of(node, "hello").dump(); }
  std::string operator()(const BusBye& /*m*/) const { return head_of(node, "bye").dump(); }
  std::string operator()(const BusFind& m) const {
    json head = head_of(node, "find");
    head["id"] = m.id;
    head["cid"] = m.cid.to_string();
    return head.dump();
  }
  std::string operator()(const BusFound& m) const {
    json head = head_of(node, "found");
    head["id"] = m.id;
    head["peers"] = m.peers;
    return head.dump();
  }
  std::string operator()(const BusWhere& m) const {
    json head = head_of(node, "where");
    head["peer"] = m.peer;
    return head.dump();
  }
  std::string operator()(const BusHere& m) const {
    json head = head_of(node, "here");
    head["peer"] = m.peer;
    return head.dump();
  }
  std::string operator()(const BusSignal& m) const {
    const auto text = std::visit([](const auto& one) { return to_json(ServerMessage{one}); }, m.message);
    return wrap_signal(node, m.to, text);
  }
};

}  // namespace

Result<BusMessage> parse_bus_message(std::string_view text) {
  if (text.size() > kMaxBusMessage) return fail(ErrorCode::kTooLarge, "a bus message is longer than 65 KiB");
  const std::size_t line = std::min(text.find('\n'), text.size());
  if (line > kMaxHead) return fail(ErrorCode::kTooLarge, "the head of a bus message is longer than 8 KiB");
  const auto shallow = [](int depth, json::parse_event_t, json&) { return depth <= kMaxDepth; };
  const json head = json::parse(text.substr(0, line), shallow, /*allow_exceptions=*/false);
  if (!head.is_object()) return std::unexpected(malformed("head"));
  const auto version = number_member(head, "version");
  if (!version) return std::unexpected(version.error());
  if (*version != kBusVersion) return fail(ErrorCode::kUnsupported, "a bus message has another version");
  auto node = name_member(head, "node");
  if (!node) return std::unexpected(node.error());
  const auto type = name_member(head, "type");
  if (!type) return std::unexpected(type.error());
  auto body = parse_body(*type, head, line == text.size() ? "" : text.substr(line + 1));
  if (!body) return std::unexpected(body.error());
  return BusMessage{*std::move(node), *std::move(body)};
}

std::string to_json(const BusMessage& message) { return std::visit(Json{message.node}, message.body); }

std::string wrap_signal(std::string_view node, std::string_view to, std::string_view signal) {
  json head = head_of(node, "signal");
  head["to"] = to;
  std::string text = head.dump();
  text += '\n';
  text += signal;
  return text;
}

}  // namespace codio::rendezvous
