// Bytes a second, lately.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>

#include "common/time.h"

namespace codio::transfer {

/// The rate over the last two seconds: long enough that blocks coming whole do not make it jump, short enough to watch.
/// Pure; not thread-safe.
class RateMeter {
 public:
  void add(Time now, std::uint64_t bytes) {
    move_to(now);
    if (!began_) began_ = now;
    bytes_[slot_ % bytes_.size()] += bytes;
  }

  /// Bytes a second.
  double rate(Time now) {
    move_to(now);
    const std::uint64_t sum = std::accumulate(bytes_.begin(), bytes_.end(), std::uint64_t{0});
    const Duration since = began_ ? now - *began_ : Duration(0);
    const Duration span = std::clamp(since, kSlot, kSlot * static_cast<int>(bytes_.size()));
    return static_cast<double>(sum) / std::chrono::duration<double>(span).count();
  }

 private:
  static constexpr Duration kSlot = std::chrono::milliseconds(250);

  void move_to(Time now) {
    const auto slot = static_cast<std::uint64_t>(now.time_since_epoch() / kSlot);
    for (std::size_t passed = 0; slot_ < slot && passed < bytes_.size(); ++passed) bytes_[++slot_ % bytes_.size()] = 0;
    slot_ = slot;
  }

  std::array<std::uint64_t, 8> bytes_{};
  std::uint64_t slot_ = 0;
  std::optional<Time> began_;
};

}  // namespace codio::transfer
