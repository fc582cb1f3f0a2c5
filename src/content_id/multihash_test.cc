#include "content_id/multihash.h"

#include <gtest/gtest.h>

namespace codio::content_id {
namespace {

TEST(Multihash, TakesOneFromTheStartOfTheBytes) {
  Bytes bytes{0x12, 0x20};
  bytes.resize(34, 0xab);
  bytes.push_back(0x99);
  BytesView rest = bytes;
  const auto hash = Multihash::take(rest);
  ASSERT_TRUE(hash);
  EXPECT_EQ(hash->code(), HashCode::kSha2_256);
  EXPECT_EQ(hash->digest().size(), 32U);
  EXPECT_EQ(hash->bytes().size(), 34U);
  EXPECT_EQ(rest.size(), 1U);
}

TEST(Multihash, KeepsCodesOfSeveralBytesAndLongDigests) {
  const Bytes digest(128, 0x5a);
  const auto hash = Multihash::make(HashCode::kBlake2b256, digest);
  ASSERT_TRUE(hash);
  const Multihash copy = *hash;
  EXPECT_EQ(copy.code(), HashCode::kBlake2b256);
  EXPECT_EQ(Bytes(copy.digest().begin(), copy.digest().end()), digest);
}

TEST(Multihash, BoundsTheDigest) {
  EXPECT_FALSE(Multihash::make(HashCode::kSha2_256, Bytes(19)));
  EXPECT_TRUE(Multihash::make(HashCode::kSha1, Bytes(20)));
  EXPECT_TRUE(Multihash::make(HashCode::kSha2_512, Bytes(128)));
  EXPECT_FALSE(Multihash::make(HashCode::kSha2_512, Bytes(129)));
  EXPECT_TRUE(Multihash::make(HashCode::kIdentity, {}));
  EXPECT_TRUE(Multihash::make(HashCode::kIdentity, Bytes(128)));
  EXPECT_FALSE(Multihash::make(HashCode::kIdentity, Bytes(129)));
}

TEST(Multihash, RefusesInputThatEndsWithinIt) {
  Bytes bytes{0x12, 0x20};
  bytes.resize(34, 0xab);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    BytesView rest = BytesView(bytes).first(size);
    EXPECT_FALSE(Multihash::take(rest)) << size;
    EXPECT_EQ(rest.size(), size);
  }
}

TEST(Multihash, SaysWhichHashesHostsCanCheck) {
  EXPECT_TRUE(is_verifiable(HashCode::kIdentity));
  EXPECT_TRUE(is_verifiable(HashCode::kSha2_256));
  EXPECT_TRUE(is_verifiable(HashCode::kSha2_512));
  EXPECT_FALSE(is_verifiable(HashCode::kSha1));
  EXPECT_FALSE(is_verifiable(HashCode::kBlake3));
}

}  // namespace
}  // namespace codio::content_id
