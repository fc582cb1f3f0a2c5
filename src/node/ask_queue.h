// Which of the addresses that strangers named is asked next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "dht/address.h"

namespace codio::node {

struct AskQueueOptions {
  /// Questions under way at a time. Each costs a connection; a poisoned search brings thousands that do not answer.
  std::size_t max_asked = 64;
  /// Addresses that wait; more are refused.
  std::size_t max_waiting = 16'384;
  /// In one network (a /24, or a /48 of IPv6) that wait or are being asked; more are refused. A host in it has as many
  /// ports as it likes, and whoever names them may want us to knock at them all. 0: no limit, for a DHT of one's own,
  /// whose nodes are all in one network.
  std::size_t max_of_network = 32;
};

/// A DHT can be poisoned: nodes in it name addresses that nobody has, or that never answer, by the thousand. So what
/// comes first is not asked first, but what is the least crowded: by how many the same answer named before it, and how
/// many of its network are here. The crowded ones have half of the questions at most, so that one who stands out is
/// asked at once. Pure; not thread-safe.
class AskQueue {
 public:
  explicit AskQueue(AskQueueOptions options = {}) : options_(options) {}

  /// `place`: in the answer that named it, from 0. False: there are too many. Not one that is here.
  bool push(const dht::Endpoint& endpoint, std::size_t place);
  /// The next to ask, if any may be: it is being asked until done().
  std::optional<dht::Endpoint> pop();
  void done(const dht::Endpoint& endpoint);

  std::size_t waiting() const { return waiting_.size(); }
  std::size_t asked() const { return asked_; }

 private:
  struct Waiting {
    std::size_t crowd;
    std::uint64_t order;
    dht::Endpoint endpoint;

    bool operator<(const Waiting& other) const {
      return crowd != other.crowd ? crowd < other.crowd : order < other.order;
    }
  };

  const AskQueueOptions options_;
  std::uint64_t last_order_ = 0;
  std::set<Waiting> waiting_;
  std::map<std::string, std::size_t> networks_;  ///< How many of each are here.
  std::size_t asked_ = 0;
};

}  // namespace codio::node
