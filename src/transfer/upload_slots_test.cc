#include "transfer/upload_slots.h"

#include <gtest/gtest.h>
#include <set>
#include <vector>

namespace codio::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr PeerId kA{1};
constexpr PeerId kB{2};
constexpr PeerId kC{3};

/// Slots and peers that go on wanting, asking every second.
struct Bench {
  explicit Bench(std::size_t count) : slots(count) {}

  /// Who lost a slot meanwhile.
  std::vector<PeerId> wait(Duration duration, const std::vector<PeerId>& peers) {
    std::vector<PeerId> losers;
    for (const Time end = now + duration; now < end; now += seconds(1)) {
      for (const PeerId loser : slots.rotate(now)) losers.push_back(loser);
      for (const PeerId peer : peers) slots.use(now, peer);
    }
    return losers;
  }

  UploadSlots slots;
  Time now = Time{} + seconds(1000);
};

TEST(UploadSlots, WhoeverComesFirstIsServed) {
  Bench bench(2);
  EXPECT_TRUE(bench.slots.use(bench.now, kA));
  EXPECT_TRUE(bench.slots.use(bench.now, kB));
  EXPECT_FALSE(bench.slots.use(bench.now, kC));
  EXPECT_TRUE(bench.slots.use(bench.now, kA)) << "and goes on being served";
}

TEST(UploadSlots, NothingRotatesWhileNobodyWaits) {
  Bench bench(2);
  EXPECT_TRUE(bench.wait(seconds(60), {kA, kB}).empty());
  EXPECT_FALSE(bench.slots.next_rotation());
}

TEST(UploadSlots, EveryoneGetsATurn) {
  Bench bench(1);
  EXPECT_EQ(bench.wait(seconds(60), {kA, kB, kC}).size(), 5U);
  std::set<PeerId> served;
  for (int turn = 0; turn < 3; ++turn) {
    for (const PeerId loser : bench.wait(UploadSlots::kTurn, {kA, kB, kC})) served.insert(loser);
  }
  EXPECT_EQ(served.size(), 3U);
}

TEST(UploadSlots, WhoeverWaitedLongestIsNext) {
  Bench bench(1);
  bench.slots.use(bench.now, kA);
  bench.wait(seconds(1), {kA, kC});
  const auto losers = bench.wait(UploadSlots::kTurn, {kA, kB, kC});
  EXPECT_EQ(losers, std::vector{kA});
  EXPECT_FALSE(bench.slots.use(bench.now, kB)) << "it came after C";
  EXPECT_TRUE(bench.slots.use(bench.now, kC));
}

TEST(UploadSlots, WhoeverGaveTheLeastMakesRoom) {
  Bench bench(2);
  bench.wait(seconds(1), {kA, kB});
  bench.slots.note_given(kA, 1'000'000);
  bench.slots.note_given(kB, 10);
  EXPECT_EQ(bench.wait(UploadSlots::kTurn, {kA, kB, kC}), std::vector{kB});
  EXPECT_TRUE(bench.slots.use(bench.now, kA));
}

TEST(UploadSlots, ASlotIsKeptForTheOneWhoseTurnItIs) {
  Bench bench(1);
  bench.wait(seconds(1), {kA, kB});
  while (bench.slots.rotate(bench.now).empty()) {
    bench.now += seconds(1);
    bench.slots.use(bench.now, kA);
    bench.slots.use(bench.now, kB);
  }
  EXPECT_FALSE(bench.slots.use(bench.now, kA)) << "it has just lost it";
  EXPECT_FALSE(bench.slots.use(bench.now, kC)) << "nor does a newcomer get before it";
  EXPECT_TRUE(bench.slots.use(bench.now + seconds(1), kB));
}

TEST(UploadSlots, ASlotThatIsNotUsedIsFree) {
  Bench bench(1);
  bench.slots.use(bench.now, kA);
  EXPECT_FALSE(bench.slots.use(bench.now + UploadSlots::kIdle, kB));
  EXPECT_TRUE(bench.slots.use(bench.now + UploadSlots::kIdle + milliseconds(1), kB));
}

TEST(UploadSlots, OneWhoLeavesMakesRoom) {
  Bench bench(1);
  bench.slots.use(bench.now, kA);
  EXPECT_FALSE(bench.slots.use(bench.now, kB));
  bench.slots.remove(kA);
  EXPECT_TRUE(bench.slots.use(bench.now, kB));
}

TEST(UploadSlots, FewerSlotsAreTakenFromTheLeastDeserving) {
  Bench bench(3);
  bench.wait(seconds(1), {kA, kB, kC});
  bench.slots.note_given(kB, 1000);
  bench.slots.set_count(1);
  EXPECT_EQ(bench.slots.rotate(bench.now).size(), 2U);
  EXPECT_TRUE(bench.slots.use(bench.now, kB));
  EXPECT_FALSE(bench.slots.use(bench.now, kA));
}

TEST(UploadSlots, WhoeverStoppedAskingHasGoneElsewhere) {
  Bench bench(1);
  bench.wait(seconds(1), {kA, kB});
  EXPECT_TRUE(bench.wait(seconds(30), {kA}).size() <= 1) << "at most the turn that was due";
  EXPECT_TRUE(bench.wait(seconds(60), {kA}).empty());
}

}  // namespace
}  // namespace codio::transfer
