#include "transfer/credit_window.h"

#include <algorithm>
#include <deque>
#include <gtest/gtest.h>
#include <random>
#include <utility>
#include <vector>

namespace codio::transfer {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kChunk = 16 * kKiB;
/// With less credit a sender waits for more.
constexpr std::uint64_t kSmallestChunk = 8 * kKiB;

/// A sender that always has more to send than it may, and one queue of unlimited length before the receiver.
struct Path {
  double rate;  ///< Bytes a second.
  Duration round_trip;
  CreditWindowOptions options{};

  CreditWindow window{options};
  Time now = Time{} + seconds(1000);
  std::vector<std::uint64_t> windows{};  ///< Each one that differed from the one before.
  std::vector<std::uint64_t> grants{};
  Duration queueing{};  ///< Of the last byte.

  struct Event {
    Time at;
    std::uint64_t value;
  };
  std::deque<Event> credit{};  ///< On its way to the sender.
  std::deque<Event> chunks{};  ///< On their way to the receiver.
  Time link_free{};
  std::uint64_t sent = 0;
  const Time begin = now;  ///< The first wants are sent, with the first limit.

  void run(Duration time) {
    if (now == begin) credit.push_back({now + round_trip / 2, window.limit()});
    const Time end = now + time;
    while (!credit.empty() || !chunks.empty()) {
      const bool is_credit = chunks.empty() || (!credit.empty() && credit.front().at <= chunks.front().at);
      auto& queue = is_credit ? credit : chunks;
      if (queue.front().at > end) break;
      const Event event = queue.front();
      queue.pop_front();
      now = event.at;
      is_credit ? send(event.value) : receive(event.value);
    }
    now = end;
  }

  void send(std::uint64_t limit) {
    while (sent + kSmallestChunk <= limit) {
      const std::uint64_t size = std::min(kChunk, limit - sent);
      const Duration transmission(static_cast<Duration::rep>(static_cast<double>(size) / rate * 1e6));
      link_free = std::max(link_free, now) + transmission;
      queueing = link_free - now;
      chunks.push_back({link_free + round_trip / 2, size});
      sent += size;
    }
  }

  void receive(std::uint64_t size) {
    if (window.received() == 0) window.handle_first_byte(now, now - begin);
    window.handle_bytes(now, size, true);
    if (windows.empty() || windows.back() != window.size()) windows.push_back(window.size());
    while (const auto limit = window.poll_grant()) {
      grants.push_back(*limit);
      credit.push_back({now + round_trip / 2, *limit});
    }
  }

  double ideal() const {
    const double queue = rate * std::chrono::duration<double>(options.queue_target).count();
    return rate * std::chrono::duration<double>(round_trip).count() +
           std::min(queue, static_cast<double>(options.queue_limit));
  }
};

TEST(CreditWindow, StartsAtTheInitialWindow) {
  CreditWindow window;
  EXPECT_EQ(window.limit(), 256 * kKiB);
  EXPECT_EQ(window.size(), 256 * kKiB);
  EXPECT_EQ(window.received(), 0U);
  EXPECT_FALSE(window.poll_grant()) << "the first limit is in HELLO";
}

TEST(CreditWindow, DoublesEveryRoundTripUntilThePathIsFull) {
  Path path{.rate = 100e6, .round_trip = milliseconds(100)};
  path.run(seconds(1));
  ASSERT_GE(path.windows.size(), 6U);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(path.windows[i], (256 * kKiB) << i);
  EXPECT_GT(static_cast<double>(path.window.received()), 0.3 * path.rate) << "full after six of the ten round trips";
}

TEST(CreditWindow, DoesNotGrowWhenTheLinkIsFull) {
  // 256 KiB are five times what this path holds.
  Path path{.rate = 2e6, .round_trip = milliseconds(5)};
  path.run(seconds(10));
  for (const std::uint64_t window : path.windows) EXPECT_LE(window, 256 * kKiB);
}

TEST(CreditWindow, QueuesFewBytesOnAFastShortPath) {
  Path path{.rate = 1e9, .round_trip = microseconds(200)};
  path.run(seconds(2));
  for (const std::uint64_t window : path.windows) EXPECT_LE(window, 640 * kKiB);
}

TEST(CreditWindow, SettlesNearRateTimesDelayAndTarget) {
  for (const double rate : {2e6, 10e6, 50e6}) {
    for (const auto round_trip : {milliseconds(20), milliseconds(60), milliseconds(200)}) {
      Path path{.rate = rate, .round_trip = round_trip};
      path.run(seconds(120));
      const double size = static_cast<double>(path.window.size());
      EXPECT_GT(size, 0.9 * path.ideal()) << rate << " bytes/s, " << round_trip.count() << " ms";
      EXPECT_LT(size, 1.5 * path.ideal()) << rate << " bytes/s, " << round_trip.count() << " ms";
    }
  }
}

TEST(CreditWindow, FollowsALinkThatGetsSlower) {
  Path path{.rate = 20e6, .round_trip = milliseconds(50)};
  path.run(seconds(10));
  path.rate = 4e6;
  path.run(seconds(10));
  EXPECT_LT(static_cast<double>(path.window.size()), 1.4 * path.ideal());
  EXPECT_NEAR(static_cast<double>(path.window.rate()), path.rate, 0.05 * path.rate);
}

TEST(CreditWindow, FollowsAPathThatGetsLonger) {
  Path path{.rate = 20e6, .round_trip = milliseconds(50)};
  path.run(seconds(10));
  path.round_trip = milliseconds(200);
  path.run(seconds(10));
  EXPECT_GT(static_cast<double>(path.window.size()), 0.9 * path.ideal());
  EXPECT_LT(static_cast<double>(path.window.size()), 1.4 * path.ideal());
}

TEST(CreditWindow, ShrinksAfterAStallAndGrowsGentlyFromThere) {
  Path path{.rate = 50e6, .round_trip = milliseconds(100)};
  path.run(milliseconds(250));
  const std::uint64_t before = path.window.size();
  path.link_free += milliseconds(600);
  path.run(milliseconds(900));
  ASSERT_LT(path.window.size(), before);
  const std::size_t stalled = path.windows.size();
  path.run(seconds(1));
  for (std::size_t i = stalled; i < path.windows.size(); ++i) {
    EXPECT_LT(static_cast<double>(path.windows[i]), 1.5 * static_cast<double>(path.windows[i - 1]));
  }
}

TEST(CreditWindow, SeesAShortStallOnALongPath) {
  for (const auto round_trip : {milliseconds(20), milliseconds(100), milliseconds(300)}) {
    Path path{.rate = 12.5e6, .round_trip = round_trip};
    path.run(seconds(12));
    const auto before = static_cast<double>(path.window.size());
    path.link_free = path.now + round_trip + milliseconds(250);
    path.run(2 * round_trip + milliseconds(350));
    EXPECT_LT(static_cast<double>(path.window.size()), 0.75 * before) << round_trip.count() << " ms";
  }
}

TEST(CreditWindow, DoesNotQueueMoreTheLongerItLasts) {
  Path path{.rate = 4e6, .round_trip = milliseconds(40)};
  path.run(seconds(600));
  EXPECT_LT(path.queueing, milliseconds(100));
}

TEST(CreditWindow, StaysWithinItsLimits) {
  for (const double rate : {20e3, 100e6, 4e9}) {
    for (const auto round_trip : {milliseconds(1), milliseconds(300)}) {
      Path path{.rate = rate, .round_trip = round_trip};
      path.run(seconds(rate > 1e9 ? 3 : 60));
      for (const std::uint64_t window : path.windows) {
        EXPECT_GE(window, 32 * kKiB);
        EXPECT_LE(window, 64 * kMiB);
      }
    }
  }
  Path slow{.rate = 20e3, .round_trip = milliseconds(1)};
  slow.run(seconds(600));
  EXPECT_LT(slow.window.size(), 50 * kKiB);
  Path fast{.rate = 4e9, .round_trip = milliseconds(300)};
  fast.run(seconds(10));
  EXPECT_EQ(fast.window.size(), 64 * kMiB);
}

TEST(CreditWindow, GrantsOnlyGrow) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    Path path{.rate = 10e6, .round_trip = milliseconds(50)};
    for (int i = 0; i < 50; ++i) {
      path.rate = 1e5 * static_cast<double>(1 + random() % 300);
      path.run(milliseconds(300));
    }
    std::uint64_t last = path.options.initial;
    for (const std::uint64_t limit : path.grants) {
      ASSERT_GT(limit, last) << "seed " << seed;
      last = limit;
    }
    EXPECT_LE(path.window.received(), path.window.limit());
  }
}

TEST(CreditWindow, APauseForWantOfRequestsDoesNotShrinkIt) {
  Path path{.rate = 20e6, .round_trip = milliseconds(50)};
  path.run(seconds(5));
  const std::uint64_t before = path.window.size();
  // The last blocks of a download: then nothing is owed for a minute, and one small block comes at a time.
  for (int i = 0; i < 20; ++i) {
    path.window.handle_bytes(path.now, kChunk, false);
    (void)path.window.poll_grant();
    path.now += seconds(3);
  }
  EXPECT_EQ(path.window.size(), before);
}

TEST(CreditWindow, AGrantWaitsUntilItIsWorthAFrame) {
  CreditWindow window;
  window.handle_bytes(Time{}, 16 * kKiB, true);
  EXPECT_FALSE(window.poll_grant());
  window.handle_bytes(Time{}, 16 * kKiB, true);
  EXPECT_EQ(window.poll_grant(), (256 + 32) * kKiB);
  EXPECT_FALSE(window.poll_grant());
}

TEST(CreditWindow, GrantsAreFewAndLargeWhereTheProcessorsAreTheLimit) {
  const auto grants_of = [](double rate, Duration round_trip) {
    Path path{.rate = rate, .round_trip = round_trip};
    path.run(seconds(2));
    path.grants.clear();
    const std::uint64_t before = path.window.limit();
    path.run(seconds(2));
    const auto windows = static_cast<double>(path.window.limit() - before) / static_cast<double>(path.window.size());
    return static_cast<double>(path.grants.size()) / windows;
  };
  EXPECT_LE(grants_of(20e6, milliseconds(1)), 4.5);
  EXPECT_GE(grants_of(20e6, milliseconds(50)), 7.5);
  EXPECT_GE(grants_of(1e6, milliseconds(1)), 4.5);
}

TEST(CreditWindow, AFastPathIsNotProbedInItsFirstMegabytes) {
  Path path{.rate = 20e6, .round_trip = milliseconds(2)};
  path.run(milliseconds(200));
  for (const std::uint64_t window : path.windows) EXPECT_GE(window, 256 * kKiB);
  path.windows.clear();
  path.run(seconds(1));
  EXPECT_LT(*std::min_element(path.windows.begin(), path.windows.end()), 256 * kKiB) << "but then";
}

TEST(CreditWindow, AFastPathThatBeganSlowlyIsUsedToItsQueueLimit) {
  Path path{.rate = 9e6, .round_trip = milliseconds(1), .options = {.queue_limit = 512 * kKiB}};
  path.run(milliseconds(25));
  path.rate = 100e6;
  path.run(milliseconds(60));
  EXPECT_EQ(path.window.size(), 512 * kKiB);
}

TEST(CreditWindow, AHigherQueueLimitDoesNotMakeQueuesLonger) {
  Path path{.rate = 100e6, .round_trip = milliseconds(2), .options = {.queue_limit = 4 * kMiB}};
  path.run(seconds(5));
  path.rate = 10e6;
  path.run(seconds(10));
  EXPECT_LE(path.queueing, milliseconds(30)) << "20 are the target";
}

TEST(CreditWindow, TheFirstBytesTellTheDelay) {
  CreditWindow window;
  EXPECT_FALSE(window.smallest_delay());
  window.handle_first_byte(Time{}, milliseconds(40));
  window.handle_first_byte(Time{}, milliseconds(90));
  EXPECT_EQ(window.smallest_delay(), milliseconds(40));
  window.handle_first_byte(Time{} + seconds(31), milliseconds(90));
  EXPECT_EQ(window.smallest_delay(), milliseconds(90)) << "paths change";
}

}  // namespace
}  // namespace codio::transfer
