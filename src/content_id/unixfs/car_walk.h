// Which blocks a CAR of a gateway has, and in which order. https://specs.ipfs.tech/http-gateways/trustless-gateway/
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"
#include "content_id/unixfs/node.h"
#include "content_id/unixfs/traversal.h"

namespace codio::content_id::unixfs {

/// `entity-bytes=FROM:TO`: both inclusive; negative ones count from the file's end; no `to`: up to the end.
struct EntityBytes {
  std::int64_t from = 0;
  std::optional<std::int64_t> to;

  /// Of a file of that size. Empty (begin = end) if it is outside.
  ByteRange of(std::uint64_t size) const;
  bool operator==(const EntityBytes&) const = default;
};

struct CarWalkOptions {
  std::vector<std::string> path;     ///< As TraversalOptions::path.
  Scope scope = Scope::kAll;         ///< kBlock, kEntity or kAll.
  std::optional<EntityBytes> bytes;  ///< Of a file, with kEntity.
  bool duplicates = false;           ///< Every time that a block is met, or only the first.
};

/// The blocks of the path, then those below what it leads to, depth first, as their links stand. Not thread-safe.
///
/// Grammar: while wanted() names a block: fetch it, `handle_block`, and send it on if that says so.
///
/// Links are followed through dag-pb. Memory is bounded whatever the DAG: by the links of the blocks between the root
/// and the place where the walk is (kTooLarge beyond a million of them), and by the memory of what was sent. Of that,
/// blocks with links are remembered exactly (kTooLarge beyond 262,144) and the latest 65,536 leaves: an older one may
/// be sent again.
class CarWalk {
 public:
  CarWalk(const ContentId& root, CarWalkOptions options);

  /// Nothing at the end, and after an error. Never an identity CID.
  const std::optional<ContentId>& wanted() const { return wanted_; }
  /// The wanted block, verified. Whether it is to be sent. An error ends the walk: as Traversal::handle_block().
  Result<bool> handle_block(const SharedBytes& block);
  /// What ended the walk before any block was wanted.
  const std::optional<Error>& error() const { return error_; }
  /// Known once the path was followed; with an empty path from the start.
  const std::optional<ContentId>& target() const { return target_; }
  /// As Entity::lineage, as far as target() is known.
  const std::vector<ContentId>& lineage() const { return lineage_; }

 private:
  enum class Follow : std::uint8_t { kNothing, kEveryLink, kShards, kFile };
  struct Child {
    ContentId cid;
    Follow follow;
    std::uint64_t offset = 0;  ///< Of kFile: in the file.
    std::uint64_t size = 0;
  };
  struct Frame {
    std::vector<Child> children;
    std::size_t next = 0;
  };

  Result<void> start_entity(const ContentId& cid, BytesView block);
  Result<void> expand(const Child& child, BytesView block);
  Result<void> push(std::vector<Child> children);
  Result<void> advance();
  /// Whether the block is sent for the first time.
  bool remember(const ContentId& cid);
  void fail_with(Error error);
  bool touches_range(const Child& child) const;
  bool is_inside_range(const Child& child) const;

  CarWalkOptions options_;
  std::optional<Traversal> path_;  ///< Until the path was followed.
  std::optional<ContentId> wanted_;
  std::optional<Child> current_;  ///< Wanted, beyond the path.
  std::optional<ContentId> target_;
  std::vector<ContentId> lineage_;
  std::optional<ByteRange> range_;
  std::vector<Frame> frames_;
  std::size_t pending_ = 0;  ///< Children in frames_.
  std::set<ContentId> sent_;
  std::deque<ContentId> sent_leaves_;  ///< Of sent_: oldest first.
  std::size_t sent_branches_ = 0;
  std::set<ContentId> partial_;  ///< Of sent_: not all below was in the range. Few: those on the range's two edges.
  std::optional<Error> error_;
};

}  // namespace codio::content_id::unixfs
