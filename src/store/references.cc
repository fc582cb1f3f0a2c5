// Blocks that stay in files of the user's.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <openssl/sha.h>
#include <rocksdb/write_batch.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "common/check.h"
#include "store/rocks_store.h"

namespace codio::store {

using content_id::ContentId;
using content_id::HashCode;
using rocksdb::Slice;
using rocksdb::Status;

namespace {

std::uint64_t modified_at(const struct stat& status) {
  return static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(status.st_mtim.tv_nsec);
}

}  // namespace

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

}  // namespace codio::store
