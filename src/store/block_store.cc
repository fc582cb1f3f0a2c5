#include "store/block_store.h"

#include <cstdarg>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <string_view>

#include "common/protobuf.h"
#include "common/varint.h"

// The folder is a RocksDB database and a file FORMAT, written when the database is complete. Its columns:
//   blocks  multihash → block; from kMinBlobSize up the block is in a blob file
//   sizes   multihash → varint size of the block; answers has(), size() and for_each(), since RocksDB cannot tell a
//           blob's size without reading it
//   roots   CID → record
// One batch always changes blocks and sizes together, and they are flushed together (atomic_flush).

namespace codio::store {
namespace {

using content_id::ContentId;
using content_id::HashCode;
using content_id::Multihash;
using rocksdb::Slice;
using rocksdb::Status;

constexpr std::string_view kFormat = "1\n";
constexpr const char* kBlocks = "blocks";
constexpr const char* kSizes = "sizes";
constexpr const char* kRoots = "roots";
constexpr std::uint64_t kMinBlobSize = 4096;

Slice as_slice(BytesView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
BytesView as_view(const Slice& slice) { return as_bytes({slice.data(), slice.size()}); }

bool is_identity(const ContentId& cid) { return cid.multihash().code() == HashCode::kIdentity; }

Slice key_of(const ContentId& cid) { return as_slice(cid.multihash().bytes()); }

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
  while (true) {
    const auto field = reader.next();
    if (!field) return std::unexpected(field.error());
    if (!*field) return root;
    switch ((*field)->number) {
      case kName: root.name = as_text((*field)->bytes); break;
      case kAdded: root.added = (*field)->integer; break;
      case kSize: root.size = (*field)->integer; break;
      default: break;
    }
  }
}

Status as_corruption(const Error& error) { return Status::Corruption(error.message); }

/// RocksDB's diary is of no use to the user, and Debian's build of it ends the process when the disk is too full to
/// write it. What matters comes back as a Status.
class NoDiary : public rocksdb::Logger {
 public:
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
};

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

BlockStore::BlockStore(const std::filesystem::path& folder, const Options& options)
    : folder_(folder), min_free_space_(options.min_free_space) {}

BlockStore::~BlockStore() = default;

Result<std::unique_ptr<BlockStore>> BlockStore::open(const std::filesystem::path& folder, const Options& options) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fail(ErrorCode::kIo, "cannot make the folder " + folder.string() + ": " + error.message());

  const auto format_file = folder / "FORMAT";
  const bool exists = std::filesystem::exists(format_file, error);
  if (exists) {
    std::string found;
    const Status read = rocksdb::ReadFileToString(rocksdb::Env::Default(), format_file, &found);
    if (!read.ok()) return fail(ErrorCode::kIo, "cannot read " + format_file.string() + ": " + read.ToString());
    if (found != kFormat) {
      return fail(ErrorCode::kIo, "the block store in " + folder.string() +
                                      " has a format that this version of codio does not know: use the version that "
                                      "wrote it, or another folder");
    }
  }

  std::unique_ptr<BlockStore> store(new BlockStore(folder, options));
  // Never makes a database where one has been: that would clear away what can still be saved.
  if (auto opened = store->open_database(options, !exists); !opened) return std::unexpected(opened.error());
  if (!exists) {
    if (auto written = store->write_format(format_file); !written) return std::unexpected(written.error());
  }
  return store;
}

Result<void> BlockStore::open_database(const Options& options, bool create) {
  rocksdb::DBOptions database = database_options(options.max_open_files);
  database.create_if_missing = create;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* opened = nullptr;
  const Status status = rocksdb::DB::Open(database, folder_.string(),
                                          {{rocksdb::kDefaultColumnFamilyName, {}},
                                           {kBlocks, block_column_options(options.write_buffer)},
                                           {kSizes, column_options()},
                                           {kRoots, column_options()}},
                                          &handles, &opened);
  if (!status.ok()) {
    const std::string text = status.ToString();
    if (text.find("lock file") != text.npos || text.find("lock hold by") != text.npos) {
      return fail(ErrorCode::kIo, "the block store in " + folder_.string() +
                                      " is in use by another codio process: stop that one, or use another folder");
    }
    if (status.IsInvalidArgument()) return failure("open", Status::Corruption(text));
    return failure("open", status);
  }
  database_.reset(opened);
  default_.reset(handles[0]);
  blocks_.reset(handles[1]);
  sizes_.reset(handles[2]);
  roots_.reset(handles[3]);
  return {};
}

Result<void> BlockStore::write_format(const std::filesystem::path& file) const {
  rocksdb::Env& system = *rocksdb::Env::Default();
  const std::string unfinished = file.string() + ".new";
  // Never empty or half written, even after a power loss: there would be no telling it from a format of the future.
  Status status = rocksdb::WriteStringToFile(&system, std::string(kFormat), unfinished, /*should_sync=*/true);
  if (status.ok()) status = system.RenameFile(unfinished, file);
  if (!status.ok()) return failure("write to", status);
  return {};
}

Result<void> BlockStore::put(const ContentId& cid, BytesView bytes) {
  if (is_identity(cid)) return {};
  if (auto room = check_room(); !room) return room;
  const auto present = has(cid);
  if (!present) return std::unexpected(present.error());
  if (*present) return {};
  rocksdb::WriteBatch batch(bytes.size() + 256);
  append_block(batch, cid, bytes);
  return write(batch, Log::kWrite);
}

Result<void> BlockStore::put_many(std::span<const Entry> entries) {
  if (auto room = check_room(); !room) return room;
  std::size_t total = 0;
  for (const Entry& entry : entries) total += entry.bytes.size() + 256;
  rocksdb::WriteBatch batch(total);
  for (const Entry& entry : entries) {
    if (is_identity(entry.cid)) continue;
    const auto present = has(entry.cid);
    if (!present) return std::unexpected(present.error());
    if (!*present) append_block(batch, entry.cid, entry.bytes);
  }
  if (batch.Count() == 0) return {};
  auto written = write(batch, Log::kSkip);
  // Only now: set before, a flush() between would clear it and miss the batch.
  if (written) has_unlogged_ = true;
  return written;
}

Result<void> BlockStore::sync() {
  if (auto flushed = flush(); !flushed) return flushed;
  // Not SyncWAL(), which aborts after a write that found the disk full.
  rocksdb::WriteBatch nothing;
  return write(nothing, Log::kSync);
}

Result<std::optional<SharedBytes>> BlockStore::get(const ContentId& cid) const {
  if (is_identity(cid)) {
    const BytesView digest = cid.multihash().digest();
    return share(Bytes(digest.begin(), digest.end()));
  }
  rocksdb::PinnableSlice value;
  const Status status = database_->Get({}, blocks_.get(), key_of(cid), &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return failure("read " + cid.to_string() + " from", status);
  const BytesView bytes = as_view(value);
  return share(Bytes(bytes.begin(), bytes.end()));
}

Result<bool> BlockStore::has(const ContentId& cid) const {
  const auto found = size(cid);
  if (!found) return std::unexpected(found.error());
  return found->has_value();
}

Result<std::optional<std::uint64_t>> BlockStore::size(const ContentId& cid) const {
  if (is_identity(cid)) return cid.multihash().digest().size();
  rocksdb::PinnableSlice value;
  const Status status = database_->Get({}, sizes_.get(), key_of(cid), &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return failure("read from", status);
  const auto size = read_varint(as_view(value));
  if (!size) return failure("read from", as_corruption(size.error()));
  return size->value;
}

Result<void> BlockStore::remove(const ContentId& cid) {
  if (is_identity(cid)) return {};
  rocksdb::WriteBatch batch;
  batch.Delete(blocks_.get(), key_of(cid));
  batch.Delete(sizes_.get(), key_of(cid));
  return write(batch, Log::kWrite);
}

Result<void> BlockStore::for_each(const Visitor& visit) const {
  const std::unique_ptr<rocksdb::Iterator> entry(database_->NewIterator({}, sizes_.get()));
  for (entry->SeekToFirst(); entry->Valid(); entry->Next()) {
    BytesView key = as_view(entry->key());
    const auto hash = Multihash::take(key);
    if (!hash) return failure("read from", as_corruption(hash.error()));
    const auto size = read_varint(as_view(entry->value()));
    if (!size) return failure("read from", as_corruption(size.error()));
    visit(*hash, size->value);
  }
  if (!entry->status().ok()) return failure("read from", entry->status());
  return {};
}

Result<void> BlockStore::add_root(const Root& root) {
  // In this order, so that a root that is on the disk has its blocks there: the flushed ones by now, the logged ones
  // before it in the log.
  if (auto flushed = flush(); !flushed) return flushed;
  rocksdb::WriteBatch batch;
  batch.Put(roots_.get(), as_slice(root.cid.bytes()), as_slice(encode(root)));
  return write(batch, Log::kSync);
}

Result<void> BlockStore::remove_root(const ContentId& cid) {
  rocksdb::WriteBatch batch;
  batch.Delete(roots_.get(), as_slice(cid.bytes()));
  return write(batch, Log::kSync);
}

Result<std::vector<Root>> BlockStore::roots() const {
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

Result<void> BlockStore::flush() {
  const std::lock_guard lock(flush_mutex_);
  if (!has_unlogged_.exchange(false)) return {};
  const Status status = database_->Flush({}, {blocks_.get(), sizes_.get()});
  if (status.ok()) return {};
  has_unlogged_ = true;
  return failure("write to", status);
}

Result<void> BlockStore::check_room() const {
  std::error_code error;
  const auto space = std::filesystem::space(folder_, error);
  if (error || space.available >= min_free_space_) return {};  // Where it cannot be known, the write itself will tell.
  return fail(ErrorCode::kIo, "cannot write to the block store in " + folder_.string() + ": only " +
                                  std::to_string(space.available >> 20) + " MiB are free on its disk, and it leaves " +
                                  std::to_string(min_free_space_ >> 20) + " MiB; free some space and try again");
}

Result<void> BlockStore::write(rocksdb::WriteBatch& batch, Log log) {
  rocksdb::WriteOptions options;
  options.disableWAL = log == Log::kSkip;
  options.sync = log == Log::kSync;
  const Status status = database_->Write(options, &batch);
  if (!status.ok()) return failure("write to", status);
  return {};
}

void BlockStore::append_block(rocksdb::WriteBatch& batch, const ContentId& cid, BytesView bytes) {
  Bytes size;
  append_varint(size, bytes.size());
  batch.Put(blocks_.get(), key_of(cid), as_slice(bytes));
  batch.Put(sizes_.get(), key_of(cid), as_slice(size));
}

std::unexpected<Error> BlockStore::failure(std::string_view doing, const Status& status) const {
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

}  // namespace codio::store
