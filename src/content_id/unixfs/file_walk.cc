#include "content_id/unixfs/file_walk.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/concat.h"
#include "content_id/car.h"

namespace codio::content_id::unixfs {
namespace {

/// A balanced tree of two-link nodes over 2^32 chunks.
constexpr unsigned kMaxDepth = 32;
/// About 10 MB. A 16 MiB window of chunks of 256 bytes fits.
constexpr std::size_t kMaxFrontier = 65'536;
/// An endless window must not make an endless frontier.
constexpr std::uint64_t kMaxWindow = std::uint64_t{1} << 30;

Result<void> malformed(std::string_view why) { return fail(ErrorCode::kMalformed, "UnixFS", why); }

Result<void> check_part(const Node& node, std::uint64_t size) {
  if (node.kind != Node::Kind::kFile) return malformed(concat({"a ", to_string(node.kind), " inside a file"}));
  if (node.file_size != size) return malformed("a part of a file is not as large as its parent says");
  return {};
}

}  // namespace

FileWalk::FileWalk(ByteRange range, std::uint64_t window)
    : range_(range), window_(std::clamp<std::uint64_t>(window, 1, kMaxWindow)), position_(range.begin) {}

Result<void> FileWalk::start(const Node& root, const SharedBytes& block) {
  range_.end = std::min(range_.end, root.file_size);
  if (range_.begin >= range_.end) return {};
  return expand(0, 0, root, block);
}

void FileWalk::poll_wants(std::size_t max, std::vector<ContentId>& out) {
  while (out.size() < max) {
    const auto offset = take_unasked();
    if (!offset) return;
    if (fill_from_last(*offset)) continue;
    const ContentId& cid = missing_.at(*offset).cid;
    const auto [asked, is_new] = asked_.try_emplace(cid);
    asked->second.push_back(*offset);
    if (is_new) out.push_back(cid);
  }
}

Result<void> FileWalk::handle_block(const ContentId& cid, const SharedBytes& block) {
  const auto asked = asked_.extract(cid);
  if (asked.empty()) return {};
  const auto node = decode_node(cid.codec(), *block);
  if (!node) return std::unexpected(node.error());
  for (const std::uint64_t offset : asked.mapped()) {
    const auto subtree = missing_.extract(offset);
    if (auto checked = check_part(*node, subtree.mapped().size); !checked) return checked;
    if (auto expanded = expand(offset, subtree.mapped().depth, *node, block); !expanded) return expanded;
    if (node->links.empty()) last_.emplace(Leaf{cid, filled_.at(offset)});
  }
  return {};
}

std::optional<Segment> FileWalk::poll_segment() {
  if (!missing_.empty() && (filled_.empty() || missing_.begin()->first < filled_.begin()->first)) {
    // What is next may still be beyond the window, and be the last leaf again.
    const std::uint64_t next = missing_.begin()->first;
    if (!unasked_others_.contains(next) || !fill_from_last(next)) return std::nullopt;
    unasked_others_.erase(next);
  }
  if (filled_.empty()) return std::nullopt;

  const auto front = filled_.extract(filled_.begin());
  held_ -= front.mapped().size;
  const std::uint64_t offset = front.key();
  const Content& content = front.mapped();
  const std::uint64_t begin = std::max(offset, range_.begin);
  const std::uint64_t end = std::min(offset + content.size, range_.end);
  position_ = end;
  return Segment{.offset = begin,
                 .block = content.block,
                 .begin = content.begin + static_cast<std::size_t>(begin - offset),
                 .size = static_cast<std::size_t>(end - begin)};
}

std::optional<std::uint64_t> FileWalk::take_unasked() {
  const auto take = [this](std::set<std::uint64_t>& offsets, std::uint64_t ahead) -> std::optional<std::uint64_t> {
    if (offsets.empty()) return std::nullopt;
    const std::uint64_t offset = *offsets.begin();
    if (offset > position_ && offset - position_ >= ahead) return std::nullopt;
    offsets.erase(offsets.begin());
    return offset;
  };
  // Branches are asked for twice as far ahead, so that their leaves are known when the window reaches them.
  if (const auto branch = take(unasked_branches_, 2 * window_)) return branch;
  return take(unasked_others_, window_);
}

bool FileWalk::fill_from_last(std::uint64_t offset) {
  const Subtree& subtree = missing_.at(offset);
  if (!last_ || last_->cid != subtree.cid || last_->content.size != subtree.size) return false;
  fill(offset, last_->content);
  missing_.erase(offset);
  return true;
}

Result<void> FileWalk::expand(std::uint64_t offset, unsigned depth, const Node& node, const SharedBytes& block) {
  if (depth > kMaxDepth) return fail(ErrorCode::kTooLarge, "UnixFS: the file's DAG is over 32 levels deep");
  const std::size_t content_size = node.content.size();
  if (in_range(offset, content_size)) {
    // Few bytes do not keep a large block alive, or a window of them would cost more memory than a window.
    const bool keep = block->size() <= 2 * content_size + 1024;
    const auto begin = static_cast<std::size_t>(node.content.data() - block->data());
    fill(offset, keep ? Content{block, begin, content_size}
                      : Content{share(Bytes(node.content.begin(), node.content.end())), 0, content_size});
  }
  offset += content_size;
  for (std::size_t i = 0; i < node.links.size(); offset += node.block_sizes[i++]) {
    if (!in_range(offset, node.block_sizes[i])) continue;
    if (auto inserted = insert(offset, {node.links[i].cid, node.block_sizes[i], depth + 1}); !inserted) return inserted;
  }
  return {};
}

Result<void> FileWalk::insert(std::uint64_t offset, Subtree subtree) {
  const Codec codec = subtree.cid.codec();
  if (codec != Codec::kRaw && codec != Codec::kDagPb) return malformed("a part of a file is neither raw nor dag-pb");
  const Multihash& hash = subtree.cid.multihash();
  if (hash.code() == HashCode::kIdentity) {
    const SharedBytes block = share(Bytes(hash.digest().begin(), hash.digest().end()));
    const auto node = decode_node(codec, *block);
    if (!node) return std::unexpected(node.error());
    if (auto checked = check_part(*node, subtree.size); !checked) return checked;
    return expand(offset, subtree.depth, *node, block);
  }
  if (missing_.size() + filled_.size() >= kMaxFrontier) {
    return fail(ErrorCode::kTooLarge, "UnixFS: the file's parts are too small: over 65,536 in one window");
  }
  auto& unasked = codec == Codec::kDagPb && subtree.size > kMaxBlockSize ? unasked_branches_ : unasked_others_;
  unasked.insert(unasked.end(), offset);
  missing_.emplace(offset, std::move(subtree));
  return {};
}

void FileWalk::fill(std::uint64_t offset, Content content) {
  held_ += content.size;
  filled_.emplace(offset, std::move(content));
}

bool FileWalk::in_range(std::uint64_t offset, std::uint64_t size) const {
  return size > 0 && offset < range_.end && offset + size > range_.begin;
}

}  // namespace codio::content_id::unixfs
