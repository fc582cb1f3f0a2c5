#include "web/content_request.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "web/uri.h"

namespace codio::web {
namespace {

using content_id::ContentId;
using content_id::unixfs::EntityBytes;
using content_id::unixfs::Scope;

std::unexpected<Refusal> refuse(int status, std::string message) {
  return std::unexpected(Refusal{status, std::move(message)});
}

struct FormatName {
  Format format;
  std::string_view name;
  std::string_view media_type;
};

constexpr std::array kFormats{
    FormatName{Format::kRaw, "raw", "application/vnd.ipld.raw"},
    FormatName{Format::kCar, "car", "application/vnd.ipld.car"},
    FormatName{Format::kTar, "tar", "application/x-tar"},
    FormatName{Format::kDagJson, "dag-json", "application/vnd.ipld.dag-json"},
    FormatName{Format::kDagCbor, "dag-cbor", "application/vnd.ipld.dag-cbor"},
    FormatName{Format::kJson, "json", "application/json"},
    FormatName{Format::kCbor, "cbor", "application/cbor"},
};

/// Each costs a block to read, and a CID in X-Ipfs-Roots: these are 8 KiB of head, which is what clients take.
constexpr std::size_t kMaxNames = 128;

/// The parameters of a media type in an Accept header: "; version=1; order=dfs".
std::string_view media_parameters(std::string_view accept, std::string_view media_type) {
  const std::size_t at = accept.find(media_type);
  if (at == std::string_view::npos) return {};
  accept.remove_prefix(at + media_type.size());
  return accept.substr(0, accept.find(','));
}

std::optional<std::string_view> media_parameter(std::string_view parameters, std::string_view name) {
  while (!parameters.empty()) {
    const std::size_t end = std::min(parameters.find(';'), parameters.size());
    std::string_view one = parameters.substr(0, end);
    parameters.remove_prefix(std::min(end + 1, parameters.size()));
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    if (one.starts_with(name) && one.substr(name.size()).starts_with('=')) return one.substr(name.size() + 1);
  }
  return std::nullopt;
}

std::optional<EntityBytes> parse_entity_bytes(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto number = [](std::string_view digits) -> std::optional<std::int64_t> {
    std::int64_t value = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (digits.empty() || read.ec != std::errc() || read.ptr != digits.data() + digits.size()) return std::nullopt;
    return value;
  };
  const auto from = number(text.substr(0, colon));
  const std::string_view end = text.substr(colon + 1);
  const auto to = number(end);
  if (!from || (!to && end != "*")) return std::nullopt;
  // Both from the same side of the file: the order is known without its size.
  if (to && (*from < 0) == (*to < 0) && *to < *from) return std::nullopt;
  return EntityBytes{*from, to};
}

/// "text" once it is among those that are allowed.
bool is_one_of(std::string_view text, std::initializer_list<std::string_view> allowed) {
  return std::ranges::find(allowed, text) != allowed.end();
}

std::expected<void, Refusal> read_car(const Target& target, std::string_view accept, ContentRequest& content) {
  const std::string_view media = media_parameters(accept, "application/vnd.ipld.car");
  // A parameter of the URL goes before the same one of Accept.
  const auto parameter = [&](std::string_view query, std::string_view name) -> std::optional<std::string> {
    if (auto value = target.parameter(query)) return value;
    const auto value = media_parameter(media, name);
    return value ? std::optional<std::string>(*value) : std::nullopt;
  };
  if (const auto version = parameter("car-version", "version"); version && *version != "1") {
    return refuse(400, "only version 1 of CAR is served, not '" + *version + "'");
  }
  if (const auto order = parameter("car-order", "order"); order && !is_one_of(*order, {"dfs", "unk"})) {
    return refuse(400, "car-order is dfs or unk, not '" + *order + "'");
  }
  const auto duplicates = parameter("car-dups", "dups");
  if (duplicates && !is_one_of(*duplicates, {"y", "n"}))
    return refuse(400, "car-dups is y or n, not '" + *duplicates + "'");
  content.car.duplicates = duplicates == "y";
  const std::string scope = target.parameter("dag-scope").value_or("all");
  if (scope == "block") {
    content.car.scope = Scope::kBlock;
  } else if (scope == "entity") {
    content.car.scope = Scope::kEntity;
  } else if (scope != "all") {
    return refuse(400, "dag-scope is block, entity or all, not '" + scope + "'");
  }
  if (const auto text = target.parameter("entity-bytes")) {
    content.car.bytes = parse_entity_bytes(*text);
    if (!content.car.bytes)
      return refuse(400, "entity-bytes is FROM:TO, such as 0:1023, 1024:* or -16:*, not '" + *text + "'");
    content.car.scope = Scope::kEntity;
  }
  return {};
}

std::expected<void, Refusal> read_format(const Request& request, const Target& target, ContentRequest& content) {
  if (const auto format = target.parameter("format"); format && !format->empty()) {
    const auto found = std::ranges::find(kFormats, std::string_view(*format), &FormatName::name);
    if (found == kFormats.end()) {
      return refuse(400,
                    "there is no format '" + *format + "'; there are raw, car, tar, dag-json, dag-cbor, json and cbor");
    }
    content.format = found->format;
  } else {
    // Of those that name only what we have; a browser's list ends with */* and means the file. Plain JSON and CBOR are
    // what programs accept that expect no IPLD.
    for (const FormatName& one : kFormats) {
      if (one.format == Format::kJson || one.format == Format::kCbor) continue;
      if (!accepts(request.accept, one.media_type)) continue;
      content.format = one.format;
      content.format_by_accept = true;
      break;
    }
  }
  return content.format == Format::kCar ? read_car(target, request.accept, content) : std::expected<void, Refusal>();
}

std::expected<std::vector<std::string>, Refusal> read_names(std::string_view path) {
  std::vector<std::string> names;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    auto name = percent_decode(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
    if (!name) return refuse(400, "the path is malformed: " + name.error().message);
    if (name->empty()) continue;
    if (names.size() == kMaxNames) return refuse(400, "a path of over 128 names is not followed");
    names.push_back(*std::move(name));
  }
  return names;
}

std::expected<ContentRequest, Refusal> read_rest(const Request& request, const Target& target, const ContentId& root,
                                                 std::string_view root_text, std::string_view path, Place place) {
  auto names = read_names(path);
  if (!names) return std::unexpected(names.error());
  ContentRequest content{.root = root, .names = *std::move(names), .place = std::move(place)};
  content.url_path = target.path;
  if (!target.query.empty()) content.query = "?" + std::string(target.query);
  content.content_path = "/ipfs/" + std::string(root_text);
  for (const std::string& name : content.names) content.content_path += "/" + percent_encode(name);
  if (content.is_directory_url()) content.content_path += "/";
  if (auto format = read_format(request, target, content); !format) return std::unexpected(format.error());
  content.filename = target.parameter("filename");
  content.download = target.parameter("download") == "true";
  content.only_if_cached = request.cache_control.find("only-if-cached") != std::string_view::npos;
  if (request.service_worker == "script" && content.names.empty() && content.place.kind == Place::Kind::kPath) {
    return refuse(400,
                  "a service worker cannot be registered for all of a gateway: its scope would be " + content.url_path);
  }
  return content;
}

}  // namespace

std::expected<ContentRequest, Refusal> read_path_request(const Request& request, const HostMeaning& host) {
  const Target target(request.target);
  std::string_view path = target.path;
  if (path.starts_with("/ipns/"))
    return refuse(501, "this gateway does not resolve IPNS names and DNSLink; ask for a CID");
  const std::string_view space = path.starts_with("/codio/") ? "/codio/" : "/ipfs/";
  path.remove_prefix(std::min(space.size(), path.size()));
  const std::size_t end = std::min(path.find('/'), path.size());
  const std::string_view root_text = path.substr(0, end);
  const auto invalid = [&](const std::string& why) {
    return refuse(400, "invalid path \"" + std::string(target.path) + "\": " + why);
  };
  if (root_text.empty()) {
    const auto uri = target.parameter("uri");
    if (!uri) return invalid("it names no CID");
    if (uri->starts_with("ipns://")) return refuse(501, "this gateway does not resolve IPNS names and DNSLink");
    if (!uri->starts_with("ipfs://")) return refuse(400, "uri is to begin with ipfs://");
    std::string location = "/ipfs";
    for (std::string_view rest = std::string_view(*uri).substr(std::string_view("ipfs:/").size()); !rest.empty();) {
      const std::size_t slash = std::min(rest.find('/', 1), rest.size());
      location += "/" + percent_encode(rest.substr(1, slash - 1));
      rest.remove_prefix(slash);
    }
    return std::unexpected(Refusal{301, "moved to " + location, {{"Location", location}}});
  }
  const auto decoded = percent_decode(root_text);
  const auto root = decoded ? ContentId::parse(*decoded) : std::unexpected(decoded.error());
  if (!root) return invalid(root.error().message);
  Place place{.kind = Place::Kind::kPath, .prefix = std::string(space) + std::string(root_text), .gateway = {}};
  auto content = read_rest(request, target, *root, *decoded, path.substr(end), std::move(place));
  // Who asks for blocks needs no origin of the content's own.
  const bool wants_origin = content && content->format == Format::kFile && space == "/ipfs/";
  if (wants_origin && host.kind == HostMeaning::Kind::kGateway) {
    const std::string label = root->to_v1().to_string();
    if (label.size() > kMaxLabel) return std::unexpected(too_long_for_dns(*root));
    std::string location = host.scheme + "://" + label + ".ipfs." + host.gateway;
    for (const std::string& name : content->names) location += "/" + percent_encode(name);
    if (content->names.empty() || content->is_directory_url()) location += "/";
    location += content->query;
    return std::unexpected(Refusal{301, "moved to " + location, {{"Location", location}}});
  }
  return content;
}

std::expected<ContentRequest, Refusal> read_origin_request(const Request& request, const ContentId& root, Place place) {
  const Target target(request.target);
  if (!target.path.starts_with('/')) return refuse(400, "a path begins with /");
  return read_rest(request, target, root, root.to_string(), target.path, std::move(place));
}

}  // namespace codio::web
