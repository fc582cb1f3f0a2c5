// What flow control must hold, over links of many delays and rates.
#include <gtest/gtest.h>

#include "sim/swarm.h"

namespace codio::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kMiB = 1024 * 1024;

TEST(CreditFlow, AReaderThatStopsReadingCostsNoMoreThanItsWindow) {
  Swarm swarm(1);
  const File file = make_file(1, 64 * kMiB);
  swarm.add_peer();
  swarm.set_provider(swarm.add_peer({}, file.blocks), file.root, {.rate = 100e6});
  transfer::DownloadOptions options;
  options.unconsumed = 0;
  options.traversal.window = 4 * kMiB;
  swarm.download(0, file.root, options);
  swarm.clock.run_until([] { return false; }, seconds(10));
  std::uint64_t held = 0;
  for (const auto& [cid, block] : swarm.blocks(0)) held += block->size();
  EXPECT_LE(held, 6 * kMiB);
}

TEST(CreditFlow, FillsALinkWhateverItsDelay) {
  for (const auto delay : {milliseconds(1), milliseconds(10), milliseconds(50), milliseconds(150)}) {
    Swarm swarm(1);
    const File file = make_file(1, 64 * kMiB);
    swarm.add_peer();
    swarm.set_provider(swarm.add_peer({}, file.blocks), file.root, {.delay = delay, .rate = 10e6});
    const Time begin = swarm.clock.now();
    const Outcome& outcome = swarm.download(0, file.root);
    ASSERT_TRUE(swarm.clock.run_until([&] { return outcome.finished.has_value(); }, seconds(600)));
    const double took = std::chrono::duration<double>(*outcome.finished - begin).count();
    const double best = 64.0 * kMiB / 10e6;
    // The start-up's round trips are the rest.
    const double share = delay <= milliseconds(50) ? 0.8 : 0.6;
    EXPECT_LT(took, best / share) << delay.count() << " ms: " << best / took << " of the link";
  }
}

}  // namespace
}  // namespace codio::sim
