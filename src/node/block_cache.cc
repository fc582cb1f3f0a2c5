#include "node/block_cache.h"

#include <algorithm>
#include <cstring>

namespace codio::node {

using content_id::ContentId;

/// The end of a digest is as good as random.
std::size_t BlockCache::Hash::operator()(const ContentId& cid) const {
  const BytesView bytes = cid.bytes();
  std::size_t hash = 0;
  const std::size_t size = std::min(sizeof hash, bytes.size());
  std::memcpy(&hash, bytes.data() + bytes.size() - size, size);
  return hash;
}

Result<std::optional<SharedBytes>> BlockCache::get(const ContentId& cid) {
  Shard& shard = shards_.at(Hash()(cid) % kShards);
  const auto now = std::chrono::steady_clock::now();
  if (const auto entry = find(shard, cid)) {
    if (now - entry->checked < kChecked) return entry->block;
    const auto is_there = store_.touch(cid);
    if (is_there && *is_there) {
      put(shard, cid, entry->block);
      return entry->block;
    }
    remove(shard, cid);
  }
  auto block = store_.get(cid);
  if (block && *block && (**block)->size() <= shard_capacity_) put(shard, cid, **block);
  return block;
}

std::optional<BlockCache::Entry> BlockCache::find(Shard& shard, const ContentId& cid) {
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.by_cid.find(cid);
  if (found == shard.by_cid.end()) return std::nullopt;
  shard.entries.splice(shard.entries.begin(), shard.entries, found->second);
  return *found->second;
}

void BlockCache::put(Shard& shard, const ContentId& cid, const SharedBytes& block) {
  remove(shard, cid);
  const std::lock_guard lock(shard.mutex);
  if (shard.by_cid.contains(cid)) return;
  shard.entries.push_front({cid, block, std::chrono::steady_clock::now()});
  shard.by_cid.emplace(cid, shard.entries.begin());
  shard.size += block->size();
  while (shard.size > shard_capacity_) {
    shard.size -= shard.entries.back().block->size();
    shard.by_cid.erase(shard.entries.back().cid);
    shard.entries.pop_back();
  }
}

void BlockCache::remove(Shard& shard, const ContentId& cid) {
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.by_cid.find(cid);
  if (found == shard.by_cid.end()) return;
  shard.size -= found->second->block->size();
  shard.entries.erase(found->second);
  shard.by_cid.erase(found);
}

}  // namespace codio::node
