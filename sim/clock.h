// A virtual clock: events in order of time, then of posting.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "common/time.h"

namespace codio::sim {

class Clock {
 public:
  using Event = std::pair<Time, std::uint64_t>;

  Time now() const { return now_; }

  Event at(Time time, std::function<void()> action);
  Event after(Duration delay, std::function<void()> action) { return at(now_ + delay, std::move(action)); }
  void cancel(Event event) { events_.erase(event); }

  /// Runs the next event; false if there is none.
  bool step();
  /// Runs until `done` or until `limit` of virtual time has passed; returns whether `done`.
  bool run_until(const std::function<bool()>& done, Duration limit);
  /// Runs all events of this time, and leaves the clock at its end.
  void run_for(Duration time);

 private:
  Time now_{std::chrono::seconds(1)};
  std::uint64_t posted_ = 0;
  std::map<Event, std::function<void()>> events_;
};

}  // namespace codio::sim
