#include "sim/clock.h"

#include <algorithm>

namespace codio::sim {

Clock::Event Clock::at(Time time, std::function<void()> action) {
  const Event event{std::max(time, now_), posted_++};
  events_.emplace(event, std::move(action));
  return event;
}

bool Clock::step() {
  if (events_.empty()) return false;
  auto next = events_.extract(events_.begin());
  now_ = next.key().first;
  next.mapped()();
  return true;
}

bool Clock::run_until(const std::function<bool()>& done, Duration limit) {
  const Time end = now_ + limit;
  while (!done()) {
    if (events_.empty() || events_.begin()->first.first > end) return false;
    step();
  }
  return true;
}

void Clock::run_for(Duration time) {
  const Time end = now_ + time;
  run_until([] { return false; }, time);
  now_ = end;
}

}  // namespace codio::sim
