#include "transfer/receiver.h"

#include <gtest/gtest.h>

#include "transfer/testing.h"

namespace codio::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using wire::BlockChunk;
using wire::WantId;
using wire::WantKind;

constexpr Time kBegin = Time{} + seconds(1000);

class ReceiverTest : public testing::Test {
 protected:
  BlockChunk chunk(WantId id, std::uint32_t offset, std::uint32_t size) const {
    return {id, offset, static_cast<std::uint32_t>(block.size()), BytesView(block).subspan(offset, size)};
  }

  void expect_malformed(const BlockChunk& bad) {
    const auto handled = receiver.handle_chunk(kBegin, bad);
    ASSERT_FALSE(handled);
    EXPECT_EQ(handled.error().code, ErrorCode::kMalformed);
  }

  Bytes block = numbered_bytes(1, 1000);
  Receiver receiver;
};

TEST_F(ReceiverTest, AssemblesABlockFromItsChunks) {
  const WantId id = receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  const auto first = receiver.handle_chunk(kBegin, chunk(id, 0, 600));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->fresh, 600U);
  EXPECT_EQ(first->cid, numbered_cid(1));
  EXPECT_EQ(first->block, nullptr);
  EXPECT_EQ(receiver.open_blocks(), 1U);
  const auto last = receiver.handle_chunk(kBegin, chunk(id, 600, 400));
  ASSERT_TRUE(last);
  ASSERT_NE(last->block, nullptr);
  EXPECT_EQ(*last->block, block);
  EXPECT_EQ(receiver.open_blocks(), 0U);
  EXPECT_EQ(receiver.window().received(), 1000U);
}

TEST_F(ReceiverTest, TakesBlocksInAnyOrderButOneAfterTheOther) {
  const WantId a = receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  const WantId b = receiver.open(kBegin, numbered_cid(2), WantKind::kBlock);
  EXPECT_TRUE(receiver.handle_chunk(kBegin, chunk(b, 0, 500)));
  EXPECT_EQ(receiver.held(), 500U);
  EXPECT_EQ(*receiver.handle_chunk(kBegin, chunk(b, 500, 500))->block, block);
  EXPECT_EQ(receiver.held(), 0U);
  EXPECT_TRUE(receiver.handle_chunk(kBegin, chunk(a, 0, 500)));
}

TEST_F(ReceiverTest, RefusesABlockBegunBeforeTheOneBeforeHasEnded) {
  const WantId a = receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  const WantId b = receiver.open(kBegin, numbered_cid(2), WantKind::kBlock);
  EXPECT_TRUE(receiver.handle_chunk(kBegin, chunk(b, 0, 500)));
  EXPECT_FALSE(receiver.handle_chunk(kBegin, chunk(a, 0, 500)));
}

TEST_F(ReceiverTest, AnotherBlockMayBeginWhereOneWasTakenBackOrRefused) {
  const WantId a = receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  const WantId b = receiver.open(kBegin, numbered_cid(2), WantKind::kBlock);
  const WantId c = receiver.open(kBegin, numbered_cid(3), WantKind::kBlock);
  EXPECT_TRUE(receiver.handle_chunk(kBegin, chunk(a, 0, 500)));
  receiver.cancel(numbered_cid(1));
  EXPECT_TRUE(receiver.handle_chunk(kBegin, chunk(b, 0, 500)));
  EXPECT_TRUE(receiver.handle_answer(b));
  EXPECT_TRUE(receiver.handle_chunk(kBegin, chunk(c, 0, 500)));
}

TEST_F(ReceiverTest, AnEmptyBlockIsOneEmptyChunk) {
  const WantId id = receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  const auto handled = receiver.handle_chunk(kBegin, BlockChunk{id, 0, 0, {}});
  ASSERT_TRUE(handled && handled->block);
  EXPECT_TRUE(handled->block->empty());
}

TEST_F(ReceiverTest, RefusesAGap) {
  const WantId id = receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  ASSERT_TRUE(receiver.handle_chunk(kBegin, chunk(id, 0, 100)));
  expect_malformed(chunk(id, 101, 100));
}

TEST_F(ReceiverTest, RefusesAGapAtTheBeginning) {
  const WantId id = receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  expect_malformed(chunk(id, 1, 100));
}

TEST_F(ReceiverTest, RefusesAnOverlap) {
  const WantId id = receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  ASSERT_TRUE(receiver.handle_chunk(kBegin, chunk(id, 0, 100)));
  expect_malformed(chunk(id, 99, 100));
}

TEST_F(ReceiverTest, RefusesASizeThatChanges) {
  const WantId id = receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  ASSERT_TRUE(receiver.handle_chunk(kBegin, chunk(id, 0, 100)));
  BlockChunk next = chunk(id, 100, 100);
  ++next.size;
  expect_malformed(next);
}

TEST_F(ReceiverTest, RefusesAByteOverTheCredit) {
  CreditWindowOptions credit;
  credit.initial = 999;
  receiver = Receiver(credit);
  const WantId id = receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  expect_malformed(chunk(id, 0, 1000));
  EXPECT_TRUE(receiver.handle_chunk(kBegin, chunk(id, 0, 999)));
  expect_malformed(chunk(id, 999, 1));
}

TEST_F(ReceiverTest, RefusesABlockThatNobodyWanted) {
  expect_malformed(chunk(WantId{1}, 0, 100));
  const WantId id = receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  expect_malformed(chunk(WantId{id.value + 1}, 0, 100));
  expect_malformed(chunk(WantId{0}, 0, 100));
}

TEST_F(ReceiverTest, RefusesABlockForAQuestion) {
  const WantId id = receiver.open(kBegin, numbered_cid(1), WantKind::kHave);
  expect_malformed(chunk(id, 0, 100));
}

TEST_F(ReceiverTest, AnAnswerClosesItsWant) {
  const WantId question = receiver.open(kBegin, numbered_cid(1), WantKind::kHave);
  const WantId want = receiver.open(kBegin, numbered_cid(2), WantKind::kBlock);
  const auto answered = receiver.handle_answer(question);
  ASSERT_TRUE(answered && *answered);
  EXPECT_EQ((*answered)->cid, numbered_cid(1));
  EXPECT_EQ((*answered)->kind, WantKind::kHave);
  EXPECT_EQ(receiver.open_blocks(), 1U);
  ASSERT_TRUE(*receiver.handle_answer(want));
  EXPECT_EQ(receiver.open_blocks(), 0U);
  EXPECT_FALSE(*receiver.handle_answer(want)) << "closed already";
}

TEST_F(ReceiverTest, RefusesAnAnswerToNoWant) {
  for (const std::uint32_t id : {0U, 1U, 77U}) {
    const auto answered = receiver.handle_answer(WantId{id});
    ASSERT_FALSE(answered);
    EXPECT_EQ(answered.error().code, ErrorCode::kMalformed);
  }
}

TEST_F(ReceiverTest, BytesOfACancelledWantCountAndAreDropped) {
  const WantId id = receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  ASSERT_TRUE(receiver.handle_chunk(kBegin, chunk(id, 0, 100)));
  EXPECT_EQ(receiver.cancel(numbered_cid(1)), id);
  EXPECT_EQ(receiver.open_blocks(), 0U);
  EXPECT_FALSE(receiver.cancel(numbered_cid(1)));
  const auto handled = receiver.handle_chunk(kBegin, chunk(id, 100, 900));
  ASSERT_TRUE(handled);
  EXPECT_EQ(handled->fresh, 0U);
  EXPECT_EQ(handled->cancelled, 900U);
  EXPECT_FALSE(handled->cid);
  EXPECT_EQ(handled->block, nullptr);
  EXPECT_EQ(receiver.window().received(), 1000U) << "they count against the credit";
  EXPECT_FALSE(*receiver.handle_answer(id)) << "as does an answer that crossed the CANCEL";
}

TEST_F(ReceiverTest, CancelsOnlyWantsForBlocks) {
  receiver.open(kBegin, numbered_cid(1), WantKind::kHave);
  EXPECT_FALSE(receiver.cancel(numbered_cid(1)));
}

TEST_F(ReceiverTest, TheFirstByteToAnIdleSenderTellsTheDelay) {
  const WantId id = receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  ASSERT_TRUE(receiver.handle_chunk(kBegin + milliseconds(40), chunk(id, 0, 100)));
  EXPECT_EQ(receiver.window().smallest_delay(), milliseconds(40));
}

TEST_F(ReceiverTest, BytesOfACancelledWantDoNotTellTheDelayOfTheNext) {
  receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  receiver.cancel(numbered_cid(1));
  const Time next_at = kBegin + milliseconds(39);
  receiver.open(next_at, numbered_cid(2), WantKind::kBlock);
  ASSERT_TRUE(receiver.handle_chunk(next_at + milliseconds(1), chunk(WantId{1}, 0, 100)));
  EXPECT_NE(receiver.window().smallest_delay(), milliseconds(1));
}

TEST_F(ReceiverTest, NothingIsReservedForABlockOverTheLimit) {
  const WantId id = receiver.open(kBegin, numbered_cid(1), WantKind::kBlock);
  const auto decode_chunk_of = [&](std::uint32_t size) {
    return wire::decode(wire::encode(BlockChunk{id, 0, size, block}));
  };
  EXPECT_FALSE(decode_chunk_of(2 * 1024 * 1024 + 1)) << "it never reaches the receiver";
  const auto largest = decode_chunk_of(2 * 1024 * 1024);
  ASSERT_TRUE(largest);
  EXPECT_EQ(std::get<BlockChunk>(**largest).size, 2U * 1024 * 1024);
}

}  // namespace
}  // namespace codio::transfer
