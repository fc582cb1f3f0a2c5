// What a scenario draws from its seed.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <random>

#include "common/time.h"

namespace codio::sim {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}

  std::uint64_t seed() { return random_(); }
  /// From `low` to `high`, both included.
  template <class Number>
  Number whole(Number low, Number high) {
    return static_cast<Number>(static_cast<std::uint64_t>(low) +
                               random_() % (static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) + 1));
  }
  double real(double low, double high) {
    return low + (high - low) * static_cast<double>(random_() >> 11) / static_cast<double>(std::uint64_t{1} << 53);
  }
  bool chance(double share) { return real(0, 1) < share; }
  Duration time(Duration low, Duration high) { return Duration(whole(low.count(), high.count())); }
  /// As many times around the one as around a hundredth of it: delays and rates spread so.
  double spread(double low, double high) { return std::exp(real(std::log(low), std::log(high))); }
  Duration spread(Duration low, Duration high) {
    return Duration(
        static_cast<Duration::rep>(spread(static_cast<double>(low.count()), static_cast<double>(high.count()))));
  }
  template <class Values>
  auto one_of(const Values& values) {
    return values[whole<std::size_t>(0, std::size(values) - 1)];
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace codio::sim
