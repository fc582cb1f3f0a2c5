#include "dht/announce_schedule.h"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

namespace codio::dht {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

Key key(std::uint32_t number) {
  Key key{};
  for (std::size_t i = 0; i < 4; ++i) key[i] = static_cast<std::uint8_t>(number >> (8 * i));
  return key;
}

/// Plays the host's part up to `until`: sleeps until the next wakeup and takes what is due.
std::vector<std::pair<Time, Key>> play(AnnounceSchedule& schedule, Time from, Time until) {
  std::vector<std::pair<Time, Key>> announced;
  for (Time now = from; now <= until;) {
    if (const auto next = schedule.poll(now)) {
      announced.emplace_back(now, *next);
      continue;
    }
    const auto wakeup = schedule.next_wakeup();
    if (!wakeup) break;
    EXPECT_GT(*wakeup, now) << "poll() had nothing, and next_wakeup() says that it has";
    now = *wakeup;
  }
  return announced;
}

TEST(AnnounceSchedule, AnnouncesAtOnceAndAgainBeforeNodesForget) {
  AnnounceSchedule schedule({}, 1);
  ASSERT_TRUE(schedule.add(key(1)));
  const auto announced = play(schedule, Time{}, Time{} + 24h);
  ASSERT_GE(announced.size(), 72U);
  EXPECT_EQ(announced.front().first, Time{});
  for (std::size_t i = 1; i < announced.size(); ++i) {
    const Duration pause = announced[i].first - announced[i - 1].first;
    EXPECT_GE(pause, 15min);
    EXPECT_LE(pause, 20min);
  }
}

TEST(AnnounceSchedule, SpreadsThousandsOfKeysOverTime) {
  constexpr std::uint32_t kKeys = 5000;
  AnnounceSchedule schedule({}, 1);
  ASSERT_GE(schedule.capacity(), kKeys);
  for (std::uint32_t i = 0; i < kKeys; ++i) ASSERT_TRUE(schedule.add(key(i)));
  const auto announced = play(schedule, Time{}, Time{} + 6h);
  std::map<Key, Time> last;
  std::map<std::int64_t, int> in_second;
  for (const auto& [time, announced_key] : announced) {
    const auto [before, is_first] = last.try_emplace(announced_key, time);
    if (!is_first) {
      EXPECT_LT(time - before->second, 30min);
    }
    before->second = time;
    ++in_second[std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count()];
  }
  EXPECT_EQ(last.size(), kKeys);
  for (const auto& [second, count] : in_second) EXPECT_LE(count, 8) << "in second " << second;
  for (const auto& [announced_key, time] : last) EXPECT_GT(time, Time{} + 6h - 30min) << "a key was forgotten";
}

TEST(AnnounceSchedule, AnnouncesTheLatestFirst) {
  AnnounceSchedule schedule({}, 1);
  for (std::uint32_t i = 1; i <= 3; ++i) schedule.add(key(i));
  const auto announced = play(schedule, Time{}, Time{} + 1s);
  ASSERT_EQ(announced.size(), 3U);
  EXPECT_EQ(announced[0].second, key(3));
  EXPECT_EQ(announced[2].second, key(1));
}

TEST(AnnounceSchedule, KeepsOldKeysAliveWhileNewOnesCome) {
  AnnounceSchedule schedule({.rate = 1}, 1);
  schedule.add(key(0));
  ASSERT_TRUE(schedule.poll(Time{}));
  // More than it can announce before the first is due again.
  for (std::uint32_t i = 1; i <= 10'000; ++i) schedule.add(key(i));
  const auto announced = play(schedule, Time{}, Time{} + 25min);
  EXPECT_TRUE(std::ranges::any_of(announced, [](const auto& one) { return one.second == key(0); }));
}

TEST(AnnounceSchedule, ForgetsWhatIsRemoved) {
  AnnounceSchedule schedule({}, 1);
  schedule.add(key(1));
  schedule.add(key(2));
  schedule.remove(key(2));  // Never announced.
  EXPECT_EQ(schedule.poll(Time{}), key(1));
  schedule.remove(key(1));  // Waits to be announced again.
  schedule.remove(key(3));  // Was never there.
  EXPECT_EQ(schedule.size(), 0U);
  EXPECT_FALSE(schedule.next_wakeup());
  EXPECT_FALSE(schedule.poll(Time{} + 1h));
}

TEST(AnnounceSchedule, TakesAKeyOnceAndOnlySoMany) {
  AnnounceSchedule schedule({.max_keys = 2}, 1);
  EXPECT_TRUE(schedule.add(key(1)));
  EXPECT_TRUE(schedule.add(key(1)));
  EXPECT_TRUE(schedule.add(key(2)));
  EXPECT_FALSE(schedule.add(key(3)));
  schedule.remove(key(1));
  EXPECT_TRUE(schedule.add(key(3)));
  EXPECT_EQ(schedule.size(), 2U);
}

TEST(AnnounceSchedule, StartsAnewAfterTheNodeWasCutOff) {
  AnnounceSchedule schedule({}, 1);
  schedule.add(key(1));
  schedule.add(key(2));
  EXPECT_EQ(play(schedule, Time{}, Time{} + 1s).size(), 2U);
  schedule.restart();
  EXPECT_EQ(schedule.waiting(), 2U);
  EXPECT_EQ(play(schedule, Time{} + 10s, Time{} + 11s).size(), 2U);
}

TEST(AnnounceSchedule, DoesNotKeepStepWithOtherNodes) {
  const auto second_time = [](std::uint64_t seed) {
    AnnounceSchedule schedule({}, seed);
    schedule.add(key(1));
    return play(schedule, Time{}, Time{} + 20min).at(1).first;
  };
  EXPECT_NE(second_time(1), second_time(2));
  EXPECT_EQ(second_time(1), second_time(1)) << "the same calls give the same times";
}

}  // namespace
}  // namespace codio::dht
