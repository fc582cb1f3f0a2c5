// Opens the database, or makes one.
#include <filesystem>
#include <memory>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <string>
#include <string_view>
#include <vector>

#include "store/no_diary.h"
#include "store/rocks_store.h"

namespace codio::store {

using rocksdb::Status;

namespace {

constexpr std::string_view kFormat = "2\n";
constexpr std::string_view kOldFormat = "1\n";
constexpr const char* kBlocks = "blocks";
constexpr const char* kReferences = "references";
constexpr const char* kSizes = "sizes";
constexpr const char* kRoots = "roots";
constexpr std::uint64_t kMinBlobSize = 4096;

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
  // Without enable_blob_garbage_collection: with it each compaction writes the blocks of old files again, garbage or
  // not, and of 6 GiB put one by one 33 GiB reached the disk. reclaim() collects when it is worth it.
  return options;
}

}  // namespace

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

}  // namespace codio::store
