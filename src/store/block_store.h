// Where a node keeps blocks and the list of what the user added: RocksDB, with the blocks in blob files so that they
// are never rewritten by compaction.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
class Status;
class WriteBatch;
}  // namespace rocksdb

namespace codio::store {

/// Content that the user added, and wants to keep.
struct Root {
  content_id::ContentId cid;
  std::string name;         ///< As the user knows it: a file's name, or empty.
  std::uint64_t added = 0;  ///< Seconds since 1970, UTC.
  std::uint64_t size = 0;   ///< Bytes of all of its blocks.

  bool operator==(const Root&) const = default;
};

/// A durable map from multihash to block: CIDs of either version and any codec share the block that they name. Blocks
/// are not verified here; the caller has hashed them. A block in an identity CID is never stored: it is read from the
/// CID.
///
/// Threads: any number may use one store at a time. Every call blocks on the disk.
///
/// What survives:
///  - put: a kill of the process, at once; a power loss, after sync(). A block that a put_many has put stays under the
///    promise of put_many.
///  - put_many: both, after sync() or add_root(), or when the store is closed. Until then some of the latest blocks may
///  be
///    lost, but only whole calls, the last ones first. Its blocks are written once and not to the log as well.
///  - add_root, remove_root: both, when they return; and with a root everything that was put before it.
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
  };

  struct Entry {
    content_id::ContentId cid;
    BytesView bytes;
  };

  /// Opens the store in `folder`, or makes one. One process at a time can have it open.
  static Result<std::unique_ptr<BlockStore>> open(const std::filesystem::path& folder, const Options& options);
  static Result<std::unique_ptr<BlockStore>> open(const std::filesystem::path& folder) { return open(folder, {}); }
  ~BlockStore();

  /// Stores one block. Costs little if it is there already.
  Result<void> put(const content_id::ContentId& cid, BytesView bytes);
  /// Stores all of the blocks or none; fastest with some megabytes a call.
  Result<void> put_many(std::span<const Entry> entries);
  /// Makes everything put so far survive a power loss.
  Result<void> sync();

  /// The block, or nothing if it is not here. A block damaged on disk is an error; remove() and put() mend it.
  Result<std::optional<SharedBytes>> get(const content_id::ContentId& cid) const;
  /// These two do not read the block.
  Result<bool> has(const content_id::ContentId& cid) const;
  Result<std::optional<std::uint64_t>> size(const content_id::ContentId& cid) const;

  /// Forgets the block if it is here, whether or not a root needs it. The disk space comes back by and by.
  Result<void> remove(const content_id::ContentId& cid);

  using Visitor = std::function<void(const content_id::Multihash&, std::uint64_t size)>;
  /// Visits the blocks that are here when the call begins, in the order of their multihashes. The visitor may use the
  /// store.
  Result<void> for_each(const Visitor& visit) const;

  /// Records `root`, or replaces the record of the same CID. The caller has put all of its blocks.
  Result<void> add_root(const Root& root);
  /// Forgets the record, not the blocks.
  Result<void> remove_root(const content_id::ContentId& cid);
  Result<std::vector<Root>> roots() const;  ///< In the order of their CIDs.

 private:
  using Column = std::unique_ptr<rocksdb::ColumnFamilyHandle>;

  BlockStore(const std::filesystem::path& folder, const Options& options);
  Result<void> open_database(const Options& options, bool create);
  Result<void> write_format(const std::filesystem::path& file) const;
  Result<void> check_room() const;
  /// Brings what put_many() wrote to the disk.
  Result<void> flush();
  enum class Log { kSkip, kWrite, kSync };
  Result<void> write(rocksdb::WriteBatch& batch, Log log);
  void append_block(rocksdb::WriteBatch& batch, const content_id::ContentId& cid, BytesView bytes);
  /// "cannot {doing} the block store in {folder}: …"
  std::unexpected<Error> failure(std::string_view doing, const rocksdb::Status& status) const;

  const std::filesystem::path folder_;
  const std::uint64_t min_free_space_;
  std::unique_ptr<rocksdb::DB> database_;
  // Destroyed before the database, as RocksDB demands.
  Column default_, blocks_, sizes_, roots_;
  std::mutex flush_mutex_;                  ///< Held by a whole flush(): the next one relies on it to be done.
  std::atomic<bool> has_unlogged_ = false;  ///< put_many() has written since the last flush.
};

}  // namespace codio::store
