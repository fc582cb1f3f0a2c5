#include "transfer/scheduler/scheduler.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "transfer/testing.h"

namespace codio::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Cid = Scheduler::Cid;

constexpr TransferId kTransfer{1};
constexpr PeerId kA{1};
constexpr PeerId kB{2};
constexpr Duration kRoundTrip = milliseconds(50);

/// A scheduler with one transfer, whose search for providers has ended.
struct Bench {
  explicit Bench(const ExchangeOptions& options = {}) : scheduler(options) {
    scheduler.add_transfer(kTransfer, true);
    scheduler.set_pending_providers(kTransfer, 0);
  }

  void add_provider(PeerId peer) {
    scheduler.add_peer(now, peer, 256 * 1024);
    scheduler.set_provides(peer, kTransfer);
  }

  /// Needs the blocks of these numbers.
  void need(std::uint32_t first, std::uint32_t count = 1) {
    for (std::uint32_t i = first; i < first + count; ++i) scheduler.need(now, numbered_cid(i), kTransfer);
  }

  std::vector<Scheduler::Assignment> poll() {
    std::vector<Scheduler::Assignment> result;
    while (auto assignment = scheduler.poll_assignment(now)) result.push_back(*std::move(assignment));
    return result;
  }

  /// Lets time pass as a host does, which wakes up when told to.
  std::vector<Scheduler::Assignment> wait(Duration duration) {
    std::vector<Scheduler::Assignment> result;
    for (const Time end = now + duration; now < end;) {
      const auto next = scheduler.next_check();
      now = next ? std::min(std::max(*next, now + milliseconds(1)), end) : end;
      for (auto& assignment : poll()) result.push_back(std::move(assignment));
    }
    return result;
  }

  /// It sends the block at this many bytes a second: a byte now, the rest in the next second.
  void show_rate(PeerId peer, const Cid& cid, std::uint64_t rate) {
    scheduler.handle_bytes(now, peer, cid, 1, rate + 1);
    scheduler.handle_bytes(now + seconds(1), peer, cid, rate, rate + 1);
  }

  void verify(std::uint32_t number, std::optional<PeerId> from) {
    scheduler.handle_arrived(now, numbered_cid(number), from, 262'144);
    scheduler.handle_verified(now, numbered_cid(number));
  }

  Scheduler scheduler;
  Time now = Time{} + seconds(1000);
};

std::vector<std::uint32_t> numbers(const std::vector<Scheduler::Assignment>& assignments) {
  std::vector<std::uint32_t> result;
  for (const auto& assignment : assignments) {
    std::uint32_t number = 0;
    while (numbered_cid(number) != assignment.cid) ++number;
    result.push_back(number);
  }
  return result;
}

std::size_t count_of(const std::vector<Scheduler::Assignment>& assignments, std::optional<PeerId> source) {
  return static_cast<std::size_t>(
      std::count_if(assignments.begin(), assignments.end(), [&](const auto& entry) { return entry.peer == source; }));
}

TEST(Scheduler, AsksForWhatIsNeededSoonestFirst) {
  Bench bench;
  bench.add_provider(kA);
  for (const std::uint32_t number : {5, 1, 3}) bench.need(number);
  EXPECT_EQ(numbers(bench.poll()), (std::vector<std::uint32_t>{5, 1, 3}));
}

TEST(Scheduler, ABlockAskedAgainKeepsItsPlace) {
  Bench bench;
  bench.add_provider(kA);
  bench.need(1, 8);
  EXPECT_EQ(numbers(bench.poll()), (std::vector<std::uint32_t>{1, 2, 3, 4})) << "an unknown peer gets a few";
  bench.scheduler.remove_peer(kA);
  bench.add_provider(kB);
  EXPECT_EQ(numbers(bench.poll()), (std::vector<std::uint32_t>{1, 2, 3, 4}));
}

TEST(Scheduler, AsksOnlyProvidersOfTheTransfer) {
  Bench bench({.policy = Policy::kP2pOnly});
  bench.scheduler.add_peer(bench.now, kA, 0);
  bench.need(1);
  EXPECT_TRUE(bench.poll().empty());
  bench.scheduler.set_provides(kA, kTransfer);
  EXPECT_EQ(count_of(bench.poll(), kA), 1U);
}

TEST(Scheduler, SpreadsBlocksByWhoWouldFinishThemFirst) {
  Bench bench;
  bench.add_provider(kA);
  bench.add_provider(kB);
  bench.need(1, 2);
  EXPECT_EQ(count_of(bench.poll(), kA), 1U) << "as long as no rate is known: one each";
  bench.show_rate(kA, numbered_cid(1), 4'000'000);
  bench.show_rate(kB, numbered_cid(2), 1'000'000);
  bench.now += seconds(1);
  bench.scheduler.set_path(kA, seconds(1), 0);
  bench.scheduler.set_path(kB, seconds(1), 0);
  bench.verify(1, kA);
  bench.verify(2, kB);
  bench.need(10, 10);
  const auto assignments = bench.poll();
  EXPECT_EQ(assignments.size(), 10U);
  EXPECT_EQ(count_of(assignments, kA), 8U);
}

TEST(Scheduler, ThePipelineHoldsARoundTripAndAMargin) {
  Bench bench;
  bench.add_provider(kA);
  bench.need(1);
  bench.poll();
  bench.show_rate(kA, numbered_cid(1), 4 * 262'144);
  bench.now += seconds(1);
  bench.scheduler.set_path(kA, milliseconds(750), 0);
  bench.verify(1, kA);
  bench.need(10, 50);
  EXPECT_EQ(bench.poll().size(), 4U);
}

TEST(Scheduler, ThePipelineIsBoundedEvenIfAllBlocksAreEmpty) {
  Bench bench;
  bench.add_provider(kA);
  for (std::uint32_t i = 0; i < 5000; ++i) {
    bench.need(i);
    ASSERT_EQ(bench.poll().size(), 1U);
    bench.now += milliseconds(200);
    bench.scheduler.handle_bytes(bench.now, kA, numbered_cid(i), 1'000'000'000, 0);
    bench.scheduler.set_path(kA, kRoundTrip, 0);
    bench.scheduler.handle_arrived(bench.now, numbered_cid(i), kA, 0);
    bench.scheduler.handle_verified(bench.now, numbered_cid(i));
  }
  bench.need(10'000, 200);
  EXPECT_EQ(bench.poll().size(), 128U);
}

TEST(Scheduler, RemembersDontHaveForThatBlockOnly) {
  Bench bench({.policy = Policy::kP2pOnly});
  bench.add_provider(kA);
  bench.need(1, 2);
  EXPECT_EQ(bench.poll().size(), 2U);
  bench.scheduler.handle_lacks(bench.now, kA, numbered_cid(1));
  EXPECT_TRUE(bench.wait(seconds(1)).empty());
  bench.add_provider(kB);
  const auto again = bench.poll();
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(again.front().cid, numbered_cid(1));
  EXPECT_EQ(again.front().peer, kB);
  bench.need(3);
  EXPECT_EQ(bench.poll().size(), 1U) << "others are still asked of it";
}

TEST(Scheduler, WhatAPeerLackedIsAskedOfItOnceItHasIt) {
  Bench bench({.policy = Policy::kP2pOnly});
  bench.add_provider(kA);
  bench.need(1);
  bench.poll();
  bench.scheduler.handle_lacks(bench.now, kA, numbered_cid(1));
  EXPECT_TRUE(bench.wait(seconds(10)).empty());
  bench.scheduler.handle_has(kA, numbered_cid(2));
  EXPECT_TRUE(bench.poll().empty()) << "that is another block";
  bench.scheduler.handle_has(kA, numbered_cid(1));
  EXPECT_EQ(count_of(bench.poll(), kA), 1U);
}

TEST(Scheduler, AmongOthersWhoDownloadTheOrderIsOnesOwn) {
  const auto order_at = [](Duration later) {
    Bench bench({.policy = Policy::kP2pOnly});
    bench.now += later;
    bench.add_provider(kA);
    bench.need(1, 5);
    bench.poll();
    bench.scheduler.handle_lacks(bench.now, kA, numbered_cid(1));
    bench.scheduler.remove_transfer(bench.now, kTransfer);
    bench.scheduler.add_transfer(kTransfer, true);
    bench.scheduler.set_provides(kA, kTransfer);
    bench.need(101, 100);
    std::vector<std::uint32_t> order;
    for (std::size_t i = 0; i < 40; ++i) {
      if (i % 4 == 0) {
        for (const std::uint32_t number : numbers(bench.poll())) order.push_back(number);
      }
      bench.verify(order[i], kA);
    }
    return order;
  };
  const auto order = order_at(seconds(0));
  EXPECT_EQ(order.front(), 101U) << "the reader waits for it";
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(order, order_at(seconds(0)));
  EXPECT_NE(order, order_at(milliseconds(1)));
  EXPECT_LE(*std::max_element(order.begin(), order.end()), 101U + 40 + 32) << "not far ahead of the reader";
}

TEST(Scheduler, AnInnerNodeIsAskedOfOneIdlePeerAfterTheOther) {
  Bench bench({.policy = Policy::kP2pOnly});
  for (const std::uint32_t peer : {1, 2, 3, 4, 5}) bench.add_provider(PeerId{peer});
  const Cid node = Cid::v1(content_id::Codec::kDagPb, digest_of(as_bytes("node")));
  bench.scheduler.need(bench.now, node, kTransfer);
  EXPECT_EQ(bench.poll().size(), 1U);
  const auto others = bench.wait(milliseconds(450));
  EXPECT_EQ(others.size(), 4U) << "four of them may be silent";
  for (const auto& assignment : others) EXPECT_FALSE(assignment.instead_of);
  bench.scheduler.handle_arrived(bench.now, node, kB, 5000);
  EXPECT_EQ(bench.scheduler.handle_verified(bench.now, node).size(), 4U);
}

TEST(Scheduler, ATrickleIsNoSignOfLife) {
  for (const std::uint64_t bytes : {1, 4096}) {
    Bench bench({.policy = Policy::kP2pOnly});
    bench.add_provider(kA);
    bench.need(1, 2);
    EXPECT_EQ(count_of(bench.poll(), kA), 2U);
    bench.add_provider(kB);
    bench.wait(milliseconds(400));
    bench.scheduler.handle_bytes(bench.now, kA, numbered_cid(1), bytes, 262'144);
    EXPECT_EQ(count_of(bench.wait(milliseconds(200)), kB) > 0, bytes == 1) << bytes;
  }
}

TEST(Scheduler, WhoeverIsIdleHelpsASilentPeer) {
  Bench bench({.policy = Policy::kP2pOnly});
  bench.add_provider(kA);
  bench.need(1);
  EXPECT_EQ(count_of(bench.poll(), kA), 1U);
  bench.add_provider(kB);
  EXPECT_TRUE(bench.wait(milliseconds(400)).empty());
  const auto again = bench.wait(milliseconds(300));
  ASSERT_EQ(count_of(again, kB), 1U) << "what it owes is asked elsewhere";
  EXPECT_FALSE(again.front().instead_of) << "it may yet answer";
}

TEST(Scheduler, ASilentPeerIsAvoidedAndThenTriedAgain) {
  Bench bench({.policy = Policy::kP2pOnly});
  bench.add_provider(kA);
  bench.need(1);
  EXPECT_EQ(count_of(bench.poll(), kA), 1U);
  bench.wait(seconds(2));
  bench.need(2);
  EXPECT_TRUE(bench.wait(seconds(4)).empty());
  EXPECT_EQ(count_of(bench.wait(seconds(1)), kA), 1U) << "five seconds later";
  bench.wait(seconds(2));
  bench.need(3);
  EXPECT_TRUE(bench.wait(seconds(8)).empty()) << "it is still silent: twice as long";
  EXPECT_EQ(count_of(bench.wait(seconds(2)), kA), 1U);

  bench.wait(milliseconds(100));
  bench.scheduler.handle_bytes(bench.now, kA, numbered_cid(1), 1000, 262'144);
  bench.need(4);
  EXPECT_EQ(count_of(bench.poll(), kA), 1U) << "a byte forgives everything";
}

TEST(Scheduler, WhatWaitsItsTurnIsTakenBackFromASlowPeer) {
  Bench bench({.policy = Policy::kP2pOnly});
  bench.add_provider(kA);
  bench.need(50);
  bench.poll();
  bench.verify(50, kA);
  bench.need(1, 4);
  EXPECT_EQ(count_of(bench.poll(), kA), 4U);
  bench.show_rate(kA, numbered_cid(1), 100'000);
  bench.now += seconds(1);
  bench.scheduler.set_path(kA, kRoundTrip, 10'000);
  bench.add_provider(kB);
  bench.scheduler.handle_bytes(bench.now, kB, numbered_cid(99), 1, 1);
  bench.scheduler.handle_bytes(bench.now + seconds(1), kB, numbered_cid(99), 4'000'000, 1);
  std::vector<std::uint32_t> taken;
  for (const auto& assignment : bench.wait(milliseconds(200))) {
    if (assignment.instead_of == kA) taken.push_back(numbers({assignment}).front());
  }
  std::sort(taken.begin(), taken.end());
  EXPECT_EQ(taken, (std::vector<std::uint32_t>{3, 4})) << "but not the ones that it sends";
}

TEST(Scheduler, WhatIsOnItsWayIsNotTakenBack) {
  Bench bench({.policy = Policy::kP2pOnly});
  bench.add_provider(kA);
  bench.need(1, 4);
  bench.poll();
  bench.show_rate(kA, numbered_cid(1), 100'000);
  bench.now += seconds(1);
  bench.scheduler.set_path(kA, kRoundTrip, 4 * 262'144);
  bench.add_provider(kB);
  for (const auto& assignment : bench.wait(milliseconds(200))) EXPECT_FALSE(assignment.instead_of);
}

TEST(Scheduler, DownloadsTakeTurns) {
  Bench bench;
  constexpr TransferId kOther{2};
  bench.scheduler.add_transfer(kOther, true);
  bench.add_provider(kA);
  bench.scheduler.set_provides(kA, kOther);
  bench.need(1, 50);
  for (std::uint32_t i = 101; i <= 150; ++i) bench.scheduler.need(bench.now, numbered_cid(i), kOther);
  EXPECT_EQ(numbers(bench.poll()), (std::vector<std::uint32_t>{1, 101, 2, 102}));
}

TEST(Scheduler, OfAFileThatIsOnlyKeptTheRarestBlockGoesFirst) {
  Bench bench({.policy = Policy::kP2pOnly});
  constexpr TransferId kKept{2};
  bench.scheduler.add_transfer(kKept, false);
  for (const PeerId peer : {kA, kB}) {
    bench.add_provider(peer);
    bench.scheduler.set_provides(peer, kKept);
  }
  for (std::uint32_t i = 1; i <= 20; ++i) bench.scheduler.need(bench.now, numbered_cid(i), kKept);
  bench.poll();
  // Both are full. B lacks the last of all, which only A can give then.
  bench.scheduler.handle_lacks(bench.now, kB, numbered_cid(20));
  const auto asked_of_a = bench.scheduler.handle_verified(bench.now, numbered_cid(1));
  ASSERT_EQ(asked_of_a.size(), 1U);
  EXPECT_EQ(numbers(bench.poll()).front(), 20U);
}

TEST(Scheduler, AWaitingPeerThatOwesNothingIsNotSilent) {
  Bench bench({.policy = Policy::kP2pOnly});
  bench.add_provider(kA);
  bench.wait(seconds(60));
  bench.need(1);
  EXPECT_EQ(count_of(bench.poll(), kA), 1U);
}

TEST(Scheduler, ALateBlockIsAskedElsewhereAndNeverTwiceOfTheSameSource) {
  Bench bench({.policy = Policy::kP2pOnly});
  bench.add_provider(kA);
  bench.need(1);
  bench.poll();
  std::vector<Scheduler::Assignment> asked;
  // Bytes come, but never this block's end.
  const auto pass = [&](Duration duration) {
    for (Duration passed{}; passed < duration; passed += milliseconds(100)) {
      bench.scheduler.handle_bytes(bench.now, kA, numbered_cid(1), 10'000, 20'000'000);
      bench.scheduler.set_path(kA, kRoundTrip, 0);
      for (auto& assignment : bench.wait(milliseconds(100))) asked.push_back(std::move(assignment));
    }
  };
  pass(seconds(10));
  EXPECT_TRUE(asked.empty()) << "there is nobody else";
  bench.add_provider(kB);
  pass(seconds(1));
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked.front().peer, kB);
  pass(milliseconds(400));
  EXPECT_EQ(asked.size(), 1U);
  bench.scheduler.handle_arrived(bench.now, numbered_cid(1), kB, 1000);
  const auto late = bench.scheduler.handle_verified(bench.now, numbered_cid(1));
  ASSERT_EQ(late.size(), 1U) << "the late one gets a CANCEL";
  EXPECT_EQ(late.front().peer, kA);
}

TEST(Scheduler, BlocksOfARemovedPeerAreNeededAgain) {
  Bench bench;
  bench.add_provider(kA);
  bench.add_provider(kB);
  bench.need(1, 4);
  EXPECT_EQ(bench.poll().size(), 4U);
  bench.scheduler.remove_peer(kA);
  const auto again = bench.poll();
  EXPECT_EQ(again.size(), 2U);
  EXPECT_EQ(count_of(again, kB), 2U);
}

TEST(Scheduler, ABlockThatArrivedIsNotAskedElsewhereUnlessItIsRefuted) {
  Bench bench({.policy = Policy::kP2pOnly});
  bench.add_provider(kA);
  bench.add_provider(kB);
  bench.need(1);
  const auto first = bench.poll();
  ASSERT_EQ(first.size(), 1U);
  bench.scheduler.handle_arrived(bench.now, numbered_cid(1), first.front().peer, 1000);
  EXPECT_TRUE(bench.wait(seconds(10)).empty()) << "it is being hashed";
  bench.scheduler.remove_peer(*first.front().peer);
  bench.scheduler.handle_refuted(numbered_cid(1));
  EXPECT_EQ(bench.poll().size(), 1U);
}

TEST(Scheduler, RemovingATransferForgetsWhatOnlyItNeeded) {
  Bench bench;
  constexpr TransferId kOther{2};
  bench.scheduler.add_transfer(kOther, true);
  bench.add_provider(kA);
  bench.need(1, 3);
  bench.scheduler.need(bench.now, numbered_cid(2), kOther);
  EXPECT_EQ(bench.poll().size(), 3U) << "a shared block is asked for once";
  const auto cancelled = bench.scheduler.remove_transfer(bench.now, kTransfer);
  auto cancelled_numbers = numbers(cancelled);
  std::sort(cancelled_numbers.begin(), cancelled_numbers.end());
  EXPECT_EQ(cancelled_numbers, (std::vector<std::uint32_t>{1, 3}));
  EXPECT_TRUE(bench.scheduler.needs(numbered_cid(2)));
  EXPECT_FALSE(bench.scheduler.needs(numbered_cid(1)));
}

TEST(Scheduler, WithoutBlocksThereIsNothingToComeBackFor) {
  Bench bench;
  EXPECT_FALSE(bench.scheduler.next_check());
  bench.need(1);
  bench.poll();
  EXPECT_TRUE(bench.scheduler.next_check());
  bench.verify(1, std::nullopt);
  EXPECT_FALSE(bench.scheduler.next_check());
}

TEST(GatewayPolicy, P2pFirstWaitsForTheSearchNoLongerThanTheDeadline) {
  for (const std::optional<std::uint32_t> pending : {std::optional<std::uint32_t>(), std::optional<std::uint32_t>(2)}) {
    Bench bench;
    bench.scheduler.set_pending_providers(kTransfer, pending);
    bench.need(1);
    EXPECT_TRUE(bench.wait(milliseconds(450)).empty());
    EXPECT_EQ(count_of(bench.wait(milliseconds(200)), std::nullopt), 1U);
  }
}

TEST(GatewayPolicy, P2pFirstDoesNotWaitForNobody) {
  Bench bench;
  bench.need(1);
  EXPECT_EQ(count_of(bench.poll(), std::nullopt), 1U);
}

TEST(GatewayPolicy, P2pFirstLeavesToPeersWhatTheyCanServe) {
  Bench bench;
  bench.add_provider(kA);
  bench.need(1, 50);
  const auto assignments = bench.poll();
  EXPECT_EQ(count_of(assignments, std::nullopt), 0U) << "even if they are busy";
  EXPECT_EQ(count_of(assignments, kA), assignments.size());
}

TEST(GatewayPolicy, P2pFirstAsksAGatewayForWhatPeersOweTooLong) {
  Bench bench;
  bench.add_provider(kA);
  bench.need(1);
  bench.poll();
  EXPECT_EQ(count_of(bench.wait(milliseconds(700)), std::nullopt), 1U);
}

TEST(GatewayPolicy, FastestUsesGatewaysBesideFullPeers) {
  Bench bench({.policy = Policy::kFastest});
  bench.scheduler.set_pending_providers(kTransfer, std::nullopt);
  bench.add_provider(kA);
  bench.need(1, 50);
  const auto assignments = bench.poll();
  EXPECT_GT(count_of(assignments, kA), 0U);
  EXPECT_GT(count_of(assignments, std::nullopt), 0U);
}

TEST(GatewayPolicy, GatewayOnlyAsksNoPeer) {
  Bench bench({.policy = Policy::kGatewayOnly});
  bench.scheduler.set_pending_providers(kTransfer, std::nullopt);
  bench.add_provider(kA);
  bench.need(1, 50);
  const auto assignments = bench.poll();
  EXPECT_EQ(count_of(assignments, std::nullopt), assignments.size());
  EXPECT_FALSE(assignments.empty());
}

TEST(GatewayPolicy, TheRateIsThatOfAllRequestsTogether) {
  Bench bench({.policy = Policy::kGatewayOnly});
  for (std::uint32_t round = 0; round < 3; ++round) {
    bench.need(8 * round, 8);
    EXPECT_EQ(bench.poll().size(), 8U);
    bench.wait(seconds(1));
    for (std::uint32_t i = 0; i < 8; ++i) bench.verify(8 * round + i, std::nullopt);
    // They were sent at the same time, and came at the same time; less the delay.
    EXPECT_GE(bench.scheduler.rate(std::nullopt), 8 * 262'144.0);
    EXPECT_LE(bench.scheduler.rate(std::nullopt), 2.2 * 8 * 262'144.0);
  }
}

TEST(GatewayPolicy, PeersTakeOverFromOneThatFallsSilent) {
  Bench bench({.policy = Policy::kFastest});
  bench.need(0, 2);
  EXPECT_EQ(count_of(bench.poll(), std::nullopt), 2U);
  bench.wait(milliseconds(500));
  for (const std::uint32_t number : {0, 1}) bench.verify(number, std::nullopt);
  bench.need(2, 8);
  bench.scheduler.set_asked_all(kTransfer, true);
  EXPECT_EQ(count_of(bench.poll(), std::nullopt), 8U);
  bench.add_provider(kA);
  EXPECT_GT(count_of(bench.wait(seconds(6)), kA), 0U);
}

TEST(GatewayPolicy, P2pOnlyAsksNoGateway) {
  Bench bench({.policy = Policy::kP2pOnly});
  bench.need(1, 50);
  EXPECT_TRUE(bench.wait(seconds(60)).empty());
}

TEST(GatewayPolicy, WithoutGatewaysNoneIsAsked) {
  Bench bench({.has_gateways = false});
  bench.need(1, 50);
  EXPECT_TRUE(bench.wait(seconds(60)).empty());
}

TEST(GatewayPolicy, AFewRequestsAreOpenAtATime) {
  Bench bench({.policy = Policy::kGatewayOnly});
  bench.need(0, 50);
  EXPECT_EQ(bench.poll().size(), 8U);
  EXPECT_TRUE(bench.poll().empty());
  bench.verify(0, std::nullopt);
  EXPECT_EQ(numbers(bench.poll()), (std::vector<std::uint32_t>{8}));
  bench.scheduler.handle_gateway_failed(bench.now, numbered_cid(1), {ErrorCode::kUnavailable, "out to lunch"});
  EXPECT_EQ(numbers(bench.poll()), (std::vector<std::uint32_t>{9})) << "and not the failed one again";
  bench.scheduler.remove_transfer(bench.now, kTransfer);
  bench.scheduler.add_transfer(kTransfer, true);
  bench.need(100, 50);
  EXPECT_EQ(bench.poll().size(), 8U);
}

std::vector<Cid> missing(const Scheduler& scheduler) {
  std::vector<Cid> cids;
  for (const Scheduler::Missing& block : scheduler.missing()) cids.push_back(block.cid);
  return cids;
}

TEST(Missing, OnlyWhatCannotComeAsThingsAre) {
  Bench bench({.policy = Policy::kP2pOnly});
  Scheduler& scheduler = bench.scheduler;
  scheduler.set_pending_providers(kTransfer, std::nullopt);
  bench.need(1, 2);
  EXPECT_EQ(missing(scheduler).size(), 2U);
  EXPECT_TRUE(scheduler.missing().front().awaits_providers) << "the search runs";
  scheduler.set_pending_providers(kTransfer, 1);
  EXPECT_TRUE(scheduler.missing().front().awaits_providers) << "one is being connected";
  scheduler.set_pending_providers(kTransfer, 0);
  EXPECT_FALSE(scheduler.missing().front().awaits_providers);
  EXPECT_FALSE(scheduler.had_provider(kTransfer));
  bench.add_provider(kA);
  EXPECT_TRUE(missing(scheduler).empty()) << "one may have it";
  bench.poll();
  EXPECT_TRUE(missing(scheduler).empty()) << "one is asked";
  scheduler.handle_lacks(bench.now, kA, numbered_cid(2));
  EXPECT_EQ(missing(scheduler), (std::vector<Cid>{numbered_cid(2)}));
  scheduler.remove_peer(kA);
  EXPECT_TRUE(scheduler.had_provider(kTransfer));
  EXPECT_EQ(missing(scheduler), (std::vector<Cid>{numbered_cid(1), numbered_cid(2)}));
}

TEST(Missing, NotWhatAvoidedPeersMayHave) {
  Bench bench({.policy = Policy::kP2pOnly});
  bench.add_provider(kA);
  bench.need(1);
  bench.poll();
  bench.wait(seconds(1));
  bench.need(2);
  bench.poll();
  EXPECT_TRUE(missing(bench.scheduler).empty());
}

TEST(Missing, NotWhatAGatewayMayHave) {
  Bench bench({.policy = Policy::kGatewayOnly});
  bench.need(1);
  EXPECT_TRUE(missing(bench.scheduler).empty());
  bench.poll();
  EXPECT_TRUE(missing(bench.scheduler).empty());
  bench.scheduler.handle_gateway_failed(bench.now, numbered_cid(1), {ErrorCode::kUnavailable, "out to lunch"});
  EXPECT_EQ(missing(bench.scheduler).size(), 1U);
}

}  // namespace
}  // namespace codio::transfer
