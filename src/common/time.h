// Time as the pure core sees it: an argument, never a clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace codio {

using Duration = std::chrono::microseconds;

/// Names the core's time line. It has no `now()`: hosts read a monotonic clock and pass the value in; the simulation
/// passes virtual time. The origin is the host's.
struct HostClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<HostClock>;
  static constexpr bool is_steady = true;
};

using Time = HostClock::time_point;

}  // namespace codio
