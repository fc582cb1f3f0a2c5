#include "sim/link.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace codio::sim {

Link::Link(Clock& clock, const LinkOptions& options, std::uint64_t seed)
    : clock_(clock), options_(options), random_(seed) {}

void Link::send(Bytes message) {
  buffered_ += message.size();
  queue_.push_back(std::move(message));
  if (!busy_) start();
}

void Link::start() {
  busy_ = true;
  const auto size = queue_.front().size();
  const Duration sending(static_cast<Duration::rep>(static_cast<double>(size) / options_.rate * 1e6) + 1);
  clock_.after(sending, [this, alive = alive_] {
    if (!*alive) return;
    Bytes message = std::move(queue_.front());
    queue_.pop_front();
    busy_ = false;
    buffered_ -= message.size();
    carried_ += message.size();
    Duration delay = options_.delay;
    if (std::uniform_real_distribution<>(0, 1)(random_) < options_.loss) {
      delay += 2 * options_.delay + std::chrono::milliseconds(200);
    }
    last_arrival_ = std::max(last_arrival_, clock_.now() + delay);
    clock_.at(last_arrival_, [this, alive = alive_, message = std::move(message)]() mutable {
      if (*alive) on_message(std::move(message));
    });
    if (!queue_.empty()) start();
    if (on_sent) on_sent(buffered_);
  });
}

}  // namespace codio::sim
