// car export, car import.
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include "cli/content.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "content_id/car.h"
#include "node/hash.h"
#include "node/store_walk.h"

namespace codio::cli {

namespace fs = std::filesystem;
namespace unixfs = content_id::unixfs;
using content_id::ContentId;
using content_id::HashCode;
using nlohmann::json;

namespace {

constexpr std::size_t kReadSize = 1024 * 1024;
/// Blocks go to the store in batches of this many bytes.
constexpr std::size_t kBatchSize = 8 * 1024 * 1024;

struct Written {
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;  ///< Of the archive.
};

Result<Written> write_archive(const store::BlockStore& store, const ContentId& root, OutputFile& out) {
  Written written;
  const auto write = [&](BytesView bytes) {
    written.bytes += bytes.size();
    return out.write(bytes);
  };
  if (auto done = write(content_id::car_header({root})); !done) return std::unexpected(done.error());
  node::StoreWalk walk(store, root, {.path = {}, .scope = unixfs::Scope::kAll});
  for (;;) {
    if (auto go_on = check_interrupt(); !go_on) return std::unexpected(go_on.error());
    const auto block = walk.next_block();
    if (!block) return std::unexpected(block.error());
    if (!*block) return written;
    ++written.blocks;
    const Bytes prefix = content_id::car_section_prefix((*block)->cid, (*block)->bytes->size());
    if (auto done = write(prefix); !done) return std::unexpected(done.error());
    if (auto done = write(*(*block)->bytes); !done) return std::unexpected(done.error());
  }
}

Result<Written> export_to_file(const store::BlockStore& store, const ContentId& root, const fs::path& path) {
  auto place = NewPath::make(path);
  if (!place) return std::unexpected(place.error());
  auto file = OutputFile::create(place->part());
  if (!file) return std::unexpected(file.error());
  const InterruptWatch watch;
  auto written = write_archive(store, root, *file);
  if (!written) return written;
  if (auto closed = file->close(); !closed) return std::unexpected(closed.error());
  if (auto committed = place->commit(); !committed) return std::unexpected(committed.error());
  return written;
}

class InputFile {
 public:
  explicit InputFile(const fs::path& path)
      : descriptor_(path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~InputFile() {
    if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  bool is_open() const { return descriptor_ >= 0; }
  ssize_t read(Bytes& into) const {
    for (;;) {
      const ssize_t size = ::read(descriptor_, into.data(), into.size());
      if (size >= 0 || errno != EINTR) return size;
    }
  }

 private:
  int descriptor_;
};

Result<void> verify(const content_id::CarBlock& block) {
  const content_id::Multihash& expected = block.cid.multihash();
  const HashCode code = expected.code();
  if (!content_id::is_verifiable(code)) {
    return fail(
        ErrorCode::kUnsupported,
        "block " + block.cid.to_string() + " cannot be verified: its hash is neither sha2-256, sha2-512 nor identity");
  }
  const bool matches = code == HashCode::kIdentity
                           ? std::ranges::equal(*block.bytes, expected.digest())
                           : std::ranges::equal(node::hash(code, *block.bytes), expected.digest());
  return matches ? Result<void>() : fail(ErrorCode::kMismatch, "block " + block.cid.to_string() + " is corrupted");
}

/// Puts the blocks of an archive into the store, each after it was verified.
class Import {
 public:
  explicit Import(store::BlockStore& store) : store_(store) {}

  Result<void> append(BytesView bytes) {
    reader_.append(bytes);
    for (;;) {
      auto block = reader_.poll_block();
      if (!block) return std::unexpected(block.error());
      if (!*block) return {};
      if (auto kept = keep(**std::move(block)); !kept) return kept;
    }
  }

  Result<void> finish() {
    if (!reader_.at_boundary()) return fail(ErrorCode::kMalformed, "it ends early: get it again");
    return write_batch();
  }

  const std::vector<ContentId>& roots() const { return *reader_.roots(); }  ///< After finish().
  std::uint64_t blocks() const { return blocks_; }

 private:
  Result<void> keep(content_id::CarBlock block) {
    if (auto verified = verify(block); !verified) return verified;
    ++blocks_;
    batch_size_ += block.bytes->size();
    batch_.push_back(std::move(block));
    return batch_size_ < kBatchSize ? Result<void>() : write_batch();
  }

  Result<void> write_batch() {
    std::vector<store::BlockStore::Entry> entries;
    entries.reserve(batch_.size());
    for (const content_id::CarBlock& block : batch_) entries.push_back({block.cid, *block.bytes});
    auto put = store_.put_many(entries);
    batch_.clear();
    batch_size_ = 0;
    return put;
  }

  store::BlockStore& store_;
  content_id::CarReader reader_;
  std::vector<content_id::CarBlock> batch_;
  std::size_t batch_size_ = 0;
  std::uint64_t blocks_ = 0;
};

Result<void> read_archive(const fs::path& path, Import& import, bool show_progress) {
  const InputFile file(path);
  if (!file.is_open()) return io_failure("read", path, errno);
  std::error_code error;
  const auto size = fs::file_size(path, error);
  ProgressBar bar(printable(path.string()), error ? 0 : size, show_progress);
  Bytes buffer(kReadSize);
  std::uint64_t done = 0;
  for (;;) {
    const ssize_t read = file.read(buffer);
    if (read < 0) return io_failure("read", path, errno);
    if (read == 0) return import.finish();
    if (auto taken = import.append(BytesView(buffer).first(static_cast<std::size_t>(read))); !taken) return taken;
    bar.update(done += static_cast<std::uint64_t>(read));
  }
}

/// An archive's root and whether all of its blocks are here now; only then it is recorded.
Result<bool> record_root(store::BlockStore& store, const ContentId& cid, const std::string& name) {
  (void)touch_all(store, cid);  // Also what was here before; survey() tells how it ends.
  const auto found = survey(store, cid);
  if (!found) return std::unexpected(found.error());
  if (!found->is_whole) return false;
  const auto recorded = store.add_root({.cid = cid, .name = name, .added = seconds_since_1970(), .size = found->bytes});
  if (!recorded) return std::unexpected(recorded.error());
  return true;
}

}  // namespace

Result<void> car_export(const CommonOptions& common, const CarOptions& options) {
  const auto cid = ContentId::parse(options.cid);
  if (!cid) return std::unexpected(cid.error());
  if (options.file.empty() && isatty(STDOUT_FILENO) == 1) {
    return fail(ErrorCode::kUnsupported, "an archive is nothing to read on a terminal: name a file with -o FILE");
  }
  const auto store = open_store(common);
  if (!store) return std::unexpected(store.error());
  OutputFile out = OutputFile::standard_output();
  const auto written =
      options.file.empty() ? write_archive(**store, *cid, out) : export_to_file(**store, *cid, options.file);
  if (!written) return std::unexpected(written.error());
  if (common.json && !options.file.empty()) {
    print_json({{"cid", cid->to_string()},
                {"path", options.file.string()},
                {"size", written->bytes},
                {"blocks", written->blocks}});
  }
  return {};
}

Result<void> car_import(const CommonOptions& common, const CarOptions& options) {
  const auto store = open_store(common);
  if (!store) return std::unexpected(store.error());
  const auto hold = (*store)->hold();
  if (!hold) return std::unexpected(hold.error());
  Import import(**store);
  if (auto read = read_archive(options.file, import, !common.json); !read) {
    const bool is_of_input = read.error().code != ErrorCode::kIo;
    return is_of_input ? fail(read.error().code, options.file.string() + ": " + read.error().message) : read;
  }
  if (auto synced = (*store)->sync(); !synced) return synced;
  const std::string name = options.file == "-" ? "" : options.file.stem().string();
  json roots = json::array();
  for (const ContentId& cid : import.roots()) {
    const auto whole = record_root(**store, cid, name);
    if (!whole) return std::unexpected(whole.error());
    roots.push_back({{"cid", cid.to_string()}, {"whole", *whole}});
    if (common.json) continue;
    if (*whole) print_line(cid.to_string() + "  " + printable(name));
    if (!*whole) spdlog::warn("{} was not recorded: the archive has not all of its blocks", cid.to_string());
  }
  if (common.json) print_json({{"path", options.file.string()}, {"blocks", import.blocks()}, {"roots", roots}});
  return {};
}

}  // namespace codio::cli
