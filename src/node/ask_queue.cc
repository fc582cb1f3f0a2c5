#include "node/ask_queue.h"

#include <algorithm>

namespace codio::node {

namespace {

/// From here on an address is one of a crowd.
constexpr std::size_t kCrowd = 8;

template <class Address>
std::string first_bytes(const Address& address, std::size_t count) {
  const auto bytes = address.to_bytes();
  return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count)};
}

/// The part of the address that one owner has.
std::string network_of(const dht::Endpoint& endpoint) {
  const auto address = endpoint.address();
  return address.is_v4() ? first_bytes(address.to_v4(), 3) : first_bytes(address.to_v6(), 6);
}

}  // namespace

bool AskQueue::push(const dht::Endpoint& endpoint, std::size_t place) {
  if (waiting_.size() >= options_.max_waiting) return false;
  std::size_t crowd = place;
  if (options_.max_of_network > 0) {
    std::size_t& neighbours = networks_[network_of(endpoint)];
    if (neighbours >= options_.max_of_network) return false;
    crowd = std::max(crowd, neighbours++);
  }
  waiting_.insert({crowd, ++last_order_, endpoint});
  return true;
}

std::optional<dht::Endpoint> AskQueue::pop() {
  if (waiting_.empty()) return std::nullopt;
  const Waiting first = *waiting_.begin();
  if (asked_ >= (first.crowd < kCrowd ? options_.max_asked : (options_.max_asked + 1) / 2)) return std::nullopt;
  waiting_.erase(waiting_.begin());
  ++asked_;
  return first.endpoint;
}

void AskQueue::done(const dht::Endpoint& endpoint) {
  --asked_;
  if (options_.max_of_network == 0) return;
  const auto network = networks_.find(network_of(endpoint));
  if (--network->second == 0) networks_.erase(network);
}

}  // namespace codio::node
