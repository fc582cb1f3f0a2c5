// What a download holds: bounded by its window whatever the file's size, the reader's pace and the peers' conduct. And
// what it keeps when it is interrupted.
#include <algorithm>
#include <gtest/gtest.h>

#include "sim/scenario.h"

namespace codio::sim {
namespace {

constexpr std::uint64_t kWindow = 12 * kChunk;
constexpr std::uint64_t kUnconsumed = 4 * kChunk;

transfer::DownloadOptions small_window() {
  transfer::DownloadOptions options;
  options.traversal.window = kWindow;
  options.unconsumed = kUnconsumed;
  return options;
}

/// The window and what was given out; a block for each source, as the window may end in the middle of one and the
/// end-game asks twice; and the inner nodes.
std::uint64_t bound(std::uint64_t window, std::uint64_t unconsumed, std::uint64_t chunk, std::size_t sources) {
  return window + unconsumed + (sources + 2) * chunk;
}

void expect_bounded(const Trial& trial, std::uint64_t limit) {
  const std::uint64_t peak = trial.swarm.peak_memory(0);
  figure("peak of memory, of the bound", static_cast<double>(peak) / static_cast<double>(limit));
  EXPECT_GT(peak, 0U);
  EXPECT_LE(peak, limit);
}

TEST(Memory, DoesNotGrowWithTheFile) {
  on_every_seed([&](std::uint64_t seed) {
    for (const std::size_t blocks : {24, 96}) {
      const File& file = file_of(blocks);
      Trial trial(seed);
      trial.add_providers(4, file);
      const Outcome& outcome = trial.download(file, small_window());
      if (!trial.expect_whole(file, outcome)) return;
      expect_bounded(trial, bound(kWindow, kUnconsumed, kChunk, 4));
    }
  });
}

TEST(Memory, KeepsToTheWindowOfLargeFilesToo) {
  for (const std::size_t size : {8 * kMiB, 64 * kMiB}) {
    const File& file = shared_file(size, kMiB);
    Trial trial(1);
    for (int i = 0; i < 4; ++i) trial.add_provider(file, {.rate = 5e6});
    transfer::DownloadOptions options;
    options.traversal.window = 4 * kMiB;
    options.unconsumed = 2 * kMiB;
    const Outcome& outcome = trial.download(file, options);
    if (!trial.expect_whole(file, outcome)) return;
    expect_bounded(trial, bound(4 * kMiB, 2 * kMiB, kMiB, 4));
  }
}

TEST(Memory, AReaderThatPausesCostsItsWindow) {
  const File& file = file_of(64);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    const auto peers = trial.dice.whole(1, 4);
    trial.add_providers(peers, file);
    const Outcome& outcome = trial.download(file, small_window());
    trial.swarm.clock.run_until([&] { return outcome.over(); }, trial.dice.time(milliseconds(0), seconds(4)));
    const auto kept = [&] {
      std::uint64_t sum = 0;
      for (const auto& [cid, block] : trial.swarm.blocks(0)) sum += block->size();
      return sum;
    };
    const std::uint64_t before = kept();
    trial.swarm.pause(0);
    trial.swarm.clock.run_until([] { return false; }, trial.dice.time(seconds(35), seconds(300)));
    ASSERT_FALSE(outcome.error) << outcome.error->message;
    EXPECT_LE(kept() - before, bound(kWindow, kUnconsumed, kChunk, 4)) << "fetched while nobody read";
    EXPECT_LE(trial.swarm.peak_unread(0), kUnconsumed + kChunk);
    trial.swarm.resume(0);
    if (!trial.expect_whole(file, outcome)) return;
    expect_bounded(trial, bound(kWindow, kUnconsumed, kChunk, 4));
  });
}

TEST(Memory, BlocksThatAreBegunAndNeverFinishedCostNoMore) {
  const File& file = file_of(64);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    const auto rogues = trial.dice.whole<std::size_t>(1, 4);
    for (std::size_t i = 0; i < rogues; ++i) {
      trial.add_provider(file, {.delay = milliseconds(1), .rate = 2e6}, {.conduct = Conduct::kUnfinished});
    }
    trial.add_provider(file, some_link(trial.dice));
    const Outcome& outcome = trial.download(file, small_window());
    if (!trial.expect_whole(file, outcome)) return;
    expect_bounded(trial, bound(kWindow, kUnconsumed, kChunk, rogues + 1));
  });
}

TEST(Resume, FetchesNothingAgainThatWasKept) {
  const File& file = file_of(64);
  std::uint64_t all = 0;
  for (const auto& [cid, block] : file.blocks) all += block->size();
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    const auto peers = trial.dice.whole<std::uint64_t>(1, 4);
    trial.add_providers(static_cast<int>(peers), file);
    const Outcome& first = trial.download(file);
    trial.swarm.clock.run_until([&] { return first.over(); }, trial.dice.time(milliseconds(50), seconds(10)));
    const Blocks blocks = trial.swarm.blocks(0);
    std::uint64_t kept = 0;
    for (const auto& [cid, block] : blocks) kept += block->size();
    trial.swarm.disconnect(0);

    const std::uint32_t again = trial.add_peer({.exchange = no_gateways()}, blocks);
    const Outcome& outcome = trial.swarm.download(again, file.root);
    if (!trial.expect_whole(file, outcome)) return;
    EXPECT_EQ(outcome.from_store, kept);
    EXPECT_EQ(outcome.from_peers(), all - kept);
    // Of what was under way, each peer's block in the making is lost, and one that is being hashed.
    const double most = static_cast<double>(all + 2 * peers * kChunk) * (1 + kDuplicates);
    EXPECT_LE(static_cast<double>(trial.swarm.received(0) + trial.swarm.received(again)), most);
  });
}

TEST(Streams, TheFirstByteComesAfterThreeRoundTripsAndABlock) {
  const File& file = file_of(32);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    const LinkOptions link = some_link(trial.dice);
    const auto peers = trial.dice.whole(1, 4);
    for (int i = 0; i < peers; ++i) trial.add_provider(file, link);
    const Outcome& outcome = trial.download(file);
    if (!trial.expect_whole(file, outcome)) return;
    const double first = to_seconds(*outcome.first_byte - *outcome.connected);
    figure("first byte, s", first);
    EXPECT_LE(first, 6 * to_seconds(link.delay) + 1.25 * kChunk / link.rate + 0.02);
  });
}

TEST(Streams, AFilmAtHalfTheRateDoesNotStop) {
  const File& file = file_of(96);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    double rate = 0;
    for (int i = 0; i < 4; ++i) {
      const LinkOptions link = some_link(trial.dice);
      rate += link.rate;
      trial.add_provider(file, link);
    }
    transfer::DownloadOptions options;
    options.traversal.window = 32 * kChunk;
    const Outcome& outcome = trial.download(file, options);
    if (!trial.expect_whole(file, outcome)) return;
    // The film begins two seconds after its first byte; when it lacks bytes it waits for them.
    double late = 0;
    for (const auto& [at, offset] : outcome.arrivals) {
      late = std::max(late, to_seconds(at - *outcome.first_byte) - 2 - static_cast<double>(offset) / (rate / 2));
    }
    figure("stopped for, s", late);
    EXPECT_EQ(late, 0);
  });
}

TEST(Streams, ARangeBringsOnlyItsBlocks) {
  const File& file = file_of(128);
  on_every_seed([&](std::uint64_t seed) {
    Trial trial(seed);
    const auto peers = trial.dice.whole(1, 3);
    trial.add_providers(peers, file);
    const auto begin = trial.dice.whole<std::uint64_t>(0, file.bytes.size() - 1);
    const auto size = static_cast<std::uint64_t>(trial.dice.spread(1.0, 32.0 * kChunk));
    const std::uint64_t end = std::min<std::uint64_t>(begin + size, file.bytes.size());
    transfer::DownloadOptions options;
    options.traversal.range = {begin, begin + size};
    const Outcome& outcome = trial.download(file, options);
    ASSERT_TRUE(trial.swarm.clock.run_until([&] { return outcome.over(); }, seconds(60)));
    ASSERT_TRUE(outcome.finished) << outcome.error->message;
    EXPECT_TRUE(std::ranges::equal(outcome.bytes, BytesView(file.bytes).subspan(begin, end - begin)));
    const std::uint64_t leaves = (end - 1) / kChunk - begin / kChunk + 1;
    EXPECT_LE(outcome.from_peers(), leaves * kChunk + file.blocks.at(file.root)->size());
    trial.expect_little_waste(outcome);
  });
}

}  // namespace
}  // namespace codio::sim
