// Tells when lookups in the DHT are over, which the DHT itself does not.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "dht/key.h"

namespace codio::dht {

/// The host asks the DHT now and then which lookups run. One that is missing twice in a row is over: the first answer
/// may be to a question that was asked before the lookup began. Pure; not thread-safe.
class LookupWatch {
 public:
  void start(const Key& key) { missed_.insert_or_assign(key, 0); }
  void forget(const Key& key) { missed_.erase(key); }

  /// The DHT's answer. Returns what is over, and forgets it.
  std::vector<Key> handle_running(const std::set<Key>& running) {
    constexpr int kGone = 2;
    std::vector<Key> over;
    for (auto& [key, missed] : missed_) {
      missed = running.contains(key) ? 0 : missed + 1;
      if (missed >= kGone) over.push_back(key);
    }
    for (const Key& key : over) missed_.erase(key);
    return over;
  }

  bool contains(const Key& key) const { return missed_.contains(key); }
  std::size_t size() const { return missed_.size(); }

 private:
  std::map<Key, int> missed_;
};

}  // namespace codio::dht
