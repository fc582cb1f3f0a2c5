// What a DHT node in a network of one's own keeps: what others announced to it, and what it serves itself.
#pragma once

#include <cstdint>
#include <libtorrent/kademlia/dht_storage.hpp>
#include <memory>
#include <mutex>
#include <set>

#include "dht/key.h"

namespace codio::dht {

/// What this machine serves. Thread-safe.
class OwnContent {
 public:
  explicit OwnContent(std::uint16_t http_port) : http_port_(http_port) {}

  std::uint16_t http_port() const { return http_port_; }
  void add(const Key& key);
  void remove(const Key& key);
  bool contains(const Key& key) const;

 private:
  const std::uint16_t http_port_;
  mutable std::mutex mutex_;
  std::set<Key> keys_;
};

/// libtorrent's storage, and `own` besides: a node announces to others only, so the first two nodes of a network would
/// not find each other's content. Called on libtorrent's thread.
std::unique_ptr<libtorrent::dht::dht_storage_interface> make_own_storage(const libtorrent::settings_interface& settings,
                                                                         std::shared_ptr<const OwnContent> own);

}  // namespace codio::dht
