// A rate cap: bytes flow in at the rate, and out as they are taken.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>

#include "common/time.h"

namespace codio::transfer {

/// Holds at most what comes in during a second, so that a host whose timers are throttled to one a second still reaches
/// the rate. May be overdrawn: then nothing is available until the debt is paid. Pure; not thread-safe.
class TokenBucket {
 public:
  /// What is worth waiting for: smaller pieces cost more in frames than they carry.
  static constexpr std::uint64_t kPiece = 16 * 1024;

  /// Beyond what any machine does, and far from where sums overflow.
  static constexpr std::uint64_t kLargestRate = 1'000'000'000'000'000;

  /// Bytes a second, from 1 to kLargestRate; nothing: unlimited. A new rate starts with an empty bucket.
  void set_rate(std::optional<std::uint64_t> rate) {
    if (rate) rate = std::clamp<std::uint64_t>(*rate, 1, kLargestRate);
    if (rate == rate_) return;
    rate_ = rate;
    tokens_ = 0;
    filled_at_.reset();
  }

  const std::optional<std::uint64_t>& rate() const { return rate_; }

  std::uint64_t available(Time now) {
    if (!rate_) return std::numeric_limits<std::uint64_t>::max();
    fill(now);
    return tokens_ > 0 ? static_cast<std::uint64_t>(tokens_) : 0;
  }

  void take(std::uint64_t bytes) {
    if (rate_) tokens_ -= static_cast<double>(bytes);
  }

  /// When a piece will be available. Call only with a rate, after available().
  Time ready_at() const {
    const double missing = std::max(static_cast<double>(kPiece) - tokens_, 0.0);
    return filled_at_.value_or(Time{}) +
           Duration(static_cast<Duration::rep>(missing / static_cast<double>(*rate_) * 1e6) + 1);
  }

 private:
  void fill(Time now) {
    const auto rate = static_cast<double>(*rate_);
    const double burst = std::max(rate, static_cast<double>(4 * kPiece));
    const double elapsed = std::chrono::duration<double>(now - filled_at_.value_or(now)).count();
    tokens_ = std::min(tokens_ + rate * elapsed, burst);
    filled_at_ = now;
  }

  std::optional<std::uint64_t> rate_;
  double tokens_ = 0;
  std::optional<Time> filled_at_;
};

}  // namespace codio::transfer
