#include "transfer/sender.h"

#include <gtest/gtest.h>
#include <limits>

#include "transfer/testing.h"

namespace codio::transfer {
namespace {

using wire::BlockChunk;
using wire::WantId;
using wire::WantKind;

constexpr std::uint64_t kNoBudget = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint32_t kMaxFrame = wire::kDefaultFrame;

class SenderTest : public testing::Test {
 protected:
  bool want(std::uint32_t id, WantKind kind = WantKind::kBlock) {
    const auto taken = sender.handle_want({WantId{id}, numbered_cid(id), kind});
    EXPECT_TRUE(taken);
    return taken.value_or(false);
  }

  /// Loads all that the sender asks for; each block of `size` bytes that depend on its id.
  void load_all(std::size_t size) {
    while (const auto load = sender.poll_load()) {
      EXPECT_FALSE(sender.handle_loaded(load->id, share(numbered_bytes(load->id.value, size))));
    }
  }

  /// All frames that may go now, as (id, offset) with the bytes checked.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> poll_chunks(std::uint32_t max_frame = kMaxFrame) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> chunks;
    while (const auto frame = sender.poll_frame(max_frame, kNoBudget)) {
      EXPECT_LE(frame->size(), max_frame);
      const auto decoded = wire::decode(*frame);
      EXPECT_TRUE(decoded && *decoded);
      const auto chunk = std::get<BlockChunk>(**decoded);
      const Bytes block = numbered_bytes(chunk.id.value, chunk.size);
      EXPECT_TRUE(std::equal(chunk.bytes.begin(), chunk.bytes.end(), block.begin() + chunk.offset));
      chunks.emplace_back(chunk.id.value, chunk.offset);
      largest_chunk = std::max(largest_chunk, chunk.bytes.size());
    }
    return chunks;
  }

  using Chunks = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

  Sender sender;
  std::size_t largest_chunk = 0;
};

TEST_F(SenderTest, ServesInTheOrderOfTheWants) {
  sender.handle_credit(1 << 20);
  want(1);
  want(2);
  const auto first = sender.poll_load();
  const auto second = sender.poll_load();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->cid, numbered_cid(1));
  sender.handle_loaded(second->id, share(numbered_bytes(2, 1000)));
  EXPECT_EQ(poll_chunks(), Chunks()) << "the first is not loaded yet";
  sender.handle_loaded(first->id, share(numbered_bytes(1, 1000)));
  EXPECT_EQ(poll_chunks(), (Chunks{{1, 0}, {2, 0}}));
  EXPECT_EQ(sender.sent(), 2000U);
}

TEST_F(SenderTest, LoadsNothingForWhoeverGrantedNoCredit) {
  want(1);
  EXPECT_FALSE(sender.poll_load());
  want(2, WantKind::kHave);
  EXPECT_EQ(sender.poll_load()->id, WantId{2}) << "a question costs no memory";
  EXPECT_FALSE(sender.poll_load());
  sender.handle_credit(1);
  EXPECT_EQ(sender.poll_load()->id, WantId{1});
}

TEST_F(SenderTest, LoadsAFewBlocksAhead) {
  sender.handle_credit(1);
  for (std::uint32_t id = 1; id <= 10; ++id) want(id);
  for (std::size_t i = 0; i < Sender::kLoadAhead; ++i) EXPECT_TRUE(sender.poll_load());
  EXPECT_FALSE(sender.poll_load());
  sender.handle_credit(1 << 20);
  sender.handle_loaded(WantId{1}, share({1}));
  ASSERT_TRUE(sender.poll_frame(kMaxFrame, kNoBudget));
  EXPECT_EQ(sender.poll_load()->id, WantId{4});
}

TEST_F(SenderTest, LoadsNoFurtherAheadThanItIsAllowed) {
  sender.handle_credit(1 << 20);
  for (std::uint32_t id = 1; id <= 10; ++id) want(id);
  ASSERT_TRUE(sender.poll_load(1));
  EXPECT_FALSE(sender.poll_load(1));
  sender.handle_loaded(WantId{1}, share(numbered_bytes(1, 1000)));
  EXPECT_EQ(sender.held(), 1000U);
  EXPECT_FALSE(sender.poll_load(1));
  EXPECT_EQ(poll_chunks(), (Chunks{{1, 0}}));
  EXPECT_EQ(sender.held(), 0U);
  EXPECT_TRUE(sender.poll_load(1));
}

TEST_F(SenderTest, SendsNoMoreThanTheBudget) {
  sender.handle_credit(1 << 20);
  want(1);
  load_all(100'000);
  EXPECT_TRUE(sender.can_send());
  EXPECT_FALSE(sender.poll_frame(kMaxFrame, 1000)) << "crumbs are not worth a frame";
  ASSERT_TRUE(sender.poll_frame(kMaxFrame, 10'000));
  EXPECT_EQ(sender.sent(), 10'000U);
  EXPECT_TRUE(sender.can_send());
}

TEST_F(SenderTest, GivesUpItsBlocksButNotItsQuestions) {
  sender.handle_credit(1 << 20);
  want(1);
  want(2, WantKind::kHave);
  want(3);
  load_all(1000);
  EXPECT_EQ(sender.drop_blocks(), (std::vector{WantId{1}, WantId{3}}));
  EXPECT_EQ(poll_chunks(), Chunks());
  EXPECT_EQ(sender.held(), 0U);
  EXPECT_FALSE(sender.wants_blocks());
}

TEST_F(SenderTest, ARefusedWantsIdIsUsed) {
  ASSERT_TRUE(sender.handle_refused_want(WantId{5}));
  EXPECT_FALSE(sender.handle_refused_want(WantId{5}));
  EXPECT_FALSE(sender.handle_want({WantId{5}, numbered_cid(5), WantKind::kBlock}));
  EXPECT_TRUE(want(6));
}

TEST_F(SenderTest, SendsNoByteOverTheCredit) {
  sender.handle_credit(1);
  want(1);
  load_all(100'000);
  EXPECT_EQ(poll_chunks(), Chunks()) << "no credit yet";
  sender.handle_credit(70'000);
  poll_chunks();
  EXPECT_LE(sender.sent(), 70'000U);
  EXPECT_GT(sender.sent(), 60'000U);
  sender.handle_credit(50'000);
  EXPECT_EQ(poll_chunks(), Chunks()) << "credit never falls";
  sender.handle_credit(100'000);
  poll_chunks();
  EXPECT_EQ(sender.sent(), 100'000U);
}

TEST_F(SenderTest, WaitsForCreditRatherThanSendCrumbs) {
  sender.handle_credit(1);
  want(1);
  load_all(100'000);
  sender.handle_credit(100);
  EXPECT_EQ(poll_chunks(), Chunks());
  sender.handle_credit(100'000);
  poll_chunks();
  want(2);
  load_all(50);
  sender.handle_credit(100'050);
  EXPECT_EQ(poll_chunks(), (Chunks{{2, 0}})) << "the end of a block may be small";
}

TEST_F(SenderTest, RespectsTheBufferOfTheChannel) {
  sender.handle_credit(16 << 20);
  want(1);
  load_all(2 << 20);
  poll_chunks();
  EXPECT_GE(sender.sent(), kSendBuffer - kMaxFrame);
  EXPECT_LE(sender.sent(), kSendBuffer + kMaxFrame);
  const std::uint64_t before = sender.sent();
  sender.handle_buffered_amount(kSendBuffer);
  EXPECT_EQ(poll_chunks(), Chunks());
  sender.handle_buffered_amount(kSendBuffer / 4);
  poll_chunks();
  EXPECT_GT(sender.sent(), before);
}

TEST_F(SenderTest, OtherFramesCountForTheBufferToo) {
  sender.handle_credit(1 << 20);
  want(1);
  load_all(1000);
  sender.note_sent(kSendBuffer);
  EXPECT_FALSE(sender.poll_frame(kMaxFrame, kNoBudget));
}

TEST_F(SenderTest, FillsFramesAndNeverExceedsTheLargest) {
  for (const std::uint32_t max_frame : {wire::kMinFrame, wire::kDefaultFrame, wire::kMaxFrame}) {
    sender = Sender();
    largest_chunk = 0;
    sender.handle_credit(16 << 20);
    const std::uint32_t largest_id = UINT32_MAX;
    want(largest_id);
    load_all(2 << 20);
    for (int i = 0; i < 100; ++i) {
      poll_chunks(max_frame);
      sender.handle_buffered_amount(0);
    }
    EXPECT_EQ(sender.sent(), 2U << 20);
    EXPECT_EQ(largest_chunk, max_frame - wire::kMaxBlockHeader);
  }
}

TEST_F(SenderTest, AnEmptyBlockIsOneFrameWithoutCredit) {
  sender.handle_credit(100);
  want(9);
  load_all(100);
  poll_chunks();
  want(10);
  load_all(0);
  EXPECT_EQ(poll_chunks(), (Chunks{{10, 0}}));
  EXPECT_EQ(poll_chunks(), Chunks());
}

TEST_F(SenderTest, SaysWhenABlockIsNotHere) {
  sender.handle_credit(1 << 20);
  want(1);
  want(2);
  EXPECT_TRUE(sender.handle_loaded(sender.poll_load()->id, nullptr));
  EXPECT_FALSE(sender.handle_loaded(sender.poll_load()->id, share(numbered_bytes(2, 10))));
  EXPECT_EQ(poll_chunks(), (Chunks{{2, 0}}));
}

TEST_F(SenderTest, ACancelledWantIsNotLoaded) {
  sender.handle_credit(1);
  want(1);
  want(2);
  sender.handle_cancel({WantId{1}, WantId{99}});
  EXPECT_EQ(sender.poll_load()->id, WantId{2});
}

TEST_F(SenderTest, ACancelWhileLoadingDropsTheBlock) {
  sender.handle_credit(1 << 20);
  want(1);
  want(2);
  ASSERT_EQ(sender.poll_load()->id, WantId{1});
  sender.handle_cancel({WantId{1}});
  EXPECT_FALSE(sender.handle_loaded(WantId{1}, share(numbered_bytes(1, 100)))) << "no DONT_HAVE either";
  load_all(100);
  EXPECT_EQ(poll_chunks(), (Chunks{{2, 0}}));
}

TEST_F(SenderTest, ACancelOfAHalfSentBlockMakesRoomForTheNext) {
  sender.handle_credit(1 << 20);
  want(1);
  want(2);
  load_all(100'000);
  ASSERT_TRUE(sender.poll_frame(kMaxFrame, kNoBudget));
  sender.handle_cancel({WantId{1}});
  EXPECT_EQ(poll_chunks().front(), (std::pair<std::uint32_t, std::uint32_t>{2, 0}));
}

TEST_F(SenderTest, CancelledLoadsStillCountUntilTheyAreAnswered) {
  sender.handle_credit(1);
  std::uint32_t id = 0;
  std::size_t loads = 0;
  for (int i = 0; i < 100; ++i) {
    want(++id);
    if (sender.poll_load()) ++loads;
    sender.handle_cancel({WantId{id}});
  }
  EXPECT_EQ(loads, Sender::kLoadAhead) << "else a stranger fills the store's queue";
  for (std::uint32_t loaded = 1; loaded <= loads; ++loaded) sender.handle_loaded(WantId{loaded}, nullptr);
  want(++id);
  EXPECT_TRUE(sender.poll_load());
}

TEST_F(SenderTest, IsBusyWhenTooManyWantsAreOpen) {
  for (std::uint32_t id = 1; id <= wire::kMaxOpenWants; ++id) EXPECT_TRUE(want(id));
  EXPECT_FALSE(want(1000));
  sender.handle_cancel({WantId{7}});
  EXPECT_TRUE(want(1001));
}

TEST_F(SenderTest, QuestionsCountAsOpenUntilTheyAreAnswered) {
  for (std::uint32_t id = 1; id <= wire::kMaxOpenWants; ++id) {
    EXPECT_TRUE(want(id, WantKind::kHave));
    EXPECT_EQ(sender.poll_load()->kind, WantKind::kHave);
  }
  EXPECT_FALSE(want(1000, WantKind::kHave));
  sender.handle_answered();
  EXPECT_TRUE(want(1001));
}

TEST_F(SenderTest, QuestionsDoNotWaitForBlocks) {
  for (std::uint32_t id = 1; id <= 5; ++id) want(id);
  while (sender.poll_load()) {
  }
  want(6, WantKind::kHave);
  EXPECT_EQ(sender.poll_load()->id, WantId{6});
}

TEST_F(SenderTest, RefusesAnIdUsedBefore) {
  want(5);
  for (const std::uint32_t id : {5U, 4U, 0U}) {
    const auto taken = sender.handle_want({WantId{id}, numbered_cid(id), WantKind::kBlock});
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code, ErrorCode::kMalformed);
  }
}

}  // namespace
}  // namespace codio::transfer
