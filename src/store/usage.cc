// Counts what is in the store.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <sys/stat.h>
#include <utility>

#include "store/rocks_store.h"

namespace codio::store {

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

}  // namespace codio::store
