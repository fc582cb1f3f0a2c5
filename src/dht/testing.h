// Networks of DHT nodes on the loopback interface, for tests and benchmarks.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>
#include <boost/asio/io_context.hpp>

#include "common/check.h"
#include "dht/dht_node.h"

namespace codio::dht {

/// Nodes that all live on one io_context, which runs only inside of run_until().
class TestNetwork {
 public:
  /// All nodes join at the first one.
  explicit TestNetwork(std::string address = "127.0.0.1") : address_(std::move(address)) {}

  DhtNode& add(DhtOptions options = {}) {
    options.network = Network::kOwn;
    options.addresses = {address_};
    if (!nodes_.empty()) options.bootstrap = {{address_, nodes_.front()->status().port}};
    return add_as_it_is(std::move(options));
  }

  DhtNode& add_as_it_is(DhtOptions options) {
    auto node = DhtNode::start(io_.get_executor(), std::move(options));
    check(node.has_value());
    nodes_.push_back(*std::move(node));
    return *nodes_.back();
  }

  /// False if `holds` did not come true within the time, which is long enough for any machine.
  bool run_until(const std::function<bool()>& holds, std::chrono::seconds limit = std::chrono::seconds(60)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!holds()) {
      if (std::chrono::steady_clock::now() > end) return false;
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(100));
    }
    return true;
  }

  /// Until every node has joined.
  bool join() {
    return run_until(
        [this] { return std::ranges::all_of(nodes_, [](const auto& node) { return node->status().is_reachable; }); });
  }

  std::vector<std::unique_ptr<DhtNode>>& nodes() { return nodes_; }
  boost::asio::io_context& io() { return io_; }

 private:
  std::string address_;
  boost::asio::io_context io_;
  std::vector<std::unique_ptr<DhtNode>> nodes_;
};

}  // namespace codio::dht
