// Reading a DAG that is whole in the local store.
#pragma once

#include <optional>

#include "common/result.h"
#include "content_id/unixfs/traversal.h"
#include "store/block_store.h"

namespace codio::node {

/// A block and the CID it was linked by.
struct LinkedBlock {
  content_id::ContentId cid;
  SharedBytes bytes;
};

/// A Traversal fed from a store. Blocks on the disk; one thread. A block that is not in the store is kNotFound, and the
/// message names it.
class StoreWalk {
 public:
  StoreWalk(const store::BlockStore& store, const content_id::ContentId& root,
            content_id::unixfs::TraversalOptions options);

  /// What the path leads to.
  Result<content_id::unixfs::Entity> entity();
  /// With Scope::kBytes, the file's next bytes; nothing at the end.
  Result<std::optional<content_id::unixfs::Segment>> next_segment();
  /// With Scope::kEntity, the directory's next entry.
  Result<std::optional<content_id::unixfs::DirectoryEntry>> next_entry();
  /// The next block of the scope, depth first.
  Result<std::optional<LinkedBlock>> next_block();

 private:
  const store::BlockStore& store_;
  content_id::ContentId root_;
  content_id::unixfs::Traversal traversal_;
};

}  // namespace codio::node
