// Identifiers and options that the parts of the engine share with its hosts.
#pragma once

#include <cstdint>

#include "common/strong.h"
#include "common/time.h"
#include "content_id/unixfs/traversal.h"
#include "transfer/credit_window.h"
#include "transfer/limits.h"
#include "transfer/wire/messages.h"

namespace codio::transfer {

struct PeerTag;
/// One open channel to a peer. The host's number, never 0, never used twice.
using PeerId = Id<PeerTag>;

struct TransferTag;
/// One download. The engine's number, never 0.
using TransferId = Id<TransferTag>;

struct RequestTag;
/// A question to the host that it answers once. The engine's number, never 0.
using RequestId = Id<RequestTag>;

/// Where blocks may come from.
enum class Policy : std::uint8_t {
  kP2pFirst,     ///< Peers; a gateway for what no peer serves in time.
  kFastest,      ///< Peers and gateways alike, whichever is free.
  kGatewayOnly,  ///< No peer learns what is downloaded.
  kP2pOnly,      ///< No gateway does.
};

struct ExchangeOptions {
  Policy policy = Policy::kP2pFirst;
  /// Whether AskGateway can be answered at all.
  bool has_gateways = true;
  /// With p2p-first: how long a block that peers could serve may wait without a byte before a gateway is asked too. A
  /// relayed connection answers within 300 ms; half a second more is what a visitor does not notice.
  Duration gateway_deadline = std::chrono::milliseconds(500);
  /// A download without a single new byte for this long fails.
  Duration stall_timeout = std::chrono::seconds(30);
  /// A block that no peer has any more, or that all of them lack, is waited for so long since the last byte: they may
  /// get it, or be back, or others be found. A page that is loaded again or a node that is restarted serves again by
  /// then.
  Duration missing_timeout = std::chrono::seconds(10);
  /// Largest frame we accept and, if the peer accepts it, send.
  std::uint32_t max_frame = wire::kDefaultFrame;
  CreditWindowOptions credit;
  Limits limits;
  /// Block data that downloads may hold, in bytes: what came and was not handed over and consumed, and what is asked
  /// for. Each download may have one block under way beyond it. Half of what a small phone gives to a tab.
  std::uint64_t memory = std::uint64_t{64} * 1024 * 1024;
  /// A peer from which nothing is wanted and that wants nothing for this long is forgotten.
  Duration idle_timeout = std::chrono::minutes(5);
};

struct DownloadOptions {
  content_id::unixfs::TraversalOptions traversal;
  /// Bytes of Data that may be given out before consume() says they were taken.
  std::uint64_t unconsumed = 8 * 1024 * 1024;
};

}  // namespace codio::transfer
