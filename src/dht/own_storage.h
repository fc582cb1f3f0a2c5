// What a DHT node in a network of one's own keeps: what others announced to it, and what it serves itself.
#pragma once

#include <cstdint>
#include <libtorrent/kademlia/dht_storage.hpp>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "dht/address.h"
#include "dht/key.h"

namespace codio::dht {

/// A node announces to others and asks others only. Among millions that is right; in a network of a few, whose members
/// may be the only ones to keep a key, it would not find what it keeps itself, and the first two nodes would not find
/// each other's content. Thread-safe.
class OwnStorage : public std::enable_shared_from_this<OwnStorage> {
 public:
  explicit OwnStorage(std::uint16_t http_port) : http_port_(http_port) {}

  /// What this machine serves under `http_port`; told to whoever asks.
  void add(const Key& key);
  void remove(const Key& key);

  /// What others announced here.
  std::vector<Endpoint> find(const Key& key) const;

  /// The storage that libtorrent is to use, on its thread: its own one, with what is told here.
  std::unique_ptr<libtorrent::dht::dht_storage_interface> make_storage(const libtorrent::settings_interface& settings);

 private:
  class Storage;

  const std::uint16_t http_port_;
  mutable std::mutex mutex_;
  std::set<Key> keys_;
  /// libtorrent's, as long as it uses it.
  libtorrent::dht::dht_storage_interface* storage_ = nullptr;
};

}  // namespace codio::dht
