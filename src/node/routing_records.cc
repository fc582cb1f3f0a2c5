#include "node/routing_records.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>
#include <boost/asio/ip/address.hpp>

#include "content_id/multibase.h"
#include "identity/identity.h"

namespace codio::node {

using nlohmann::json;

namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}

bool same_letters(std::string_view one, std::string_view other) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 'a' - 'A') : c; };
  return std::ranges::equal(one, other, {}, lower, lower);
}

std::vector<std::string> read_texts(const json& object, const char* member) {
  std::vector<std::string> texts;
  const auto list = object.find(member);
  if (list == object.end() || !list->is_array()) return texts;
  for (const json& text : *list) {
    if (text.is_string() && texts.size() < kMaxRoutingAddresses) texts.push_back(text.get<std::string>());
  }
  return texts;
}

std::optional<RoutingRecord> read_record(const json& object) {
  if (!object.is_object()) return std::nullopt;
  const auto schema = object.find("Schema");
  const auto id = object.find("ID");
  if (schema == object.end() || *schema != "peer" || id == object.end() || !id->is_string()) return std::nullopt;
  RoutingRecord record{id->get<std::string>(), read_texts(object, "Addrs"), read_texts(object, "Protocols")};
  const auto rendezvous = object.find(kWebRtcProtocol);
  if (rendezvous != object.end() && rendezvous->is_string()) record.rendezvous = rendezvous->get<std::string>();
  return record;
}

json to_json(const RoutingRecord& record) {
  json object{{"Schema", "peer"}, {"ID", record.id}, {"Addrs", record.addrs}, {"Protocols", record.protocols}};
  if (!record.rendezvous.empty()) object[std::string(kWebRtcProtocol)] = record.rendezvous;
  return object;
}

/// The identity multihash of a protobuf: key type Ed25519, key.
constexpr std::array<std::uint8_t, 6> kLibp2pKey{0x00, 0x24, 0x08, 0x01, 0x12, 0x20};

bool is_host_name(std::string_view text) {
  return !text.empty() && text.size() <= 253 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
}

/// As a URL has it; nothing if it is none.
std::optional<std::string> host_of(std::string_view kind, std::string_view value) {
  if (kind == "dns" || kind == "dns4" || kind == "dns6") {
    return is_host_name(value) ? std::optional<std::string>(value) : std::nullopt;
  }
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(std::string(value), error);
  if (error) return std::nullopt;
  if (kind == "ip4" && address.is_v4()) return address.to_string();
  if (kind == "ip6" && address.is_v6()) return "[" + address.to_string() + "]";
  return std::nullopt;
}

}  // namespace

Result<std::vector<RoutingRecord>> parse_routing_answer(std::string_view content_type, std::string_view text) {
  if (text.size() > kMaxRoutingAnswer) return fail(ErrorCode::kTooLarge, "the router's answer is over 1 MiB");
  std::vector<RoutingRecord> records;
  const auto take = [&](const json& object) {
    if (auto record = read_record(object); record && records.size() < kMaxRoutingRecords) {
      records.push_back(*std::move(record));
    }
  };
  if (content_type.starts_with("application/x-ndjson")) {
    for (const std::string_view line : split(text, '\n')) {
      const json object = json::parse(line, nullptr, false);
      if (object.is_discarded()) return fail(ErrorCode::kMalformed, "a line of the router's answer is not JSON");
      take(object);
    }
    return records;
  }
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object()) return fail(ErrorCode::kMalformed, "the router's answer is not a JSON object");
  const auto list = document.find("Providers");
  if (list == document.end() || list->is_null()) return records;
  if (!list->is_array()) return fail(ErrorCode::kMalformed, "the router's Providers are not a list");
  std::ranges::for_each(*list, take);
  return records;
}

std::string write_routing_answer(const std::vector<RoutingRecord>& records, bool as_lines) {
  const auto text_of = [](const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); };
  if (as_lines) {
    std::string lines;
    for (const RoutingRecord& record : records) lines += text_of(to_json(record)) + "\n";
    return lines;
  }
  json list = json::array();
  for (const RoutingRecord& record : records) list.push_back(to_json(record));
  return text_of({{"Providers", list}});
}

std::vector<RoutingRecord> filter_records(std::vector<RoutingRecord> records, std::string_view addrs,
                                          std::string_view protocols) {
  const auto wanted_protocols = split(protocols, ',');
  const auto wanted_addrs = split(addrs, ',');
  const auto is_named = [](const std::vector<std::string_view>& names, std::string_view name) {
    return std::ranges::any_of(names, [name](std::string_view one) { return same_letters(one, name); });
  };
  const auto keeps_address = [&](const std::string& address) {
    const auto parts = split(address, '/');
    bool has_positive = false;
    bool matches = false;
    for (const std::string_view filter : wanted_addrs) {
      if (filter.starts_with('!')) {
        if (is_named(parts, filter.substr(1))) return false;
      } else {
        has_positive = true;
        matches = matches || is_named(parts, filter);
      }
    }
    return matches || !has_positive;
  };
  std::erase_if(records, [&](RoutingRecord& record) {
    if (!wanted_protocols.empty()) {
      const bool is_wanted =
          record.protocols.empty()
              ? is_named(wanted_protocols, "unknown")
              : std::ranges::any_of(record.protocols, [&](const auto& one) { return is_named(wanted_protocols, one); });
      if (!is_wanted) return true;
    }
    if (wanted_addrs.empty()) return false;
    if (record.addrs.empty()) return !is_named(wanted_addrs, "unknown");
    std::erase_if(record.addrs, [&](const std::string& address) { return !keeps_address(address); });
    return record.addrs.empty();
  });
  return records;
}

std::optional<std::string> gateway_of(std::string_view multiaddr) {
  const auto parts = split(multiaddr, '/');
  if (!multiaddr.starts_with('/') || parts.size() < 5 || parts[2] != "tcp") return std::nullopt;
  const auto host = host_of(parts[0], parts[1]);
  std::uint16_t port = 0;
  const auto read = std::from_chars(parts[3].data(), parts[3].data() + parts[3].size(), port);
  if (!host || read.ec != std::errc() || read.ptr != parts[3].data() + parts[3].size() || port == 0) {
    return std::nullopt;
  }
  const bool is_tls =
      (parts.size() == 5 && parts[4] == "https") || (parts.size() == 6 && parts[4] == "tls" && parts[5] == "http");
  if (!is_tls && !(parts.size() == 5 && parts[4] == "http")) return std::nullopt;
  return (is_tls ? "https://" : "http://") + *host + ":" + std::string(parts[3]) + "/ipfs/";
}

std::optional<std::string> multiaddr_of(std::string_view gateway) {
  const bool is_tls = gateway.starts_with("https://");
  if (!is_tls && !gateway.starts_with("http://")) return std::nullopt;
  gateway.remove_prefix(is_tls ? 8 : 7);
  if (!gateway.ends_with("/ipfs/")) return std::nullopt;
  gateway.remove_suffix(6);
  if (gateway.find('/') != gateway.npos) return std::nullopt;
  std::string_view port = is_tls ? "443" : "80";
  const std::size_t colon = gateway.rfind(':');
  if (colon != gateway.npos && gateway.find(']', colon) == gateway.npos) {
    port = gateway.substr(colon + 1);
    gateway = gateway.substr(0, colon);
  }
  if (gateway.starts_with('[') && gateway.ends_with(']')) gateway = gateway.substr(1, gateway.size() - 2);
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(std::string(gateway), error);
  const std::string kind = error ? "dns" : address.is_v4() ? "ip4" : "ip6";
  return "/" + kind + "/" + std::string(gateway) + "/tcp/" + std::string(port) + (is_tls ? "/https" : "/http");
}

std::string libp2p_id(std::string_view peer) {
  const auto key = identity::key_of(peer);
  if (!key) return "";
  Bytes bytes(kLibp2pKey.begin(), kLibp2pKey.end());
  append(bytes, *key);
  return content_id::multibase_encode(content_id::Multibase::kBase58Btc, bytes).substr(1);
}

std::string peer_of_libp2p_id(std::string_view id) {
  const auto bytes = content_id::multibase_decode("z" + std::string(id));
  if (!bytes || bytes->size() != kLibp2pKey.size() + std::tuple_size_v<identity::PublicKey>) return "";
  if (!std::equal(kLibp2pKey.begin(), kLibp2pKey.end(), bytes->begin())) return "";
  return identity::to_base64url(BytesView(*bytes).subspan(kLibp2pKey.size()));
}

}  // namespace codio::node
