// The walk over a directory's own blocks, or over all blocks below one.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <set>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"
#include "content_id/unixfs/node.h"
#include "content_id/unixfs/traversal.h"

namespace codio::content_id::unixfs {

/// Visits every block once, however many ways lead to it: those with links exactly, leaves as far as it remembers them.
/// Depth first, so that what is not asked for yet stays few even of a large DAG.
class DagWalk {
 public:
  enum class Follow : std::uint8_t {
    kEveryLink,
    kShards,  ///< Only links from a directory's shard to its sub-shards; the others are entries.
  };

  explicit DagWalk(Follow follow) : follow_(follow) {}

  /// Begins with the root, which the caller has read.
  Result<void> start(const ContentId& cid, const Node& root);

  void poll_wants(std::size_t max, std::vector<ContentId>& out);
  Result<void> handle_block(const ContentId& cid, const SharedBytes& block);
  std::optional<DirectoryEntry> poll_entry();
  bool asked_all() const { return branches_.empty() && leaves_.empty(); }
  bool finished() const { return branches_.empty() && leaves_.empty() && outstanding_.empty() && entries_.empty(); }

 private:
  Result<void> expand(const ContentId& cid, BytesView block);
  Result<void> push_links(const std::vector<DagPbLink>& links);
  Result<void> push_shard(const Node& shard);
  Result<void> push(const ContentId& cid);
  /// Keeps a visited leaf from being asked for again for a while.
  void remember_leaf(const ContentId& cid);

  Follow follow_;
  std::vector<ContentId> branches_;  ///< To ask for: a stack of what may have links.
  std::deque<ContentId> leaves_;     ///< To ask for: a queue of what has none.
  std::set<ContentId> outstanding_;
  std::set<ContentId> visited_;              ///< Asked for: all with links, and the leaves of remembered_leaves_.
  std::deque<ContentId> remembered_leaves_;  ///< Oldest first.
  std::size_t branch_count_ = 0;
  std::deque<DirectoryEntry> entries_;
};

}  // namespace codio::content_id::unixfs
