// Looks up the names of nodes to join at.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>
#include <boost/asio/any_io_executor.hpp>

#include "dht/bootstrap_node.h"

namespace codio::dht {

/// Looks names up, each on a thread that nobody waits for: a name server that is silent keeps it for many seconds, and
/// libtorrent's own lookups have to end before its session does.
class NameLookups {
 public:
  using OnLookedUp = std::function<void(const BootstrapNode& node, std::vector<std::string> addresses)>;

  NameLookups(boost::asio::any_io_executor executor, OnLookedUp on_looked_up);
  ~NameLookups();
  NameLookups(const NameLookups&) = delete;
  NameLookups& operator=(const NameLookups&) = delete;

  void start(const BootstrapNode& node);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace codio::dht
