#include "sim/link.h"

#include <algorithm>
#include <utility>

namespace codio::sim {
namespace {

/// SCTP's congestion window after its retransmission timer fired (RFC 9260, 7.2.1), at the sizes of Ethernet.
constexpr std::uint64_t kWindowAfterStall = 4380;

}  // namespace

Time EventLoop::handles(Time event) {
  if (hiccup_ == Duration(0)) return event;
  while (event >= end_) {
    std::exponential_distribution<> pause(1.0 / static_cast<double>(hiccup_every_.count()));
    std::uniform_int_distribution<Duration::rep> length(0, hiccup_.count());
    begin_ = std::max(end_, begin_) + Duration(static_cast<Duration::rep>(pause(random_)));
    end_ = begin_ + Duration(length(random_));
  }
  return event < begin_ ? event : end_;
}

bool Bottleneck::offer(std::uint64_t size, std::function<void()> passed) {
  // One message always fits: it is many packets, of which a queue holds some.
  if (!entries_.empty() && size > queue_ - std::min(queue_, queued_)) return false;
  queued_ += size;
  entries_.push_back({size, clock_.now(), std::move(passed)});
  if (entries_.size() == 1) start();
  return true;
}

void Bottleneck::start() {
  const Entry& entry = entries_.front();
  if (on_waited) on_waited(clock_.now() - entry.offered);
  const Duration passing(static_cast<Duration::rep>(static_cast<double>(entry.size) / rate_ * 1e6) + 1);
  clock_.after(passing, [this, alive = alive_] {
    if (!*alive) return;
    const Entry passed = std::move(entries_.front());
    entries_.pop_front();
    queued_ -= passed.size;
    carried_ += passed.size;
    if (!entries_.empty()) start();
    passed.passed();
  });
}

Path::Path(Clock& clock, const LinkOptions& options, std::uint64_t seed, std::shared_ptr<Bottleneck> bottleneck)
    : clock_(clock),
      options_(options),
      random_(seed),
      receiver_(options.hiccup, options.hiccup_every, random_()),
      bottleneck_(bottleneck ? std::move(bottleneck)
                             : std::make_shared<Bottleneck>(clock, options.rate, options.queue)),
      window_(options.congestion_window.value_or(1)) {}

void Path::send(std::uint64_t size) {
  buffered_ += size;
  unsent_.push_back(size);
  push();
}

/// Returns whether any message left the buffer.
bool Path::push() {
  bool left = false;
  while (!unsent_.empty() && !stalled_) {
    const std::uint64_t size = unsent_.front();
    if (under_way_ > 0 && size > window_ - std::min(window_, under_way_)) break;
    const bool fits = bottleneck_->offer(size, [this, size, alive = alive_] {
      if (*alive) handle_passed(size);
    });
    if (!fits) {
      ++overruns_;
      stalled_ = true;
      threshold_ = under_way_ / 2;
      const Duration stall(std::uniform_int_distribution<Duration::rep>(200'000, 1'000'000)(random_));
      clock_.after(stall, [this, alive = alive_] {
        if (!*alive) return;
        stalled_ = false;
        if (options_.congestion_window) window_ = kWindowAfterStall;
        if (push() && on_sent) on_sent(buffered_);
      });
      break;
    }
    unsent_.pop_front();
    under_way_ += size;
    if (options_.congestion_window) {
      buffered_ -= size;
      left = true;
    }
  }
  return left;
}

void Path::handle_passed(std::uint64_t size) {
  carried_ += size;
  Duration delay = options_.delay;
  if (std::uniform_real_distribution<>(0, 1)(random_) < options_.loss) {
    delay += 2 * options_.delay + std::chrono::milliseconds(200);
  }
  last_arrival_ = std::max(last_arrival_, clock_.now() + delay);
  clock_.at(receiver_.handles(last_arrival_), [this, size, alive = alive_] {
    if (*alive) on_arrival(size);
  });
  if (options_.congestion_window && window_ == kUnlimited) {
    under_way_ -= size;
  } else if (options_.congestion_window) {
    clock_.at(last_arrival_ + options_.delay, [this, size, alive = alive_] {
      if (!*alive) return;
      under_way_ -= size;
      window_ += std::min(window_ < threshold_ ? size : size / 8, kUnlimited - window_);
      if (push() && on_sent) on_sent(buffered_);
    });
  } else {
    under_way_ -= size;
    buffered_ -= size;
    push();
    if (on_sent) on_sent(buffered_);
  }
}

Link::Link(Clock& clock, const LinkOptions& options, std::uint64_t seed) : path_(clock, options, seed) {
  path_.on_arrival = [this](std::uint64_t) {
    Bytes message = std::move(messages_.front());
    messages_.pop_front();
    on_message(std::move(message));
  };
  path_.on_sent = [this](std::size_t buffered) {
    if (on_sent) on_sent(buffered);
  };
}

void Link::send(Bytes message) {
  const std::uint64_t size = message.size();
  messages_.push_back(std::move(message));
  path_.send(size);
}

}  // namespace codio::sim
