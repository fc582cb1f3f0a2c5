// A sender that respects credit, a path, and the CreditWindow of the receiver: flow control alone, without an engine.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sim/link.h"
#include "transfer/credit_window.h"

namespace codio::sim {

struct FlowOptions {
  LinkOptions link;                 ///< Its delay and hiccups are the way back's too.
  std::uint64_t frame = 64 * 1024;  ///< The largest.
  /// A sender's upload cap: a token bucket. Unlimited if 0.
  double cap = 0;  ///< Bytes a second.
  std::uint64_t cap_burst = 64 * 1024;
  transfer::CreditWindowOptions credit{};
};

/// The receiver's first wants leave when the flow is made.
class Flow {
 public:
  Flow(Clock& clock, const FlowOptions& options, std::uint64_t seed, std::shared_ptr<Bottleneck> bottleneck = nullptr)
      : clock_(clock),
        options_(options),
        way_back_(options.link.delay),
        sender_(options.link.hiccup, options.link.hiccup_every, seed + 1),
        begin_(clock.now()),
        tokens_(static_cast<double>(options.cap_burst)),
        tokens_at_(begin_),
        window(options.credit),
        path(clock, options.link, seed, std::move(bottleneck)) {
    path.on_arrival = [this](std::uint64_t size) { receive(size); };
    path.on_sent = [this](std::size_t) { send(); };
    grant(window.limit());
  }

  void set_delay(Duration delay) {
    way_back_ = delay;
    path.set_delay(delay);
  }
  /// While false the receiver has no open wants but for what is under way.
  void set_wanting(bool wanting) {
    wanting_ = wanting;
    if (wanting) grant(window.limit());
  }

 private:
  /// As Sender's smallest chunk and send buffer.
  static constexpr std::uint64_t kSmallestFrame = 8 * 1024;
  static constexpr std::size_t kSendBuffer = 256 * 1024;

  void grant(std::uint64_t limit) {
    last_credit_ = std::max(last_credit_, clock_.now() + way_back_);
    clock_.at(sender_.handles(last_credit_), [this, limit, alive = alive_] {
      if (!*alive) return;
      limit_ = std::max(limit_, limit);
      if (wanting_) send();
    });
  }

  void send() {
    while (wanting_ && path.buffered() < kSendBuffer) {
      const std::uint64_t size = std::min(options_.frame, limit_ - sent_);
      if (size < kSmallestFrame || !take_tokens(size)) return;
      sent_ += size;
      path.send(size);
    }
  }

  /// False: comes back when there are enough.
  bool take_tokens(std::uint64_t size) {
    if (options_.cap == 0) return true;
    const Time now = clock_.now();
    const double fresh = options_.cap * std::chrono::duration<double>(now - tokens_at_).count();
    tokens_ = std::min(tokens_ + fresh, static_cast<double>(options_.cap_burst));
    tokens_at_ = now;
    if (tokens_ >= static_cast<double>(size)) {
      tokens_ -= static_cast<double>(size);
      return true;
    }
    if (waiting_for_tokens_) return false;
    waiting_for_tokens_ = true;
    const double missing = static_cast<double>(size) - tokens_;
    clock_.after(Duration(static_cast<Duration::rep>(missing / options_.cap * 1e6) + 1), [this, alive = alive_] {
      if (!*alive) return;
      waiting_for_tokens_ = false;
      send();
    });
    return false;
  }

  void receive(std::uint64_t size) {
    if (window.received() == 0) window.handle_first_byte(clock_.now(), clock_.now() - begin_);
    window.handle_bytes(clock_.now(), size, wanting_);
    if (on_received) on_received(size);
    while (const auto limit = window.poll_grant()) grant(*limit);
  }

  Clock& clock_;
  FlowOptions options_;
  Duration way_back_;
  EventLoop sender_;
  Time begin_;
  Time last_credit_{};
  std::uint64_t limit_ = 0;
  std::uint64_t sent_ = 0;
  double tokens_;
  Time tokens_at_;
  bool waiting_for_tokens_ = false;
  bool wanting_ = true;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

 public:
  std::function<void(std::uint64_t size)> on_received;
  transfer::CreditWindow window;
  Path path;
};

}  // namespace codio::sim
