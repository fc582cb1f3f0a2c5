#include "node/descriptor.h"

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace codio::node {

using nlohmann::json;

namespace {

constexpr std::size_t kMaxStatement = 32 * 1024;
constexpr std::size_t kMaxUrls = 8;
constexpr std::size_t kMaxUrl = 2048;
constexpr std::size_t kMaxVersions = 16;
constexpr std::size_t kMaxChallenge = 64;
// iceServers[].urls[] is the deepest that the specification knows.
constexpr int kMaxDepth = 6;

std::unexpected<Error> malformed(std::string_view what) {
  return fail(ErrorCode::kMalformed, "the descriptor's " + std::string(what));
}

json parse_object(std::string_view text) {
  const auto shallow = [](int depth, json::parse_event_t, json&) { return depth <= kMaxDepth; };
  json object = json::parse(text, shallow, /*allow_exceptions=*/false);
  return object.is_object() ? std::move(object) : json();
}

template <class T>
const T* member(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : found->get_ptr<const T*>();
}

/// Printable ASCII without what no URL has unescaped, so that it can be shown and resolved as it is.
bool is_url_text(std::string_view text) {
  return !text.empty() && text.size() <= kMaxUrl && std::ranges::all_of(text, [](char c) {
    return c > ' ' && c < 0x7f && std::string_view("\"<>\\^`{|}#").find(c) == std::string_view::npos;
  });
}

/// `scheme://authority` of an absolute URL of one of the schemes. Nothing: it is none, or has a user name.
std::optional<std::string_view> origin_of(std::string_view url, std::initializer_list<std::string_view> schemes) {
  for (const std::string_view scheme : schemes) {
    if (!url.starts_with(scheme)) continue;
    const std::size_t end = std::min(url.find_first_of("/?", scheme.size()), url.size());
    const std::string_view authority = url.substr(scheme.size(), end - scheme.size());
    if (authority.empty() || authority.find('@') != authority.npos) return std::nullopt;
    return url.substr(0, end);
  }
  return std::nullopt;
}

/// Absolute, from what is an absolute URL of one of the schemes or a path at `origin`.
std::optional<std::string> resolve(std::string_view url, std::string_view origin,
                                   std::initializer_list<std::string_view> schemes) {
  if (!is_url_text(url)) return std::nullopt;
  if (origin_of(url, schemes)) return std::string(url);
  if (!url.starts_with('/') || url.starts_with("//")) return std::nullopt;
  std::string absolute(origin);
  absolute += url;
  return absolute.size() <= kMaxUrl ? std::optional(std::move(absolute)) : std::nullopt;
}

Result<std::vector<std::string>> read_urls(const json& object, const char* name, std::string_view origin,
                                           std::initializer_list<std::string_view> schemes) {
  const auto* list = member<json::array_t>(object, name);
  if (list == nullptr || list->size() > kMaxUrls) return malformed(std::string(name) + " is no list of at most 8 URLs");
  std::vector<std::string> urls;
  for (const json& entry : *list) {
    const auto* text = entry.get_ptr<const std::string*>();
    auto url = text == nullptr ? std::nullopt : resolve(*text, origin, schemes);
    if (!url) return malformed(std::string(name) + " has an entry that is no URL for this");
    urls.push_back(*std::move(url));
  }
  return urls;
}

std::optional<std::vector<std::uint32_t>> read_versions(const json& object) {
  const auto* list = member<json::array_t>(object, "versions");
  if (list == nullptr || list->size() > kMaxVersions) return std::nullopt;
  std::vector<std::uint32_t> versions;
  for (const json& entry : *list) {
    const auto* number = entry.get_ptr<const json::number_unsigned_t*>();
    if (number == nullptr || *number > UINT32_MAX) return std::nullopt;
    versions.push_back(static_cast<std::uint32_t>(*number));
  }
  return versions;
}

/// `ws:` for `http:`, `wss:` for `https:`.
std::string websocket_origin(std::string_view origin) {
  return "ws" + std::string(origin.substr(std::string_view("http").size()));
}

Result<Statement> read_statement(const json& object, const DescriptorRequest& request, std::string_view origin) {
  Statement statement;
  statement.peer = *member<std::string>(object, "peer");
  auto rendezvous = read_urls(object, "rendezvous", websocket_origin(origin), {"ws://", "wss://"});
  if (!rendezvous) return std::unexpected(rendezvous.error());
  statement.rendezvous = *std::move(rendezvous);
  auto gateways = read_urls(object, "gateways", origin, {"http://", "https://"});
  if (!gateways) return std::unexpected(gateways.error());
  statement.gateways = *std::move(gateways);
  auto versions = read_versions(object);
  if (!versions) return malformed("versions are no list of at most 16 numbers");
  statement.versions = *std::move(versions);

  const auto* expires = member<json::number_unsigned_t>(object, "expires");
  const std::chrono::seconds latest = (request.now + kMaxStatementLifetime).time_since_epoch();
  if (expires == nullptr || *expires > static_cast<std::uint64_t>(latest.count())) {
    return malformed("expiry is no time within a day; are both clocks right?");
  }
  statement.expires = std::chrono::sys_seconds(std::chrono::seconds(*expires));
  if (statement.expires <= request.now) {
    return fail(ErrorCode::kTimeout,
                "the descriptor of peer " + statement.peer + " has expired; are both clocks right?");
  }

  if (const auto* challenge = member<std::string>(object, "challenge")) statement.challenge = *challenge;
  if (!request.challenge.empty() && statement.challenge != request.challenge) {
    return fail(ErrorCode::kForged,
                "the descriptor of peer " + statement.peer + " is not an answer to this question, but to another one");
  }
  return statement;
}

}  // namespace

bool is_challenge(std::string_view text) {
  return !text.empty() && text.size() <= kMaxChallenge && std::ranges::all_of(text, [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

SignedStatement sign_statement(const identity::Key& key, Statement statement) {
  json object{{"peer", key.peer_id()},
              {"rendezvous", std::move(statement.rendezvous)},
              {"gateways", std::move(statement.gateways)},
              {"versions", std::move(statement.versions)},
              {"expires", statement.expires.time_since_epoch().count()}};
  if (!statement.challenge.empty()) object["challenge"] = std::move(statement.challenge);
  SignedStatement result{object.dump(), {}};
  result.signature = identity::to_base64url(key.sign(identity::Purpose::kDescriptor, as_bytes(result.statement)));
  return result;
}

Result<Statement> verify_descriptor(std::string_view text, const DescriptorRequest& request) {
  if (text.size() > kMaxDescriptor) return fail(ErrorCode::kTooLarge, "the descriptor is longer than 64 KiB");
  const auto origin = is_url_text(request.url) ? origin_of(request.url, {"http://", "https://"}) : std::nullopt;
  if (!origin) return malformed("own URL is not of HTTP");

  const json descriptor = parse_object(text);
  const auto* version = member<json::number_unsigned_t>(descriptor, "version");
  if (version == nullptr) return malformed("text is no JSON object with a version");
  if (*version != 1) {
    return fail(ErrorCode::kUnsupported, "the descriptor is of version " + std::to_string(*version) + ", not 1");
  }
  const auto envelope = descriptor.find("signed");
  if (envelope == descriptor.end()) return fail(ErrorCode::kNotFound, "the descriptor is not signed");
  const auto* statement = member<std::string>(*envelope, "statement");
  const auto* signature = member<std::string>(*envelope, "signature");
  if (statement == nullptr || statement->size() > kMaxStatement || signature == nullptr) {
    return malformed("signed part has no statement or no signature");
  }
  const json object = parse_object(*statement);
  const auto* peer = member<std::string>(object, "peer");
  const auto key = peer == nullptr ? std::nullopt : identity::key_of(*peer);
  if (!key) return malformed("statement names no peer");
  const auto bytes = identity::from_base64url(*signature);
  if (!bytes || !identity::verify(*key, identity::Purpose::kDescriptor, as_bytes(*statement), *bytes)) {
    return fail(ErrorCode::kForged, "the descriptor is not signed by the peer that it names, " + *peer);
  }
  return read_statement(object, request, *origin);
}

}  // namespace codio::node
