// The sending half of a peer's channel: what it wants from us, in order, within its credit.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"
#include "transfer/wire/messages.h"

namespace codio::transfer {

/// Bytes that the channel may hold unsent: enough that it never runs dry between two drains, far from the megabytes
/// that make a fresh browser pair stall.
inline constexpr std::size_t kSendBuffer = 256 * 1024;

/// Not thread-safe. Memory: kMaxOpenWants entries, and as many blocks as poll_load() was allowed.
class Sender {
 public:
  /// Blocks read ahead of what is being sent: hides the store's delay.
  static constexpr std::size_t kLoadAhead = 3;

  struct Load {
    wire::WantId id;
    content_id::ContentId cid;
    wire::WantKind kind;
  };

  /// Takes a want; false if too many are open: answer busy. An id used before is kMalformed.
  Result<bool> handle_want(const wire::WantEntry& entry);
  /// Notes the id of a want that is answered without being taken; as above.
  Result<void> handle_refused_want(wire::WantId id);
  void handle_cancel(const std::vector<wire::WantId>& ids);
  void handle_credit(std::uint64_t limit);
  /// What the channel still holds of what poll_frame() gave.
  void handle_buffered_amount(std::size_t bytes) { buffered_ = bytes; }

  /// The next want to look up in the store: questions for HAVE at once; blocks once the peer granted any credit,
  /// and so that no more than `ahead` are here or being loaded.
  std::optional<Load> poll_load(std::size_t ahead = kLoadAhead);
  /// The store's answer to a want of kind block, once for each; null: not here. A want cancelled meanwhile is ignored.
  /// Returns whether a DONT_HAVE is due.
  bool handle_loaded(wire::WantId id, SharedBytes block);
  /// A question for HAVE that poll_load() gave was answered.
  void handle_answered() { --asked_; }

  /// Gives up all wants for blocks: returns their ids, to be answered.
  std::vector<wire::WantId> drop_blocks();

  /// Whether only the caller's budget keeps poll_frame() from giving a frame.
  bool can_send() const { return sendable().has_value(); }
  /// The next BLOCK frame of at most `max_frame` bytes with at most `budget` bytes of its block that credit and the
  /// channel's buffer allow.
  std::optional<Bytes> poll_frame(std::uint32_t max_frame, std::uint64_t budget);
  /// A frame of `size` bytes other than BLOCK went to the channel.
  void note_sent(std::size_t size) { buffered_ += size; }

  std::uint64_t sent() const { return sent_; }        ///< Block data in all.
  std::size_t buffered() const { return buffered_; }  ///< What the channel holds, as far as it is known.
  std::uint64_t held() const { return held_; }        ///< Bytes of the blocks that were loaded.
  bool wants_blocks() const { return !jobs_.empty(); }

 private:
  enum class State : std::uint8_t { kWaiting, kLoading, kLoaded };

  struct Job {
    wire::WantId id;
    content_id::ContentId cid;
    State state = State::kWaiting;
    SharedBytes block;
    std::uint32_t offset = 0;
  };

  /// Bytes of the first block that credit and the channel's buffer let go out now.
  std::optional<std::uint64_t> sendable() const;

  std::list<Job> jobs_;
  std::list<Load> questions_;
  std::uint32_t last_id_ = 0;
  std::size_t asked_ = 0;  ///< Questions given out and not answered.
  std::size_t ahead_ = 0;  ///< Blocks loading, cancelled or not, or loaded.
  std::uint64_t held_ = 0;
  std::uint64_t credit_ = 0;
  std::uint64_t sent_ = 0;
  std::size_t buffered_ = 0;
};

}  // namespace codio::transfer
