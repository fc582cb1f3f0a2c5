// Where a gateway is. https://specs.ipfs.tech/http-gateways/trustless-gateway/
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"

namespace codio::gateway {

/// The URL that a CID is appended to: `http[s]://host[:port][/path]/ipfs/`. Adds `/ipfs/` to a URL without a path, and
/// a missing last slash; leaves out the scheme's own port. kMalformed, with what a gateway URL looks like, for any
/// other scheme or path, and for a URL with a query, a fragment or a password (URLs are logged).
///
/// Plain http is allowed for any host: a block is verified, so nobody on the way can change it, only see what is asked.
Result<std::string> parse_gateway_url(std::string_view text);

}  // namespace codio::gateway
