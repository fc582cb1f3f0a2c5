#include "dht/own_storage.h"

#include <algorithm>
#include <array>
#include <libtorrent/address.hpp>
#include <libtorrent/entry.hpp>
#include <optional>
#include <string>
#include <string_view>
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
std::string to_compact(const lt::address& address, std::uint16_t port) {
  std::string text;
  const auto append = [&](const auto& bytes) {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  address.is_v4() ? append(address.to_v4().to_bytes()) : append(address.to_v6().to_bytes());
  text.push_back(static_cast<char>(port >> 8));
  text.push_back(static_cast<char>(port & 0xff));
  return text;
}

template <class Address>
Endpoint from_compact(std::string_view text) {
  typename Address::bytes_type bytes;
  std::copy_n(text.begin(), bytes.size(), bytes.begin());
  const auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<std::uint8_t>(text[i])); };
  return {Address(bytes), static_cast<std::uint16_t>(byte(bytes.size()) << 8 | byte(bytes.size() + 1))};
}

}  // namespace

class OwnStorage::Storage : public dht_storage_interface {
 public:
  Storage(std::unique_ptr<dht_storage_interface> storage, std::shared_ptr<OwnStorage> own)
      : storage_(std::move(storage)), own_(std::move(own)) {
    const std::lock_guard lock(own_->mutex_);
    own_->storage_ = storage_.get();
  }
  ~Storage() override {
    const std::lock_guard lock(own_->mutex_);
    own_->storage_ = nullptr;
  }

  bool get_peers(const lt::sha1_hash& info_hash, bool noseed, bool scrape, const lt::address& requester,
                 lt::entry& peers) const override {
    const std::lock_guard lock(own_->mutex_);
    const bool is_full = storage_->get_peers(info_hash, noseed, scrape, requester, peers);
    Key key;
    std::copy(info_hash.begin(), info_hash.end(), key.begin());
    if (scrape || !own_->keys_.contains(key)) return is_full;
    if (const auto address = own_address(requester)) {
      peers["values"].list().emplace_back(to_compact(*address, own_->http_port_));
    }
    return is_full;
  }

  void announce_peer(const lt::sha1_hash& info_hash, const lt::tcp::endpoint& endpoint, lt::string_view name,
                     bool seed) override {
    const std::lock_guard lock(own_->mutex_);
    storage_->announce_peer(info_hash, endpoint, name, seed);
  }
#if TORRENT_ABI_VERSION == 1
  std::size_t num_torrents() const override {
    const std::lock_guard lock(own_->mutex_);
    return storage_->num_torrents();
  }
  std::size_t num_peers() const override {
    const std::lock_guard lock(own_->mutex_);
    return storage_->num_peers();
  }
#endif
  void update_node_ids(const std::vector<lt::dht::node_id>& ids) override {
    const std::lock_guard lock(own_->mutex_);
    storage_->update_node_ids(ids);
  }
  bool get_immutable_item(const lt::sha1_hash& target, lt::entry& item) const override {
    const std::lock_guard lock(own_->mutex_);
    return storage_->get_immutable_item(target, item);
  }
  void put_immutable_item(const lt::sha1_hash& target, lt::span<const char> buffer,
                          const lt::address& address) override {
    const std::lock_guard lock(own_->mutex_);
    storage_->put_immutable_item(target, buffer, address);
  }
  bool get_mutable_item_seq(const lt::sha1_hash& target, lt::dht::sequence_number& number) const override {
    const std::lock_guard lock(own_->mutex_);
    return storage_->get_mutable_item_seq(target, number);
  }
  bool get_mutable_item(const lt::sha1_hash& target, lt::dht::sequence_number number, bool fill,
                        lt::entry& item) const override {
    const std::lock_guard lock(own_->mutex_);
    return storage_->get_mutable_item(target, number, fill, item);
  }
  void put_mutable_item(const lt::sha1_hash& target, lt::span<const char> buffer, const lt::dht::signature& signature,
                        lt::dht::sequence_number number, const lt::dht::public_key& key, lt::span<const char> salt,
                        const lt::address& address) override {
    const std::lock_guard lock(own_->mutex_);
    storage_->put_mutable_item(target, buffer, signature, number, key, salt, address);
  }
  int get_infohashes_sample(lt::entry& item) override {
    const std::lock_guard lock(own_->mutex_);
    return storage_->get_infohashes_sample(item);
  }
  void tick() override {
    const std::lock_guard lock(own_->mutex_);
    storage_->tick();
  }
  lt::dht::dht_storage_counters counters() const override {
    const std::lock_guard lock(own_->mutex_);
    return storage_->counters();
  }

 private:
  const std::unique_ptr<dht_storage_interface> storage_;
  const std::shared_ptr<OwnStorage> own_;
};

void OwnStorage::add(const Key& key) {
  const std::lock_guard lock(mutex_);
  keys_.insert(key);
}

void OwnStorage::remove(const Key& key) {
  const std::lock_guard lock(mutex_);
  keys_.erase(key);
}

std::vector<Endpoint> OwnStorage::find(const Key& key) const {
  using boost::asio::ip::address_v4;
  using boost::asio::ip::address_v6;
  const lt::sha1_hash hash(reinterpret_cast<const char*>(key.data()));
  std::vector<Endpoint> found;
  const std::lock_guard lock(mutex_);
  if (storage_ == nullptr) return found;
  // Each family's peers are told to its own members only.
  for (const lt::address& family : {lt::address(address_v4::loopback()), lt::address(address_v6::loopback())}) {
    lt::entry answer;
    storage_->get_peers(hash, false, false, family, answer);
    const lt::entry* values = answer.find_key("values");
    if (values == nullptr) continue;
    for (const lt::entry& value : values->list()) {
      const std::string& text = value.string();
      if (text.size() == 6) found.push_back(from_compact<address_v4>(text));
      if (text.size() == 18) found.push_back(from_compact<address_v6>(text));
    }
  }
  return found;
}

std::unique_ptr<dht_storage_interface> OwnStorage::make_storage(const lt::settings_interface& settings) {
  return std::make_unique<Storage>(lt::dht::dht_default_storage_constructor(settings), shared_from_this());
}

}  // namespace codio::dht
