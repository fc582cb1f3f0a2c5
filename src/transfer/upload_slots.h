// Which peers are served when more want to be than there are slots.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "common/time.h"
#include "transfer/types.h"

namespace codio::transfer {

/// A peer that wants blocks takes a slot and keeps it while it is active. When all are taken, every kTurn one changes
/// hands: the holder that gave us the least since it got its slot makes room for the peer that has waited longest. So
/// whoever gives is served better, and a newcomer that has nothing to give yet still gets its turn.
///
/// Pure; not thread-safe; deterministic.
class UploadSlots {
 public:
  /// Long enough to download something worth sharing.
  static constexpr Duration kTurn = std::chrono::seconds(10);
  /// A holder that wanted and got nothing for this long has no use for its slot.
  static constexpr Duration kIdle = std::chrono::seconds(2);

  explicit UploadSlots(std::size_t count) : count_(count) {}
  /// Those that hold more slots than there are now keep them until rotate().
  void set_count(std::size_t count) { count_ = count; }

  /// The peer wants a block, or got a part of one. Whether it has a slot; if not, it waits for its turn.
  bool use(Time now, PeerId peer);
  /// It gave us bytes of a verified block.
  void note_given(PeerId peer, std::uint64_t bytes);
  void remove(PeerId peer);

  /// Who loses its slot now: what it waits for must be answered busy.
  std::vector<PeerId> rotate(Time now);
  /// When rotate() may have more to say; nothing while nobody waits.
  std::optional<Time> next_rotation() const;

 private:
  struct Holder {
    Time since;
    Time used_at;
    std::uint64_t given = 0;
  };
  struct Waiting {
    Time since;
    Time asked_at;
  };

  using Holders = std::map<PeerId, Holder>;
  Holders::iterator least_deserving();
  /// Those that asked longer ago than a turn have gone elsewhere.
  void forget_waiting(Time now);

  std::size_t count_;
  Holders holders_;
  std::map<PeerId, Waiting> waiting_;
  /// Whose turn it is: its slot is kept for it until it asks again.
  std::optional<PeerId> next_;
  Time next_until_{};
  Time rotated_at_{};
};

}  // namespace codio::transfer
