// The walk over one file's DAG that turns blocks into its bytes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"
#include "content_id/unixfs/node.h"
#include "content_id/unixfs/traversal.h"

namespace codio::content_id::unixfs {

/// Holds the frontier: the subtrees that cover what is left of the range, by file offset, without overlaps. A block
/// replaces its subtree by its children or fills it with bytes; poll_segment() takes filled ones off the front.
/// Subtrees without bytes are never visited.
class FileWalk {
 public:
  FileWalk(ByteRange range, std::uint64_t window);

  /// Begins with the file's root, which the caller has read.
  Result<void> start(const Node& root, const SharedBytes& block);

  void poll_wants(std::size_t max, std::vector<ContentId>& out);
  Result<void> handle_block(const ContentId& cid, const SharedBytes& block);
  std::optional<Segment> poll_segment();
  bool finished() const { return missing_.empty() && filled_.empty(); }
  bool asked_all() const { return unasked_branches_.empty() && unasked_others_.empty(); }
  std::uint64_t held() const { return held_; }

 private:
  /// A run of file bytes inside a block.
  struct Content {
    SharedBytes block;
    std::size_t begin;
    std::size_t size;
  };
  struct Subtree {
    ContentId cid;
    std::uint64_t size;  ///< File bytes; over 0.
    unsigned depth;      ///< Of the DAG above it.
  };
  struct Leaf {
    ContentId cid;
    Content content;
  };

  Result<void> expand(std::uint64_t offset, unsigned depth, const Node& node, const SharedBytes& block);
  Result<void> insert(std::uint64_t offset, Subtree subtree);
  bool in_range(std::uint64_t offset, std::uint64_t size) const;
  void fill(std::uint64_t offset, Content content);
  /// The soonest subtree not asked for; nothing if all are beyond the window.
  std::optional<std::uint64_t> take_unasked();
  /// Fills the subtree at `offset` if the last leaf that came is its block too.
  bool fill_from_last(std::uint64_t offset);

  ByteRange range_;
  std::uint64_t window_;
  std::uint64_t position_;  ///< Up to here all bytes of the range were given out.

  std::map<std::uint64_t, Subtree> missing_;  ///< The frontier, as far as its blocks have not come …
  std::map<std::uint64_t, Content> filled_;   ///< … and as far as they have.
  std::uint64_t held_ = 0;                    ///< Bytes in filled_.
  std::set<std::uint64_t> unasked_branches_;  ///< Of missing_: surely inner nodes, by their size.
  std::set<std::uint64_t> unasked_others_;
  std::map<ContentId, std::vector<std::uint64_t>> asked_;  ///< Of missing_: the offsets that wait for each block.
  std::optional<Leaf> last_;                               ///< So that a run of equal leaves (zeros) is asked for once.
};

}  // namespace codio::content_id::unixfs
