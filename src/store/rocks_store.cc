#include "store/rocks_store.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <openssl/sha.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "common/check.h"
#include "common/protobuf.h"
#include "common/varint.h"
#include "store/holds.h"
#include "store/no_diary.h"

namespace codio::store {
namespace {

using content_id::ContentId;
using content_id::HashCode;
using content_id::Multihash;
using rocksdb::Slice;
using rocksdb::Status;

constexpr std::string_view kFormat = "2\n";
constexpr std::string_view kOldFormat = "1\n";
constexpr const char* kBlocks = "blocks";
constexpr const char* kReferences = "references";
constexpr const char* kSizes = "sizes";
constexpr const char* kRoots = "roots";
constexpr std::uint64_t kMinBlobSize = 4096;
/// Reads that are remembered before their records are written: some 10 ms of work.
constexpr std::size_t kMaxNotes = 4096;
/// A read does not change a record that is younger, in microseconds: so that blocks in use are written once a minute.
constexpr std::uint64_t kUseGrain = 60'000'000;
/// Damaged blocks that are remembered, to be mended when they are put.
constexpr std::size_t kMaxDamaged = 65536;
constexpr std::size_t kPage = 4096;

Slice as_slice(BytesView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
BytesView as_view(const Slice& slice) { return as_bytes({slice.data(), slice.size()}); }

bool is_identity(const ContentId& cid) { return cid.multihash().code() == HashCode::kIdentity; }

Slice key_of(const ContentId& cid) { return as_slice(cid.multihash().bytes()); }

std::uint64_t system_clock() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

constexpr std::uint64_t kIsReference = 1;

Bytes encode(const Record& record) {
  Bytes value;
  append_varint(value, record.size);
  append_varint(value, record.used);
  append_varint(value, record.is_reference ? kIsReference : 0);
  return value;
}

Result<Record> decode_record(BytesView value) {
  Record record;
  std::uint64_t flags = 0;
  for (std::uint64_t* field : {&record.size, &record.used, &flags}) {
    if (value.empty() && field != &record.size) break;  // FORMAT 1.
    const auto number = read_varint(value);
    if (!number) return std::unexpected(number.error());
    *field = number->value;
    value = value.subspan(number->size);
  }
  record.is_reference = (flags & kIsReference) != 0;
  return record;
}

enum ReferenceField : std::uint32_t { kPath = 1, kOffset = 2, kFileSize = 3, kModified = 4 };

Bytes encode(const Reference& reference) {
  Bytes value;
  ProtobufWriter writer(value);
  writer.write_bytes(kPath, as_bytes(reference.path));
  writer.write_varint(kOffset, reference.offset);
  writer.write_varint(kFileSize, reference.file_size);
  writer.write_varint(kModified, reference.modified);
  return value;
}

Result<Reference> decode_reference(BytesView value) {
  Reference reference;
  ProtobufReader reader(value);
  for (ProtobufField field; reader.next(field);) {
    switch (field.number) {
      case kPath: reference.path = codio::as_text(field.bytes); break;
      case kOffset: reference.offset = field.integer; break;
      case kFileSize: reference.file_size = field.integer; break;
      case kModified: reference.modified = field.integer; break;
      default: break;
    }
  }
  if (!reader.problem().empty()) return fail(ErrorCode::kMalformed, std::string(reader.problem()));
  return reference;
}

enum RootField : std::uint32_t { kName = 1, kAdded = 2, kSize = 3 };

Bytes encode(const Root& root) {
  Bytes record;
  ProtobufWriter writer(record);
  writer.write_bytes(kName, as_bytes(root.name));
  writer.write_varint(kAdded, root.added);
  writer.write_varint(kSize, root.size);
  return record;
}

Result<Root> decode_root(BytesView key, BytesView record) {
  auto cid = ContentId::decode(key);
  if (!cid) return std::unexpected(cid.error());
  Root root{.cid = *std::move(cid)};
  ProtobufReader reader(record);
  for (ProtobufField field; reader.next(field);) {
    switch (field.number) {
      case kName: root.name = codio::as_text(field.bytes); break;
      case kAdded: root.added = field.integer; break;
      case kSize: root.size = field.integer; break;
      default: break;
    }
  }
  if (!reader.problem().empty()) return fail(ErrorCode::kMalformed, std::string(reader.problem()));
  return root;
}

std::uint64_t modified_at(const struct stat& status) {
  return static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(status.st_mtim.tv_nsec);
}

Status as_corruption(const Error& error) { return Status::Corruption(error.message); }

rocksdb::DBOptions database_options(int max_open_files) {
  rocksdb::DBOptions options;
  options.create_missing_column_families = true;
  options.max_open_files = max_open_files;
  options.atomic_flush = true;
  // Lets the kernel write while we hash, instead of all at once at the end of each blob file.
  options.bytes_per_sync = 1 << 20;
  options.wal_bytes_per_sync = 1 << 20;
  options.info_log = std::make_shared<NoDiary>();
  return options;
}

rocksdb::ColumnFamilyOptions column_options() {
  rocksdb::ColumnFamilyOptions options;
  options.compression = rocksdb::kNoCompression;  // Hashes, and blocks that are mostly compressed already.
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));  // Most blocks that a peer asks for are not here.
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

rocksdb::ColumnFamilyOptions block_column_options(std::size_t write_buffer) {
  auto options = column_options();
  options.write_buffer_size = write_buffer;
  options.max_write_buffer_number = 3;
  options.enable_blob_files = true;
  options.min_blob_size = kMinBlobSize;
  options.enable_blob_garbage_collection = true;
  // Of the oldest half of the files, those are rewritten that are half garbage.
  options.blob_garbage_collection_age_cutoff = 0.5;
  options.blob_garbage_collection_force_threshold = 0.5;
  return options;
}

}  // namespace

std::string_view as_text(const Slice& slice) { return {slice.data(), slice.size()}; }

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

Result<void> RocksStore::open(const Options& options) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) return fail(ErrorCode::kIo, "cannot make the folder " + folder_.string() + ": " + error.message());

  const auto format_file = folder_ / "FORMAT";
  const bool exists = std::filesystem::exists(format_file, error);
  std::string found;
  if (exists) {
    const Status read = rocksdb::ReadFileToString(rocksdb::Env::Default(), format_file, &found);
    if (!read.ok()) return fail(ErrorCode::kIo, "cannot read " + format_file.string() + ": " + read.ToString());
    if (found != kFormat && found != kOldFormat) {
      return fail(ErrorCode::kIo, "the block store in " + folder_.string() +
                                      " has a format that this version of codio does not know: use the version that "
                                      "wrote it, or another folder");
    }
  }
  // Never makes a database where one has been: that would clear away what can still be saved.
  if (auto opened = open_database(options, !exists); !opened) return opened;
  // Before anything is written that the older format did not have.
  if (found != kFormat) return write_format(format_file);
  return {};
}

Result<void> RocksStore::open_database(const Options& options, bool create) {
  rocksdb::DBOptions database = database_options(options.max_open_files);
  database.create_if_missing = create;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* opened = nullptr;
  const Status status = rocksdb::DB::Open(database, folder_.string(),
                                          {{rocksdb::kDefaultColumnFamilyName, {}},
                                           {kBlocks, block_column_options(options.write_buffer)},
                                           {kReferences, column_options()},
                                           {kSizes, column_options()},
                                           {kRoots, column_options()}},
                                          &handles, &opened);
  if (!status.ok()) {
    const std::string text = status.ToString();
    if (text.find("lock file") != text.npos || text.find("lock hold by") != text.npos) {
      return fail(ErrorCode::kUnavailable,
                  "the block store in " + folder_.string() +
                      " is in use by another codio process: stop that one, or use another folder");
    }
    if (status.IsInvalidArgument()) return failure("open", Status::Corruption(text));
    return failure("open", status);
  }
  database_.reset(opened);
  default_.reset(handles[0]);
  blocks_.reset(handles[1]);
  references_.reset(handles[2]);
  sizes_.reset(handles[3]);
  roots_.reset(handles[4]);
  return {};
}

Result<void> RocksStore::write_format(const std::filesystem::path& file) const {
  rocksdb::Env& system = *rocksdb::Env::Default();
  const std::string unfinished = file.string() + ".new";
  // Never empty or half written, even after a power loss: there would be no telling it from a format of the future.
  Status status = rocksdb::WriteStringToFile(&system, std::string(kFormat), unfinished, /*should_sync=*/true);
  if (status.ok()) status = system.RenameFile(unfinished, file);
  if (!status.ok()) return failure("write to", status);
  return {};
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

Result<void> RocksStore::put_references(std::span<const ReferenceEntry> entries) {
  if (auto room = check_room(); !room) return room;
  const std::lock_guard lock(records_mutex_);
  rocksdb::WriteBatch batch;
  std::map<std::string, Record> changed;
  for (const ReferenceEntry& entry : entries) {
    check(entry.cid.multihash().code() == HashCode::kSha2_256);
    const Slice key = key_of(entry.cid);
    const auto present = record(key);
    if (!present) return std::unexpected(present.error());
    if (*present && !(*present)->is_reference) {
      notes_.insert(key.ToString());
      continue;
    }
    const Record fresh{.size = entry.size, .used = now(), .is_reference = true};
    batch.Put(references_.get(), key, as_slice(encode(entry.reference)));
    batch.Put(sizes_.get(), key, as_slice(encode(fresh)));
    if (!*present) changed.insert_or_assign(key.ToString(), fresh);
  }
  if (batch.Count() == 0) return {};
  if (auto written = write(batch, Log::kSkip); !written) return written;
  for (const auto& [key, fresh] : changed) count(fresh, +1);
  has_unlogged_ = true;
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

Result<std::optional<SharedBytes>> RocksStore::read_reference(const ContentId& cid) const {
  const auto where = reference(cid);
  if (!where) return std::unexpected(where.error());
  if (!*where) return std::nullopt;
  const auto known = record(key_of(cid));
  if (!known) return std::unexpected(known.error());
  if (!*known) return std::nullopt;
  const auto kept = note(key_of(cid));
  if (!kept) return std::unexpected(kept.error());
  if (!*kept) return std::nullopt;

  const Reference& place = **where;
  const auto unusable = [&](const std::string& why) {
    return fail(ErrorCode::kMismatch, "block " + cid.to_string() + " is no more in " + place.path + ": " + why +
                                          "; add the file again, or let `codio verify --repair` fetch the block");
  };
  // Not to wait for a writer, should there be a pipe of that name now.
  const int file = ::open(place.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return unusable(std::strerror(errno));
  struct stat status{};
  Bytes bytes((*known)->size);
  std::size_t read = 0;
  if (::fstat(file, &status) == 0 && S_ISREG(status.st_mode)) {
    while (read < bytes.size()) {
      const ssize_t more =
          ::pread(file, bytes.data() + read, bytes.size() - read, static_cast<off_t>(place.offset + read));
      if (more < 0 && errno == EINTR) continue;
      if (more <= 0) break;
      read += static_cast<std::size_t>(more);
    }
  }
  ::close(file);
  content_id::Digest256 digest;
  SHA256(bytes.data(), read, digest.data());
  if (read == bytes.size() && std::ranges::equal(digest, cid.multihash().digest())) return share(std::move(bytes));
  const bool looks_unchanged = S_ISREG(status.st_mode) && std::cmp_equal(status.st_size, place.file_size) &&
                               modified_at(status) == place.modified;
  return unusable(looks_unchanged ? "its bytes are others, but its size and time are those of then, so that the disk "
                                    "may be failing"
                                  : "the file was changed since it was added");
}

Result<std::optional<Reference>> RocksStore::reference(const ContentId& cid) const {
  rocksdb::PinnableSlice value;
  const Status status = database_->Get({}, references_.get(), key_of(cid), &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return failure("read from", status);
  auto found = decode_reference(as_view(value));
  if (!found) return failure("read from", as_corruption(found.error()));
  return *std::move(found);
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

void RocksStore::count(const Record& record, int sign) const {
  const std::lock_guard lock(usage_mutex_);
  if (!is_counted_) return;
  const auto add = [sign](std::uint64_t& total, std::uint64_t amount) {
    // Two who put one block at a time count it twice, until the next count_all().
    total = sign > 0 ? total + amount : total - std::min(total, amount);
  };
  add(usage_.blocks, 1);
  add(record.is_reference ? usage_.references : usage_.bytes, record.is_reference ? 1 : record.size);
  if (record.is_reference) add(usage_.reference_bytes, record.size);
}

Result<void> RocksStore::count_all(bool again) const {
  const std::lock_guard lock(usage_mutex_);
  if (is_counted_ && !again) return {};
  Usage counted;
  const std::unique_ptr<rocksdb::Iterator> entry(database_->NewIterator({}, sizes_.get()));
  for (entry->SeekToFirst(); entry->Valid(); entry->Next()) {
    const auto record = decode_record(as_view(entry->value()));
    if (!record) return failure("read from", as_corruption(record.error()));
    ++counted.blocks;
    (record->is_reference ? counted.reference_bytes : counted.bytes) += record->size;
    if (record->is_reference) ++counted.references;
  }
  if (!entry->status().ok()) return failure("read from", entry->status());
  usage_ = std::move(counted);
  is_counted_ = true;
  return {};
}

Result<Usage> RocksStore::usage() const {
  if (auto counted = count_all(false); !counted) return std::unexpected(counted.error());
  const auto pinned = roots();
  if (!pinned) return std::unexpected(pinned.error());
  Usage usage;
  {
    const std::lock_guard lock(usage_mutex_);
    usage = usage_;
    usage.limit = limit_;
  }
  usage.pins = pinned->size();
  usage.folder = folder_.string();
  std::error_code error;
  for (std::filesystem::directory_iterator file(folder_, error), end; !error && file != end; file.increment(error)) {
    struct stat status{};
    if (::stat(file->path().c_str(), &status) == 0)
      usage.disk_bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
  }
  return usage;
}

Result<std::unique_ptr<BlockStore>> BlockStore::open(const std::filesystem::path& folder, const Options& options) {
  auto store = std::make_unique<RocksStore>(folder, options);
  if (auto opened = store->open(options); !opened) return std::unexpected(opened.error());
  return store;
}

}  // namespace codio::store
