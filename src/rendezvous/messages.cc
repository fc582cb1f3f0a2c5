#include "rendezvous/messages.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "identity/identity.h"
#include "rendezvous/server_url.h"

namespace codio::rendezvous {
namespace {

using content_id::ContentId;
using nlohmann::json;

constexpr std::size_t kMaxName = 64;  // Of a peer or a session.
constexpr std::size_t kMaxUrls = 64;  // ICE servers in a welcome, URLs in each.
// The longest that there is: a v1 CID with a 128-byte digest in base16 takes under 300 characters.
constexpr std::size_t kMaxCidText = 512;
constexpr std::uint64_t kMaxNumber = (std::uint64_t{1} << 53) - 1;  // What JavaScript counts exactly.
// No message of ours is deeper than welcome.iceServers[].urls[]; what is deeper is an unknown member, and dropped.
constexpr int kMaxDepth = 6;

const json* member(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

Result<std::string> text_member(const json& object, const char* name) {
  const json* value = member(object, name);
  const auto* text = value == nullptr ? nullptr : value->get_ptr<const std::string*>();
  if (text == nullptr) return fail(ErrorCode::kMalformed, std::string(name) + " must be text");
  return *text;
}

Result<std::string> name_member(const json& object, const char* name) {
  auto text = text_member(object, name);
  if (text && !is_name(*text)) {
    return fail(ErrorCode::kMalformed, std::string(name) + " must be 1 to 64 characters A-Z a-z 0-9 _ -");
  }
  return text;
}

Result<std::uint64_t> number_member(const json& object, const char* name) {
  const json* value = member(object, name);
  const auto* number = value == nullptr ? nullptr : value->get_ptr<const json::number_unsigned_t*>();
  if (number == nullptr || *number > kMaxNumber) {
    return fail(ErrorCode::kMalformed, std::string(name) + " must be a whole number from 0 to 2^53-1");
  }
  return *number;
}

Result<ContentId> parse_cid(const json& value) {
  const auto* text = value.get_ptr<const std::string*>();
  if (text == nullptr) return fail(ErrorCode::kMalformed, "a CID must be text");
  if (text->size() > kMaxCidText) return fail(ErrorCode::kTooLarge, "a CID is longer than 512 characters");
  auto cid = ContentId::parse(*text);
  if (!cid) return fail(ErrorCode::kMalformed, std::move(cid.error().message));
  return cid;
}

Result<ContentId> cid_member(const json& object) {
  const json* value = member(object, "cid");
  if (value == nullptr) return fail(ErrorCode::kMalformed, "cid must be text");
  return parse_cid(*value);
}

Result<std::vector<ContentId>> cids_member(const json& object) {
  const json* list = member(object, "cids");
  if (list == nullptr || !list->is_array()) return fail(ErrorCode::kMalformed, "cids must be an array");
  if (list->size() > kMaxCids) return fail(ErrorCode::kTooLarge, "cids has more than 256 entries");
  std::vector<ContentId> cids;
  cids.reserve(list->size());
  for (const json& entry : *list) {
    auto cid = parse_cid(entry);
    if (!cid) return std::unexpected(cid.error());
    cids.push_back(*std::move(cid));
  }
  return cids;
}

Result<std::vector<std::string>> names_member(const json& object, const char* name, std::size_t most) {
  const json* list = member(object, name);
  if (list == nullptr || !list->is_array() || list->size() > most) {
    return fail(ErrorCode::kMalformed, std::string(name) + " must be an array, not too long");
  }
  std::vector<std::string> names;
  for (const json& entry : *list) {
    const auto* text = entry.get_ptr<const std::string*>();
    if (text == nullptr || !is_name(*text)) return fail(ErrorCode::kMalformed, std::string(name) + " must be names");
    names.push_back(*text);
  }
  return names;
}

// An Offer or an Answer.
template <class Description>
Result<Description> parse_description(const json& object, const char* peer_name) {
  auto peer = name_member(object, peer_name);
  if (!peer) return std::unexpected(peer.error());
  auto session = name_member(object, "session");
  if (!session) return std::unexpected(session.error());
  auto sdp = text_member(object, "sdp");
  if (!sdp) return std::unexpected(sdp.error());
  return Description{*std::move(peer), *std::move(session), *std::move(sdp)};
}

Result<Candidate> parse_candidate(const json& object, const char* peer_name) {
  auto peer = name_member(object, peer_name);
  if (!peer) return std::unexpected(peer.error());
  auto session = name_member(object, "session");
  if (!session) return std::unexpected(session.error());
  auto candidate = text_member(object, "candidate");
  if (!candidate) return std::unexpected(candidate.error());
  // Browsers give no mid with the end of candidates.
  auto mid = text_member(object, "mid").value_or("");
  return Candidate{*std::move(peer), *std::move(session), *std::move(candidate), std::move(mid)};
}

// One server of RTCIceServer's form; what is not of it is left out, as the others may do.
std::optional<IceServer> parse_ice_server(const json& value) {
  if (!value.is_object()) return std::nullopt;
  IceServer server;
  const json* urls = member(value, "urls");
  if (urls == nullptr) return std::nullopt;
  if (const auto* url = urls->get_ptr<const std::string*>()) {
    server.urls.push_back(*url);
  } else if (urls->is_array() && urls->size() <= kMaxUrls) {
    for (const json& entry : *urls) {
      if (const auto* text = entry.get_ptr<const std::string*>()) server.urls.push_back(*text);
    }
  }
  if (server.urls.empty()) return std::nullopt;
  server.username = text_member(value, "username").value_or("");
  server.credential = text_member(value, "credential").value_or("");
  return server;
}

std::vector<IceServer> parse_ice_server_list(const json& object) {
  std::vector<IceServer> result;
  const json* servers = member(object, "iceServers");
  if (servers == nullptr || !servers->is_array()) return result;
  for (const json& value : *servers) {
    auto server = parse_ice_server(value);
    if (server && result.size() < kMaxUrls) result.push_back(*std::move(server));
  }
  return result;
}

Result<Moving> parse_moving(const json& object) {
  auto after = number_member(object, "afterMs");
  if (!after) return std::unexpected(after.error());
  return Moving{*after};
}

Result<Welcome> parse_welcome(const json& object) {
  auto version = number_member(object, "version");
  if (!version) return std::unexpected(version.error());
  if (*version != kVersion) {
    return fail(ErrorCode::kUnsupported, "the server speaks rendezvous version " + std::to_string(*version) +
                                             ", this program version " + std::to_string(kVersion));
  }
  auto peer = name_member(object, "peer");
  if (!peer) return std::unexpected(peer.error());
  auto max_announced = number_member(object, "maxAnnounced");
  if (!max_announced) return std::unexpected(max_announced.error());
  Welcome welcome{*std::move(peer),
                  parse_ice_server_list(object),
                  *max_announced,
                  {},
                  number_member(object, "announceSeconds").value_or(0)};
  const auto challenge = identity::from_base64url(text_member(object, "challenge").value_or(""));
  if (!challenge || challenge->size() != welcome.challenge.size()) {
    return fail(ErrorCode::kMalformed, "challenge must be the base64url of 32 bytes");
  }
  std::ranges::copy(*challenge, welcome.challenge.begin());
  return welcome;
}

// What is not well-formed is left out: it came from a network that anybody may join.
std::vector<Elsewhere> parse_elsewhere(const json& object) {
  std::vector<Elsewhere> result;
  const json* list = member(object, "elsewhere");
  if (list == nullptr || !list->is_array()) return result;
  for (const json& entry : *list) {
    if (result.size() == kMaxElsewhere) break;
    if (!entry.is_object()) continue;
    Elsewhere one{name_member(entry, "peer").value_or(""), text_member(entry, "rendezvous").value_or("")};
    if (is_elsewhere(one)) result.push_back(std::move(one));
  }
  return result;
}

Result<Joined> parse_joined(const json& object) {
  auto peer = name_member(object, "peer");
  if (!peer) return std::unexpected(peer.error());
  return Joined{*std::move(peer)};
}

Result<Providers> parse_providers(const json& object) {
  auto id = number_member(object, "id");
  if (!id) return std::unexpected(id.error());
  auto cid = cid_member(object);
  if (!cid) return std::unexpected(cid.error());
  auto peers = names_member(object, "peers", kMaxProviders);
  if (!peers) return std::unexpected(peers.error());
  const json* more = member(object, "more");
  return Providers{*id, *std::move(cid), *std::move(peers), parse_elsewhere(object), more != nullptr && *more == true};
}

Result<Unreachable> parse_unreachable(const json& object) {
  auto peer = name_member(object, "peer");
  if (!peer) return std::unexpected(peer.error());
  auto session = name_member(object, "session");
  if (!session) return std::unexpected(session.error());
  return Unreachable{*std::move(peer), *std::move(session)};
}

Result<Refusal> parse_refusal(const json& object) {
  auto code = name_member(object, "code");
  if (!code) return std::unexpected(code.error());
  Refusal refusal{*std::move(code), text_member(object, "message").value_or(""), std::nullopt};
  if (auto id = number_member(object, "id")) refusal.id = *id;
  return refusal;
}

// What is deeper than kMaxDepth is left out. To look at every depth costs half as much again as to parse: nearly no
// message has brackets enough to be so deep.
json parse_shallow(std::string_view text) {
  const auto brackets = std::ranges::count_if(text, [](char c) { return c == '{' || c == '['; });
  if (brackets <= kMaxDepth) return json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto shallow = [](int depth, json::parse_event_t, json&) { return depth <= kMaxDepth; };
  return json::parse(text, shallow, /*allow_exceptions=*/false);
}

// A message's `type` and the object it is in.
struct Envelope {
  std::string type;
  json object;
};

Result<Envelope> open_envelope(std::string_view text) {
  if (text.size() > kMaxMessage) return fail(ErrorCode::kTooLarge, "a message is longer than 64 KiB");
  json object = parse_shallow(text);
  if (!object.is_object()) return fail(ErrorCode::kMalformed, "a message must be one JSON object");
  auto type = text_member(object, "type");
  if (!type) return std::unexpected(type.error());
  return Envelope{*std::move(type), std::move(object)};
}

template <class Message>
Result<Message> unknown_type(const std::string& type) {
  return fail(ErrorCode::kUnsupported, "there is no message of type " + type.substr(0, kMaxName));
}

// Brings a Result of one kind of message to a Result of them all.
template <class Message, class One>
Result<Message> as(Result<One> parsed) {
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  return *std::move(parsed);
}

Result<Join> parse_join(const json& object) {
  if (!object.contains("peer") && !object.contains("signature")) return Join{};
  auto peer = text_member(object, "peer");
  if (!peer || !identity::key_of(*peer)) {
    return fail(ErrorCode::kMalformed, "peer must be an Ed25519 key as 43 characters of base64url");
  }
  const auto text = text_member(object, "signature");
  auto signature = text ? identity::from_base64url(*text) : std::nullopt;
  if (!signature || signature->size() != identity::Signature().size()) {
    return fail(ErrorCode::kMalformed, "signature must be the base64url of 64 bytes");
  }
  return Join{*std::move(peer), *std::move(signature)};
}

Result<Find> parse_find(const json& object) {
  auto id = number_member(object, "id");
  if (!id) return std::unexpected(id.error());
  auto cid = cid_member(object);
  if (!cid) return std::unexpected(cid.error());
  return Find{*id, *std::move(cid)};
}

template <class Message>
Result<Message> parse_cids(const json& object) {
  auto cids = cids_member(object);
  if (!cids) return std::unexpected(std::move(cids.error()));
  return Message{*std::move(cids)};
}

Result<ClientMessage> parse_client_envelope(const Envelope& envelope) {
  const auto& [type, object] = envelope;
  if (type == "join") return as<ClientMessage>(parse_join(object));
  if (type == "announce") return as<ClientMessage>(parse_cids<Announce>(object));
  if (type == "withdraw") return as<ClientMessage>(parse_cids<Withdraw>(object));
  if (type == "find") return as<ClientMessage>(parse_find(object));
  if (type == "offer") return as<ClientMessage>(parse_description<Offer>(object, "to"));
  if (type == "answer") return as<ClientMessage>(parse_description<Answer>(object, "to"));
  if (type == "candidate") return as<ClientMessage>(parse_candidate(object, "to"));
  return unknown_type<ClientMessage>(type);
}

std::string_view refusal_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kTooLarge: return refusal::kTooLarge;
    case ErrorCode::kUnsupported: return refusal::kUnknownType;
    default: return refusal::kMalformed;
  }
}

json cid_texts(const std::vector<ContentId>& cids) {
  json list = json::array();
  for (const ContentId& cid : cids) list.push_back(cid.to_string());
  return list;
}

template <class Description>
json description(const char* type, const char* peer_name, const Description& message) {
  return {{"type", type}, {peer_name, message.peer}, {"session", message.session}, {"sdp", message.sdp}};
}

json candidate(const char* peer_name, const Candidate& message) {
  return {{"type", "candidate"},
          {peer_name, message.peer},
          {"session", message.session},
          {"candidate", message.candidate},
          {"mid", message.mid}};
}

json ice_server(const IceServer& server) {
  json object = {{"urls", server.urls}};
  if (!server.username.empty()) object["username"] = server.username;
  if (!server.credential.empty()) object["credential"] = server.credential;
  return object;
}

json ice_servers(const std::vector<IceServer>& servers) {
  json list = json::array();
  for (const IceServer& server : servers) list.push_back(ice_server(server));
  return list;
}

struct ClientJson {
  json operator()(const Join& m) const {
    json object = {{"type", "join"}};
    if (!m.peer.empty()) {
      object["peer"] = m.peer;
      object["signature"] = identity::to_base64url(m.signature);
    }
    return object;
  }
  json operator()(const Announce& m) const { return {{"type", "announce"}, {"cids", cid_texts(m.cids)}}; }
  json operator()(const Withdraw& m) const { return {{"type", "withdraw"}, {"cids", cid_texts(m.cids)}}; }
  json operator()(const Find& m) const { return {{"type", "find"}, {"id", m.id}, {"cid", m.cid.to_string()}}; }
  json operator()(const Offer& m) const { return description("offer", "to", m); }
  json operator()(const Answer& m) const { return description("answer", "to", m); }
  json operator()(const Candidate& m) const { return candidate("to", m); }
};

struct ServerJson {
  json operator()(const Welcome& m) const {
    return {{"type", "welcome"},
            {"version", kVersion},
            {"peer", m.peer},
            {"challenge", identity::to_base64url(m.challenge)},
            {"iceServers", ice_servers(m.ice_servers)},
            {"maxAnnounced", m.max_announced},
            {"announceSeconds", m.announce_seconds}};
  }
  json operator()(const IceServers& m) const {
    return {{"type", "ice-servers"}, {"iceServers", ice_servers(m.servers)}};
  }
  json operator()(const Moving& m) const { return {{"type", "moving"}, {"afterMs", m.after_ms}}; }
  json operator()(const Joined& m) const { return {{"type", "joined"}, {"peer", m.peer}}; }
  json operator()(const Providers& m) const {
    json object = {{"type", "providers"}, {"id", m.id}, {"cid", m.cid.to_string()}, {"peers", m.peers}};
    for (const Elsewhere& one : m.elsewhere) {
      object["elsewhere"].push_back({{"peer", one.peer}, {"rendezvous", one.rendezvous}});
    }
    if (m.more) object["more"] = true;
    return object;
  }
  json operator()(const Offer& m) const { return description("offer", "from", m); }
  json operator()(const Answer& m) const { return description("answer", "from", m); }
  json operator()(const Candidate& m) const { return candidate("from", m); }
  json operator()(const Unreachable& m) const {
    return {{"type", "unreachable"}, {"peer", m.peer}, {"session", m.session}};
  }
  json operator()(const Refusal& m) const {
    json object = {{"type", "error"}, {"code", m.code}, {"message", m.message}};
    if (m.id) object["id"] = *m.id;
    return object;
  }
};

// The answer that a server gives most, of nothing but names, a CID and a number: as dump() would write it, without what
// it takes to build the object first.
std::optional<std::string> write_plain(const Providers& m) {
  if (!m.elsewhere.empty() || !std::ranges::all_of(m.peers, is_name)) return std::nullopt;
  std::string text;
  text.reserve(256 + m.peers.size() * (kMaxName + 3));
  text += R"({"cid":")" + m.cid.to_string() + R"(","id":)" + std::to_string(m.id);
  text += m.more ? R"(,"more":true,"peers":[)" : R"(,"peers":[)";
  for (const std::string& peer : m.peers) {
    if (&peer != &m.peers.front()) text += ',';
    text += '"';
    text += peer;
    text += '"';
  }
  text += R"(],"type":"providers"})";
  return text;
}

// Text that is not UTF-8, which only our own host could have put there, must not throw.
std::string dump(const json& object) { return object.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

std::expected<ClientMessage, Refusal> parse_client_message(std::string_view text) {
  auto envelope = open_envelope(text);
  if (!envelope) {
    return std::unexpected(
        Refusal{std::string(refusal_code(envelope.error().code)), std::move(envelope.error().message), std::nullopt});
  }
  auto message = parse_client_envelope(*envelope);
  if (message) return *std::move(message);
  Refusal refused{std::string(refusal_code(message.error().code)), std::move(message.error().message), std::nullopt};
  if (auto id = number_member(envelope->object, "id")) refused.id = *id;
  return std::unexpected(std::move(refused));
}

Result<ServerMessage> parse_server_message(std::string_view text) {
  auto envelope = open_envelope(text);
  if (!envelope) return std::unexpected(std::move(envelope.error()));
  const auto& [type, object] = *envelope;
  if (type == "welcome") return as<ServerMessage>(parse_welcome(object));
  if (type == "ice-servers") return ServerMessage{IceServers{parse_ice_server_list(object)}};
  if (type == "moving") return as<ServerMessage>(parse_moving(object));
  if (type == "joined") return as<ServerMessage>(parse_joined(object));
  if (type == "providers") return as<ServerMessage>(parse_providers(object));
  if (type == "offer") return as<ServerMessage>(parse_description<Offer>(object, "from"));
  if (type == "answer") return as<ServerMessage>(parse_description<Answer>(object, "from"));
  if (type == "candidate") return as<ServerMessage>(parse_candidate(object, "from"));
  if (type == "unreachable") return as<ServerMessage>(parse_unreachable(object));
  if (type == "error") return as<ServerMessage>(parse_refusal(object));
  return unknown_type<ServerMessage>(type);
}

std::string to_json(const ClientMessage& message) { return dump(std::visit(ClientJson{}, message)); }
std::string to_json(const ServerMessage& message) {
  if (const auto* providers = std::get_if<Providers>(&message)) {
    if (auto text = write_plain(*providers)) return *std::move(text);
  }
  return dump(std::visit(ServerJson{}, message));
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName && std::ranges::all_of(text, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

bool is_elsewhere(const Elsewhere& one) {
  return is_name(one.peer) && one.rendezvous.size() <= kMaxUrl && ServerUrl::parse(one.rendezvous).has_value();
}

std::string content_key(const ContentId& cid) {
  const auto& hash = cid.multihash();
  std::string key = std::to_string(static_cast<std::uint64_t>(hash.code()));
  key += ':';
  key += as_text(hash.digest());
  return key;
}

}  // namespace codio::rendezvous
