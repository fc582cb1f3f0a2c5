// What the scenarios share: a loop over the seeds, the bars that every download has to clear, and the figures.
#pragma once

#include <gtest/gtest.h>
#include <string>
#include <string_view>

#include "sim/dice.h"
#include "sim/seeds.h"
#include "sim/swarm.h"

namespace codio::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;
using transfer::Policy;

inline constexpr std::size_t kKiB = 1024;
inline constexpr std::size_t kMiB = 1024 * kKiB;

// Blocks are smaller than in the field, and so are the peers' rates: a block takes as long as there, a file has as
// many, and thousands of downloads take no longer than a cup of coffee.

/// Of the scenarios' files.
inline constexpr std::uint32_t kChunk = 64 * kKiB;

inline const File& file_of(std::size_t blocks, std::uint64_t number = 0) {
  return shared_file(blocks * kChunk, kChunk, number);
}

inline Duration some_delay(Dice& dice) { return dice.spread(milliseconds(1), milliseconds(100)); }

/// A browser's line at home, one among many.
inline LinkOptions some_link(Dice& dice, double slowest = 150e3, double fastest = 400e3) {
  return {.delay = some_delay(dice), .rate = dice.spread(slowest, fastest)};
}

inline transfer::ExchangeOptions no_gateways() { return {.has_gateways = false}; }

/// What duplicates may cost, of the file's size, up to the next whole block: in all, and before the last fifth of the
/// file. So many blocks are allowed whatever the size: these files have few.
inline constexpr double kDuplicates = 0.05;
inline constexpr double kDuplicatesBeforeEnd = 0.03;
inline constexpr double kDuplicateBlocks = 3;

inline double to_seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

/// With CODIO_SIM_FIGURES, prints a line for script/simulate to collect.
void figure(std::string_view name, double value);
bool wants_figures();
/// Names the seed before it runs, for when it crashes.
void announce(std::uint64_t seed);

/// Runs `body(seed)` for every seed and stops after the first that fails. When figures are wanted all are run: a bar
/// that one seed fails is worth knowing for the others.
template <class Body>
void on_every_seed(Body body) {
  for (const std::uint64_t seed : seeds()) {
    const testing::ScopedTrace trace(__FILE__, __LINE__, "seed " + std::to_string(seed));
    announce(seed);
    body(seed);
    if (testing::Test::HasFailure() && !wants_figures()) return;
  }
}

/// One seed's run of a scenario: a swarm whose peer 0 downloads.
class Trial {
 public:
  explicit Trial(std::uint64_t seed, const PeerOptions& downloader = {.exchange = no_gateways()})
      : dice(seed), swarm(dice.seed()) {
    add_peer(downloader);
  }

  /// With CODIO_SIM_TRACE, adds the trace to the file of that name.
  ~Trial();
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  std::uint32_t add_peer(const PeerOptions& options = {}, Blocks blocks = {}) {
    return swarm.add_peer(options, std::move(blocks));
  }

  /// Adds a peer that has the whole file and was announced.
  std::uint32_t add_provider(const File& file, const LinkOptions& link = {}, const PeerOptions& options = {}) {
    const std::uint32_t peer = add_peer(options, file.blocks);
    swarm.set_provider(peer, file.root, link);
    return peer;
  }

  /// As many, each over some_link().
  void add_providers(int count, const File& file) {
    for (int i = 0; i < count; ++i) add_provider(file, some_link(dice));
  }

  Outcome& download(const File& file, transfer::DownloadOptions options = {}) {
    return swarm.download(0, file.root, std::move(options));
  }

  /// It ends within `limit`, with the file's bytes. Returns whether it did.
  bool expect_whole(const File& file, const Outcome& outcome, Duration limit = seconds(600));
  /// Of what the honest providers could have sent to peer 0 until now. To be called when the download has just ended.
  void expect_efficiency(const Outcome& outcome, double bar);
  /// Waits for what is still on its way, then counts what came to peer 0 and was not needed. As many `blocks` are
  /// allowed whatever the size of the file.
  void expect_few_duplicates(const Outcome& outcome, double blocks = kDuplicateBlocks);
  /// The same from the host's view, and of what honest peers sent only: lies are no fault of the scheduler. One block
  /// of a small download is allowed.
  void expect_little_waste(const Outcome& outcome);

  Dice dice;
  Swarm swarm;
};

}  // namespace codio::sim
