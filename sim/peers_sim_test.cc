// Downloads from honest peers over links of every kind: how much of what the peers can give does the engine get?
#include <algorithm>
#include <gtest/gtest.h>

#include "sim/scenario.h"

namespace codio::sim {
namespace {

TEST(Peers, FourEqualOnesGiveNineTenthsOfTheirRate) {
  const File& file = file_of(128);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    const LinkOptions link{.delay = trial.dice.time(milliseconds(2), milliseconds(40)),
                           .rate = trial.dice.spread(150e3, 400e3)};
    for (int i = 0; i < 4; ++i) trial.add_provider(file, link);
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.9);
    trial.expect_few_duplicates(outcome);
    EXPECT_EQ(outcome.from_peer.size(), 4U);
  });
}

TEST(Peers, UnequalOnesGiveFourFifthsOfTheirRate) {
  const File& file = file_of(128);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    const double slowest = trial.dice.spread(30e3, 90e3);
    for (const double times : {1, 2, 5, 10}) {
      trial.add_provider(file,
                         {.delay = trial.dice.spread(milliseconds(1), milliseconds(150)), .rate = times * slowest});
    }
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.8);
    trial.expect_few_duplicates(outcome);
  });
}

TEST(Peers, DelayCostsTheStartOnly) {
  const File& file = file_of(96);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    const auto peers = trial.dice.whole(1, 6);
    for (int i = 0; i < peers; ++i) {
      trial.add_provider(file, {.delay = trial.dice.spread(Duration(500), milliseconds(150)), .rate = 800e3 / peers});
    }
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.8);
    trial.expect_few_duplicates(outcome);
  });
}

TEST(Peers, LossCostsTimeOnly) {
  const File& file = file_of(64);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    for (int i = 0; i < 3; ++i) {
      LinkOptions link = some_link(trial.dice, 100e3, 400e3);
      link.loss = trial.dice.real(0.01, 0.1);
      trial.add_provider(file, link);
    }
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    // Flow control takes the pause for a lost packet for a queue, and asks for less at a time.
    trial.expect_efficiency(outcome, 0.45);
    trial.expect_few_duplicates(outcome);
  });
}

TEST(Peers, ALinkThatCollapsesForSecondsHoldsNothingUp) {
  const File& file = file_of(128);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    std::vector<std::pair<std::uint32_t, double>> peers;
    for (int i = 0; i < 4; ++i) {
      const LinkOptions link = some_link(trial.dice);
      peers.emplace_back(trial.add_provider(file, link), link.rate);
    }
    const Outcome& outcome = trial.download(file);
    // One after the other falls to a few percent for seconds, and comes back.
    std::function<void()> next = [&] {
      const auto [peer, rate] = trial.dice.one_of(peers);
      trial.swarm.set_rate(peer, rate * trial.dice.real(0.05, 0.2));
      trial.swarm.clock.after(trial.dice.time(seconds(1), seconds(5)),
                              [&trial, peer, rate] { trial.swarm.set_rate(peer, rate); });
      trial.swarm.clock.after(trial.dice.time(seconds(1), seconds(4)), next);
    };
    trial.swarm.clock.after(trial.dice.time(milliseconds(200), seconds(2)), next);
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.65);
    // One that brings nothing for seconds cannot be told from one that is gone: what it had begun comes twice.
    trial.expect_few_duplicates(outcome, 8);
  });
}

TEST(Peers, MayLeaveAndComeAsTheyLike) {
  const File& file = file_of(128);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    const auto link = [&] { return some_link(trial.dice, 100e3, 400e3); };
    trial.add_provider(file, {.rate = 80e3});
    std::vector<std::uint32_t> here;
    for (int i = 0; i < 4; ++i) here.push_back(trial.add_provider(file, link()));
    const Outcome& outcome = trial.download(file);
    // A tab that is closed says so; a machine that falls asleep is found out by its silence.
    std::function<void()> next = [&] {
      std::uint32_t& leaving = here[trial.dice.whole<std::size_t>(0, here.size() - 1)];
      trial.swarm.disconnect(leaving, trial.dice.chance(0.7) ? milliseconds(100) : seconds(7));
      leaving = trial.add_peer({}, file.blocks);
      trial.swarm.introduce(leaving, file.root, link());
      trial.swarm.clock.after(trial.dice.time(milliseconds(500), seconds(4)), next);
    };
    trial.swarm.clock.after(trial.dice.time(milliseconds(100), seconds(2)), next);
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.7);
    trial.expect_few_duplicates(outcome);
  });
}

/// One of two is killed: its machine says nothing, and its connection is known to be dead only half a minute later.
TEST(Peers, OneThatIsKilledHoldsTheOtherUpForASecond) {
  const File& file = file_of(96);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    const LinkOptions link = some_link(trial.dice);
    const std::uint32_t killed = trial.add_provider(file, link);
    trial.add_provider(file, link);
    const Outcome& outcome = trial.download(file);
    const double whole = static_cast<double>(file.bytes.size());
    const double share = trial.dice.real(0.1, 0.9);
    Time killed_at{};
    trial.swarm.clock.after(milliseconds(static_cast<int>(whole * share / (2 * link.rate) * 1e3)), [&] {
      killed_at = trial.swarm.clock.now();
      trial.swarm.disconnect(killed, seconds(30));
    });
    if (!trial.expect_whole(file, outcome)) return;
    // What the killed one had sent by then and nobody got, the other has to bring.
    const double left = whole - 2 * link.rate * to_seconds(killed_at - *outcome.connected);
    const double best = to_seconds(killed_at - *outcome.connected) + left / link.rate;
    const double held_up = to_seconds(*outcome.finished - *outcome.connected) - best;
    double pause = 0;
    for (std::size_t i = 1; i < outcome.arrivals.size(); ++i) {
      pause = std::max(pause, to_seconds(outcome.arrivals[i].first - outcome.arrivals[i - 1].first));
    }
    figure("held up, s", held_up);
    figure("longest pause of the reader, s", pause);
    EXPECT_LE(held_up, 4);
    trial.expect_few_duplicates(outcome);
  });
}

/// The only provider lacks blocks when the download asks for them, and another one comes after a while, or the only one
/// is gone and comes back.
TEST(Peers, WhatNobodyHasForSecondsIsWaitedFor) {
  const File& file = file_of(48);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    const LinkOptions link = some_link(trial.dice);
    const bool leaves = trial.dice.chance(0.5);
    Blocks some = file.blocks;
    if (!leaves) {
      std::erase_if(some, [&](const auto& entry) { return entry.first != file.root && trial.dice.chance(0.25); });
    }
    const std::uint32_t first = trial.add_peer({}, some);
    trial.swarm.set_provider(first, file.root, link);
    const Outcome& outcome = trial.download(file);
    const double whole = static_cast<double>(file.bytes.size()) / link.rate;
    const double gone = trial.dice.real(0.1, 0.9) * whole;
    const auto after = [](double seconds) { return Duration(static_cast<Duration::rep>(seconds * 1e6)); };
    if (leaves) trial.swarm.clock.after(after(gone), [&, first] { trial.swarm.disconnect(first, milliseconds(100)); });
    // Nobody tells of the other: it is found by whoever searches.
    const Duration comes = after((leaves ? gone : 0.7 * whole) + trial.dice.real(0.1, 6));
    trial.swarm.clock.after(comes, [&] { trial.add_provider(file, link); });
    if (!trial.expect_whole(file, outcome)) return;
    const double waited = to_seconds(*outcome.finished - *outcome.connected) - to_seconds(comes);
    figure("until it has what was missing, s", waited);
    EXPECT_LE(waited, 3 + 1 + whole);
  });
}

TEST(Peers, WhatNobodyBringsFailsTheDownloadInTime) {
  const File& file = file_of(16);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    Blocks some = file.blocks;
    const auto missing =
        std::find_if(some.begin(), some.end(), [&](const auto& entry) { return entry.first != file.root; });
    const std::string name = missing->first.to_string();
    some.erase(missing);
    for (int i = 0; i < 3; ++i) {
      const std::uint32_t peer = trial.add_peer({}, some);
      trial.swarm.set_provider(peer, file.root, some_link(trial.dice));
    }
    const Outcome& outcome = trial.download(file);
    ASSERT_TRUE(trial.swarm.clock.run_until([&] { return outcome.over(); }, seconds(60)));
    ASSERT_TRUE(outcome.error);
    EXPECT_EQ(outcome.error->code, ErrorCode::kNotFound);
    EXPECT_NE(outcome.error->message.find(name), std::string::npos) << outcome.error->message;
    const double rest = static_cast<double>(file.bytes.size()) / 150e3;
    EXPECT_LE(to_seconds(trial.swarm.clock.now() - *outcome.connected), rest + 11);
  });
}

TEST(Peers, TheEndDoesNotWaitForAStraggler) {
  const File& file = file_of(64);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    for (int i = 0; i < 2; ++i) {
      trial.add_provider(file, {.delay = some_delay(trial.dice), .rate = 350e3});
    }
    // Known first and asked first, it would need minutes for what it is asked at the start.
    trial.add_provider(file, {.delay = milliseconds(1), .rate = trial.dice.spread(500, 8e3)});
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.8);
    trial.expect_few_duplicates(outcome);
  });
}

TEST(Peers, TheEndDoesNotWaitForOneThatSlowsDown) {
  const File& file = file_of(64);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    for (int i = 0; i < 3; ++i) {
      trial.add_provider(file, {.delay = some_delay(trial.dice), .rate = 250e3});
    }
    const Outcome& outcome = trial.download(file);
    // The last fifth of the file is asked for when one of the three all but stops.
    trial.swarm.clock.after(milliseconds(static_cast<int>(64.0 * kChunk / 750e3 * trial.dice.real(0.7, 1.0) * 1e3)),
                            [&trial] { trial.swarm.set_rate(1, 1e3); });
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.7);
    trial.expect_few_duplicates(outcome);
  });
}

TEST(Peers, ThrottledTimersCostAFifthAtMost) {
  const File& file = file_of(64);
  on_every_seed([&](std::uint64_t seed) {
    double took[2];
    for (const bool throttled : {false, true}) {
      const PeerOptions options{.exchange = no_gateways(), .wakeup_step = throttled ? seconds(1) : seconds(0)};
      Trial trial(seed, options);
      for (int i = 0; i < 4; ++i) {
        trial.add_provider(file, some_link(trial.dice, 60e3, 300e3), options);
      }
      const Outcome& outcome = trial.download(file);
      if (!trial.expect_whole(file, outcome)) return;
      took[throttled ? 1 : 0] = to_seconds(*outcome.finished - *outcome.connected);
      if (throttled) trial.expect_few_duplicates(outcome);
    }
    figure("speed, of the unthrottled", took[0] / took[1]);
    EXPECT_GE(took[0] / took[1], 0.8);
  });
}

TEST(Peers, SlowStoresCostTheStartOnly) {
  const File& file = file_of(64);
  on_every_seed([&](std::uint64_t seed) {
    const auto options = [](Dice& dice) {
      return PeerOptions{.exchange = no_gateways(), .store_delay = dice.time(milliseconds(50), milliseconds(500))};
    };
    Dice first(seed);
    Trial trial(seed, options(first));
    for (int i = 0; i < 4; ++i) {
      trial.add_provider(file, some_link(trial.dice, 80e3, 180e3), options(trial.dice));
    }
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.75);
    trial.expect_few_duplicates(outcome);
  });
}

}  // namespace
}  // namespace codio::sim
