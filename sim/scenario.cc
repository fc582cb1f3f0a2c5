#include "sim/scenario.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace codio::sim {
namespace {

constexpr Duration kSettling = seconds(5);

double share_of(std::uint64_t part, std::uint64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

bool wants_figures() { return std::getenv("CODIO_SIM_FIGURES") != nullptr; }

void figure(std::string_view name, double value) {
  if (!wants_figures()) return;
  const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
  std::printf("figure %s.%s %.*s %.4f\n", test.test_suite_name(), test.name(), static_cast<int>(name.size()),
              name.data(), value);
}

Trial::~Trial() {
  if (const char* path = std::getenv("CODIO_SIM_TRACE")) std::ofstream(path, std::ios::app) << swarm.trace << '\n';
}

void announce(std::uint64_t seed) {
  if (!wants_figures()) return;
  std::printf("begin %llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
}

bool Trial::expect_whole(const File& file, const Outcome& outcome, Duration limit) {
  if (!swarm.clock.run_until([&] { return outcome.over(); }, limit)) {
    ADD_FAILURE() << "not over after " << to_seconds(limit) << " s";
  } else if (outcome.error) {
    ADD_FAILURE() << outcome.error->message;
  } else if (outcome.bytes != file.bytes) {
    ADD_FAILURE() << "other bytes";
  } else {
    return true;
  }
  return false;
}

void Trial::expect_efficiency(const Outcome& outcome, double bar) {
  ASSERT_TRUE(outcome.finished);
  const double efficiency = static_cast<double>(outcome.bytes.size()) / swarm.capacity(0);
  figure("efficiency", efficiency);
  EXPECT_GE(efficiency, bar) << "in " << to_seconds(*outcome.finished - *outcome.connected) << " s";
}

void Trial::expect_few_duplicates(const Outcome& outcome, double blocks) {
  swarm.clock.run_until([] { return false; }, kSettling);
  const double in_all = share_of(swarm.exchange(0).totals().duplicates, outcome.bytes.size());
  const double before_end = share_of(outcome.duplicates_before_end.value_or(0), outcome.bytes.size());
  figure("duplicates", in_all);
  const double block = kChunk / static_cast<double>(outcome.bytes.size());
  const auto whole_blocks = [&](double share) { return std::max(std::ceil(share / block), blocks) * block + 1e-9; };
  EXPECT_LE(before_end, whole_blocks(kDuplicatesBeforeEnd));
  EXPECT_LE(in_all, whole_blocks(kDuplicates));
}

void Trial::expect_little_waste(const Outcome& outcome) {
  swarm.clock.run_until([] { return false; }, kSettling);
  std::uint64_t needed = 0;
  for (const auto& [peer, bytes] : outcome.from_peer) {
    if (swarm.is_honest(peer)) needed += bytes;
  }
  const std::uint64_t received = swarm.received(0);
  const std::uint64_t waste = received - std::min(received, needed);
  const std::uint64_t all = outcome.from_peers() + outcome.from_gateway;
  figure("waste", share_of(waste, all));
  EXPECT_LE(static_cast<double>(waste), std::max(kDuplicates * static_cast<double>(all), kDuplicateBlocks * kChunk));
}

}  // namespace codio::sim
