#include "transfer/credit_window.h"

#include <algorithm>
#include <utility>

namespace codio::transfer {
namespace {

/// A path may change; a smallest delay this old is measured anew.
constexpr Duration kSmallestDelayAge = std::chrono::seconds(30);
/// A doubled window that does not bring at least this much more only queues. As BBR's start-up.
constexpr double kGrowth = 1.25;

}  // namespace

CreditWindow::CreditWindow(const CreditWindowOptions& options)
    : options_(options), window_(options.initial), granted_(options.initial) {}

void CreditWindow::handle_bytes(Time now, std::uint64_t size, bool backlogged) {
  received_ += size;
  last_byte_ = now;
  backlogged_ = backlogged;
  if (in_round_ && received_ > round_end_) {
    finish_round(now);
    in_round_ = false;
  }
  if (!backlogged) in_round_ = false;
}

void CreditWindow::handle_first_byte(Time now, Duration since_want) { note_delay(now, since_want); }

void CreditWindow::note_delay(Time now, Duration delay) {
  if (smallest_delay_ && delay > *smallest_delay_ && now - smallest_delay_at_ <= kSmallestDelayAge) return;
  smallest_delay_ = delay;
  smallest_delay_at_ = now;
}

void CreditWindow::finish_round(Time now) {
  const Duration delay = std::max(now - round_begin_, Duration(1));
  if (window_before_probe_) {
    smallest_delay_.reset();
    window_ = *std::exchange(window_before_probe_, std::nullopt);
  } else if (smallest_delay_ && delay > *smallest_delay_ && now - smallest_delay_at_ > kSmallestDelayAge) {
    window_before_probe_ = window_;
    window_ = std::max(window_ / 2, options_.minimum);
    return;
  }
  note_delay(now, delay);
  recent_[rounds_++ % recent_.size()] = delay;
  const std::size_t known = std::min(rounds_, recent_.size());
  const Duration settled = *std::min_element(recent_.begin(), recent_.begin() + static_cast<std::ptrdiff_t>(known));
  const Duration allowed = *smallest_delay_ + options_.queue_target;

  const double rate = static_cast<double>(received_ - round_received_) / static_cast<double>(delay.count());
  const bool grew = rate > kGrowth * best_rate_;
  best_rate_ = std::max(best_rate_, rate);
  rounds_without_growth_ = grew ? 0 : rounds_without_growth_ + 1;

  if (settled > *smallest_delay_ + options_.queue_target / 2 || rounds_without_growth_ == 2) doubling_ = false;
  if (doubling_ && grew) {
    window_ *= 2;
  } else if (!doubling_) {
    // A window a round is the rate. `rate` is less: it lacks what was received since the grant before.
    const double target = static_cast<double>(allowed.count()) / static_cast<double>(delay.count());
    window_ = static_cast<std::uint64_t>(static_cast<double>(window_) * (0.5 + 0.5 * target));
  }
  window_ = std::clamp(window_, options_.minimum, options_.maximum);
}

std::optional<std::uint64_t> CreditWindow::poll_grant(std::uint64_t budget) {
  const std::uint64_t due = received_ + window_ - std::min(received_ + window_, granted_);
  const std::uint64_t least = options_.minimum / 4;
  if (due < std::max(window_ / 8, least) || budget < least) return std::nullopt;
  const std::uint64_t limit = granted_ + std::min(due, budget);
  if (!in_round_ && backlogged_) {
    in_round_ = true;
    round_begin_ = last_byte_;
    round_end_ = granted_;
    round_received_ = received_;
  }
  granted_ = limit;
  return granted_;
}

}  // namespace codio::transfer
