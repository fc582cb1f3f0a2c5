// Blocks over HTTPS from trustless gateways: the way that is left when no peer can serve them.
// https://specs.ipfs.tech/http-gateways/trustless-gateway/
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "common/strong.h"
#include "common/time.h"
#include "content_id/cid.h"
#include "gateway/gateway_health.h"

namespace codio::gateway {

struct GatewayConfig {
  std::string primary = "https://ipfs.io/ipfs/";  ///< As parse_gateway_url() reads it.
  std::vector<std::string> fallbacks;             ///< In the order in which they are asked; each counts once.

  /// A gateway that sends no byte for this long is given up. It may first have to find the block in its own network,
  /// which takes public gateways up to half a minute.
  Duration timeout = std::chrono::seconds(30);
  /// From the name lookup to the end of the TLS handshake. A gateway that takes longer is not there.
  Duration connect_timeout = std::chrono::seconds(10);
  /// Path to subdomain, and once more from http to https or to another host.
  int max_redirects = 3;
  /// When another gateway is asked too, and when one is asked last. More requests than `max_per_gateway` queue; a
  /// gateway that only speaks HTTP/1.1 sees as many connections.
  HealthOptions health;

  std::string user_agent = "codio";  ///< `codio/<version>`
  std::string ca_file;               ///< PEM certificates to trust instead of the system's.

  /// Told of every failed request, on the gateway's thread, with the gateway's URL. It must not block.
  std::function<void(std::string_view gateway, const Error& error)> on_failure;
};

struct FetchTag;
using FetchId = Id<FetchTag, std::uint64_t>;

/// Fetches blocks, each from the first gateway that gives it, and verifies them. Certificates are always checked.
///
/// gateway_health.h says who is asked, and when another one is asked too. A fetch waits for a gateway that wants to be
/// left alone (Retry-After) for `timeout` at most, when no other has the block.
///
/// Threads: any thread may call. One thread of its own does all the work, runs the callbacks and hashes.
class Gateway {
 public:
  /// Called exactly once, on the gateway's thread, never from within fetch_cid() or cancel(). It must not block, but
  /// may fetch and cancel.
  ///
  /// The block is verified. Errors: kCancelled; kUnsupported, when the CID's hash function cannot be verified and
  /// nobody was asked; else "all gateways failed", naming each and its cause, with the code that the causes share (such
  /// as kNotFound) or kUnavailable.
  using Done = std::function<void(Result<SharedBytes>)>;

  /// Asks nobody yet. kMalformed names the bad URL.
  static Result<std::unique_ptr<Gateway>> make(GatewayConfig config);
  /// Cancels every fetch and waits for their callbacks. Not from a callback.
  ~Gateway();

  FetchId fetch_cid(const content_id::ContentId& cid, Done done);
  /// Waits for the block. Not from a callback.
  Result<SharedBytes> fetch_cid(const content_id::ContentId& cid);

  /// Ends the fetch with kCancelled. No effect if it has ended.
  void cancel(FetchId id);

 private:
  class Loop;

  explicit Gateway(std::unique_ptr<Loop> loop);

  std::unique_ptr<Loop> loop_;
};

}  // namespace codio::gateway
