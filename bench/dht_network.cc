// A DHT of 64 nodes on the loopback interface: how long it takes to announce and to find, and what is still found when
// half of the nodes are gone. Prints a table.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "dht/testing.h"

namespace {

using namespace codio;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kNodes = 64;
constexpr std::size_t kContents = 200;

content_id::ContentId content(std::uint32_t number) {
  std::mt19937 random(number);
  content_id::Digest256 digest;
  for (auto& byte : digest) byte = static_cast<std::uint8_t>(random());
  return content_id::ContentId::v1(content_id::Codec::kRaw, digest);
}

struct Times {
  std::vector<double> milliseconds;
  std::size_t missing = 0;

  void print(const char* what) {
    std::ranges::sort(milliseconds);
    const auto at = [this](double share) {
      if (milliseconds.empty()) return 0.0;
      return milliseconds[std::min(static_cast<std::size_t>(share * static_cast<double>(milliseconds.size())),
                                   milliseconds.size() - 1)];
    };
    std::printf("| %s | %zu of %zu | %.1f | %.1f |\n", what, milliseconds.size(), milliseconds.size() + missing,
                at(0.5), at(0.99));
  }
};

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

/// One after the other, from a node each: until the first endpoint, or the end of the search.
Times find_all(dht::TestNetwork& network) {
  Times times;
  for (std::uint32_t i = 0; i < kContents; ++i) {
    const auto begin = Clock::now();
    std::optional<double> found;
    bool ended = false;
    dht::DhtNode& node = *network.nodes()[(i * 7 + 3) % network.nodes().size()];
    const auto search = node.find_providers(
        content(i), std::chrono::seconds(20),
        [&](const dht::Endpoint&, std::size_t) {
          if (!found) found = milliseconds_since(begin);
        },
        [&](dht::SearchEnd) { ended = true; });
    network.run_until([&] { return found || ended; });
    node.cancel(search);
    found ? times.milliseconds.push_back(*found) : static_cast<void>(++times.missing);
  }
  return times;
}

}  // namespace

int main() {
  dht::TestNetwork network;
  std::optional<Clock::time_point> announced;
  for (std::size_t i = 0; i < kNodes; ++i) {
    dht::DhtOptions options;
    options.http_port = static_cast<std::uint16_t>(10'000 + i);
    options.announce.rate = 1000;  // The rate limit is not what is measured.
    options.on_announced = [&](const dht::Key&) { announced = Clock::now(); };
    network.add(std::move(options));
  }
  // Routing tables fill by what passes through.
  network.run_until(
      [&] { return std::ranges::all_of(network.nodes(), [](const auto& node) { return node->status().nodes >= 8; }); });
  std::printf("| what | done | p50, ms | p99, ms |\n| --- | --- | --- | --- |\n");
  Times announcing;
  for (std::uint32_t i = 0; i < kContents; ++i) {
    announced.reset();
    const auto begin = Clock::now();
    network.nodes()[i % kNodes]->announce(content(i));
    network.run_until([&] { return announced.has_value(); });
    announcing.milliseconds.push_back(milliseconds_since(begin));
  }
  announcing.print("announce, until it is known to be done");
  find_all(network).print("find the first provider");
  // At once, without a word: the odd ones, and what they kept.
  for (std::size_t i = kNodes; i-- > 0;) {
    if (i % 2 == 1) network.nodes().erase(network.nodes().begin() + static_cast<std::ptrdiff_t>(i));
  }
  find_all(network).print("find it after half of the nodes were killed");
}
