// The receiving half of a peer's channel: our wants open there and the blocks arriving for them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "common/time.h"
#include "content_id/cid.h"
#include "transfer/credit_window.h"
#include "transfer/wire/messages.h"

namespace codio::transfer {

/// Not thread-safe. Memory: one block, as a sender sends one after the other, and the open wants.
class Receiver {
 public:
  struct OpenWant {
    content_id::ContentId cid;
    wire::WantKind kind;
    Bytes bytes;  ///< What came of the block so far.
    std::optional<std::uint32_t> size;
  };

  struct Chunk {
    std::uint64_t fresh = 0;                   ///< Bytes for an open want.
    std::uint64_t cancelled = 0;               ///< Bytes for a want that we took back: they crossed our CANCEL.
    std::optional<content_id::ContentId> cid;  ///< Of the open want.
    SharedBytes block;                         ///< Whole, not verified, if this was its last byte; else null.
  };

  explicit Receiver(const CreditWindowOptions& credit = {}) : window_(credit) {}

  /// The caller sends the WANT.
  wire::WantId open(Time now, const content_id::ContentId& cid, wire::WantKind kind);

  /// A chunk out of order, of a block before the one before has ended, without a want or again, or over the granted
  /// credit is kMalformed: the peer breaks the protocol.
  Result<Chunk> handle_chunk(Time now, const wire::BlockChunk& chunk);

  /// A HAVE or DONT_HAVE closed the want. Nothing if it was cancelled before; kMalformed if it never was.
  Result<std::optional<OpenWant>> handle_answer(wire::WantId id);

  /// Forgets the want for the block, if one is open; its id goes into a CANCEL.
  std::optional<wire::WantId> cancel(const content_id::ContentId& cid);

  std::size_t open_blocks() const { return open_blocks_; }
  bool has_questions() const { return open_.size() > open_blocks_; }
  /// Bytes of the block that is coming.
  std::uint64_t held() const;
  CreditWindow& window() { return window_; }
  const CreditWindow& window() const { return window_; }

 private:
  std::map<wire::WantId, OpenWant> open_;  ///< Ordered by age.
  std::size_t open_blocks_ = 0;
  std::optional<wire::WantId> begun_;  ///< Whose block has come in part.
  /// Taken back, and not answered: bytes may still come. Not after those of a later want.
  std::set<wire::WantId> cancelled_;
  std::uint32_t last_id_ = 0;
  CreditWindow window_;
  struct IdleWant {
    wire::WantId id;
    Time at;
  };
  /// The block want sent when no other was open, until any byte comes.
  std::optional<IdleWant> idle_want_;
};

}  // namespace codio::transfer
