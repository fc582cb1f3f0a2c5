#include "content_id/unixfs/dag_walk.h"

#include <ranges>

namespace codio::content_id::unixfs {
namespace {

/// Blocks with links of one walk, all of which are remembered: without that, levels that link twice to the next one
/// would double the work with each level. About 100 MB, at over 100 TB of files.
constexpr std::size_t kMaxBranches = std::size_t{1} << 20;
constexpr std::size_t kMaxRememberedLeaves = 65'536;
/// From so many known leaves on, they are asked for before further branches: enough to keep every source busy.
constexpr std::size_t kEnoughLeaves = 4096;

}  // namespace

Result<void> DagWalk::start(const ContentId& cid, const Node& root) {
  visited_.insert(cid);
  if (follow_ == Follow::kEveryLink) return push_links(root.links);
  if (root.kind == Node::Kind::kShard) return push_shard(root);
  for (const DagPbLink& link : root.links) entries_.push_back({std::string(link.name), link.cid, link.size});
  return {};
}

void DagWalk::poll_wants(std::size_t max, std::vector<ContentId>& out) {
  while (out.size() < max && !(branches_.empty() && leaves_.empty())) {
    const bool leaf = branches_.empty() || leaves_.size() >= kEnoughLeaves;
    ContentId cid = leaf ? std::move(leaves_.front()) : std::move(branches_.back());
    leaf ? leaves_.pop_front() : branches_.pop_back();
    if (!visited_.insert(cid).second) continue;
    outstanding_.insert(cid);
    out.push_back(std::move(cid));
  }
}

Result<void> DagWalk::handle_block(const ContentId& cid, const SharedBytes& block) {
  if (outstanding_.erase(cid) == 0) return {};
  return expand(cid, *block);
}

std::optional<DirectoryEntry> DagWalk::poll_entry() {
  if (entries_.empty()) return std::nullopt;
  DirectoryEntry entry = std::move(entries_.front());
  entries_.pop_front();
  return entry;
}

Result<void> DagWalk::expand(const ContentId& cid, BytesView block) {
  if (follow_ == Follow::kShards) {
    const auto shard = decode_node(cid.codec(), block);
    if (!shard) return std::unexpected(shard.error());
    if (shard->kind != Node::Kind::kShard) return fail(ErrorCode::kMalformed, "UnixFS: a sub-shard is not a shard");
    return push_shard(*shard);
  }
  if (cid.codec() != Codec::kDagPb) {
    remember_leaf(cid);
    return {};
  }
  const auto node = decode_dag_pb(block);
  if (!node) return std::unexpected(node.error());
  if (node->links.empty()) {
    remember_leaf(cid);
    return {};
  }
  return push_links(node->links);
}

Result<void> DagWalk::push_links(const std::vector<DagPbLink>& links) {
  if (++branch_count_ > kMaxBranches) return fail(ErrorCode::kTooLarge, "the DAG has over 1,048,576 blocks with links");
  for (const DagPbLink& link : links | std::views::reverse) {
    if (auto pushed = push(link.cid); !pushed) return pushed;
  }
  return {};
}

Result<void> DagWalk::push_shard(const Node& shard) {
  if (++branch_count_ > kMaxBranches) return fail(ErrorCode::kTooLarge, "the directory has over 1,048,576 shards");
  for (const DagPbLink& link : shard.links) {
    const auto name = entry_name(shard, link);
    if (!name) return fail(ErrorCode::kMalformed, "UnixFS: a shard's link has no bucket");
    if (name->empty()) {
      if (auto pushed = push(link.cid); !pushed) return pushed;
    } else {
      entries_.push_back({std::string(*name), link.cid, link.size});
    }
  }
  return {};
}

Result<void> DagWalk::push(const ContentId& cid) {
  const Multihash& hash = cid.multihash();
  if (hash.code() == HashCode::kIdentity)
    return expand(cid, hash.digest());  // Ends: it is smaller than what links to it.
  if (cid.codec() == Codec::kDagPb) {
    branches_.push_back(cid);
  } else {
    leaves_.push_back(cid);
  }
  return {};
}

void DagWalk::remember_leaf(const ContentId& cid) {
  remembered_leaves_.push_back(cid);
  if (remembered_leaves_.size() <= kMaxRememberedLeaves) return;
  visited_.erase(remembered_leaves_.front());
  remembered_leaves_.pop_front();
}

}  // namespace codio::content_id::unixfs
