#include "dht/name_lookups.h"

#include <array>
#include <mutex>
#include <netdb.h>
#include <optional>
#include <thread>
#include <utility>
#include <boost/asio/post.hpp>

namespace codio::dht {

namespace {

std::vector<std::string> addresses_of(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* list = nullptr;
  std::vector<std::string> addresses;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) return addresses;
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    const bool is_text =
        ::getnameinfo(one->ai_addr, one->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) == 0;
    if (is_text) addresses.emplace_back(text.data());
  }
  ::freeaddrinfo(list);
  return addresses;
}

}  // namespace

struct NameLookups::State {
  State(boost::asio::any_io_executor where, OnLookedUp then)
      : executor(std::move(where)), on_looked_up(std::move(then)) {}

  std::mutex mutex;
  std::optional<boost::asio::any_io_executor> executor;  ///< Nothing: nobody wants to know any more.
  const OnLookedUp on_looked_up;
};

NameLookups::NameLookups(boost::asio::any_io_executor executor, OnLookedUp on_looked_up)
    : state_(std::make_shared<State>(std::move(executor), std::move(on_looked_up))) {}

NameLookups::~NameLookups() {
  const std::lock_guard lock(state_->mutex);
  state_->executor.reset();
}

void NameLookups::start(const BootstrapNode& node) {
  std::thread([state = state_, node] {
    auto addresses = addresses_of(node.host);
    const std::lock_guard lock(state->mutex);
    if (!state->executor) return;
    boost::asio::post(*state->executor, [state, node, addresses = std::move(addresses)]() mutable {
      if (state->executor) state->on_looked_up(node, std::move(addresses));
    });
  }).detach();
}

}  // namespace codio::dht
