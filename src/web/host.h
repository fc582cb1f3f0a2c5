// Which gateway a request's host names. https://specs.ipfs.tech/http-gateways/subdomain-gateway/
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "content_id/cid.h"
#include "web/http.h"

namespace codio::web {

/// `Host` without the port, in lower case; of `[::1]:80` what is in the brackets.
std::string host_name(std::string_view host);

/// Whether only who typed it can have named this host: an address, localhost, or a name below it. A page of another
/// site that had its own name point here (DNS rebinding) sends that name.
bool is_own_host(std::string_view host);

struct HostMeaning {
  enum class Kind {
    kAny,        ///< An address or a name that means nothing here: paths count.
    kGateway,    ///< The name of a subdomain gateway: /ipfs/CID is redirected.
    kSubdomain,  ///< CID.ipfs.NAME: `root` is the content of this origin.
  } kind = Kind::kAny;
  std::string gateway;  ///< Of kGateway and kSubdomain: NAME, with the port as it was sent.
  std::optional<content_id::ContentId> root;
  std::string scheme;  ///< That the client used: "http" or "https".
};

/// `gateways`: the names of subdomain gateways, in lower case. CID.ipfs.localhost is one in any case.
/// X-Forwarded-Host and -Proto go before Host.
std::expected<HostMeaning, Refusal> understand_host(const Request& request, const std::vector<std::string>& gateways);

/// The longest label that DNS allows.
inline constexpr std::size_t kMaxLabel = 63;
/// A refusal for what does not fit into one.
Refusal too_long_for_dns(const content_id::ContentId& cid);

}  // namespace codio::web
