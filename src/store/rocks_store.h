// The block store on RocksDB, with the blocks in blob files so that they are never rewritten by compaction.
//
// The folder is a RocksDB database and a file FORMAT, written when the database is complete. Its columns:
//   blocks      multihash → block; from 4 KiB up the block is in a blob file
//   references  multihash → where the block is in a file of the user's
//   sizes       multihash → record (BlockInfo without the hash); answers all that needs no block, since RocksDB cannot
//               tell a blob's size without reading it
//   roots       CID → record
// One batch always changes a block's columns together, and they are flushed together (atomic_flush).
//
// | file              | what                                              |
// |-------------------|---------------------------------------------------|
// | rocks_open.cc     | opens or makes the database                       |
// | rocks_store.cc    | copies of blocks, roots, what is on the disk when |
// | references.cc     | blocks that stay in files of the user's           |
// | usage.cc          | counts what is here                               |
// | garbage.cc        | collection and eviction                           |
//
// FORMAT 1 had no references, and of a record only the size; what it wrote is valid in FORMAT 2.
#pragma once

#include <atomic>
#include <mutex>
#include <rocksdb/db.h>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>

#include "store/block_store.h"
#include "store/records.h"

namespace codio::store {

class Marks;

class RocksStore final : public BlockStore {
 public:
  RocksStore(const std::filesystem::path& folder, const Options& options);
  ~RocksStore() override;
  Result<void> open(const Options& options);

  Result<void> put(const content_id::ContentId& cid, BytesView bytes) override;
  Result<void> put_many(std::span<const Entry> entries) override;
  Result<void> put_references(std::span<const ReferenceEntry> entries) override;
  Result<void> sync() override;
  Result<std::optional<SharedBytes>> get(const content_id::ContentId& cid) const override;
  Result<bool> touch(const content_id::ContentId& cid) const override;
  Result<std::optional<std::uint64_t>> size(const content_id::ContentId& cid) const override;
  Result<std::optional<Reference>> reference(const content_id::ContentId& cid) const override;
  Result<void> remove(const content_id::ContentId& cid) override;
  Result<std::vector<BlockInfo>> list(const std::optional<content_id::Multihash>& after,
                                      std::size_t max) const override;
  Result<void> add_root(const Root& root) override;
  Result<void> remove_root(const content_id::ContentId& cid) override;
  Result<std::vector<Root>> roots() const override;
  Result<Hold> hold() override;
  Result<Collection> collect(const CollectOptions& options) override;
  Result<void> set_limit(std::optional<std::uint64_t> limit) override;
  Result<Usage> usage() const override;

 private:
  using Column = std::unique_ptr<rocksdb::ColumnFamilyHandle>;
  /// Holds, and when each began. Outlives the store if need be.
  struct Holds;

  Result<void> open_database(const Options& options, bool create);
  Result<void> write_format(const std::filesystem::path& file) const;
  Result<void> check_room() const;
  /// Brings what put_many() wrote to the disk.
  Result<void> flush();
  enum class Log { kSkip, kWrite, kSync };
  Result<void> write(rocksdb::WriteBatch& batch, Log log) const;
  /// "cannot {doing} the block store in {folder}: …"
  std::unexpected<Error> failure(std::string_view doing, const rocksdb::Status& status) const;

  // Records.

  /// Never the same twice, and never less than before.
  std::uint64_t now() const;
  Result<std::optional<Record>> record(rocksdb::Slice key) const;
  Result<std::optional<SharedBytes>> read_reference(const content_id::ContentId& cid) const;
  /// Puts the entries that are not here; those of which only a reference is here, or a damaged copy, become copies.
  Result<void> put_copies(std::span<const Entry> entries, Log log);
  /// Remembers a read. Afterwards the block is safe from a sweep, or gone: then false.
  Result<bool> note(rocksdb::Slice key) const;
  /// Writes what note() remembered into the records that are out of date. `records_mutex_` is locked.
  Result<void> write_notes() const;
  void count(const Record& record, int sign) const;
  /// `usage_`, counted when it is first needed. Counts again if `again`.
  Result<void> count_all(bool again) const;

  // Removal (garbage.cc).

  Result<void> mark_and_sweep(const CollectOptions& options, Collection& done);
  /// A sweep removes no block used since then.
  std::uint64_t protected_since(std::uint64_t begin) const;
  /// Marks what roots reach.
  Result<void> mark_roots(Marks& marks, const CollectOptions& options, Collection& done) const;
  Result<void> sweep_all(const Marks& marks, const CollectOptions& options, std::uint64_t since, Collection& done);
  Result<void> sweep_below(Marks& marks, const CollectOptions& options, std::uint64_t since, Collection& done);
  /// Removes those of the keys whose record is older than `since`, however it changed meanwhile.
  Result<void> sweep(const std::vector<std::string>& keys, std::uint64_t since, bool dry_run, Collection& done);
  /// Gives the disk space of removed blocks back, where that costs less than rewriting three times as much. One call
  /// at a time; others do nothing.
  Result<void> reclaim();
  bool has_limit() const;
  /// Evicts if need be, and reserves the bytes: to be given back, when they are counted or not written after all.
  Result<void> make_room(std::uint64_t bytes);
  Result<void> evict(std::uint64_t bytes);

  const std::filesystem::path folder_;
  const std::uint64_t min_free_space_;
  const std::function<std::uint64_t()> clock_;
  std::unique_ptr<rocksdb::DB> database_;
  // Destroyed before the database, as RocksDB demands.
  Column default_, blocks_, references_, sizes_, roots_;
  std::mutex flush_mutex_;                  ///< Held by a whole flush(): the next one relies on it to be done.
  std::atomic<bool> has_unlogged_ = false;  ///< put_many() has written since the last flush.

  mutable std::atomic<std::uint64_t> last_now_ = 0;
  const std::shared_ptr<Holds> holds_;
  std::mutex collect_mutex_;  ///< Held by a whole collection or eviction.
  std::mutex reclaim_mutex_;
  mutable std::atomic<bool> sweeps_ = false;  ///< A sweep may be under way.
  /// Held by whoever changes or removes a record that is there. Guards what follows.
  mutable std::mutex records_mutex_;
  mutable std::unordered_set<std::string> notes_;
  mutable std::set<std::string> damaged_;

  mutable std::mutex usage_mutex_;  ///< Guards what follows.
  mutable bool is_counted_ = false;
  mutable Usage usage_;
  std::optional<std::uint64_t> limit_;
  std::uint64_t reserved_ = 0;  ///< Bytes that are being put.
  /// Changes of what may be evicted, at the last eviction that could not make room enough: until there is another, none
  /// is tried.
  std::optional<std::uint64_t> futile_at_;
};

}  // namespace codio::store
