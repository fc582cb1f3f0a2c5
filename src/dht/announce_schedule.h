// When which key is announced in the DHT. Nodes of the DHT forget a peer after half an hour, so everything is announced
// again before; thousands of keys spread over that time by themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "common/time.h"
#include "dht/key.h"

namespace codio::dht {

struct AnnounceOptions {
  /// Again after a random time between `interval * (1 - jitter)` and `interval`. Two tries fit before the half hour is
  /// over if one gets lost.
  Duration interval = std::chrono::minutes(20);
  double jitter = 0.25;
  /// Announcements a second. Each asks some 20 to 60 nodes with packets of 100 bytes, about 5 kB: 40 kB/s while there
  /// is much to announce. With `interval` it bounds how many keys stay alive: see capacity().
  double rate = 8;
  /// Keys taken; more are refused.
  std::size_t max_keys = 65'536;
};

/// Pure: time and the seed of the jitter are arguments. Not thread-safe.
///
/// Keys that were never announced come before others, the latest added first: a user waits for that one. But every
/// second turn is that of a key whose time has come again, if there is one, or it would be forgotten.
class AnnounceSchedule {
 public:
  AnnounceSchedule(AnnounceOptions options, std::uint64_t seed) : options_(options), random_(seed) {}

  /// False if there are too many keys. One that is there already keeps its time.
  bool add(Key key);
  void remove(const Key& key);

  /// The key to announce now, if any; it counts as announced.
  std::optional<Key> poll(Time now);
  /// When poll() will have something; nothing: never, as it is.
  std::optional<Time> next_wakeup() const;
  /// All keys are to be announced anew: the node was cut off, or has another address.
  void restart();

  std::size_t size() const { return due_.size(); }
  /// Keys that were never announced yet.
  std::size_t waiting() const { return fresh_.size(); }
  /// So many keys can be announced again in time.
  std::size_t capacity() const;

 private:
  Time next_time(Time now);
  Duration gap() const;

  AnnounceOptions options_;
  std::uint64_t random_;
  /// When each is due again; nothing: fresh.
  std::map<Key, std::optional<Time>> due_;
  std::set<std::pair<Time, Key>> again_;
  std::vector<Key> fresh_;
  bool was_fresh_ = false;  ///< The last that was announced.
  Time next_slot_{};        ///< By the rate.
};

}  // namespace codio::dht
