// Peers that lie, stall, flood and break the protocol: they cost time, never the file.
#include <algorithm>
#include <gtest/gtest.h>
#include <vector>

#include "sim/scenario.h"

namespace codio::sim {
namespace {

constexpr auto kFirstRogue = static_cast<std::uint8_t>(Conduct::kPoor);
constexpr auto kLastRogue = static_cast<std::uint8_t>(Conduct::kGarbled);

PeerOptions some_rogue(Dice& dice) {
  return {.conduct = static_cast<Conduct>(dice.whole<int>(kFirstRogue, kLastRogue))};
}

/// One that gives no block that counts.
PeerOptions some_useless_rogue(Dice& dice) {
  PeerOptions options = some_rogue(dice);
  for (const Conduct gives : {Conduct::kGreedy, Conduct::kFickle, Conduct::kDripping, Conduct::kRepeating}) {
    if (options.conduct == gives) options.conduct = Conduct::kSilent;
  }
  return options;
}

/// Adds as many honest peers and as many rogues, in an order of the dice's.
void add_mixed(Trial& trial, const File& file, int honest, int rogues) {
  while (honest + rogues > 0) {
    const bool is_rogue = trial.dice.chance(static_cast<double>(rogues) / (honest + rogues));
    --(is_rogue ? rogues : honest);
    trial.add_provider(file, some_link(trial.dice), is_rogue ? some_rogue(trial.dice) : PeerOptions{});
  }
}

TEST(Hostile, HalfThePeersCostLittleOfTheSpeed) {
  const File& file = file_of(96);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    add_mixed(trial, file, 3, 3);
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.85);
    trial.expect_little_waste(outcome);
  });
}

TEST(Hostile, OneHonestPeerAmongManyIsEnough) {
  const File& file = file_of(64);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    add_mixed(trial, file, 1, 7);
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.7);
    trial.expect_little_waste(outcome);
  });
}

/// Each kind in its turn, found first and over the fastest link.
TEST(Hostile, EveryKindIsDroppedIfItCanBeConvicted) {
  const File& file = file_of(48);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    const auto conduct = static_cast<Conduct>(kFirstRogue + seed % (kLastRogue - kFirstRogue + 1));
    const std::uint32_t rogue = trial.add_provider(file, {.delay = milliseconds(1), .rate = 5e6}, {.conduct = conduct});
    trial.add_provider(file, some_link(trial.dice));
    const Outcome& outcome = trial.download(file);
    const testing::ScopedTrace trace(__FILE__, __LINE__, "conduct " + std::to_string(static_cast<int>(conduct)));
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.7);
    EXPECT_EQ(trial.swarm.convicted(0, rogue), is_convictable(conduct));
    trial.expect_little_waste(outcome);
  });
}

TEST(Hostile, WithNoHonestPeerTheGatewayGivesTheFile) {
  const File& file = file_of(48);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed, PeerOptions{});
    for (int i = 0; i < 6; ++i) trial.add_provider(file, some_link(trial.dice), some_useless_rogue(trial.dice));
    trial.swarm.set_gateway({.exists = true, .delay = milliseconds(80), .rate = 500e3, .blocks = file.blocks});
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    const double best = static_cast<double>(file.bytes.size()) / 500e3;
    const double took = to_seconds(*outcome.finished - *outcome.connected);
    figure("speed, of the gateway's", best / took);
    EXPECT_LE(took, best + 9);
  });
}

/// Without any source the download must end, and say why.
TEST(Hostile, WithNoHonestSourceTheDownloadFails) {
  const File& file = file_of(16);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    for (int i = 0; i < 4; ++i) {
      trial.add_provider(file, some_link(trial.dice), some_useless_rogue(trial.dice));
    }
    const Outcome& outcome = trial.download(file);
    ASSERT_TRUE(trial.swarm.clock.run_until([&] { return outcome.over(); }, seconds(120)));
    ASSERT_TRUE(outcome.error);
    EXPECT_FALSE(outcome.error->message.empty());
  });
}

TEST(Hostile, ARogueWhoDownloadsCostsTheOthersLittle) {
  const File& file = file_of(32);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    const std::uint32_t provider =
        trial.add_provider(file, {.rate = 300e3}, {.store_delay = trial.dice.time(milliseconds(1), milliseconds(20))});
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t rogue =
          trial.add_peer({.conduct = trial.dice.chance(0.5) ? Conduct::kFlooding : Conduct::kGreedy}, file.blocks);
      trial.swarm.join(provider, rogue, some_link(trial.dice));
    }
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    trial.expect_efficiency(outcome, 0.8);
  });
}

}  // namespace
}  // namespace codio::sim
