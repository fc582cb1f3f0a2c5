#include "cli/content.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <spdlog/spdlog.h>
#include <string_view>
#include <utility>

#include "cli/terminal.h"
#include "content_id/unixfs/traversal.h"
#include "node/importer.h"

namespace codio::cli {

namespace fs = std::filesystem;
namespace unixfs = content_id::unixfs;
using content_id::Codec;
using content_id::ContentId;

namespace {

/// The name that a user knows the path by, also where it is written as `.` or `folder/`.
std::string name_of(const fs::path& path) {
  std::error_code error;
  const fs::path whole = fs::absolute(path, error).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

std::optional<std::uint64_t> parse_number(std::string_view digits) {
  std::uint64_t value = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || read.ec != std::errc() || read.ptr != digits.data() + digits.size()) return std::nullopt;
  return value;
}

}  // namespace

std::uint64_t seconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

Result<store::Root> add_path(const fs::path& path, store::BlockStore* store, const AddOptions& options,
                             bool show_progress) {
  const auto profile = unixfs::find_profile(options.profile);
  if (!profile) return fail(ErrorCode::kMalformed, "there is no profile '" + options.profile + "'");
  const std::string name = name_of(path);
  ProgressBar bar(printable(name), show_progress && is_watched() ? node::size_of(path) : 0, show_progress);
  node::ImportOptions import;
  import.profile = *profile;
  import.hidden = options.hidden;
  import.by_reference = options.nocopy;
  import.on_progress = [&](std::uint64_t bytes) { bar.update(bytes); };
  import.on_warning = [](const std::string& message) { spdlog::warn("{}", message); };
  store::Hold hold;
  if (store != nullptr) {
    auto held = store->hold();
    if (!held) return std::unexpected(held.error());
    hold = *std::move(held);
  }
  const auto link = node::import_path(path, store, import);
  if (!link) return std::unexpected(link.error());
  store::Root root{.cid = link->cid, .name = name, .added = seconds_since_1970(), .size = link->cumulative_size};
  if (store == nullptr) return root;
  if (auto recorded = store->add_root(root); !recorded) return std::unexpected(recorded.error());
  return root;
}

ContentId block_key(const ContentId& cid) { return ContentId::v1(Codec::kRaw, cid.multihash()); }

Result<Survey> survey(const store::BlockStore& store, const ContentId& root) {
  constexpr std::size_t kBatch = 64;
  Survey found;
  unixfs::Traversal traversal(root, {.path = {}, .scope = unixfs::Scope::kAll});
  for (auto wants = traversal.poll_wants(kBatch); !wants.empty(); wants = traversal.poll_wants(kBatch)) {
    for (const ContentId& cid : wants) {
      const auto size = store.size(cid);
      if (!size) return std::unexpected(size.error());
      if (!*size) {
        found.is_whole = false;
        continue;
      }
      if (found.blocks.emplace(block_key(cid), **size).second) found.bytes += **size;
      if (cid.codec() == Codec::kRaw) continue;  // It has no links.
      const auto block = store.get(cid);
      if (!block) return std::unexpected(block.error());
      if (*block) (void)traversal.handle_block(cid, **block);
    }
  }
  found.error = traversal.error();
  if (found.error) found.is_whole = false;
  return found;
}

Result<Reach> touch_all(const store::BlockStore& store, const ContentId& root, const BlockVisitor& on_here,
                        const BlockVisitor& on_missing) {
  constexpr std::size_t kBatch = 64;
  Reach reach;
  unixfs::Traversal traversal(root, {.path = {}, .scope = unixfs::Scope::kAll});
  /// Whether it is here, and its links were followed.
  const auto visit = [&](const ContentId& cid) -> Result<bool> {
    const auto here = store.touch(cid);
    if (!here || !*here || cid.codec() == Codec::kRaw) return here;  // The last has no links.
    const auto block = store.get(cid);
    if (!block || !*block) return false;
    if (auto walked = traversal.handle_block(cid, **block); !walked) return std::unexpected(walked.error());
    return true;
  };
  for (auto wants = traversal.poll_wants(kBatch); !wants.empty(); wants = traversal.poll_wants(kBatch)) {
    for (const ContentId& cid : wants) {
      const auto here = visit(cid);
      if (!here) return std::unexpected(here.error());
      ++(*here ? reach.blocks : reach.missing);
      const BlockVisitor& tell = *here ? on_here : on_missing;
      if (!tell) continue;
      if (auto told = tell(cid); !told) return std::unexpected(told.error());
    }
  }
  if (traversal.error()) return std::unexpected(*traversal.error());
  return reach;
}

Result<RangeText> RangeText::parse(const std::string& text) {
  const std::string_view view = text;
  const std::size_t dash = view.find('-');
  if (dash != view.npos) {
    const RangeText range{.first = parse_number(view.substr(0, dash)), .last = parse_number(view.substr(dash + 1))};
    const bool is_suffix = dash == 0 && range.last && *range.last > 0;
    const bool is_open = range.first && dash + 1 == view.size();
    const bool is_closed = range.first && range.last && *range.first <= *range.last;
    if (is_suffix || is_open || is_closed) return range;
  }
  return fail(
      ErrorCode::kMalformed,
      "'" + text + "' is not a range: A-B (bytes A to B, both inclusive, from 0), A- (from A on) or -N (the last N)");
}

Result<unixfs::ByteRange> RangeText::of(std::uint64_t size) const {
  if (!first) return unixfs::ByteRange{size - std::min(*last, size), size};
  if (*first >= size) {
    return fail(ErrorCode::kNotFound, "the range begins at byte " + std::to_string(*first) +
                                          ", but the file has only " + std::to_string(size) + " bytes");
  }
  return unixfs::ByteRange{*first, last ? std::min(*last, size - 1) + 1 : size};
}

}  // namespace codio::cli
