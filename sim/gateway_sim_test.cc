// Gateways that are slow, fail or fall silent, and the policies: when is a gateway asked, and when no more?
#include <gtest/gtest.h>

#include "sim/scenario.h"

namespace codio::sim {
namespace {

GatewayOptions some_gateway(Dice& dice, const File& file) {
  return {.exists = true,
          .delay = dice.spread(milliseconds(20), milliseconds(150)),
          .rate = dice.spread(150e3, 600e3),
          .blocks = file.blocks};
}

PeerOptions with_policy(Policy policy) {
  PeerOptions options;
  options.exchange.policy = policy;
  return options;
}

/// Either policy that uses both.
Policy mixed_policy(std::uint64_t seed) { return seed % 2 == 0 ? Policy::kP2pFirst : Policy::kFastest; }

/// Seconds for the search, the root, and then for the first leaf, which shares the rate with seven others.
double best_first_byte(const GatewayOptions& gateway) {
  return 0.1 + 2 * to_seconds(gateway.delay) + 8.2 * kChunk / gateway.rate;
}

double share_of_gateway(const Outcome& outcome) {
  return static_cast<double>(outcome.from_gateway) / static_cast<double>(outcome.from_gateway + outcome.from_peers());
}

TEST(Gateways, WithoutProvidersOneIsAskedAtOnce) {
  const File& file = file_of(48);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(Policy::kP2pFirst));
    const GatewayOptions gateway = some_gateway(trial.dice, file);
    trial.swarm.set_gateway(gateway);
    const Time begin = trial.swarm.clock.now();
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    const double first = to_seconds(*outcome.first_byte - begin);
    figure("first byte, s", first);
    EXPECT_LE(first, best_first_byte(gateway));
    const double took = to_seconds(*outcome.finished - begin);
    const double best = static_cast<double>(file.bytes.size()) / gateway.rate;
    figure("speed, of the gateway's", best / took);
    EXPECT_LE(took, best / 0.85 + 4 * to_seconds(gateway.delay));
  });
}

TEST(Gateways, ProvidersThatNeverConnectDelayTheFirstByteByTheDeadline) {
  const File& file = file_of(48);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(Policy::kP2pFirst));
    for (int i = 0; i < 3; ++i) trial.add_provider(file, {}, {.conduct = Conduct::kUnreachable});
    const GatewayOptions gateway = some_gateway(trial.dice, file);
    trial.swarm.set_gateway(gateway);
    const Time begin = trial.swarm.clock.now();
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    const double first = to_seconds(*outcome.first_byte - begin);
    figure("first byte, s", first);
    EXPECT_LE(first, best_first_byte(gateway) + 0.5);
    // Waiting is done once, not for each block.
    const double took = to_seconds(*outcome.finished - begin);
    EXPECT_LE(took, static_cast<double>(file.bytes.size()) / gateway.rate / 0.8 + 1.5);
  });
}

TEST(Gateways, PeersThatSayNothingDelayTheFirstByteByLessThanASecond) {
  const File& file = file_of(48);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(Policy::kP2pFirst));
    const auto peers = trial.dice.whole(1, 4);
    for (int i = 0; i < peers; ++i) {
      trial.add_provider(file, {.delay = trial.dice.spread(milliseconds(1), milliseconds(50))},
                         {.conduct = trial.dice.chance(0.5) ? Conduct::kSilent : Conduct::kMute});
    }
    const GatewayOptions gateway = some_gateway(trial.dice, file);
    trial.swarm.set_gateway(gateway);
    const Time begin = trial.swarm.clock.now();
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    const double first = to_seconds(*outcome.first_byte - begin);
    figure("first byte, s", first);
    EXPECT_LE(first, best_first_byte(gateway) + 1);
    const double took = to_seconds(*outcome.finished - begin);
    EXPECT_LE(took, static_cast<double>(file.bytes.size()) / gateway.rate / 0.8 + 2.5);
  });
}

TEST(Gateways, FastPeersLeaveOneLittleToGive) {
  const File& file = file_of(64);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(Policy::kP2pFirst));
    trial.add_providers(3, file);
    trial.swarm.set_gateway(some_gateway(trial.dice, file));
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    figure("share of the gateway", share_of_gateway(outcome));
    EXPECT_LE(share_of_gateway(outcome), 0.1);
    trial.expect_efficiency(outcome, 0.8);
    trial.expect_few_duplicates(outcome);
  });
}

TEST(Gateways, PeersFoundLateTakeOver) {
  const File& file = file_of(128);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(Policy::kP2pFirst));
    trial.swarm.set_gateway({.exists = true, .delay = milliseconds(50), .rate = 250e3, .blocks = file.blocks});
    const Outcome& outcome = trial.download(file);
    const Duration late = trial.dice.time(milliseconds(500), seconds(5));
    std::uint64_t before = 0;
    trial.swarm.clock.after(late, [&] {
      before = outcome.from_gateway;
      for (int i = 0; i < 3; ++i) {
        const std::uint32_t peer = trial.add_peer({}, file.blocks);
        trial.swarm.introduce(peer, file.root,
                              {.delay = trial.dice.spread(milliseconds(1), milliseconds(50)), .rate = 250e3});
      }
    });
    if (!trial.expect_whole(file, outcome)) return;
    const double share =
        static_cast<double>(outcome.from_gateway - before) / static_cast<double>(file.bytes.size() - before);
    figure("share of the gateway afterwards", share);
    EXPECT_LE(share, 0.2);
    trial.expect_few_duplicates(outcome);
  });
}

TEST(Gateways, PeersThatStallAreHelpedOut) {
  const File& file = file_of(64);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(Policy::kP2pFirst));
    trial.add_providers(2, file);
    const GatewayOptions gateway = some_gateway(trial.dice, file);
    trial.swarm.set_gateway(gateway);
    const Outcome& outcome = trial.download(file);
    const double stalls_at = trial.dice.real(0.5, 5);
    std::uint64_t before = 0;
    trial.swarm.clock.after(milliseconds(static_cast<int>(stalls_at * 1e3)), [&] {
      before = outcome.from_peers() + outcome.from_gateway;
      for (const std::uint32_t peer : {1, 2}) trial.swarm.set_rate(peer, trial.dice.spread(100, 2e3));
    });
    const Time begin = trial.swarm.clock.now();
    if (!trial.expect_whole(file, outcome)) return;
    const double took = to_seconds(*outcome.finished - begin);
    const double rest = static_cast<double>(file.bytes.size() - before) / gateway.rate;
    figure("time lost, s", took - stalls_at - rest);
    EXPECT_LE(took, stalls_at + rest / 0.8 + 5);
  });
}

TEST(Gateways, ADeadOneCostsPeersNothing) {
  const File& file = file_of(96);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(mixed_policy(seed)));
    trial.add_providers(3, file);
    trial.swarm.set_gateway(some_gateway(trial.dice, file));
    if (trial.dice.chance(0.5)) {
      trial.swarm.gateway().fail();
    } else {
      trial.swarm.gateway().fall_silent();
    }
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.8);
    trial.expect_few_duplicates(outcome);
  });
}

TEST(Gateways, OneThatDiesMidWayIsReplacedByPeers) {
  const File& file = file_of(64);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(mixed_policy(seed)));
    trial.add_providers(2, file);
    trial.swarm.set_gateway(some_gateway(trial.dice, file));
    const bool silently = trial.dice.chance(0.5);
    trial.swarm.clock.after(trial.dice.time(milliseconds(100), seconds(5)), [&] {
      if (silently) {
        trial.swarm.gateway().fall_silent();
      } else {
        trial.swarm.gateway().fail();
      }
    });
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.8);
    trial.expect_few_duplicates(outcome);
  });
}

TEST(Gateways, OneReplacesTheLastPeerThatLeaves) {
  const File& file = file_of(64);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(Policy::kP2pFirst));
    const std::uint32_t leaving = trial.add_provider(file, some_link(trial.dice));
    const GatewayOptions gateway = some_gateway(trial.dice, file);
    trial.swarm.set_gateway(gateway);
    const Outcome& outcome = trial.download(file);
    const Time begin = trial.swarm.clock.now();
    const Duration leaves_after = trial.dice.time(milliseconds(100), seconds(8));
    const Duration notice = trial.dice.chance(0.5) ? milliseconds(100) : seconds(10);
    std::uint64_t before = 0;
    trial.swarm.clock.after(leaves_after, [&] {
      before = outcome.from_peers() + outcome.from_gateway;
      trial.swarm.disconnect(leaving, notice);
    });
    if (!trial.expect_whole(file, outcome)) return;
    const double took = to_seconds(*outcome.finished - begin - leaves_after);
    const double rest = static_cast<double>(file.bytes.size() - before) / gateway.rate;
    EXPECT_LE(took, rest / 0.8 + 4) << "after the peer left";
  });
}

TEST(Gateways, PeersWithTheRootOnlyAreHelpedOut) {
  const File& file = file_of(32);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(Policy::kP2pFirst));
    const std::uint32_t poor = trial.add_peer({}, {{file.root, file.blocks.at(file.root)}});
    trial.swarm.set_provider(poor, file.root, some_link(trial.dice));
    const GatewayOptions gateway = some_gateway(trial.dice, file);
    trial.swarm.set_gateway(gateway);
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    const double took = to_seconds(*outcome.finished - *outcome.connected);
    EXPECT_LE(took, static_cast<double>(file.bytes.size()) / gateway.rate / 0.8 + 2);
  });
}

TEST(Gateways, WithoutAnySourceTheDownloadFailsAndSaysSo) {
  const File& file = file_of(16);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(Policy::kP2pFirst));
    trial.swarm.set_gateway({.delay = trial.dice.time(milliseconds(10), milliseconds(500))});
    const Outcome& outcome = trial.download(file);
    ASSERT_TRUE(trial.swarm.clock.run_until([&] { return outcome.over(); }, seconds(60)));
    ASSERT_TRUE(outcome.error);
    EXPECT_EQ(outcome.error->message, "all gateways failed");
  });
}

TEST(Gateways, RequestsThatFailNowAndThenAreMadeOfPeers) {
  const File& file = file_of(48);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(Policy::kFastest));
    trial.add_provider(file, some_link(trial.dice));
    GatewayOptions gateway = some_gateway(trial.dice, file);
    gateway.failures = trial.dice.real(0.05, 0.5);
    trial.swarm.set_gateway(std::move(gateway));
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.8);
  });
}

TEST(Gateways, FastestAddsOneToThePeers) {
  const File& file = file_of(96);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(Policy::kFastest));
    trial.add_providers(2, file);
    const GatewayOptions gateway = some_gateway(trial.dice, file);
    trial.swarm.set_gateway(gateway);
    const Time begin = trial.swarm.clock.now();
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    const double capacity = trial.swarm.capacity(0) + gateway.rate * to_seconds(trial.swarm.clock.now() - begin);
    const double efficiency = static_cast<double>(file.bytes.size()) / capacity;
    figure("efficiency", efficiency);
    EXPECT_GE(efficiency, 0.8);
    const double wasted =
        static_cast<double>(trial.swarm.gateway().wasted() + trial.swarm.gateway().given() - outcome.from_gateway);
    figure("waste of the gateway", wasted / static_cast<double>(file.bytes.size()));
    EXPECT_LE(wasted / static_cast<double>(file.bytes.size()), kDuplicates);
    trial.expect_few_duplicates(outcome);
  });
}

TEST(Gateways, GatewayOnlyTellsNoPeer) {
  const File& file = file_of(16);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(Policy::kGatewayOnly));
    trial.add_provider(file);
    trial.swarm.set_gateway(some_gateway(trial.dice, file));
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    EXPECT_EQ(trial.swarm.trace.find('>'), std::string::npos) << "a message was sent";
    EXPECT_FALSE(outcome.connected);
  });
}

TEST(Gateways, P2pOnlyNeverAsksOne) {
  const File& file = file_of(16);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, with_policy(Policy::kP2pOnly));
    const bool provided = trial.dice.chance(0.5);
    if (provided) trial.add_provider(file, some_link(trial.dice));
    trial.swarm.set_gateway(some_gateway(trial.dice, file));
    const Outcome& outcome = trial.download(file);
    if (provided) {
      trial.expect_whole(file, outcome);
    } else {
      ASSERT_TRUE(trial.swarm.clock.run_until([&] { return outcome.over(); }, seconds(60)));
      ASSERT_TRUE(outcome.error);
      EXPECT_EQ(outcome.error->code, ErrorCode::kNotFound);
    }
    EXPECT_EQ(trial.swarm.gateway().given() + trial.swarm.gateway().wasted(), 0U);
  });
}

}  // namespace
}  // namespace codio::sim
