#include "content_id/unixfs/car_walk.h"

#include <algorithm>
#include <utility>

namespace codio::content_id::unixfs {
namespace {

constexpr std::size_t kMaxPending = std::size_t{1} << 20;
constexpr std::size_t kMaxBranches = std::size_t{1} << 18;
constexpr std::size_t kMaxRememberedLeaves = 65'536;

bool is_identity(const ContentId& cid) { return cid.multihash().code() == HashCode::kIdentity; }

std::uint64_t from_end(std::uint64_t size, std::int64_t negative) {
  const std::uint64_t back = std::uint64_t{0} - static_cast<std::uint64_t>(negative);
  return back > size ? 0 : size - back;
}

}  // namespace

ByteRange EntityBytes::of(std::uint64_t size) const {
  const std::uint64_t begin = from < 0 ? from_end(size, from) : std::min(static_cast<std::uint64_t>(from), size);
  if (!to) return {begin, size};
  if (*to < 0 && std::uint64_t{0} - static_cast<std::uint64_t>(*to) > size) return {begin, begin};
  const std::uint64_t last = *to < 0 ? from_end(size, *to) : static_cast<std::uint64_t>(*to);
  return {begin, std::max(begin, last >= size ? size : last + 1)};
}

CarWalk::CarWalk(const ContentId& root, CarWalkOptions options) : options_(std::move(options)) {
  if (options_.path.empty()) {
    // The root is wanted whatever it is: it need not be UnixFS.
    target_ = root;
    lineage_ = {root};
    if (!is_identity(root)) {
      wanted_ = root;
      return;
    }
    if (auto started = start_entity(root, root.multihash().digest()); !started) fail_with(started.error());
  } else {
    path_.emplace(root, TraversalOptions{.path = options_.path, .scope = Scope::kBlock});
    if (path_->error()) fail_with(*path_->error());
  }
  if (auto advanced = advance(); !advanced) fail_with(advanced.error());
}

Result<bool> CarWalk::handle_block(const SharedBytes& block) {
  if (error_) return std::unexpected(*error_);
  const ContentId cid = *std::exchange(wanted_, std::nullopt);
  const bool is_new = remember(cid);
  Result<void> handled;
  if (path_) {
    handled = path_->handle_block(cid, block);
    if (handled && path_->entity()) {
      const Entity entity = *path_->entity();
      path_.reset();
      target_ = entity.cid;
      lineage_ = entity.lineage;
      handled = is_identity(entity.cid) ? start_entity(entity.cid, entity.cid.multihash().digest())
                                        : start_entity(entity.cid, *block);
    }
  } else if (current_) {
    const Child child = *std::exchange(current_, std::nullopt);
    handled = expand(child, *block);
  } else {
    handled = start_entity(cid, *block);
  }
  if (handled) handled = advance();
  if (!handled) {
    fail_with(handled.error());
    return std::unexpected(*error_);
  }
  return is_new || options_.duplicates;
}

Result<void> CarWalk::start_entity(const ContentId& cid, BytesView block) {
  if (options_.scope == Scope::kBlock) return {};
  if (options_.scope == Scope::kAll) return expand({cid, Follow::kEveryLink}, block);
  const auto node = decode_node(cid.codec(), block);
  if (!node) return {};  // Not UnixFS: the block is all there is of it.
  if (node->kind == Node::Kind::kShard) return expand({cid, Follow::kShards}, block);
  if (node->kind != Node::Kind::kFile) return {};
  if (options_.bytes) range_ = options_.bytes->of(node->file_size);
  return expand({cid, Follow::kFile, 0, node->file_size}, block);
}

Result<void> CarWalk::expand(const Child& child, BytesView block) {
  if (child.follow == Follow::kNothing || child.cid.codec() != Codec::kDagPb) return {};
  std::vector<Child> children;
  if (child.follow == Follow::kEveryLink) {
    const auto node = decode_dag_pb(block);
    if (!node) return std::unexpected(node.error());
    for (const DagPbLink& link : node->links) children.push_back({link.cid, Follow::kEveryLink});
    return push(std::move(children));
  }
  const auto node = decode_node(child.cid.codec(), block);
  if (!node) return std::unexpected(node.error());
  if (child.follow == Follow::kShards) {
    if (node->kind != Node::Kind::kShard) return fail(ErrorCode::kMalformed, "UnixFS: a sub-shard is not a shard");
    for (const DagPbLink& link : node->links) {
      const auto name = entry_name(*node, link);
      if (name && name->empty()) children.push_back({link.cid, Follow::kShards});
    }
    return push(std::move(children));
  }
  if (node->kind != Node::Kind::kFile || node->file_size != child.size) {
    return fail(ErrorCode::kMalformed, "UnixFS: a file's part is not what its parent says");
  }
  std::uint64_t offset = child.offset + node->content.size();
  for (std::size_t i = 0; i < node->links.size(); ++i) {
    const Child part{node->links[i].cid, Follow::kFile, offset, node->block_sizes[i]};
    if (touches_range(part)) children.push_back(part);
    offset += part.size;
  }
  return push(std::move(children));
}

Result<void> CarWalk::push(std::vector<Child> children) {
  if (children.empty()) return {};
  pending_ += children.size();
  if (pending_ > kMaxPending) return fail(ErrorCode::kTooLarge, "the DAG has over 1,048,576 links in one walk down");
  frames_.push_back({std::move(children)});
  return {};
}

/// Finds the next block that is wanted. A chain of any length needs one frame: those that are done go first.
Result<void> CarWalk::advance() {
  if (path_) {
    const auto wants = path_->poll_wants(1);
    if (!wants.empty()) {
      wanted_ = wants.front();
      return {};
    }
    if (path_->error()) return std::unexpected(*path_->error());
    const Entity entity = *path_->entity();
    path_.reset();
    target_ = entity.cid;
    lineage_ = entity.lineage;
    if (auto started = start_entity(entity.cid, entity.cid.multihash().digest()); !started) return started;
  }
  while (!frames_.empty()) {
    Frame& frame = frames_.back();
    const Child child = frame.children[frame.next++];
    if (frame.next == frame.children.size()) {
      pending_ -= frame.children.size();
      frames_.pop_back();
    }
    if (is_identity(child.cid)) {
      // Ends: what is inside a CID is smaller than what links to it.
      if (auto expanded = expand(child, child.cid.multihash().digest()); !expanded) return expanded;
      continue;
    }
    // What was sent whole is not walked again; of what was sent in part, the other part may be needed now.
    const bool whole = is_inside_range(child);
    if (!options_.duplicates && whole && sent_.contains(child.cid) && partial_.erase(child.cid) == 0) continue;
    if (!whole && !sent_.contains(child.cid)) partial_.insert(child.cid);
    if (child.cid.codec() == Codec::kDagPb && sent_branches_ == kMaxBranches) {
      return fail(ErrorCode::kTooLarge, "the DAG has over 262,144 blocks with links");
    }
    wanted_ = child.cid;
    current_ = child;
    return {};
  }
  return {};
}

bool CarWalk::remember(const ContentId& cid) {
  if (options_.duplicates) return true;
  if (!sent_.insert(cid).second) return false;
  if (cid.codec() == Codec::kDagPb) {
    ++sent_branches_;
    return true;
  }
  sent_leaves_.push_back(cid);
  if (sent_leaves_.size() > kMaxRememberedLeaves) {
    sent_.erase(sent_leaves_.front());
    sent_leaves_.pop_front();
  }
  return true;
}

void CarWalk::fail_with(Error error) {
  wanted_.reset();
  frames_.clear();
  error_ = std::move(error);
}

bool CarWalk::touches_range(const Child& child) const {
  return !range_ || (child.offset < range_->end && child.offset + child.size > range_->begin);
}

bool CarWalk::is_inside_range(const Child& child) const {
  if (child.follow != Follow::kFile || !range_) return true;
  return child.offset >= range_->begin && child.offset + child.size <= range_->end;
}

}  // namespace codio::content_id::unixfs
