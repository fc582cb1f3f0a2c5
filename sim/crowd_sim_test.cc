// Several downloads and several downloaders at once: do they share, and do downloaders serve each other?
#include <algorithm>
#include <gtest/gtest.h>
#include <optional>
#include <utility>
#include <vector>

#include "sim/scenario.h"

namespace codio::sim {
namespace {

TEST(Crowd, DownloadsOfSeveralFilesShareThePeers) {
  std::vector<const File*> files;
  for (std::uint64_t i = 0; i < 3; ++i) files.push_back(&file_of(32, i));
  Blocks all;
  for (const File* file : files) all.insert(file->blocks.begin(), file->blocks.end());
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    for (int i = 0; i < 3; ++i) {
      const std::uint32_t peer = trial.add_peer({}, all);
      const LinkOptions link = some_link(trial.dice);
      for (const File* file : files) trial.swarm.set_provider(peer, file->root, link);
    }
    std::vector<const Outcome*> outcomes;
    for (const File* file : files) {
      outcomes.push_back(&trial.download(*file));
      trial.swarm.clock.run_until([] { return false; }, trial.dice.time(milliseconds(0), seconds(1)));
    }
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (!trial.expect_whole(*files[i], *outcomes[i])) return;
      EXPECT_LE(*outcomes[i]->first_byte - *outcomes[i]->connected, seconds(6)) << "none starves";
    }
    const double efficiency = 96.0 * kChunk / trial.swarm.capacity(0);
    figure("efficiency", efficiency);
    EXPECT_GE(efficiency, 0.8);
  });
}

TEST(Crowd, TwoDownloadsOfOneFileAskForEachBlockOnce) {
  const File& file = file_of(32);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    const std::uint32_t provider = trial.add_provider(file, some_link(trial.dice));
    const Outcome& first = trial.download(file);
    trial.swarm.clock.run_until([] { return false; }, trial.dice.time(milliseconds(0), seconds(4)));
    const Outcome& second = trial.download(file);
    if (!trial.expect_whole(file, first) || !trial.expect_whole(file, second)) return;
    EXPECT_LE(trial.swarm.exchange(provider).totals().uploaded, file.bytes.size() + 2 * kChunk);
  });
}

TEST(Crowd, DownloadersShareOneSeedersUplinkFairly) {
  const File& file = file_of(32);
  on_every_seed([&](std::uint64_t seed) {
    constexpr double kUplink = 500e3;
    Trial trial(seed);
    const std::uint32_t seeder =
        trial.add_provider(file, {.delay = some_delay(trial.dice), .rate = 5e6}, {.uplink = kUplink});
    const auto count = trial.dice.whole<std::uint32_t>(2, 5);
    std::vector<const Outcome*> outcomes{&trial.download(file)};
    for (std::uint32_t i = 1; i < count; ++i)
      outcomes.push_back(&trial.swarm.download(trial.add_peer({.exchange = no_gateways()}), file.root));
    double first = 1e9;
    double last = 0;
    for (const Outcome* outcome : outcomes) {
      if (!trial.expect_whole(file, *outcome)) return;
      const double took = to_seconds(*outcome->finished - *outcome->connected);
      first = std::min(first, took);
      last = std::max(last, took);
    }
    const double best = static_cast<double>(file.bytes.size()) * count / kUplink;
    figure("use of the uplink", best / last);
    EXPECT_GE(best / last, 0.85);
    figure("first to finish, of the last", first / last);
    EXPECT_GE(first / last, 0.7);
    EXPECT_LE(static_cast<double>(trial.swarm.exchange(seeder).totals().uploaded),
              static_cast<double>(count * file.bytes.size()) * 1.08);
  });
}

constexpr double kCrowdUplink = 250e3;

/// Of the downloaders all together.
struct CrowdResult {
  double speed;            ///< Times what the seeder alone could give.
  double share_of_seeder;  ///< Of the bytes.
};

/// Downloaders come one after the other, `gap(dice)` apart. Each finds those who have the whole file, the seeder first,
/// and meets some of those who came before.
std::optional<CrowdResult> run_crowd(std::uint64_t seed, std::size_t count, Duration shortest_gap,
                                     Duration longest_gap) {
  const File& file = file_of(20);
  const PeerOptions options{.exchange = no_gateways(), .uplink = kCrowdUplink};
  Trial trial(seed, options);
  Swarm& swarm = trial.swarm;
  const LinkOptions link{.delay = some_delay(trial.dice), .rate = 2e6};
  const std::uint32_t seeder = trial.add_provider(file, link, options);

  struct Member {
    std::uint32_t peer;
    const Outcome* outcome;
    bool announced = false;
  };
  std::vector<Member> crowd{{0, &trial.download(file)}};
  const Time begin = swarm.clock.now();
  const auto announce = [&] {
    for (Member& member : crowd) {
      if (!member.outcome->finished || std::exchange(member.announced, true)) continue;
      swarm.set_provider(member.peer, file.root, link);
    }
    return crowd.size() == count && std::ranges::all_of(crowd, [](const Member& member) { return member.announced; });
  };
  while (crowd.size() < count) {
    swarm.clock.run_until(announce, trial.dice.time(shortest_gap, longest_gap));
    const std::uint32_t peer = trial.add_peer(options);
    const Outcome* outcome = &swarm.download(peer, file.root);
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t other = trial.dice.one_of(crowd).peer;
      if (!swarm.are_connected(peer, other)) swarm.join(peer, other, link);
    }
    crowd.push_back({peer, outcome});
  }
  if (!swarm.clock.run_until(announce, seconds(600))) {
    ADD_FAILURE() << "not over";
    return std::nullopt;
  }
  for (const Member& member : crowd) EXPECT_TRUE(member.outcome->bytes == file.bytes);
  const double bytes = static_cast<double>(count * file.bytes.size());
  const CrowdResult result{.speed = bytes / kCrowdUplink / to_seconds(swarm.clock.now() - begin),
                           .share_of_seeder = static_cast<double>(swarm.exchange(seeder).totals().uploaded) / bytes};
  figure("speed, of the seeder's alone", result.speed);
  figure("share of the seeder", result.share_of_seeder);
  return result;
}

TEST(Crowd, OnesWhoComeLaterAreServedByThoseWhoCameBefore) {
  on_every_seed([&](std::uint64_t seed) {
    const auto result = run_crowd(seed, 6, seconds(2), seconds(8));
    if (!result) return;
    EXPECT_LE(result->share_of_seeder, 0.55);
  });
}

TEST(Crowd, AFlashCrowdServesItself) {
  on_every_seed([&](std::uint64_t seed) {
    const auto result = run_crowd(seed, 6, milliseconds(10), milliseconds(500));
    if (!result) return;
    EXPECT_GE(result->speed, 1.5);
    EXPECT_LE(result->share_of_seeder, 0.65);
  });
}

/// A run with everything in it.
std::string trace_of_everything(std::uint64_t seed, const File& file, const File& other) {
  Trial trial(seed, {.wakeup_step = seed % 2 == 0 ? seconds(1) : seconds(0)});
  Swarm& swarm = trial.swarm;
  Dice& dice = trial.dice;
  swarm.set_gateway({.exists = true, .rate = 100e3, .failures = 0.1, .blocks = file.blocks});
  Blocks all = file.blocks;
  all.insert(other.blocks.begin(), other.blocks.end());
  std::vector<std::uint32_t> leaving;
  for (int i = 0; i < 8; ++i) {
    LinkOptions link = some_link(dice);
    link.loss = dice.real(0, 0.05);
    PeerOptions options{.store_delay = some_delay(dice)};
    const bool rogue = dice.chance(0.4);
    if (rogue) options.conduct = static_cast<Conduct>(dice.whole(1, static_cast<int>(Conduct::kGarbled)));
    const std::uint32_t peer = trial.add_peer(options, all);
    swarm.set_provider(peer, file.root, link);
    swarm.set_provider(peer, other.root, link);
    if (!rogue) leaving.push_back(peer);
  }
  const Outcome& first = trial.download(file);
  const Outcome& second = swarm.download(0, other.root);
  for (std::uint32_t i = 0; i < 3; ++i) {
    const std::uint32_t peer = trial.add_peer();
    swarm.download(peer, file.root);
    swarm.join(peer, 0, some_link(dice));
  }
  std::function<void()> next = [&] {
    const std::uint32_t peer = dice.one_of(leaving);
    switch (dice.whole(0, 4)) {
      case 0: swarm.set_rate(peer, dice.spread(5e3, 400e3)); break;
      case 1: swarm.pause(0); break;
      case 2: swarm.gateway().fall_silent(); break;
      case 3:
        if (leaving.size() > 1 && leaving.back() == peer) {
          swarm.disconnect(peer, dice.time(milliseconds(100), seconds(5)));
          leaving.pop_back();
        }
        break;
      default: swarm.resume(0); swarm.gateway().recover();
    }
    swarm.clock.after(dice.time(milliseconds(100), seconds(1)), next);
  };
  if (!leaving.empty()) next();
  swarm.clock.run_until([&] { return first.over() && second.over(); }, seconds(8));
  return std::move(swarm.trace);
}

TEST(Crowd, TheSameSeedGivesTheSameTrace) {
  const File& file = file_of(32);
  const File& other = file_of(16, 1);
  on_every_seed([&](std::uint64_t seed) {
    const std::string trace = trace_of_everything(seed, file, other);
    EXPECT_FALSE(trace.empty());
    EXPECT_TRUE(trace == trace_of_everything(seed, file, other));
  });
}

}  // namespace
}  // namespace codio::sim
