#include "dht/key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace codio::dht {
namespace {

using content_id::ContentId;

TEST(Key, IsTheSha1OfTheMultihash) {
  // printf '\x12\x20…' | sha1sum, of the multihash of "hello world".
  const auto cid = *ContentId::parse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
  const Key expected{0x87, 0x6a, 0x9a, 0xac, 0x88, 0xeb, 0xb2, 0xde, 0xf4, 0x1e,
                     0x6c, 0xae, 0xc0, 0x73, 0xa1, 0xf9, 0x91, 0x18, 0x63, 0xcc};
  EXPECT_EQ(key_of(cid), expected);
}

TEST(Key, IsTheSameForBothVersionsOfACid) {
  const auto v0 = *ContentId::parse("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG");
  EXPECT_EQ(key_of(v0), key_of(v0.to_v1()));
}

}  // namespace
}  // namespace codio::dht
