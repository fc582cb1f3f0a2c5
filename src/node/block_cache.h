// Blocks that were read lately, in memory: what many ask for at a time is read from the store once.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"
#include "store/block_store.h"

namespace codio::node {

/// In front of a store. What is removed there is gone here within kChecked. Thread-safe; blocks on the disk.
class BlockCache {
 public:
  /// How long a block is given out without a look whether the store has it still, and without its use being told to
  /// the store.
  static constexpr std::chrono::seconds kChecked{1};

  /// `capacity`: bytes of blocks, the least recently used going first.
  BlockCache(const store::BlockStore& store, std::size_t capacity)
      : store_(store), shard_capacity_(capacity / kShards) {}

  /// As BlockStore::get().
  Result<std::optional<SharedBytes>> get(const content_id::ContentId& cid);

 private:
  static constexpr std::size_t kShards = 16;

  struct Entry {
    content_id::ContentId cid;
    SharedBytes block;
    std::chrono::steady_clock::time_point checked;
  };
  struct Hash {
    std::size_t operator()(const content_id::ContentId& cid) const;
  };
  struct Shard {
    std::mutex mutex;
    std::list<Entry> entries;  ///< The last used first.
    std::unordered_map<content_id::ContentId, std::list<Entry>::iterator, Hash> by_cid;
    std::size_t size = 0;
  };

  std::optional<Entry> find(Shard& shard, const content_id::ContentId& cid);
  void put(Shard& shard, const content_id::ContentId& cid, const SharedBytes& block);
  void remove(Shard& shard, const content_id::ContentId& cid);

  const store::BlockStore& store_;
  std::size_t shard_capacity_;
  std::array<Shard, kShards> shards_;
};

}  // namespace codio::node
