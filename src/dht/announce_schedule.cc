#include "dht/announce_schedule.h"

#include <algorithm>

namespace codio::dht {

bool AnnounceSchedule::add(Key key) {
  if (due_.contains(key)) return true;
  if (due_.size() >= options_.max_keys) return false;
  due_.emplace(key, std::nullopt);
  fresh_.push_back(key);
  return true;
}

void AnnounceSchedule::remove(const Key& key) {
  const auto found = due_.find(key);
  if (found == due_.end()) return;
  if (found->second) {
    again_.erase({*found->second, key});
  } else {
    std::erase(fresh_, key);
  }
  due_.erase(found);
}

std::optional<Key> AnnounceSchedule::poll(Time now) {
  if (now < next_slot_) return std::nullopt;
  const bool is_due = !again_.empty() && again_.begin()->first <= now;
  if (!is_due && fresh_.empty()) return std::nullopt;
  Key key;
  if (fresh_.empty() || (is_due && was_fresh_)) {
    key = again_.begin()->second;
    again_.erase(again_.begin());
    was_fresh_ = false;
  } else {
    key = fresh_.back();
    fresh_.pop_back();
    was_fresh_ = true;
  }
  const Time again = next_time(now);
  due_.at(key) = again;
  again_.emplace(again, key);
  next_slot_ = now + gap();
  return key;
}

std::optional<Time> AnnounceSchedule::next_wakeup() const {
  if (!fresh_.empty()) return next_slot_;
  if (again_.empty()) return std::nullopt;
  return std::max(next_slot_, again_.begin()->first);
}

void AnnounceSchedule::restart() {
  for (auto& [time, key] : again_) {
    due_.at(key).reset();
    fresh_.push_back(key);
  }
  again_.clear();
}

std::size_t AnnounceSchedule::capacity() const {
  const double seconds = std::chrono::duration<double>(options_.interval).count() * (1 - options_.jitter / 2);
  return static_cast<std::size_t>(seconds * options_.rate);
}

Time AnnounceSchedule::next_time(Time now) {
  // SplitMix64: https://prng.di.unimi.it/splitmix64.c describes it; any even spread would do.
  std::uint64_t bits = random_ += 0x9e3779b97f4a7c15;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
  bits ^= bits >> 31;
  const double share = static_cast<double>(bits >> 11) / static_cast<double>(std::uint64_t{1} << 53);
  const double factor = 1 - options_.jitter * share;
  return now + Duration(static_cast<Duration::rep>(static_cast<double>(options_.interval.count()) * factor));
}

Duration AnnounceSchedule::gap() const { return Duration(static_cast<Duration::rep>(1e6 / options_.rate)); }

}  // namespace codio::dht
