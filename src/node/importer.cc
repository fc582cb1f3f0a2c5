#include "node/importer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <future>
#include <optional>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include "node/hash.h"

namespace codio::node {
namespace {

namespace fs = std::filesystem;
namespace unixfs = content_id::unixfs;
using content_id::Digest256;
using unixfs::Link;

constexpr std::size_t kReadSize = 1024 * 1024;
/// Blocks go to the store in batches of this many bytes.
constexpr std::size_t kBatchSize = 8 * 1024 * 1024;
/// What a reference counts for in a batch, in bytes.
constexpr std::size_t kReferenceSize = 1024;

std::unexpected<Error> cannot_read(const fs::path& path, int error) {
  return fail(ErrorCode::kIo, "cannot read " + path.string() + ": " + std::strerror(error));
}

class OpenFile {
 public:
  explicit OpenFile(const fs::path& path) : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ >= 0) (void)::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  ~OpenFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  bool is_open() const { return descriptor_ >= 0; }
  /// The size and time of now.
  store::Reference describe() const {
    struct stat status{};
    if (::fstat(descriptor_, &status) != 0) return {};
    return {.path = {},
            .offset = 0,
            .file_size = static_cast<std::uint64_t>(status.st_size),
            .modified = static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000 +
                        static_cast<std::uint64_t>(status.st_mtim.tv_nsec)};
  }
  ssize_t read(Bytes& into) const { return ::read(descriptor_, into.data(), into.size()); }

 private:
  int descriptor_;
};

class Importer {
 public:
  Importer(store::BlockStore* store, const ImportOptions& options)
      : store_(store),
        options_(options),
        threads_(std::max(1U, std::thread::hardware_concurrency())),
        pool_(threads_),
        writer_(1) {}

  Result<Link> import(const fs::path& path) {
    if (options_.by_reference && !options_.profile.raw_leaves) {
      return fail(ErrorCode::kUnsupported, "the profile " + std::string(options_.profile.name) +
                                               " wraps a file's bytes, so that they cannot be referred to: use " +
                                               std::string(unixfs::kUnixfsV1_2025.name) + ", or store copies");
    }
    auto link = import_entry(path);
    if (!link) return std::unexpected(link.error());
    if (!*link) return fail(ErrorCode::kUnsupported, path.string() + " is neither a file, a directory nor a symlink");
    if (auto written = write_batch(); !written) return std::unexpected(written.error());
    if (auto written = await_write(); !written) return std::unexpected(written.error());
    return **std::move(link);
  }

 private:
  struct Batch {
    std::vector<std::pair<content_id::ContentId, SharedBytes>> copies;
    std::vector<store::BlockStore::ReferenceEntry> references;
  };

  struct Hashing {
    unixfs::PendingBlock block;
    std::future<Digest256> digest;
  };

  /// Nothing: left out.
  Result<std::optional<Link>> import_entry(const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::symlink_status(path, error);
    if (error) return cannot_read(path, error.value());
    switch (status.type()) {
      case fs::file_type::regular: return import_file(path);
      case fs::file_type::directory: return import_directory(path);
      case fs::file_type::symlink: return import_symlink(path);
      default:
        if (options_.on_warning)
          options_.on_warning("left out " + path.string() + ": not a file, directory or symlink");
        return std::nullopt;
    }
  }

  Result<std::optional<Link>> import_file(const fs::path& path) {
    const OpenFile file(path);
    if (!file.is_open()) return cannot_read(path, errno);
    unixfs::FileBuilder builder(options_.profile);
    Bytes buffer(kReadSize);
    if (options_.by_reference) {
      std::error_code error;
      source_ = file.describe();
      source_->path = fs::absolute(path, error).lexically_normal().string();
      if (error) return cannot_read(path, error.value());
    }
    for (;;) {
      const ssize_t size = file.read(buffer);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return cannot_read(path, errno);
      if (size == 0) break;
      builder.append(BytesView(buffer).first(static_cast<std::size_t>(size)));
      read_ += static_cast<std::uint64_t>(size);
      if (options_.on_progress) options_.on_progress(read_);
      if (auto handled = hash_blocks(builder, 2 * threads_); !handled) return std::unexpected(handled.error());
    }
    builder.finish();
    auto root = root_of(builder);
    if (const auto source = std::exchange(source_, {})) {
      const store::Reference after = file.describe();
      if (after.modified != source->modified || after.file_size != source->file_size ||
          source->offset != source->file_size) {
        return fail(ErrorCode::kUnavailable,
                    path.string() + " was changed while it was added: add it again when it is left alone");
      }
    }
    return root;
  }

  Result<std::optional<Link>> import_directory(const fs::path& path) {
    std::error_code error;
    std::vector<fs::path> children;
    for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
      if (options_.hidden || !entry->path().filename().string().starts_with('.')) children.push_back(entry->path());
    }
    if (error) return cannot_read(path, error.value());
    std::sort(children.begin(), children.end());
    std::vector<Link> links;
    for (const fs::path& child : children) {
      auto link = import_entry(child);
      if (!link) return link;
      if (!*link) continue;
      (*link)->name = child.filename().string();
      links.push_back(**std::move(link));
    }
    unixfs::DirectoryBuilder builder(options_.profile, std::move(links));
    return root_of(builder);
  }

  Result<std::optional<Link>> import_symlink(const fs::path& path) {
    std::error_code error;
    const fs::path target = fs::read_symlink(path, error);
    if (error) return cannot_read(path, error.value());
    const SharedBytes block = share(unixfs::encode_symlink(target.string()));
    const Digest256 digest = sha256(*block);
    const auto cid = options_.profile.cid_version == 0 ? content_id::ContentId::v0(digest)
                                                       : content_id::ContentId::v1(content_id::Codec::kDagPb, digest);
    if (auto kept = keep(cid, block); !kept) return std::unexpected(kept.error());
    return Link{.name = {}, .cid = cid, .cumulative_size = block->size()};
  }

  /// A parent block comes only when all of its children's digests are in.
  template <class Builder>
  Result<std::optional<Link>> root_of(Builder& builder) {
    while (!builder.root()) {
      if (auto handled = hash_blocks(builder, 0); !handled) return std::unexpected(handled.error());
    }
    return builder.root();
  }

  /// Hands the builder's blocks to the hashing threads and waits until at most `under_way` are not done.
  template <class Builder>
  Result<void> hash_blocks(Builder& builder, std::size_t under_way) {
    while (auto block = builder.poll_block()) {
      std::packaged_task<Digest256()> task([bytes = block->bytes] { return sha256(*bytes); });
      hashing_.push_back({*std::move(block), task.get_future()});
      boost::asio::post(pool_, std::move(task));
    }
    while (hashing_.size() > under_way) {
      Hashing done = std::move(hashing_.front());
      hashing_.pop_front();
      const auto cid = builder.handle_digest(done.block.id, done.digest.get());
      if (auto kept = keep(cid, std::move(done.block.bytes)); !kept) return kept;
    }
    return {};
  }

  Result<void> keep(const content_id::ContentId& cid, SharedBytes bytes) {
    // A file's leaves come in their order.
    if (source_ && cid.codec() == content_id::Codec::kRaw && !bytes->empty()) {
      batch_.references.push_back({cid, bytes->size(), *source_});
      source_->offset += bytes->size();
      batch_size_ += kReferenceSize;
    } else {
      batch_size_ += bytes->size();
      batch_.copies.emplace_back(cid, std::move(bytes));
    }
    if (store_ == nullptr) batch_ = {};
    return batch_size_ < kBatchSize ? Result<void>() : write_batch();
  }

  /// Writes beside reading and hashing, one batch at a time.
  Result<void> write_batch() {
    if (batch_.copies.empty() && batch_.references.empty()) return {};
    if (auto written = await_write(); !written) return written;
    std::packaged_task<Result<void>()> task([store = store_, batch = std::exchange(batch_, {})]() -> Result<void> {
      if (!batch.references.empty()) {
        if (auto put = store->put_references(batch.references); !put) return put;
      }
      std::vector<store::BlockStore::Entry> entries;
      entries.reserve(batch.copies.size());
      for (const auto& [cid, bytes] : batch.copies) entries.push_back({cid, *bytes});
      return entries.empty() ? Result<void>() : store->put_many(entries);
    });
    batch_size_ = 0;
    writing_ = task.get_future();
    boost::asio::post(writer_, std::move(task));
    return {};
  }

  Result<void> await_write() { return writing_.valid() ? writing_.get() : Result<void>(); }

  store::BlockStore* store_;
  const ImportOptions& options_;
  std::size_t threads_;
  std::uint64_t read_ = 0;
  std::deque<Hashing> hashing_;
  std::optional<store::Reference> source_;  ///< Of a file by reference: where its next leaf is.
  Batch batch_;
  std::size_t batch_size_ = 0;
  std::future<Result<void>> writing_;
  boost::asio::thread_pool pool_;
  boost::asio::thread_pool writer_;
};

}  // namespace

Result<Link> import_path(const fs::path& path, store::BlockStore* store, const ImportOptions& options) {
  return Importer(store, options).import(path);
}

std::uint64_t size_of(const fs::path& path) {
  std::error_code error;
  if (fs::is_regular_file(fs::symlink_status(path, error))) {
    const auto size = fs::file_size(path, error);
    return error ? 0 : size;
  }
  std::uint64_t total = 0;
  for (fs::recursive_directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored) && !entry->is_symlink(ignored)) {
      const auto size = entry->file_size(ignored);
      if (!ignored) total += size;
    }
  }
  return total;
}

}  // namespace codio::node
