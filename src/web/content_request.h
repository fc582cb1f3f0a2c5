// What a request to the gateway asks for. https://specs.ipfs.tech/http-gateways/
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "content_id/cid.h"
#include "content_id/unixfs/car_walk.h"
#include "web/host.h"
#include "web/http.h"

namespace codio::web {

enum class Format : std::uint8_t {
  kFile,  ///< A file, a listing, an index.html.
  kRaw,
  kCar,
  kTar,
  kDagJson,
  kDagCbor,
  kJson,
  kCbor,
};

/// Where content's own paths begin in URLs.
struct Place {
  enum class Kind : std::uint8_t {
    kPath,       ///< /ipfs/CID/… or /codio/CID/…
    kSubdomain,  ///< CID.ipfs.NAME/…
    kSite,       ///< The content is this server's own site.
  } kind = Kind::kPath;
  std::string prefix;   ///< Of kPath: "/ipfs/CID", as the client wrote it.
  std::string gateway;  ///< Of kSubdomain: NAME[:PORT].
};

struct ContentRequest {
  content_id::ContentId root;
  std::vector<std::string> names;  ///< Decoded.
  Place place;
  std::string url_path;      ///< As it was sent.
  std::string query;         ///< With its "?", if there is one.
  std::string content_path;  ///< "/ipfs/CID/a/b", encoded as X-Ipfs-Path must be.
  Format format = Format::kFile;
  bool format_by_accept = false;
  content_id::unixfs::CarWalkOptions car = {};  ///< Of kCar; without the path.
  std::optional<std::string> filename = {};
  bool download = false;
  bool only_if_cached = false;

  bool is_directory_url() const { return url_path.ends_with('/'); }
};

/// Reads a path below /ipfs/ or /codio/. Refusals: 400 for what is malformed, 501 for IPNS, 301 for the URLs of
/// `?uri=ipfs://…` and, on a subdomain gateway's own name, to the content's origin.
std::expected<ContentRequest, Refusal> read_path_request(const Request& request, const HostMeaning& host);

/// Reads a path in the content of an origin: a subdomain's, or the site's.
std::expected<ContentRequest, Refusal> read_origin_request(const Request& request, const content_id::ContentId& root,
                                                           Place place);

}  // namespace codio::web
