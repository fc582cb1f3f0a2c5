// Reading a UnixFS DAG without touching a network or a store: a walk that says which blocks it needs and turns the ones
// it is given into bytes. The exchange engine drives it with peers, the node drives it with its store, and both give
// out the same bytes for the same blocks.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"

namespace codio::content_id::unixfs {

/// What of the DAG is wanted.
enum class Scope : std::uint8_t {
  kBlock,   ///< The path's blocks, and the one that it leads to.
  kBytes,   ///< The bytes of one file, in order.
  kEntity,  ///< One file's blocks, or one directory's own blocks (all shards, not its children): to list it.
  kAll,     ///< Every block below the root: to keep or to export it.
};

/// Bytes [begin, end) of a file. An end past the file's is cut to it.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = std::numeric_limits<std::uint64_t>::max();
};

enum class EntityType : std::uint8_t { kFile, kDirectory, kSymlink };

/// The thing that the path leads to.
struct Entity {
  ContentId cid;
  EntityType type;
  std::uint64_t size;          ///< Bytes of a file, 0 of others.
  std::string symlink_target;  ///< Of kSymlink.
  /// The root, what each name of the path led to, and so this at last.
  std::vector<ContentId> lineage;
};

struct DirectoryEntry {
  std::string name;
  ContentId cid;
  std::uint64_t cumulative_size;  ///< The link's Tsize: all blocks below it.
};

/// A run of a file's bytes inside one verified block.
struct Segment {
  std::uint64_t offset;  ///< In the file.
  SharedBytes block;
  std::size_t begin;  ///< The run is [begin, begin + size) of `block`.
  std::size_t size;

  BytesView view() const { return BytesView(*block).subspan(begin, size); }
};

struct TraversalOptions {
  /// Names from the root down to the entity, already percent-decoded; HAMT shards in between are walked.
  std::vector<std::string> path;
  Scope scope = Scope::kBytes;
  ByteRange range;  ///< Of Scope::kBytes on a file.
  /// With Scope::kBytes leaves are asked for up to this many bytes past what poll_segment() has given out.
  std::uint64_t window = std::uint64_t{16} * 1024 * 1024;
};

/// One walk. Not thread-safe. Deterministic.
///
/// Grammar: `poll_wants` → fetch → `handle_block` → `poll_segment` / `poll_entry` until they return nothing → again,
/// until finished(). Blocks must have been verified against their CID; the walk trusts their bytes but not their
/// meaning: every offset, size, depth and count is checked, so a hostile DAG ends in an error, not in memory.
class Traversal {
 public:
  Traversal(const ContentId& root, TraversalOptions options);
  Traversal(Traversal&& other) noexcept;
  Traversal& operator=(Traversal&& other) noexcept;
  ~Traversal();

  /// CIDs not yet asked for, soonest needed first, inner nodes before the leaves that depend on them; at most `max`.
  /// Each is returned once. One CID that stands in several places is asked for once while its block is outstanding, and
  /// possibly again later when another of its places comes into the window. Identity CIDs are never returned: their
  /// bytes are taken from the CID.
  std::vector<ContentId> poll_wants(std::size_t max);

  /// A block that poll_wants() named. An error ends the walk: kMalformed, kTooLarge (over a limit that bounds memory),
  /// kUnsupported, or kNotFound: the path does not exist. A block nobody asked for is ignored.
  Result<void> handle_block(const ContentId& cid, const SharedBytes& block);

  /// The next bytes in file order, with Scope::kBytes; moves the window on.
  std::optional<Segment> poll_segment();

  /// The next entry of the directory the path leads to, in block order, with Scope::kEntity. Names are bytes from a
  /// stranger: whoever makes files of them must refuse "..", "/" and the like.
  std::optional<DirectoryEntry> poll_entry();

  /// Known once its first block was handled. With Scope::kBytes a directory or symlink at the end of the path ends the
  /// walk with kUnsupported and a message that says which it is.
  const std::optional<Entity>& entity() const;

  /// Whether poll_wants() has returned everything, unless blocks still to come have more below them.
  bool asked_all() const;

  /// Bytes of blocks that were handled and whose segments were not polled.
  std::uint64_t held() const;

  /// Every wanted block was handled and every segment and entry polled. Never true after an error.
  bool finished() const;

  /// What ended the walk: what handle_block() returned, or, from the start, what is wrong with an identity root, for
  /// which no block is ever asked.
  const std::optional<Error>& error() const;

 private:
  class Walk;
  std::unique_ptr<Walk> walk_;
};

}  // namespace codio::content_id::unixfs
