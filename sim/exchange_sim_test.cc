// What the engine must hold to whatever the peers do. Each scenario runs on many seeds; a failure names its seed.
#include <gtest/gtest.h>
#include <numeric>

#include "sim/swarm.h"

namespace codio::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using transfer::Policy;

constexpr int kSeeds = 50;
constexpr std::size_t kMiB = 1024 * 1024;

class Scenario : public testing::TestWithParam<int> {
 protected:
  std::uint64_t seed() const { return static_cast<std::uint64_t>(GetParam()); }

  /// A downloader (peer 0) and what it gets.
  Outcome& download(const File& file, transfer::DownloadOptions options = {}) {
    return swarm.download(0, file.root, std::move(options));
  }

  bool run_until_over(const Outcome& outcome, Duration limit = seconds(600)) {
    return swarm.clock.run_until([&] { return outcome.finished || outcome.error; }, limit);
  }

  void expect_whole(const File& file, const Outcome& outcome) {
    ASSERT_TRUE(run_until_over(outcome)) << "seed " << seed() << " is not over";
    ASSERT_FALSE(outcome.error) << "seed " << seed() << ": " << outcome.error->message;
    ASSERT_TRUE(outcome.bytes == file.bytes) << "seed " << seed() << " gave other bytes";
  }

  Swarm swarm{seed()};
};

INSTANTIATE_TEST_SUITE_P(Seeds, Scenario, testing::Range(1, kSeeds + 1));

TEST_P(Scenario, OnePeerGivesAWholeFile) {
  const File file = make_file(seed(), 3 * kMiB + 17 * seed());
  swarm.add_peer();
  swarm.set_provider(swarm.add_peer({}, file.blocks), file.root);
  const Outcome& outcome = download(file);
  expect_whole(file, outcome);
  EXPECT_EQ(swarm.exchange(0).totals().duplicates, 0U);
  EXPECT_EQ(swarm.blocks(0).size(), file.blocks.size()) << "a downloader keeps what it downloaded";
}

TEST_P(Scenario, ThreePeersShareTheWork) {
  const File file = make_file(seed(), 10 * kMiB);
  swarm.add_peer();
  for (int i = 0; i < 3; ++i) swarm.set_provider(swarm.add_peer({}, file.blocks), file.root, {.rate = 4e6});
  const Outcome& outcome = download(file);
  expect_whole(file, outcome);
  EXPECT_EQ(outcome.from_peer.size(), 3U);
  EXPECT_LT(swarm.exchange(0).totals().duplicates, kMiB / 2);
}

TEST_P(Scenario, ALiarIsDroppedAndTheFileIsRight) {
  const File file = make_file(seed(), 5 * kMiB);
  swarm.add_peer();
  swarm.set_provider(swarm.add_peer({.conduct = Conduct::kLying}, file.blocks), file.root, {.rate = 20e6});
  swarm.set_provider(swarm.add_peer({}, file.blocks), file.root);
  const Outcome& outcome = download(file);
  expect_whole(file, outcome);
  EXPECT_FALSE(outcome.from_peer.contains(1)) << "nothing of the liar counts";
}

TEST_P(Scenario, ALonelyLiarLeavesTheGateway) {
  const File file = make_file(seed(), 3 * kMiB);
  swarm.add_peer();
  swarm.set_provider(swarm.add_peer({.conduct = Conduct::kLying}, file.blocks), file.root);
  swarm.set_gateway({.exists = true, .blocks = file.blocks});
  const Outcome& outcome = download(file);
  expect_whole(file, outcome);
  EXPECT_TRUE(outcome.from_peer.empty());
}

TEST_P(Scenario, WithoutProvidersTheGatewayIsAskedAtOnce) {
  const File file = make_file(seed(), 3 * kMiB);
  swarm.add_peer();
  swarm.set_gateway({.exists = true, .delay = milliseconds(80), .blocks = file.blocks});
  const Time begin = swarm.clock.now();
  const Outcome& outcome = download(file);
  expect_whole(file, outcome);
  // Two blocks deep: the root, then the first leaf; and the search for providers.
  EXPECT_LT(*outcome.first_byte - begin, milliseconds(2 * 80 + 50)) << "seed " << seed();
}

TEST_P(Scenario, ASilentPeerCostsLessThanASecond) {
  const File file = make_file(seed(), 5 * kMiB);
  swarm.add_peer();
  swarm.set_provider(swarm.add_peer({.conduct = Conduct::kSilent}, file.blocks), file.root);
  swarm.set_gateway({.exists = true, .delay = milliseconds(80), .blocks = file.blocks});
  const Time begin = swarm.clock.now();
  const Outcome& outcome = download(file);
  expect_whole(file, outcome);
  EXPECT_LT(*outcome.first_byte - begin, milliseconds(1000)) << "seed " << seed();
}

TEST_P(Scenario, ATricklingPeerDoesNotHoldTheFile) {
  const File file = make_file(seed(), 5 * kMiB);
  swarm.add_peer();
  swarm.set_provider(swarm.add_peer({}, file.blocks), file.root, {.rate = 500 + 100.0 * static_cast<double>(seed())});
  swarm.set_gateway({.exists = true, .delay = milliseconds(80), .blocks = file.blocks});
  const Outcome& outcome = download(file);
  ASSERT_TRUE(run_until_over(outcome, seconds(15))) << "seed " << seed();
  EXPECT_TRUE(outcome.bytes == file.bytes);
}

TEST_P(Scenario, AReaderMayPauseForMinutes) {
  const File file = make_file(seed(), 12 * kMiB);
  swarm.add_peer();
  swarm.set_provider(swarm.add_peer({}, file.blocks), file.root);
  transfer::DownloadOptions options;
  options.unconsumed = kMiB;
  options.traversal.window = 2 * kMiB;
  Outcome& outcome = download(file, options);
  // The reader of the simulation takes what it is given at once; here it pauses in the middle.
  swarm.pause(0);
  swarm.clock.run_until([] { return false; }, seconds(120));
  EXPECT_FALSE(outcome.error) << outcome.error->message;
  swarm.resume(0);
  expect_whole(file, outcome);
}

TEST_P(Scenario, ALeavingPeerIsReplacedByAnother) {
  const File file = make_file(seed(), 8 * kMiB);
  swarm.add_peer();
  const auto leaving = swarm.add_peer({}, file.blocks);
  swarm.set_provider(leaving, file.root);
  swarm.set_provider(swarm.add_peer({}, file.blocks), file.root);
  const Outcome& outcome = download(file);
  swarm.clock.after(milliseconds(100 + 20 * seed()), [&] { swarm.disconnect(leaving); });
  expect_whole(file, outcome);
}

TEST_P(Scenario, TheLastLeavingPeerIsReplacedByTheGateway) {
  const File file = make_file(seed(), 8 * kMiB);
  swarm.add_peer();
  const auto leaving = swarm.add_peer({}, file.blocks);
  swarm.set_provider(leaving, file.root);
  swarm.set_gateway({.exists = true, .blocks = file.blocks});
  const Outcome& outcome = download(file);
  swarm.clock.after(milliseconds(100 + 15 * seed()), [&] { swarm.disconnect(leaving); });
  expect_whole(file, outcome);
}

TEST_P(Scenario, APeerWithTheRootOnlyIsHelpedOut) {
  const File file = make_file(seed(), 4 * kMiB);
  swarm.add_peer();
  swarm.set_provider(swarm.add_peer({.conduct = Conduct::kPoor}, {{file.root, file.blocks.at(file.root)}}), file.root);
  swarm.set_gateway({.exists = true, .blocks = file.blocks});
  const Outcome& outcome = download(file);
  expect_whole(file, outcome);
}

TEST_P(Scenario, LossOnTheLinkIsOnlyTime) {
  const File file = make_file(seed(), 4 * kMiB);
  swarm.add_peer();
  swarm.set_provider(swarm.add_peer({}, file.blocks), file.root, {.loss = 0.05});
  expect_whole(file, download(file));
}

TEST_P(Scenario, TwoDownloadsOfOneFileAskForEachBlockOnce) {
  const File file = make_file(seed(), 4 * kMiB);
  swarm.add_peer();
  const auto provider = swarm.add_peer({}, file.blocks);
  swarm.set_provider(provider, file.root);
  const Outcome& first = download(file);
  const Outcome& second = download(file);
  expect_whole(file, first);
  expect_whole(file, second);
  EXPECT_LT(swarm.exchange(provider).totals().uploaded, file.bytes.size() + kMiB);
}

TEST_P(Scenario, ARangeBringsOnlyItsBlocks) {
  const File file = make_file(seed(), 8 * kMiB);
  swarm.add_peer();
  const auto provider = swarm.add_peer({}, file.blocks);
  swarm.set_provider(provider, file.root);
  transfer::DownloadOptions options;
  const std::uint64_t begin = 3 * kMiB + seed();
  options.traversal.range = {begin, begin + 1000};
  const Outcome& outcome = download(file, options);
  ASSERT_TRUE(run_until_over(outcome));
  ASSERT_EQ(outcome.bytes,
            Bytes(file.bytes.begin() + static_cast<long>(begin), file.bytes.begin() + static_cast<long>(begin) + 1000));
  EXPECT_LT(swarm.exchange(provider).totals().uploaded, kMiB + 4096);
}

TEST_P(Scenario, WithoutAnySourceItFailsAndSaysSo) {
  const File file = make_file(seed(), kMiB);
  swarm.add_peer();
  const Outcome& outcome = download(file);
  ASSERT_TRUE(run_until_over(outcome, seconds(60)));
  EXPECT_EQ(outcome.error->message, "all gateways failed");
}

TEST_P(Scenario, P2pOnlyNeverAsksAGateway) {
  const File file = make_file(seed(), kMiB);
  swarm.add_peer({.exchange = {.policy = Policy::kP2pOnly}});
  swarm.set_gateway({.exists = true, .blocks = file.blocks});
  const Outcome& outcome = download(file);
  ASSERT_TRUE(run_until_over(outcome, seconds(60)));
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, ErrorCode::kNotFound);
  EXPECT_EQ(swarm.exchange(0).totals().from_gateways, 0U);
}

TEST_P(Scenario, GatewayOnlyTellsNoPeer) {
  const File file = make_file(seed(), kMiB);
  swarm.add_peer({.exchange = {.policy = Policy::kGatewayOnly}});
  swarm.set_provider(swarm.add_peer({}, file.blocks), file.root);
  swarm.set_gateway({.exists = true, .blocks = file.blocks});
  expect_whole(file, download(file));
  EXPECT_EQ(swarm.trace, "");
}

TEST_P(Scenario, TheSameSeedGivesTheSameTrace) {
  const File file = make_file(seed(), 3 * kMiB);
  std::string traces[2];
  for (std::string& trace : traces) {
    Swarm twin(seed());
    twin.add_peer();
    twin.set_provider(twin.add_peer({}, file.blocks), file.root, {.loss = 0.02});
    twin.set_provider(twin.add_peer({}, file.blocks), file.root, {.rate = 2e6});
    const Outcome& outcome = twin.download(0, file.root);
    twin.clock.run_until([&] { return outcome.finished.has_value(); }, seconds(600));
    trace = twin.trace;
  }
  EXPECT_FALSE(traces[0].empty());
  EXPECT_TRUE(traces[0] == traces[1]);
}

}  // namespace
}  // namespace codio::sim
