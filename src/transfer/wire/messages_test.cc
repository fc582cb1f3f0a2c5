#include "transfer/wire/messages.h"

#include <gtest/gtest.h>
#include <random>
#include <utility>

#include "common/protobuf.h"

namespace codio::transfer::wire {
namespace {

using content_id::ContentId;

ContentId some_cid() { return *ContentId::parse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"); }

template <class Kind>
Kind round_trip(const Kind& message) {
  const Bytes frame = encode(message);
  const auto decoded = decode(frame);
  EXPECT_TRUE(decoded && *decoded);
  return std::get<Kind>(**decoded);
}

TEST(Messages, HelloHasTheBytesOfTheSpecification) {
  const Bytes frame = encode(Hello{.version = 1, .max_frame = 65536, .credit = 262144});
  EXPECT_EQ(frame, (Bytes{0x01, 0x08, 0x01, 0x10, 0x80, 0x80, 0x04, 0x18, 0x80, 0x80, 0x10}));
}

TEST(Messages, ReadBackWhatWasWritten) {
  EXPECT_EQ(round_trip(Hello{.version = 1, .max_frame = kMaxFrame, .credit = 1ULL << 40}).credit, 1ULL << 40);
  EXPECT_EQ(round_trip(Hello{}).proof, std::nullopt);
  const Proof proof{.key = {1, 2}, .signature = {3, 4}};
  EXPECT_EQ(round_trip(Hello{.proof = proof}).proof, proof);
  const Want want =
      round_trip(Want{{{WantId{1}, some_cid(), WantKind::kBlock}, {WantId{300}, some_cid(), WantKind::kHave}}});
  ASSERT_EQ(want.entries.size(), 2U);
  EXPECT_EQ(want.entries[1].id, WantId{300});
  EXPECT_EQ(want.entries[1].cid, some_cid());
  EXPECT_EQ(want.entries[1].kind, WantKind::kHave);
  EXPECT_EQ(round_trip(Have{{WantId{7}, WantId{70000}}}).ids, (std::vector{WantId{7}, WantId{70000}}));
  const DontHave dont_have = round_trip(DontHave{.ids = {WantId{9}}, .reason = DontHaveReason::kBusy});
  EXPECT_EQ(dont_have.reason, DontHaveReason::kBusy);
  EXPECT_EQ(round_trip(Cancel{{WantId{3}}}).ids.size(), 1U);
  EXPECT_EQ(round_trip(Credit{1ULL << 50}).limit, 1ULL << 50);
  const Goodbye goodbye = round_trip(Goodbye{GoodbyeCode::kBadBlock, "no"});
  EXPECT_EQ(goodbye.code, GoodbyeCode::kBadBlock);
  EXPECT_EQ(goodbye.reason, "no");
}

TEST(Messages, ABlockChunkPointsIntoItsFrame) {
  const Bytes bytes(1000, 0xab);
  const Bytes frame = encode(BlockChunk{WantId{5}, 100, 1100, bytes});
  EXPECT_LE(frame.size(), bytes.size() + kMaxBlockHeader);
  const BlockChunk chunk = std::get<BlockChunk>(**decode(frame));
  EXPECT_EQ(chunk.offset, 100U);
  EXPECT_EQ(chunk.size, 1100U);
  EXPECT_TRUE(std::equal(chunk.bytes.begin(), chunk.bytes.end(), bytes.begin(), bytes.end()));
}

TEST(Messages, UnknownTypesAreIgnored) {
  const auto decoded = decode(Bytes{0x7f, 1, 2, 3});
  ASSERT_TRUE(decoded);
  EXPECT_FALSE(*decoded);
}

TEST(Messages, BrokenFramesAreRefused) {
  EXPECT_FALSE(decode({})) << "empty";
  EXPECT_FALSE(decode(encode(Hello{.max_frame = kMinFrame - 1}))) << "frame size under the least";
  EXPECT_FALSE(decode(encode(Hello{.max_frame = kMaxFrame + 1}))) << "frame size over the most";
  for (const auto& [key, signature] :
       {std::pair(32, -1), std::pair(-1, 64), std::pair(31, 64), std::pair(33, 64), std::pair(32, 63),
        std::pair(32, 65), std::pair(0, 64), std::pair(0, 0), std::pair(64, 32)}) {
    Bytes hello{1, 0x08, 0x01, 0x10, 0x80, 0x80, 0x04};
    ProtobufWriter writer(hello);
    if (key >= 0) writer.write_bytes(5, Bytes(static_cast<std::size_t>(key)));
    if (signature >= 0) writer.write_bytes(6, Bytes(static_cast<std::size_t>(signature)));
    EXPECT_FALSE(decode(hello)) << "a key of " << key << " bytes, a signature of " << signature;
  }
  EXPECT_FALSE(decode(Bytes{1, 0x08, 0x01, 0x10, 0x80, 0x80, 0x04, 0x28, 0x01, 0x30, 0x01})) << "numbers for both";
  const Bytes bytes(100);
  EXPECT_FALSE(decode(encode(BlockChunk{WantId{1}, 50, 100, bytes}))) << "bytes past the block's end";
  EXPECT_FALSE(decode(encode(BlockChunk{WantId{1}, 0, 3 << 20, bytes}))) << "block over 2 MiB";
  EXPECT_FALSE(decode(encode(BlockChunk{WantId{1}, 10, 100, {}}))) << "chunk without bytes";
  EXPECT_FALSE(decode(Bytes{8, 0x12, 0x7f, 0x78})) << "reason longer than the frame";
  Want many;
  for (std::uint32_t i = 1; i <= kMaxOpenWants + 1; ++i)
    many.entries.push_back({WantId{i}, some_cid(), WantKind::kBlock});
  EXPECT_FALSE(decode(encode(many))) << "too many wants";
  EXPECT_FALSE(decode(Bytes{2, 0x0a, 0x02, 0x08, 0x01})) << "a want without CID";
}

TEST(Messages, NoMutationOfAFrameDoesHarm) {
  for (std::uint32_t seed = 1; seed <= 2000; ++seed) {
    std::mt19937 random(seed);
    Bytes frame = encode(Want{{{WantId{1}, some_cid(), WantKind::kBlock}}});
    frame[0] = static_cast<std::uint8_t>(random() % 10);
    for (int i = 0; i < 3; ++i) frame[random() % frame.size()] = static_cast<std::uint8_t>(random());
    frame.resize(random() % (frame.size() + 1));
    (void)decode(frame);
  }
}

}  // namespace
}  // namespace codio::transfer::wire
