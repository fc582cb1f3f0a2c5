// How far a download is, and where its bytes come from.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/time.h"
#include "transfer/types.h"

namespace codio::transfer {

struct PeerShare {
  PeerId peer;
  std::uint64_t bytes = 0;  ///< Verified, for this transfer. Peers that have left are listed too.
  double rate = 0;          ///< Bytes a second that it sends us lately, for whatever transfer.
};

/// The same fields as `Progress` of browser/lib. All sizes in bytes, all rates in bytes a second.
struct Progress {
  TransferId transfer;
  std::uint64_t received = 0;          ///< Handed over in order, of `total`.
  std::optional<std::uint64_t> total;  ///< Of the file or range; not known before its first block, nor of a directory.
  std::uint64_t verified = 0;          ///< Blocks from everywhere; inner nodes too.
  std::uint64_t from_store = 0;        ///< Of `verified`; and so on.
  std::uint64_t from_peers = 0;
  std::uint64_t from_gateways = 0;
  std::uint64_t duplicates = 0;       ///< Came for it and was not needed any more, or did not verify.
  double rate = 0;                    ///< From the network, lately.
  double average_rate = 0;            ///< From the network, since it began.
  std::optional<Duration> remaining;  ///< Until it ends at that rate, where that can be told.
  std::vector<PeerShare> peers;
};

}  // namespace codio::transfer
