#include "store/rocks_store.h"

#include <algorithm>
#include <chrono>
#include <rocksdb/write_batch.h>
#include <utility>

#include "store/holds.h"

namespace codio::store {
namespace {

using content_id::ContentId;
using content_id::HashCode;
using content_id::Multihash;
using rocksdb::Slice;
using rocksdb::Status;

/// Reads that are remembered before their records are written: some 10 ms of work.
constexpr std::size_t kMaxNotes = 4096;
/// A read does not change a record that is younger, in microseconds: so that blocks in use are written once a minute.
constexpr std::uint64_t kUseGrain = 60'000'000;
/// Damaged blocks that are remembered, to be mended when they are put.
constexpr std::size_t kMaxDamaged = 65536;
constexpr std::size_t kPage = 4096;

bool is_identity(const ContentId& cid) { return cid.multihash().code() == HashCode::kIdentity; }

std::uint64_t system_clock() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

}  // namespace

RocksStore::RocksStore(const std::filesystem::path& folder, const Options& options)
    : folder_(folder),
      min_free_space_(options.min_free_space),
      clock_(options.clock ? options.clock : system_clock),
      holds_(std::make_shared<Holds>()),
      limit_(options.limit) {}

RocksStore::~RocksStore() {
  if (!database_) return;
  const std::lock_guard lock(records_mutex_);
  (void)write_notes();
}

std::uint64_t RocksStore::now() const {
  const std::uint64_t read = clock_();
  std::uint64_t last = last_now_.load();
  std::uint64_t next = 0;
  do {
    next = std::max(read, last + 1);
  } while (!last_now_.compare_exchange_weak(last, next));
  return next;
}

Result<std::optional<Record>> RocksStore::record(Slice key) const {
  rocksdb::PinnableSlice value;
  const Status status = database_->Get({}, sizes_.get(), key, &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return failure("read from", status);
  const auto record = decode_record(as_view(value));
  if (!record) return failure("read from", as_corruption(record.error()));
  return *record;
}

Result<bool> RocksStore::note(Slice key) const {
  {
    const std::lock_guard lock(records_mutex_);
    notes_.insert(key.ToString());
    if (notes_.size() >= kMaxNotes) {
      if (auto written = write_notes(); !written) return std::unexpected(written.error());
    }
  }
  if (!sweeps_) return true;
  // The sweep may have come first.
  const auto left = record(key);
  if (!left) return std::unexpected(left.error());
  return left->has_value();
}

Result<void> RocksStore::write_notes() const {
  const std::uint64_t at = now();
  const std::uint64_t newest_hold = holds_->newest();
  rocksdb::WriteBatch batch;
  for (const std::string& key : std::exchange(notes_, {})) {
    auto found = record(key);
    if (!found) return std::unexpected(found.error());
    if (!*found) continue;
    Record& known = **found;
    if (known.used <= at && known.used + kUseGrain > at && known.used >= newest_hold) continue;
    known.used = at;
    batch.Put(sizes_.get(), key, as_slice(encode(known)));
  }
  if (batch.Count() == 0) return {};
  // Not to the log: there it would outlive a crash that loses the block, when that was not logged either.
  return write(batch, Log::kSkip);
}

Result<void> RocksStore::put(const ContentId& cid, BytesView bytes) {
  return put_copies({{{cid, bytes}}}, Log::kWrite);
}

Result<void> RocksStore::put_many(std::span<const Entry> entries) { return put_copies(entries, Log::kSkip); }

Result<void> RocksStore::put_copies(std::span<const Entry> entries, Log log) {
  if (auto room = check_room(); !room) return room;
  std::vector<const Entry*> missing;
  std::set<std::string_view> seen;
  bool replaces = false;
  std::uint64_t total = 0;
  for (const Entry& entry : entries) {
    const Slice key = key_of(entry.cid);
    if (is_identity(entry.cid) || !seen.insert(as_text(key)).second) continue;
    auto present = record(key);
    if (!present) return std::unexpected(present.error());
    if (*present) {
      const auto kept = note(key);
      if (!kept) return std::unexpected(kept.error());
      if (*kept) {
        const std::lock_guard lock(records_mutex_);
        if (!(*present)->is_reference && !damaged_.contains(key.ToString())) continue;
        replaces = true;
      }
    }
    missing.push_back(&entry);
    total += entry.bytes.size();
  }
  if (missing.empty()) return {};
  if (auto room = make_room(total); !room) return room;
  const std::shared_ptr<void> reservation(nullptr, [this, total](void*) {
    const std::lock_guard lock(usage_mutex_);
    reserved_ -= total;
  });

  rocksdb::WriteBatch batch(total + 256 * missing.size());
  const std::uint64_t at = now();
  for (const Entry* entry : missing) {
    const Slice key = key_of(entry->cid);
    batch.Put(blocks_.get(), key, as_slice(entry->bytes));
    batch.Put(sizes_.get(), key, as_slice(encode(Record{.size = entry->bytes.size(), .used = at})));
    if (replaces) batch.Delete(references_.get(), key);
  }
  std::unique_lock lock(records_mutex_, std::defer_lock);
  if (replaces) {
    lock.lock();
    for (const Entry* entry : missing) {
      damaged_.erase(key_of(entry->cid).ToString());
      const auto old = record(key_of(entry->cid));
      if (!old) return std::unexpected(old.error());
      if (*old) count(**old, -1);
    }
  }
  if (auto written = write(batch, log); !written) return written;
  for (const Entry* entry : missing) count({.size = entry->bytes.size()}, +1);
  // Only now: set before, a flush() between would clear it and miss the batch.
  if (log == Log::kSkip) has_unlogged_ = true;
  return {};
}

Result<void> RocksStore::sync() {
  if (auto flushed = flush(); !flushed) return flushed;
  // Not SyncWAL(), which aborts after a write that found the disk full.
  rocksdb::WriteBatch nothing;
  return write(nothing, Log::kSync);
}

Result<std::optional<SharedBytes>> RocksStore::get(const ContentId& cid) const {
  if (is_identity(cid)) {
    const BytesView digest = cid.multihash().digest();
    return share(Bytes(digest.begin(), digest.end()));
  }
  rocksdb::PinnableSlice value;
  const Status status = database_->Get({}, blocks_.get(), key_of(cid), &value);
  if (status.IsNotFound()) return read_reference(cid);
  if (!status.ok()) {
    const std::lock_guard lock(records_mutex_);
    if (damaged_.size() < kMaxDamaged) damaged_.insert(key_of(cid).ToString());
    return failure("read " + cid.to_string() + " from", status);
  }
  const auto kept = note(key_of(cid));
  if (!kept) return std::unexpected(kept.error());
  if (!*kept) return std::nullopt;
  const BytesView bytes = as_view(value);
  return share(Bytes(bytes.begin(), bytes.end()));
}

Result<bool> RocksStore::touch(const ContentId& cid) const {
  if (is_identity(cid)) return true;
  const auto found = record(key_of(cid));
  if (!found) return std::unexpected(found.error());
  return *found ? note(key_of(cid)) : false;
}

Result<std::optional<std::uint64_t>> RocksStore::size(const ContentId& cid) const {
  if (is_identity(cid)) return cid.multihash().digest().size();
  const auto found = record(key_of(cid));
  if (!found) return std::unexpected(found.error());
  return *found ? std::optional((*found)->size) : std::nullopt;
}

Result<void> RocksStore::remove(const ContentId& cid) {
  if (is_identity(cid)) return {};
  const Slice key = key_of(cid);
  const std::lock_guard lock(records_mutex_);
  const auto old = record(key);
  if (!old) return std::unexpected(old.error());
  rocksdb::WriteBatch batch;
  for (const Column* column : {&blocks_, &references_, &sizes_}) batch.Delete(column->get(), key);
  if (auto written = write(batch, Log::kWrite); !written) return written;
  notes_.erase(key.ToString());
  damaged_.erase(key.ToString());
  if (*old) count(**old, -1);
  return {};
}

Result<std::vector<BlockInfo>> RocksStore::list(const std::optional<Multihash>& after, std::size_t max) const {
  std::vector<BlockInfo> found;
  const std::unique_ptr<rocksdb::Iterator> entry(database_->NewIterator({}, sizes_.get()));
  if (after) {
    entry->Seek(as_slice(after->bytes()));
    if (entry->Valid() && entry->key() == as_slice(after->bytes())) entry->Next();
  } else {
    entry->SeekToFirst();
  }
  for (; entry->Valid() && found.size() < max; entry->Next()) {
    BytesView key = as_view(entry->key());
    auto hash = Multihash::take(key);
    if (!hash) return failure("read from", as_corruption(hash.error()));
    const auto record = decode_record(as_view(entry->value()));
    if (!record) return failure("read from", as_corruption(record.error()));
    found.push_back({*std::move(hash), record->size, record->used, record->is_reference});
  }
  if (!entry->status().ok()) return failure("read from", entry->status());
  return found;
}

Result<bool> BlockStore::has(const ContentId& cid) const {
  const auto found = size(cid);
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

Result<void> BlockStore::for_each(const Visitor& visit) const {
  std::optional<Multihash> last;
  for (;;) {
    const auto page = list(last, kPage);
    if (!page) return std::unexpected(page.error());
    if (page->empty()) return {};
    for (const BlockInfo& block : *page) visit(block.hash, block.size);
    last = page->back().hash;
  }
}

Result<void> RocksStore::add_root(const Root& root) {
  // In this order, so that a root that is on the disk has its blocks there: the flushed ones by now, the logged ones
  // before it in the log.
  if (auto flushed = flush(); !flushed) return flushed;
  rocksdb::WriteBatch batch;
  batch.Put(roots_.get(), as_slice(root.cid.bytes()), as_slice(encode(root)));
  return write(batch, Log::kSync);
}

Result<void> RocksStore::remove_root(const ContentId& cid) {
  rocksdb::WriteBatch batch;
  batch.Delete(roots_.get(), as_slice(cid.bytes()));
  auto written = write(batch, Log::kSync);
  if (written) holds_->note_change();
  return written;
}

Result<std::vector<Root>> RocksStore::roots() const {
  std::vector<Root> found;
  const std::unique_ptr<rocksdb::Iterator> entry(database_->NewIterator({}, roots_.get()));
  for (entry->SeekToFirst(); entry->Valid(); entry->Next()) {
    auto root = decode_root(as_view(entry->key()), as_view(entry->value()));
    if (!root) return failure("read from", as_corruption(root.error()));
    found.push_back(*std::move(root));
  }
  if (!entry->status().ok()) return failure("read from", entry->status());
  return found;
}

Result<void> RocksStore::flush() {
  const std::lock_guard lock(flush_mutex_);
  if (!has_unlogged_.exchange(false)) return {};
  const Status status = database_->Flush({}, {blocks_.get(), references_.get(), sizes_.get()});
  if (status.ok()) return {};
  has_unlogged_ = true;
  return failure("write to", status);
}

Result<void> RocksStore::check_room() const {
  std::error_code error;
  const auto space = std::filesystem::space(folder_, error);
  if (error || space.available >= min_free_space_) return {};  // Where it cannot be known, the write itself will tell.
  return fail(ErrorCode::kIo, "cannot write to the block store in " + folder_.string() + ": only " +
                                  std::to_string(space.available >> 20) + " MiB are free on its disk, and it leaves " +
                                  std::to_string(min_free_space_ >> 20) + " MiB; free some space and try again");
}

Result<void> RocksStore::write(rocksdb::WriteBatch& batch, Log log) const {
  rocksdb::WriteOptions options;
  options.disableWAL = log == Log::kSkip;
  options.sync = log == Log::kSync;
  const Status status = database_->Write(options, &batch);
  if (!status.ok()) return failure("write to", status);
  return {};
}

std::unexpected<Error> RocksStore::failure(std::string_view doing, const Status& status) const {
  std::string message = "cannot " + std::string(doing) + " the block store in " + folder_.string() + ": ";
  if (status.IsNoSpace()) {
    message += "the disk is full; free some space and start codio again, nothing that was stored is lost";
  } else if (status.IsCorruption()) {
    message += "it is damaged (" + status.ToString() +
               "); move the folder away and add or download its content again, and check the disk";
  } else {
    message += status.ToString();
  }
  return fail(ErrorCode::kIo, std::move(message));
}

Result<std::unique_ptr<BlockStore>> BlockStore::open(const std::filesystem::path& folder, const Options& options) {
  auto store = std::make_unique<RocksStore>(folder, options);
  if (auto opened = store->open(options); !opened) return std::unexpected(opened.error());
  return store;
}

}  // namespace codio::store
