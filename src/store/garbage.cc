// What takes blocks away: collection and eviction. Both mark all that roots reach, and sweep among the rest.
#include <algorithm>
#include <limits>
#include <map>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <utility>

#include "content_id/dag_pb.h"
#include "store/holds.h"
#include "store/no_diary.h"
#include "store/rocks_store.h"

namespace codio::store {

using content_id::Codec;
using content_id::ContentId;
using content_id::HashCode;
using content_id::Multihash;
using rocksdb::Slice;
using rocksdb::Status;

namespace {

/// Keys that one sweep looks at while puts and reads wait.
constexpr std::size_t kSweep = 256;
constexpr std::size_t kPage = 4096;
/// What an eviction leaves of the limit, in percent: so that it is not needed for every block.
constexpr std::uint64_t kEvictTo = 90;
/// Blocks used within as long, in microseconds, are evicted in any order.
constexpr std::uint64_t kUseBucket = 60'000'000;
/// Of the blob files, in percent, that may be removed blocks after a collection.
constexpr std::uint64_t kMaxGarbage = 25;

/// The links of a dag-pb block; none of what is not one, although its CID says so: nobody will ever follow them.
std::vector<ContentId> links_of(const Slice& block) {
  std::vector<ContentId> links;
  const auto node = content_id::decode_dag_pb(as_bytes(as_text(block)));
  if (!node) return links;
  for (const auto& link : node->links) links.push_back(link.cid);
  return links;
}

}  // namespace

/// A set of multihashes that may be larger than memory: a database of its own, gone with this object. What a kill
/// leaves of it, the next one clears away.
class Marks {
 public:
  enum class Kind : char {
    kReached = 'r',   ///< By a root.
    kExpanded = 'e',  ///< That, and its links too.
    kSeen = 's',      ///< By sweep_below().
  };

  explicit Marks(const std::filesystem::path& folder) : folder_(folder.string()) {}
  ~Marks() {
    database_.reset();
    rocksdb::DestroyDB(folder_, {});
  }
  Marks(const Marks&) = delete;
  Marks& operator=(const Marks&) = delete;

  Status open() {
    rocksdb::DestroyDB(folder_, {});
    rocksdb::Options options;
    options.create_if_missing = true;
    options.compression = rocksdb::kNoCompression;
    // Half a million marks stay in memory: a disk that is full is when space must be freed.
    options.write_buffer_size = std::size_t{64} << 20;
    options.max_open_files = 64;
    options.info_log = std::make_shared<NoDiary>();
    rocksdb::BlockBasedTableOptions table;
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    rocksdb::DB* opened = nullptr;
    const Status status = rocksdb::DB::Open(options, folder_, &opened);
    database_.reset(opened);
    return status;
  }

  Status add(Slice hash, Kind kind) {
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    return database_->Put(options, key(hash, kind), Slice());
  }

  bool contains(Slice hash, Kind kind) const {
    std::string value;
    return database_->Get({}, key(hash, kind), &value).ok();
  }
  bool reached(Slice hash) const { return contains(hash, Kind::kReached); }

 private:
  static std::string key(Slice hash, Kind kind) { return std::string(1, static_cast<char>(kind)) + hash.ToString(); }

  const std::string folder_;
  std::unique_ptr<rocksdb::DB> database_;
};

Result<Hold> RocksStore::hold() { return Holds::begin(holds_, now()); }

std::uint64_t RocksStore::protected_since(std::uint64_t begin) const { return holds_->oldest(begin); }

Result<void> RocksStore::mark_roots(Marks& marks, const CollectOptions& options, Collection& done) const {
  const auto pinned = roots();
  if (!pinned) return std::unexpected(pinned.error());
  for (const Root& root : *pinned) {
    // Depth first: as deep as the DAG, and at each level as wide as one block's links.
    std::vector<ContentId> open{root.cid};
    for (std::uint64_t steps = 0; !open.empty(); ++steps) {
      const ContentId cid = open.back();
      open.pop_back();
      const Slice hash = as_slice(cid.multihash().bytes());
      const bool is_node = cid.codec() == Codec::kDagPb;
      const bool is_identity = cid.multihash().code() == HashCode::kIdentity;
      if (!is_identity && marks.contains(hash, is_node ? Marks::Kind::kExpanded : Marks::Kind::kReached)) continue;
      if (options.on_progress && steps % kSweep == 0 && !options.on_progress(done)) {
        return fail(ErrorCode::kCancelled, "interrupted; nothing was removed");
      }
      if (is_identity) {
        if (is_node) std::ranges::move(links_of(as_slice(cid.multihash().digest())), std::back_inserter(open));
        continue;
      }
      if (!marks.reached(hash)) ++done.kept;
      if (const Status added = marks.add(hash, Marks::Kind::kReached); !added.ok()) return failure("mark in", added);
      if (!is_node) continue;
      rocksdb::PinnableSlice block;
      const Status read = database_->Get({}, blocks_.get(), hash, &block);
      if (read.IsNotFound()) {
        return fail(ErrorCode::kNotFound, "nothing was removed, as it cannot be told what the pin " +
                                              root.cid.to_string() + " needs: its block " + cid.to_string() +
                                              " is not here; run `codio verify --repair`, or give the pin up with "
                                              "`codio pin rm " +
                                              root.cid.to_string() + "`");
      }
      if (!read.ok()) return failure("read " + cid.to_string() + " from", read);
      if (const Status added = marks.add(hash, Marks::Kind::kExpanded); !added.ok()) return failure("mark in", added);
      std::ranges::move(links_of(block), std::back_inserter(open));
    }
  }
  return {};
}

Result<void> RocksStore::sweep(const std::vector<std::string>& keys, std::uint64_t since, bool dry_run,
                               Collection& done) {
  const std::lock_guard lock(records_mutex_);
  const std::uint64_t until = now();
  rocksdb::WriteBatch batch;
  std::vector<Record> removed;
  for (const std::string& key : keys) {
    const auto known = record(key);
    if (!known) return std::unexpected(known.error());
    if (!*known) continue;
    // A clock that was set back leaves records of the future; they protect nothing.
    const bool is_recent = (*known)->used >= since && (*known)->used <= until;
    if (is_recent || notes_.contains(key)) {
      ++done.in_use;
      continue;
    }
    for (const Column* column : {&blocks_, &references_, &sizes_}) batch.Delete(column->get(), key);
    removed.push_back(**known);
    if (!dry_run) damaged_.erase(key);
  }
  if (!dry_run && !removed.empty()) {
    if (auto written = write(batch, Log::kWrite); !written) return written;
  }
  for (const Record& record : removed) {
    ++done.removed;
    if (!record.is_reference) done.removed_bytes += record.size;
    if (!dry_run) count(record, -1);
  }
  return {};
}

Result<void> RocksStore::sweep_all(const Marks& marks, const CollectOptions& options, std::uint64_t since,
                                   Collection& done) {
  std::optional<Multihash> last;
  for (;;) {
    const auto page = list(last, kPage);
    if (!page) return std::unexpected(page.error());
    if (page->empty()) return {};
    std::vector<std::string> doomed;
    for (const BlockInfo& block : *page) {
      ++done.examined;
      const Slice hash = as_slice(block.hash.bytes());
      if (!marks.reached(hash)) doomed.push_back(hash.ToString());
      if (doomed.size() < kSweep && &block != &page->back()) continue;
      if (auto swept = sweep(std::exchange(doomed, {}), since, options.dry_run, done); !swept) return swept;
      if (options.on_progress && !options.on_progress(done)) return fail(ErrorCode::kCancelled, "interrupted");
    }
    last = page->back().hash;
  }
}

Result<void> RocksStore::sweep_below(Marks& marks, const CollectOptions& options, std::uint64_t since,
                                     Collection& done) {
  std::vector<ContentId> open{*options.below};
  while (!open.empty()) {
    const ContentId cid = open.back();
    open.pop_back();
    const Slice hash = as_slice(cid.multihash().bytes());
    // What a root reaches, it reaches with all below.
    if (marks.contains(hash, cid.codec() == Codec::kDagPb ? Marks::Kind::kExpanded : Marks::Kind::kReached)) continue;
    if (marks.contains(hash, Marks::Kind::kSeen)) continue;
    if (const Status added = marks.add(hash, Marks::Kind::kSeen); !added.ok()) return failure("mark in", added);
    ++done.examined;
    if (cid.codec() == Codec::kDagPb) {
      rocksdb::PinnableSlice block;
      const Status read = database_->Get({}, blocks_.get(), hash, &block);
      if (read.ok()) std::ranges::move(links_of(block), std::back_inserter(open));
    }
    if (marks.reached(hash)) continue;
    if (auto swept = sweep({hash.ToString()}, since, options.dry_run, done); !swept) return swept;
    if (options.on_progress && done.examined % kSweep == 0 && !options.on_progress(done)) {
      return fail(ErrorCode::kCancelled, "interrupted");
    }
  }
  return {};
}

Result<Collection> RocksStore::collect(const CollectOptions& options) {
  Collection done;
  {
    const std::unique_lock busy(collect_mutex_, std::try_to_lock);
    if (!busy) {
      return fail(ErrorCode::kUnavailable,
                  "blocks are being removed from the store in " + folder_.string() + " already: wait for that to end");
    }
    if (auto swept = mark_and_sweep(options, done); !swept) return std::unexpected(swept.error());
  }
  if (!options.dry_run && done.removed > 0) {
    if (auto reclaimed = reclaim(); !reclaimed) return std::unexpected(reclaimed.error());
  }
  return done;
}

Result<void> RocksStore::mark_and_sweep(const CollectOptions& options, Collection& done) {
  {
    const std::lock_guard lock(records_mutex_);
    if (auto written = write_notes(); !written) return written;
  }
  // So that what is read from now on is noted in the records.
  const auto own = hold();
  const std::uint64_t since = protected_since(now());
  Marks marks(folder_ / "marks");
  if (const Status opened = marks.open(); !opened.ok()) return failure("mark in", opened);
  if (auto marked = mark_roots(marks, options, done); !marked) return marked;
  sweeps_ = true;
  const auto swept = options.below ? sweep_below(marks, options, since, done) : sweep_all(marks, options, since, done);
  sweeps_ = false;
  if (swept && options.on_progress) (void)options.on_progress(done);
  return swept;
}

Result<void> RocksStore::reclaim() {
  const std::unique_lock busy(reclaim_mutex_, std::try_to_lock);
  if (!busy) return {};
  using Policy = rocksdb::BlobGarbageCollectionPolicy;
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  // Small, as the blocks are elsewhere: finds out which blocks are garbage, and removes the files that are nothing
  // else.
  options.blob_garbage_collection_policy = Policy::kDisable;
  Status status = database_->CompactRange(options, blocks_.get(), nullptr, nullptr);
  std::uint64_t total = 0;
  std::uint64_t garbage = 0;
  database_->GetIntProperty(blocks_.get(), rocksdb::DB::Properties::kLiveBlobFileSize, &total);
  database_->GetIntProperty(blocks_.get(), rocksdb::DB::Properties::kLiveBlobFileGarbageSize, &garbage);
  std::error_code error;
  const auto space = std::filesystem::space(folder_, error);
  const std::uint64_t room = error || space.available < min_free_space_ ? 0 : space.available - min_free_space_;
  if (status.ok() && garbage > total / 100 * kMaxGarbage && room > 0) {
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    options.blob_garbage_collection_policy = Policy::kForce;
    // What is kept of a file is written before the file goes: as many of the oldest files as there is room for.
    options.blob_garbage_collection_age_cutoff =
        std::min(1.0, static_cast<double>(room) / static_cast<double>(total - std::min(garbage, total) + 1));
    status = database_->CompactRange(options, blocks_.get(), nullptr, nullptr);
  }
  if (!status.ok()) return failure("clear up", status);
  return {};
}

Result<void> RocksStore::set_limit(std::optional<std::uint64_t> limit) {
  {
    const std::lock_guard lock(usage_mutex_);
    limit_ = limit;
    futile_at_.reset();
  }
  // One that is exceeded already shows at the next put.
  return {};
}

bool RocksStore::has_limit() const {
  const std::lock_guard lock(usage_mutex_);
  return limit_.has_value();
}

Result<void> RocksStore::make_room(std::uint64_t bytes) {
  std::uint64_t limit = 0;
  /// Whether it fits; then it is reserved.
  const auto fits = [&] {
    const std::lock_guard lock(usage_mutex_);
    limit = limit_.value_or(std::numeric_limits<std::uint64_t>::max());
    const std::uint64_t taken = limit_ ? usage_.bytes + reserved_ : 0;
    if (bytes > limit || taken > limit - bytes) return false;
    reserved_ += bytes;
    return true;
  };
  if (has_limit()) {
    if (auto counted = count_all(false); !counted) return counted;
  }
  if (fits()) return {};
  const std::uint64_t changes = holds_->changes();
  bool is_futile = false;
  {
    const std::lock_guard lock(usage_mutex_);
    is_futile = futile_at_ == changes;
  }
  if (!is_futile && bytes <= limit) {
    bool is_made = false;
    {
      const std::lock_guard busy(collect_mutex_);
      if (fits()) return {};
      if (auto evicted = evict(bytes); !evicted) return evicted;
      is_made = fits();
    }
    (void)reclaim();  // If that cannot write, the put will tell.
    if (is_made) return {};
    const std::lock_guard lock(usage_mutex_);
    futile_at_ = changes;
  }
  return fail(ErrorCode::kTooLarge, "the block store in " + folder_.string() + " is at its limit of " +
                                        std::to_string(limit) +
                                        " bytes, and pins and running downloads need what is there: raise "
                                        "--store-limit, or remove pins with `codio pin rm`");
}

Result<void> RocksStore::evict(std::uint64_t bytes) {
  {
    const std::lock_guard lock(records_mutex_);
    if (auto written = write_notes(); !written) return written;
  }
  if (auto counted = count_all(true); !counted) return counted;
  std::uint64_t needed = 0;
  {
    const std::lock_guard lock(usage_mutex_);
    if (!limit_) return {};
    const std::uint64_t left = *limit_ / 100 * kEvictTo;
    const std::uint64_t taken = usage_.bytes + reserved_ + bytes;
    if (taken <= left) return {};
    needed = taken - left;
  }
  const std::uint64_t since = protected_since(now());
  Marks marks(folder_ / "marks");
  if (const Status opened = marks.open(); !opened.ok()) return failure("mark in", opened);
  Collection done;
  if (auto marked = mark_roots(marks, {}, done); !marked) return marked;

  // Twice through the records, so that their order by age need not be held in memory: how old is what must go, and then
  // that goes.
  const auto visit = [&](auto&& take) -> Result<void> {
    std::optional<Multihash> last;
    for (;;) {
      const auto page = list(last, kPage);
      if (!page) return std::unexpected(page.error());
      if (page->empty()) return {};
      for (const BlockInfo& block : *page) {
        const std::uint64_t used = block.used <= now() ? block.used : 0;
        if (block.is_reference || used >= since || marks.reached(as_slice(block.hash.bytes()))) continue;
        if (auto taken = take(block, used / kUseBucket); !taken) return taken;
      }
      last = page->back().hash;
    }
  };
  std::map<std::uint64_t, std::uint64_t> ages;
  auto counted = visit([&](const BlockInfo& block, std::uint64_t bucket) -> Result<void> {
    ages[bucket] += block.size;
    return {};
  });
  if (!counted) return counted;
  std::uint64_t last_bucket = 0;
  std::uint64_t rest = needed;  // To be taken of the last bucket.
  for (const auto& [bucket, size] : ages) {
    last_bucket = bucket;
    if (size >= rest) break;
    rest -= size;
  }
  sweeps_ = true;
  std::vector<std::string> doomed;
  auto swept = visit([&](const BlockInfo& block, std::uint64_t bucket) -> Result<void> {
    if (bucket > last_bucket || (bucket == last_bucket && rest == 0)) return {};
    if (bucket == last_bucket) rest -= std::min(rest, block.size);
    doomed.push_back(as_slice(block.hash.bytes()).ToString());
    return doomed.size() < kSweep ? Result<void>() : sweep(std::exchange(doomed, {}), since, false, done);
  });
  if (swept) swept = sweep(doomed, since, false, done);
  sweeps_ = false;
  return swept;
}

}  // namespace codio::store
