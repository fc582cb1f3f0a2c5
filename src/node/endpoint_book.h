// What is remembered of addresses that were said to serve content, so that they are not asked again and again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "common/time.h"
#include "node/provider.h"

namespace codio::node {

enum class Verdict : std::uint8_t {
  kNode,  ///< It is a node that proved who it is.
  kDead,  ///< It did not answer.
  kLiar,  ///< It answered something else.
};

struct EndpointBookOptions {
  Duration node_lifetime = std::chrono::minutes(10);
  /// A node may be restarting.
  Duration dead_lifetime = std::chrono::minutes(2);
  Duration liar_lifetime = std::chrono::minutes(30);
  /// A poisoned search brings hundreds; the ones that are forgotten first are the ones that expire first.
  std::size_t max_entries = 8192;
};

/// Pure; not thread-safe.
class EndpointBook {
 public:
  struct Entry {
    Verdict verdict;
    Provider provider;  ///< Of kNode.
  };

  explicit EndpointBook(EndpointBookOptions options = {}) : options_(options) {}

  void note(Time now, const std::string& address, Entry entry);
  /// Nothing: not known, or not any more. Valid until the next call.
  const Entry* find(Time now, const std::string& address);
  std::size_t size() const { return entries_.size(); }

 private:
  struct Noted {
    Entry entry;
    Time until;
  };

  EndpointBookOptions options_;
  std::map<std::string, Noted> entries_;
  std::set<std::pair<Time, std::string>> by_age_;
};

}  // namespace codio::node
