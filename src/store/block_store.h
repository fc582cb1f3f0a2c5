// Where a node keeps blocks, and the list of what the user wants to keep.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"

namespace codio::store {

/// A pin: content that the user added or pinned, and that stays with all that it links to, however deep.
struct Root {
  content_id::ContentId cid;
  std::string name;         ///< As the user knows it: a file's name, or empty.
  std::uint64_t added = 0;  ///< Seconds since 1970, UTC.
  std::uint64_t size = 0;   ///< Bytes of all of its blocks.

  bool operator==(const Root&) const = default;
};

/// Where a block's bytes are in a file of the user's. The time and the size are the file's when it was added: they tell
/// a file that was edited from a disk that lies.
struct Reference {
  std::string path;  ///< Absolute.
  std::uint64_t offset = 0;
  std::uint64_t file_size = 0;
  std::uint64_t modified = 0;  ///< Nanoseconds since 1970.

  bool operator==(const Reference&) const = default;
};

/// What the store knows of a block without reading it.
struct BlockInfo {
  content_id::Multihash hash;
  std::uint64_t size = 0;
  std::uint64_t used = 0;  ///< Last put or read, to the minute: microseconds since 1970, or 0: not known.
  bool is_reference = false;
};

struct Usage {
  std::uint64_t blocks = 0;      ///< References among them.
  std::uint64_t bytes = 0;       ///< Of the blocks that are copies; what the limit counts.
  std::uint64_t references = 0;  ///< Blocks that are in files of the user's.
  std::uint64_t reference_bytes = 0;
  std::uint64_t pins = 0;
  std::uint64_t disk_bytes = 0;  ///< Of the folder; over `bytes` while removed blocks wait to be cleared away.
  std::optional<std::uint64_t> limit;
  std::string folder;

  bool operator==(const Usage&) const = default;
};

/// How far a collection is, and at the end what it did.
struct Collection {
  std::uint64_t kept = 0;      ///< Blocks that pins reach, found so far.
  std::uint64_t examined = 0;  ///< Blocks that were compared with those.
  std::uint64_t in_use = 0;    ///< That no pin reaches, but an import or download that runs may be about to.
  std::uint64_t removed = 0;   ///< In a dry run: that would be.
  std::uint64_t removed_bytes = 0;

  bool operator==(const Collection&) const = default;
};

struct CollectOptions {
  bool dry_run = false;
  /// Removes nothing that is not below this.
  std::optional<content_id::ContentId> below;
  /// Called every few hundred blocks, on the calling thread. False ends it, with kCancelled; what is removed by then
  /// stays removed.
  std::function<bool(const Collection&)> on_progress;
};

/// Keeps what its owner works with: see BlockStore::hold().
using Hold = std::shared_ptr<const void>;

/// A durable map from multihash to block: CIDs of either version and any codec share the block that they name. Blocks
/// are not verified when they are put; the caller has hashed them. A block in an identity CID is never stored: it is
/// read from the CID. A block is a copy or, after put_references(), a place in a file of the user's.
///
/// Threads: any number may use one store at a time. Every call blocks on the disk.
///
/// What survives:
///  - put: a kill of the process, at once; a power loss, after sync(). A block that a put_many has put stays under the
///    promise of put_many.
///  - put_many, put_references: both, after sync() or add_root(), or when the store is closed. Until then some of the
///    latest blocks may be lost, but only whole calls, the last ones first. Their blocks are written once and not to
///    the log as well.
///  - add_root, remove_root: both, when they return; and with a root everything that was put before it.
///  - A kill in the middle of collect() leaves some blocks removed that no pin needs.
///
/// Errors are kIo: a sentence that names the folder, and says what to do where that is known. When the disk is nearly
/// full, put and put_many fail until there is room again. If others fill it to the last byte all the same, a write
/// fails, and from then on every write, until the store is opened again; nothing that was safe is lost, and reading
/// goes on.
class BlockStore {
 public:
  struct Options {
    /// Files kept open; a file holds a write buffer of blocks or more. 512 leaves half of the usual limit of 1024 to
    /// sockets.
    int max_open_files = 512;
    /// Bytes of the disk that put and put_many leave free: room for the up to three write buffers that are not flushed
    /// yet, and for the other programs of the machine.
    std::uint64_t min_free_space = std::uint64_t{512} << 20;
    /// Bytes of blocks gathered in memory and then written at once. Up to three times as many are held, and two are
    /// when blocks keep coming. What is much smaller makes put_many slower: 16 MiB halve its speed.
    std::size_t write_buffer = std::size_t{64} << 20;
    /// See set_limit().
    std::optional<std::uint64_t> limit;
    /// Microseconds since 1970; empty: the system's clock. May go backwards.
    std::function<std::uint64_t()> clock;
  };

  struct Entry {
    content_id::ContentId cid;
    BytesView bytes;
  };

  struct ReferenceEntry {
    content_id::ContentId cid;  ///< Its hash must be SHA-256.
    std::uint64_t size;         ///< Of the block; it begins at the reference's offset.
    Reference reference;
  };

  /// Opens the store in `folder`, or makes one. One process at a time can have it open: else kUnavailable.
  static Result<std::unique_ptr<BlockStore>> open(const std::filesystem::path& folder, const Options& options);
  static Result<std::unique_ptr<BlockStore>> open(const std::filesystem::path& folder) { return open(folder, {}); }
  BlockStore() = default;
  BlockStore(const BlockStore&) = delete;
  BlockStore& operator=(const BlockStore&) = delete;
  virtual ~BlockStore() = default;

  /// Stores a copy of one block. Costs little if one is there already.
  virtual Result<void> put(const content_id::ContentId& cid, BytesView bytes) = 0;
  /// Stores copies of all of the blocks or of none; fastest with some megabytes a call.
  virtual Result<void> put_many(std::span<const Entry> entries) = 0;
  /// Stores where the blocks are. Replaces references, but no copies.
  virtual Result<void> put_references(std::span<const ReferenceEntry> entries) = 0;
  /// Makes everything put so far survive a power loss.
  virtual Result<void> sync() = 0;

  /// The block, or nothing if it is not here. A copy that was damaged on disk is an error; putting it again mends it.
  /// A reference is hashed: kMismatch, and the message names the file, if that was changed, moved or removed.
  virtual Result<std::optional<SharedBytes>> get(const content_id::ContentId& cid) const = 0;
  /// Whether the block is here; counts as a read.
  virtual Result<bool> touch(const content_id::ContentId& cid) const = 0;
  /// These do not read the block, nor do they count as a read.
  Result<bool> has(const content_id::ContentId& cid) const;
  virtual Result<std::optional<std::uint64_t>> size(const content_id::ContentId& cid) const = 0;
  /// Nothing if the block is a copy or not here.
  virtual Result<std::optional<Reference>> reference(const content_id::ContentId& cid) const = 0;

  /// Forgets the block if it is here, whether or not anybody needs it. Of a reference, the file stays. The disk space
  /// comes back with a collection that removes something, or when all blocks that it was written with are gone.
  virtual Result<void> remove(const content_id::ContentId& cid) = 0;

  /// The first `max` blocks after the hash `after`, or of all, in the order of their multihashes.
  virtual Result<std::vector<BlockInfo>> list(const std::optional<content_id::Multihash>& after,
                                              std::size_t max) const = 0;
  using Visitor = std::function<void(const content_id::Multihash&, std::uint64_t size)>;
  /// Visits the blocks in the order of their multihashes; of those put or removed meanwhile, some. The visitor may use
  /// the store.
  Result<void> for_each(const Visitor& visit) const;

  /// Records `root`, or replaces the record of the same CID. The caller has put or touched all of its blocks, since it
  /// has a hold.
  virtual Result<void> add_root(const Root& root) = 0;
  /// Forgets the record, not the blocks.
  virtual Result<void> remove_root(const content_id::ContentId& cid) = 0;
  virtual Result<std::vector<Root>> roots() const = 0;  ///< In the order of their CIDs.

  /// While it lives, blocks put, read or touched from now on are neither collected nor evicted.
  virtual Result<Hold> hold() = 0;
  /// Removes what no root reaches, but what is held, and what is put or read meanwhile. One at a time: else
  /// kUnavailable. Removes nothing and fails with kNotFound if a root's inner block is missing: what it needs cannot be
  /// known. Memory does not grow with the store.
  virtual Result<Collection> collect(const CollectOptions& options) = 0;

  /// Of the bytes of copies. What would exceed it first evicts blocks, least recently used first, that are neither held
  /// nor below a root, and fails with kTooLarge if those are too few. The disk holds up to twice as much for a while.
  virtual Result<void> set_limit(std::optional<std::uint64_t> limit) = 0;
  virtual Result<Usage> usage() const = 0;
};

}  // namespace codio::store
