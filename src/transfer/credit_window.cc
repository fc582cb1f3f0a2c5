#include "transfer/credit_window.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace codio::transfer {
namespace {

/// A path may change; a smallest delay this old is measured anew.
constexpr Duration kSmallestDelayAge = std::chrono::seconds(15);
/// Or, when the measurement was not clear, this old.
constexpr Duration kDoubtfulDelayAge = std::chrono::seconds(1);
/// The smallest window may leave a queue, or be too small for a path that became longer: which of them is tried this
/// often.
constexpr Duration kSmallestWindowAge = std::chrono::seconds(2);
/// A round has several samples and takes several hiccups of an event loop, so that some of its samples missed them.
constexpr std::size_t kRoundSamples = 4;
constexpr Duration kRoundTime = std::chrono::milliseconds(20);
/// So much of the smallest delay of a short path may have been an event loop's. A burst is sized without it.
constexpr Duration kHiccup = std::chrono::milliseconds(5);
constexpr Duration kShortPath = std::chrono::milliseconds(20);
/// More at once would be a burst of its own, and a sender makes one frame of it, which is only of use when all came.
constexpr std::uint64_t kLargestGrant = 128 * 1024;
constexpr Duration kLongestGrant = std::chrono::milliseconds(10);

/// On a short path what is under way is at least what comes in this time, up to the first window and what may queue.
/// The delays of a busy browser jump by as much: they look like a queue, and would shrink the window to nothing.
constexpr Duration kBusyTime = std::chrono::milliseconds(40);

/// What each of several peers on one bottleneck may queue whatever its rate, so that their rates become alike.
constexpr double kQueueShare = 4 * 1024;
/// SCTP's retransmission timer takes at least 200 ms. After a stall the window grows more gently, for this long.
constexpr Duration kStall = std::chrono::milliseconds(180);
constexpr Duration kGentle = std::chrono::seconds(30);
constexpr double kAfterStall = 0.7;

double to_double(Duration duration) { return static_cast<double>(duration.count()); }

}  // namespace

CreditWindow::CreditWindow(const CreditWindowOptions& options)
    : options_(options), window_(options.initial), granted_(options.initial), queue_limit_(options.queue_limit) {}

double CreditWindow::queue_room(double rate) const {
  return std::min(rate * to_double(options_.queue_target) + kQueueShare, static_cast<double>(queue_limit_));
}

bool CreditWindow::is_fast() const {
  return rate_ * to_double(kBusyTime) > static_cast<double>(options_.queue_limit) && *smallest_delay_ < kShortPath;
}

double CreditWindow::largest_step(double room) const {
  const auto window = static_cast<double>(window_);
  return std::min(std::max(growth_ * window, room), window);
}

bool CreditWindow::is_stall(Time now, std::uint64_t size) const {
  if (!backlogged_ || rate_ == 0) return false;
  const Duration beyond = now - last_byte_ - std::max(*smallest_delay_, last_delay_) - kStall;
  return to_double(beyond) > 2 * static_cast<double>(size) / rate_;
}

void CreditWindow::handle_bytes(Time now, std::uint64_t size, bool backlogged) {
  const bool stalled = is_stall(now, size);
  received_ += size;
  last_byte_ = now;
  backlogged_ = backlogged;
  for (; samples_pending_ > 0 && received_ > samples_[first_sample_].limit; --samples_pending_) {
    last_delay_ = std::max(now - samples_[first_sample_].begin, Duration(1));
    note_delay(now, last_delay_);
    round_delay_ += last_delay_;
    round_smallest_ = samples_done_ == 0 ? last_delay_ : std::min(round_smallest_, last_delay_);
    ++samples_done_;
    first_sample_ = (first_sample_ + 1) % samples_.size();
  }
  if (stalled) handle_stall(now);
  if (!backlogged) {
    burst_.reset();
    burst_due_ = false;
    if (probe_) window_ = std::exchange(probe_, std::nullopt)->window;
    begin_round();
  } else if (burst_ && received_ > burst_->end) {
    finish_burst(now);
  } else if (samples_done_ >= kRoundSamples && now - round_begin_ >= kRoundTime) {
    finish_round(now);
  }
}

void CreditWindow::handle_first_byte(Time now, Duration since_want) {
  if (now - smallest_delay_at_ > kSmallestDelayAge) smallest_delay_.reset();
  note_delay(now, std::max(since_want, Duration(1)));
  if (received_ == 0) burst_ = {now - since_want, 0, 0, granted_ - smallest_chunk()};
}

/// What was under way most likely overran a queue.
void CreditWindow::handle_stall(Time now) {
  growth_ /= 4;
  queue_limit_ = std::max(queue_limit_ / 2, options_.minimum);
  stalled_at_ = now;
  set_window(kAfterStall * static_cast<double>(window_));
  confirmed_window_ = window_;
  rounds_with_excess_ = 0;
  begin_round();
  burst_.reset();
  burst_due_ = false;
  probe_.reset();
}

void CreditWindow::note_delay(Time now, Duration delay) {
  if (smallest_delay_ && delay > *smallest_delay_) return;
  smallest_delay_ = delay;
  smallest_delay_at_ = now;
}

void CreditWindow::begin_round() {
  samples_pending_ = 0;
  samples_done_ = 0;
  round_delay_ = Duration(0);
}

void CreditWindow::begin_burst(double window) {
  const std::uint64_t before = window_;
  set_window(window);
  burst_due_ = window_ > before;
  confirmed_window_ = window_;
}

void CreditWindow::set_window(double window) {
  window_ = std::clamp(static_cast<std::uint64_t>(window), options_.minimum, options_.maximum);
}

void CreditWindow::shrink_window(double window) {
  const auto most = static_cast<double>(std::min(queue_limit_, options_.initial));
  const double busy = std::min(rate_ * to_double(kBusyTime), most);
  const double least = *smallest_delay_ < kShortPath ? std::min(busy, static_cast<double>(window_)) : 0;
  set_window(std::max(window, least));
}

void CreditWindow::finish_burst(Time now) {
  const Duration doubt = *smallest_delay_ < kShortPath ? std::min(kHiccup, *smallest_delay_) : Duration(0);
  const Duration path = *smallest_delay_ - doubt;
  // In less time than a hiccup takes nothing is measured.
  const Duration passing = std::max(now - burst_->begin - path, kHiccup);
  const double rate = static_cast<double>(received_ - burst_->granted) / to_double(passing);
  rate_ = static_cast<double>(received_ - burst_->received) / to_double(std::max(now - burst_->begin, Duration(1)));
  burst_.reset();
  begin_round();
  const auto window = static_cast<double>(window_);
  const double room = queue_room(rate);
  const double target = std::min(rate * to_double(path) + room, window + largest_step(room));
  if (target > 1.1 * window) return begin_burst(target);
  set_window(std::max(target, window));
}

void CreditWindow::finish_round(Time now) {
  const double rate_before = std::exchange(
      rate_, static_cast<double>(received_ - round_received_) / to_double(std::max(now - round_begin_, Duration(1))));
  const Duration delay = std::max(round_delay_ / static_cast<Duration::rep>(samples_done_), Duration(1));
  begin_round();

  if (probe_ && std::exchange(probe_->larger_yet_to_show, false)) return;
  if (probe_) return finish_probe(now, delay);
  if (!probed_ && is_fast() && rounds_before_probe_ > 0) {
    --rounds_before_probe_;
    return set_window(std::max(static_cast<double>(window_), queue_room(rate_)));
  }
  if (!probed_ || now - smallest_delay_at_ > kSmallestDelayAge) return begin_probe(delay);

  if (now - stalled_at_ > kGentle) {
    stalled_at_ = now;
    growth_ = std::min(2 * growth_, 1.0);
    queue_limit_ = std::min(2 * queue_limit_, options_.queue_limit);
  }

  const double room = queue_room(rate_);
  const double queue = to_double(delay - *smallest_delay_) * rate_;
  if (queue < room / 4) {
    rounds_with_excess_ = 0;
    const double step = room * static_cast<double>(1 << rounds_without_queue_);
    rounds_without_queue_ = std::min(rounds_without_queue_ + 1, 10);
    const double most = (1 + growth_) * rate_ * to_double(*smallest_delay_) + room;
    const auto window = static_cast<double>(window_);
    return begin_burst(std::max(window, std::min(window + std::min(step, largest_step(room)), most)));
  }
  rounds_without_queue_ = 0;
  // The first such round may be partly from before.
  const bool excess = queue > room + rate_ * to_double(options_.queue_target);
  rounds_with_excess_ = excess ? rounds_with_excess_ + 1 : 0;
  confirmed_window_ = std::max(confirmed_window_, window_);
  const bool suspicious = rounds_with_excess_ >= 2 || window_ < confirmed_window_ / 4 * 3;
  const bool may_be_too_small = window_ == options_.minimum && now - smallest_delay_at_ > kSmallestWindowAge;
  if ((suspicious && confirmed_window_ > options_.minimum) || may_be_too_small) return begin_probe(delay);
  // While the rate grows the sender is still getting up to speed, and what waits does not wait in the path.
  if (rate_ > 1.25 * rate_before) return;
  const double allowed = to_double(*smallest_delay_) + room / rate_;
  const double factor = 0.5 + 0.5 * allowed / to_double(delay);
  shrink_window(static_cast<double>(window_) * factor);
}

/// Leaves no queue, but little less: a long path is filled again in one burst.
double CreditWindow::probe_share(Duration delay) const {
  const double share = std::max(0.6, 1 - 2.5 * to_double(options_.queue_target) / to_double(delay));
  return std::max(0.25, std::min(share, to_double(*smallest_delay_) / to_double(delay)));
}

void CreditWindow::begin_probe(Duration delay) {
  const double smaller = probe_share(delay) * static_cast<double>(window_);
  const bool larger = smaller <= static_cast<double>(options_.minimum) && window_ <= 2 * options_.minimum;
  probe_ = {window_, rate_, round_smallest_, larger};
  set_window(larger ? 1.5 * static_cast<double>(window_) : smaller);
}

void CreditWindow::finish_probe(Time now, Duration delay) {
  const bool larger = window_ > probe_->window;
  // A hiccup may have made it lower: then a still smaller window tells.
  const double time = to_double(now - round_begin_);
  const double rate_at_most = rate_ * time / (time - to_double(kHiccup));
  if (!larger && window_ > options_.minimum && rate_at_most >= 0.95 * probe_->rate) {
    return set_window(probe_share(delay) * static_cast<double>(window_));
  }
  const bool rate_followed = larger ? rate_ > 1.1 * probe_->rate : rate_ < 0.95 * probe_->rate;
  const double windows = static_cast<double>(window_) / static_cast<double>(probe_->window);
  const double delays = to_double(round_smallest_) / to_double(probe_->delay);
  const bool delay_stayed = delays > 1 - 0.2 * std::abs(1 - windows) && delays < 1.05;
  if (!larger && !rate_followed) {
    // The smallest window leaves a queue: how short the path is cannot be seen, and it is short enough.
    smallest_delay_ = std::min(*smallest_delay_, round_smallest_ / 2);
  } else if (rate_followed && delay_stayed) {
    smallest_delay_ = round_smallest_;
  }
  const bool inconclusive = rate_followed && to_double(round_smallest_) > 1.1 * to_double(*smallest_delay_);
  smallest_delay_at_ = inconclusive ? now - kSmallestDelayAge + kDoubtfulDelayAge : now;
  if (!larger) rate_ = probe_->rate;
  const double room = queue_room(rate_);
  // Either may be too low: a rate while the window grew, a window while it shrank.
  const double rate = std::max(rate_, static_cast<double>(probe_->window) / to_double(probe_->delay));
  const double target =
      std::min(rate * to_double(*smallest_delay_) + room, static_cast<double>(window_) + largest_step(room));
  set_window(static_cast<double>(std::max(probe_->window, window_)));
  shrink_window(std::min(static_cast<double>(window_), target));
  confirmed_window_ = window_;
  rounds_with_excess_ = 0;
  probe_.reset();
  probed_ = true;
}

std::uint64_t CreditWindow::grant_size() const {
  const std::uint64_t size = std::min(window_ / (is_fast() ? 4 : 8), kLargestGrant);
  const auto soon = static_cast<std::uint64_t>(rate_ * to_double(kLongestGrant));
  return std::max(rate_ > 0 ? std::min(size, soon) : size, smallest_chunk());
}

std::optional<std::uint64_t> CreditWindow::poll_grant(std::uint64_t budget) {
  const std::uint64_t limit = received_ + window_;
  const std::uint64_t size = std::min(grant_size(), budget);
  if (limit < granted_ + size || size < smallest_chunk()) return std::nullopt;
  const bool burst = std::exchange(burst_due_, false) && limit - granted_ <= budget;
  // Of several grants at once the later ones have waited behind the first.
  if (backlogged_ && samples_pending_ < samples_.size() && (samples_pending_ == 0 || last_sample_ != last_byte_)) {
    if (samples_pending_ + samples_done_ == 0) {
      round_begin_ = last_byte_;
      round_received_ = received_;
    }
    samples_[(first_sample_ + samples_pending_++) % samples_.size()] = {last_byte_, granted_};
    last_sample_ = last_byte_;
  }
  if (burst) burst_ = {last_byte_, received_, granted_, limit - smallest_chunk()};
  return granted_ = burst ? limit : granted_ + size;
}

}  // namespace codio::transfer
