#include "dht/own_storage.h"

#include <algorithm>
#include <libtorrent/address.hpp>
#include <libtorrent/entry.hpp>
#include <optional>
#include <string>
#include <utility>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>

#include <libtorrent/sha1_hash.hpp>

namespace codio::dht {

namespace lt = libtorrent;
using lt::dht::dht_storage_interface;

namespace {

/// This machine's address as the other one sees it.
std::optional<lt::address> own_address(const lt::address& other) {
  boost::asio::io_context io;
  boost::asio::ip::udp::socket socket(io);
  boost::system::error_code error;
  constexpr unsigned short kAnyPort = 9;  // Nothing is sent.
  socket.connect({other, kAnyPort}, error);
  if (error) return std::nullopt;
  const auto local = socket.local_endpoint(error);
  if (error) return std::nullopt;
  return local.address();
}

/// BEP 5 and BEP 32: address and port in network order.
std::string compact(const lt::address& address, std::uint16_t port) {
  std::string text;
  const auto append = [&](const auto& bytes) {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  address.is_v4() ? append(address.to_v4().to_bytes()) : append(address.to_v6().to_bytes());
  text.push_back(static_cast<char>(port >> 8));
  text.push_back(static_cast<char>(port & 0xff));
  return text;
}

class OwnStorage : public dht_storage_interface {
 public:
  OwnStorage(std::unique_ptr<dht_storage_interface> storage, std::shared_ptr<const OwnContent> own)
      : storage_(std::move(storage)), own_(std::move(own)) {}

  bool get_peers(const lt::sha1_hash& info_hash, bool noseed, bool scrape, const lt::address& requester,
                 lt::entry& peers) const override {
    const bool is_full = storage_->get_peers(info_hash, noseed, scrape, requester, peers);
    Key key;
    std::copy(info_hash.begin(), info_hash.end(), key.begin());
    if (scrape || !own_->contains(key)) return is_full;
    if (const auto address = own_address(requester)) {
      peers["values"].list().emplace_back(compact(*address, own_->http_port()));
    }
    return is_full;
  }

  void announce_peer(const lt::sha1_hash& info_hash, const lt::tcp::endpoint& endpoint, lt::string_view name,
                     bool seed) override {
    storage_->announce_peer(info_hash, endpoint, name, seed);
  }
#if TORRENT_ABI_VERSION == 1
  std::size_t num_torrents() const override { return storage_->num_torrents(); }
  std::size_t num_peers() const override { return storage_->num_peers(); }
#endif
  void update_node_ids(const std::vector<lt::dht::node_id>& ids) override { storage_->update_node_ids(ids); }
  bool get_immutable_item(const lt::sha1_hash& target, lt::entry& item) const override {
    return storage_->get_immutable_item(target, item);
  }
  void put_immutable_item(const lt::sha1_hash& target, lt::span<const char> buffer,
                          const lt::address& address) override {
    storage_->put_immutable_item(target, buffer, address);
  }
  bool get_mutable_item_seq(const lt::sha1_hash& target, lt::dht::sequence_number& number) const override {
    return storage_->get_mutable_item_seq(target, number);
  }
  bool get_mutable_item(const lt::sha1_hash& target, lt::dht::sequence_number number, bool fill,
                        lt::entry& item) const override {
    return storage_->get_mutable_item(target, number, fill, item);
  }
  void put_mutable_item(const lt::sha1_hash& target, lt::span<const char> buffer, const lt::dht::signature& signature,
                        lt::dht::sequence_number number, const lt::dht::public_key& key, lt::span<const char> salt,
                        const lt::address& address) override {
    storage_->put_mutable_item(target, buffer, signature, number, key, salt, address);
  }
  int get_infohashes_sample(lt::entry& item) override { return storage_->get_infohashes_sample(item); }
  void tick() override { storage_->tick(); }
  lt::dht::dht_storage_counters counters() const override { return storage_->counters(); }

 private:
  const std::unique_ptr<dht_storage_interface> storage_;
  const std::shared_ptr<const OwnContent> own_;
};

}  // namespace

void OwnContent::add(const Key& key) {
  const std::lock_guard lock(mutex_);
  keys_.insert(key);
}

void OwnContent::remove(const Key& key) {
  const std::lock_guard lock(mutex_);
  keys_.erase(key);
}

bool OwnContent::contains(const Key& key) const {
  const std::lock_guard lock(mutex_);
  return keys_.contains(key);
}

std::unique_ptr<dht_storage_interface> make_own_storage(const lt::settings_interface& settings,
                                                        std::shared_ptr<const OwnContent> own) {
  return std::make_unique<OwnStorage>(lt::dht::dht_default_storage_constructor(settings), std::move(own));
}

}  // namespace codio::dht
