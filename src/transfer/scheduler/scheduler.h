// Which block to ask of which source, and when to ask it of another one.
//
// | tracked for  | what                          | why |
// |--------------|-------------------------------|-----------------------------------------------------------------------|
// | each block   | its place in the download     | soonest needed first; inner nodes come before their leaves | | |
// sources asked, and when       | a late block is asked elsewhere, never twice of the same source       | | | sources
// that lack it          | DONT_HAVE is remembered for that block only                           | | each source  | rate
// and round trip           | the pipeline holds rate × (round trip + margin), so it never runs dry | |              |
// blocks asked and not come     | the pipeline's fill; what is asked elsewhere when the source goes     | | | last byte
// | a source that owes blocks and is silent is not asked for more         | |              | transfers it provides |
// only providers of a root are asked for what is below it               | | each transfer| providers being connected |
// a gateway waits for them no longer than the deadline                  |
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/time.h"
#include "content_id/cid.h"
#include "transfer/types.h"

namespace codio::transfer {

/// Pure; not thread-safe; deterministic. Blocks are known by CID, sources by peer; the gateway is one source beside
/// them.
///
/// Grammar: tell it what changed, then poll_assignment() until it returns nothing, and next_check() for when to come
/// back.
class Scheduler {
 public:
  using Cid = content_id::ContentId;

  struct Assignment {
    Cid cid;
    std::optional<PeerId> peer;  ///< Nothing: the gateway.
  };

  explicit Scheduler(const ExchangeOptions& options);

  // Transfers.
  void add_transfer(TransferId transfer);
  /// Blocks that only it needed are forgotten: returns them with whom they are asked of, to be cancelled.
  std::vector<Assignment> remove_transfer(TransferId transfer);
  /// How many providers found for it are still being connected; nothing while the search runs.
  void set_pending_providers(TransferId transfer, std::optional<std::uint32_t> pending);
  /// Whether a connected peer provides it.
  bool has_provider(TransferId transfer) const;
  std::optional<std::uint32_t> pending_providers(TransferId transfer) const;

  // Sources.
  void add_peer(Time now, PeerId peer);
  /// Its blocks are needed again.
  void remove_peer(PeerId peer);
  void set_provides(PeerId peer, TransferId transfer);
  bool provides(PeerId peer, TransferId transfer) const;
  /// Bytes of a wanted block came from it, over a path of this delay.
  void handle_bytes(Time now, PeerId peer, std::uint64_t size, Duration round_trip);
  /// It answered that it does not have the block, or that it is busy: then it is asked again after a while.
  void handle_lacks(PeerId peer, const Cid& cid);
  void handle_busy(Time now, PeerId peer, const Cid& cid);
  /// The gateway's request for the block ended without it.
  void handle_gateway_failed(const Cid& cid);

  // Blocks.
  /// The block is needed by one more transfer.
  void need(Time now, const Cid& cid, TransferId transfer);
  bool needs(const Cid& cid) const { return blocks_.contains(cid); }
  /// Whether the gateway is asked for one of the transfer's blocks.
  bool asks_gateway_for(TransferId transfer) const;
  const std::set<TransferId>& transfers_of(const Cid& cid) const;
  /// A whole block came from a source, not yet verified: it is not asked elsewhere meanwhile.
  void handle_arrived(const Cid& cid, std::optional<PeerId> from, std::uint64_t size);
  /// It did not verify: needed again, from others.
  void handle_refuted(const Cid& cid);
  /// Verified: forgotten. Returns whom it is still asked of: they get a CANCEL.
  std::vector<std::optional<PeerId>> handle_verified(const Cid& cid);

  /// Looks for late blocks and silent sources, then gives the next request to make.
  std::optional<Assignment> poll_assignment(Time now);

  /// When poll_assignment() could have more without anything being told; nothing: never.
  std::optional<Time> next_check() const;

  /// Blocks that cannot come any more: no source has or may have them, is being connected or asked. In the order of
  /// need.
  std::vector<Cid> hopeless() const;

 private:
  /// The order in which blocks are asked for: as the downloads asked for them.
  using Rank = std::uint64_t;

  struct Request {
    std::optional<PeerId> source;
    Time asked_at;
    Time late_at;
    bool late = false;
  };

  struct Block {
    Rank rank;
    Time needed_at;
    std::set<TransferId> transfers;
    std::vector<Request> requests;
    std::set<PeerId> lacking;
    bool gateway_failed = false;
    bool arrived = false;
  };

  struct Source {
    Time last_byte{};
    double rate = 0;  ///< Bytes a second, smoothed; 0: not known.
    Duration round_trip{};
    std::uint64_t sample_bytes = 0;
    Time sample_begin{};
    std::set<Cid> asked;
    Time busy_since{};  ///< When `asked` was last empty.
    /// It was silent: not asked before this time, twice as long each time until a byte comes.
    Time avoided_until{};
    Duration avoid_for{};
    std::set<TransferId> provides;
  };

  struct Transfer {
    std::optional<std::uint32_t> pending;
  };

  bool is_hopeless(const Block& block) const;
  bool is_candidate(const Block& block, PeerId peer, const Source& source) const;
  bool may_use_gateway(const Block& block) const;
  bool may_ask_gateway(const Block& block, Time now) const;
  bool awaits_providers(const Block& block) const;
  std::size_t pipeline(const Source& source) const;
  /// Whether one block of it takes longer than anyone wants to wait.
  bool is_slow(const Source& source) const;
  std::optional<PeerId> choose_peer(Time now, const Block& block) const;
  Assignment assign(Time now, const Cid& cid, Block& block, std::optional<PeerId> peer);
  void drop_request(const Cid& cid, Block& block, std::optional<PeerId> source);
  void queue_if_unasked(const Cid& cid, const Block& block);
  void check_late(Time now);

  ExchangeOptions options_;
  std::map<Cid, Block> blocks_;
  std::map<Rank, Cid> queue_;  ///< Blocks to be asked for: never asked, or late.
  std::map<PeerId, Source> sources_;
  std::map<TransferId, Transfer> transfers_;
  Rank next_rank_ = 0;
  std::size_t gateway_requests_ = 0;
  double block_size_ = 256 * 1024;  ///< Smoothed.
  Time checked_at_{};
};

}  // namespace codio::transfer
