#include "node/block_cache.h"

#include <gtest/gtest.h>

#include "node/testing.h"

namespace codio::node {
namespace {

using content_id::ContentId;

class BlockCacheTest : public testing::Test {
 protected:
  ContentId put(const Bytes& bytes) {
    const ContentId cid = ContentId::v1(content_id::Codec::kRaw, sha256(bytes));
    EXPECT_TRUE(store_->put(cid, bytes));
    return cid;
  }

  TemporaryFolder folder_;
  std::unique_ptr<store::BlockStore> store_ = *store::BlockStore::open(folder_.path());
};

TEST_F(BlockCacheTest, GivesTheSameBlockToAll) {
  BlockCache cache(*store_, 1 << 20);
  const ContentId cid = put(random_bytes(1, 1000));
  const auto first = cache.get(cid);
  const auto second = cache.get(cid);
  ASSERT_TRUE(first && *first && second && *second);
  EXPECT_EQ((*first)->get(), (*second)->get());
  EXPECT_EQ(***first, random_bytes(1, 1000));
}

TEST_F(BlockCacheTest, HasNothingThatTheStoreHasNot) {
  BlockCache cache(*store_, 1 << 20);
  const auto block = cache.get(ContentId::v1(content_id::Codec::kRaw, sha256(random_bytes(1, 10))));
  ASSERT_TRUE(block);
  EXPECT_FALSE(*block);
}

TEST_F(BlockCacheTest, LetsGoOfWhatWasUsedLeast) {
  // Each block is as large as what one shard may hold.
  BlockCache cache(*store_, 16 * 1000);
  std::vector<ContentId> cids;
  for (std::uint32_t i = 0; i < 64; ++i) cids.push_back(put(random_bytes(i, 1000)));
  std::vector<std::weak_ptr<const Bytes>> given;
  for (const ContentId& cid : cids) given.push_back(**cache.get(cid));
  std::size_t kept = 0;
  for (const auto& block : given) kept += block.expired() ? 0 : 1;
  EXPECT_LE(kept, 16u);
  EXPECT_FALSE(given.back().expired());
}

}  // namespace
}  // namespace codio::node
