#include "rendezvous/bus.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <map>
#include <mutex>
#include <nats/nats.h>
#include <random>
#include <utility>
#include <vector>
#include <boost/asio/post.hpp>

#include "rendezvous/bus_messages.h"

namespace codio::rendezvous {
namespace {

constexpr std::string_view kToAll = "codio.rendezvous.1.all";
constexpr std::string_view kToNode = "codio.rendezvous.1.node.";
constexpr std::int64_t kConnectTimeout = 2000;  // Milliseconds, as all below.
constexpr std::int64_t kFirstDelay = 100;
constexpr std::int64_t kLastDelay = 5000;
// A server that is silent for so long is gone.
constexpr std::int64_t kPingInterval = 5000;
constexpr int kMaxPings = 2;
// Messages that came and were not handled yet; more are dropped, as a network does.
constexpr int kMaxPending = 4096;
// Nothing is kept for a server that is away: what it would hear then is old.
constexpr int kReconnectBuffer = 1;

struct ServerAddress {
  std::string text;
  std::string host;
  bool tls = false;
};

// Never shows the URL whole: it may hold a password.
Result<ServerAddress> parse_address(std::string_view text) {
  const auto malformed = [](std::string_view why) {
    return fail(ErrorCode::kMalformed, "a bus URL " + std::string(why) +
                                           "; it has the form nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT], or tls://…");
  };
  ServerAddress address;
  address.text = text;
  std::string_view rest = text;
  if (rest.starts_with("nats://")) {
    rest.remove_prefix(7);
  } else if (rest.starts_with("tls://")) {
    rest.remove_prefix(6);
    address.tls = true;
  } else {
    return malformed("does not begin with nats:// or tls://");
  }
  if (text.size() > 2048 || std::ranges::any_of(text, [](char c) { return c <= ' ' || c == 0x7f; })) {
    return malformed("is too long or has characters that no such URL has");
  }
  if (const auto at = rest.rfind('@'); at != std::string_view::npos) rest.remove_prefix(at + 1);
  if (rest.find_first_of("/?#") != std::string_view::npos) return malformed("has a path, which means nothing");
  const std::size_t bracket = rest.starts_with('[') ? rest.find(']') : 0;
  if (bracket == std::string_view::npos) return malformed("has an IPv6 address without its bracket");
  const std::size_t colon = rest.find(':', bracket);
  address.host = rest.substr(0, colon);
  if (address.host.starts_with('[')) address.host = address.host.substr(1, bracket - 1);
  if (address.host.empty()) return malformed("has no host");
  if (colon != std::string_view::npos) {
    const std::string_view port = rest.substr(colon + 1);
    std::uint16_t number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc{} || end != port.data() + port.size() || number == 0) {
      return malformed("has a port that is not a number from 1 to 65535");
    }
  }
  return address;
}

Result<std::vector<ServerAddress>> parse_addresses(std::string_view urls) {
  std::vector<ServerAddress> addresses;
  while (true) {
    const std::size_t comma = urls.find(',');
    auto address = parse_address(urls.substr(0, comma));
    if (!address) return std::unexpected(address.error());
    addresses.push_back(*std::move(address));
    if (comma == std::string_view::npos) return addresses;
    urls.remove_prefix(comma + 1);
  }
}

std::string hosts_of(const std::vector<ServerAddress>& addresses) {
  std::string hosts;
  for (const auto& address : addresses) hosts += (hosts.empty() ? "" : ", ") + address.host;
  return hosts;
}

}  // namespace

class Bus::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(boost::asio::any_io_executor executor, BusEvents events, std::string hosts)
      : executor_(std::move(executor)), events_(std::move(events)), hosts_(std::move(hosts)) {}

  Result<void> start(const std::vector<ServerAddress>& addresses, const std::string& node) {
    natsOptions* options = nullptr;
    std::vector<const char*> servers;
    for (const auto& address : addresses) servers.push_back(address.text.c_str());
    closure_ = Registry::instance().add(weak_from_this());
    natsStatus status = natsOptions_Create(&options);
    const auto then = [&status](auto call) {
      if (status == NATS_OK) status = call();
    };
    then([&] { return natsOptions_SetServers(options, servers.data(), static_cast<int>(servers.size())); });
    then([&] { return natsOptions_SetName(options, ("codio " + node).c_str()); });
    then([&] { return natsOptions_SetNoEcho(options, true); });
    then([&] { return natsOptions_SetTimeout(options, kConnectTimeout); });
    then([&] { return natsOptions_SetPingInterval(options, kPingInterval); });
    then([&] { return natsOptions_SetMaxPingsOut(options, kMaxPings); });
    then([&] { return natsOptions_SetMaxPendingMsgs(options, kMaxPending); });
    then([&] { return natsOptions_SetReconnectBufSize(options, kReconnectBuffer); });
    then([&] { return natsOptions_SetSendAsap(options, true); });
    then([&] { return natsOptions_SetMaxReconnect(options, -1); });
    then([&] { return natsOptions_SetCustomReconnectDelay(options, delay_of, nullptr); });
    then([&] { return natsOptions_SetReconnectedCB(options, on_connected, closure_); });
    then([&] { return natsOptions_SetDisconnectedCB(options, on_disconnected, closure_); });
    then([&] { return natsOptions_SetErrorHandler(options, on_error, closure_); });
    // The certificate has to name the host of the server's own URL.
    if (std::ranges::any_of(addresses, &ServerAddress::tls)) {
      then([&] { return natsOptions_SetSecure(options, true); });
    }
    // NATS does not say why it failed to who has it try again: so the first try is one alone.
    std::string cause;
    then([&] { return natsConnection_Connect(&connection_, options); });
    if (status != NATS_OK) {
      cause = last_error(status);
      status = natsOptions_SetRetryOnFailedConnect(options, true, on_connected, closure_);
      then([&] { return natsConnection_Connect(&connection_, options); });
    }
    const bool is_connected = status == NATS_OK;
    if (status == NATS_NOT_YET_CONNECTED) status = NATS_OK;
    natsOptions_Destroy(options);
    then([&] {
      return natsConnection_Subscribe(&to_all_, connection_, std::string(kToAll).c_str(), on_message, closure_);
    });
    then([&] {
      return natsConnection_Subscribe(&to_node_, connection_, (std::string(kToNode) + node).c_str(), on_message,
                                      closure_);
    });
    if (status != NATS_OK) {
      return fail(ErrorCode::kUnavailable, "the bus at " + hosts_ + ": " + natsStatus_GetText(status));
    }
    if (is_connected) {
      on_connected(connection_, closure_);
    } else {
      post([hosts = hosts_, cause](const Impl& self) {
        self.events_.on_disconnected(
            {ErrorCode::kUnavailable, "the bus at " + hosts + " cannot be reached: " + cause + "; it is tried again"});
      });
    }
    return {};
  }

  void stop() {
    is_stopped_ = true;
    Registry::instance().remove(closure_);
    natsSubscription_Destroy(to_all_);
    natsSubscription_Destroy(to_node_);
    natsConnection_Close(connection_);
    natsConnection_Destroy(connection_);
  }

  void publish(const std::string& node, std::string_view text) {
    const std::string subject = node.empty() ? std::string(kToAll) : std::string(kToNode) + node;
    // A failure is a loss, as on the way.
    natsConnection_Publish(connection_, subject.c_str(), text.data(), static_cast<int>(text.size()));
  }

 private:
  // NATS may still call back while a connection closes, so its closure is a number and not a pointer.
  class Registry {
   public:
    static Registry& instance() {
      static Registry registry;
      return registry;
    }

    void* add(std::weak_ptr<Impl> impl) {
      const std::lock_guard lock(mutex_);
      impls_.emplace(++last_, std::move(impl));
      return reinterpret_cast<void*>(last_);
    }
    void remove(void* closure) {
      const std::lock_guard lock(mutex_);
      impls_.erase(reinterpret_cast<std::uintptr_t>(closure));
    }
    std::shared_ptr<Impl> find(void* closure) {
      const std::lock_guard lock(mutex_);
      const auto found = impls_.find(reinterpret_cast<std::uintptr_t>(closure));
      return found == impls_.end() ? nullptr : found->second.lock();
    }

   private:
    std::mutex mutex_;
    std::map<std::uintptr_t, std::weak_ptr<Impl>> impls_;
    std::uintptr_t last_ = 0;
  };

  static std::string last_error(natsStatus status) {
    const char* text = nats_GetLastError(nullptr);
    std::string why = text == nullptr || *text == 0 ? natsStatus_GetText(status) : text;
    // It begins with a line of NATS's source.
    if (const auto place = why.find("): "); why.starts_with('(') && place != why.npos) why.erase(0, place + 3);
    if (status == NATS_SSL_ERROR) {
      why += "; with tls:// its certificate must name the host and be of an authority that this machine trusts";
    }
    if (status == NATS_SECURE_CONNECTION_WANTED) why += "; the server speaks no TLS, so that nats:// is right";
    return why;
  }

  // To the executor, from any thread.
  template <class Task>
  void post(Task task) {
    boost::asio::post(executor_, [weak = weak_from_this(), task = std::move(task)]() mutable {
      const auto self = weak.lock();
      if (self && !self->is_stopped_) task(*self);
    });
  }

  static void on_connected(natsConnection* /*connection*/, void* closure) {
    if (const auto self = Registry::instance().find(closure)) {
      self->post([](const Impl& impl) { impl.events_.on_connected(); });
    }
  }

  static void on_disconnected(natsConnection* connection, void* closure) {
    const auto self = Registry::instance().find(closure);
    if (!self) return;
    const char* why = nullptr;
    natsConnection_GetLastError(connection, &why);
    self->post([cause = std::string(why == nullptr ? "" : why), hosts = self->hosts_](const Impl& impl) {
      impl.events_.on_disconnected(
          {ErrorCode::kUnavailable,
           "the bus at " + hosts + " was lost" + (cause.empty() ? "" : ": " + cause) + "; it is tried again"});
    });
  }

  // Slow consumers and refused permissions: what is lost is lost, the connection goes on.
  static void on_error(natsConnection* /*connection*/, natsSubscription* /*subscription*/, natsStatus /*status*/,
                       void* /*closure*/) {}

  static void on_message(natsConnection* /*connection*/, natsSubscription* /*subscription*/, natsMsg* message,
                         void* closure) {
    const auto self = Registry::instance().find(closure);
    const auto size = static_cast<std::size_t>(natsMsg_GetDataLength(message));
    if (self && size <= kMaxBusMessage && self->pending_ < kMaxPending) {
      ++self->pending_;
      self->post([text = std::string(natsMsg_GetData(message), size)](Impl& impl) {
        --impl.pending_;
        impl.events_.on_message(text);
      });
    }
    natsMsg_Destroy(message);
  }

  static std::int64_t delay_of(natsConnection* /*connection*/, int attempts, void* /*closure*/) {
    thread_local std::minstd_rand random{std::random_device{}()};
    const std::int64_t delay = std::min(kLastDelay, kFirstDelay << std::clamp(attempts - 1, 0, 16));
    return std::uniform_int_distribution<std::int64_t>(delay / 2, delay)(random);
  }

  const boost::asio::any_io_executor executor_;
  const BusEvents events_;
  const std::string hosts_;
  void* closure_ = nullptr;
  natsConnection* connection_ = nullptr;
  natsSubscription* to_all_ = nullptr;
  natsSubscription* to_node_ = nullptr;
  std::atomic<int> pending_ = 0;
  bool is_stopped_ = false;
};

Result<std::unique_ptr<Bus>> Bus::make(boost::asio::any_io_executor executor, const std::string& urls,
                                       const std::string& node, BusEvents events) {
  const auto addresses = parse_addresses(urls);
  if (!addresses) return std::unexpected(addresses.error());
  const auto impl = std::make_shared<Impl>(std::move(executor), std::move(events), hosts_of(*addresses));
  std::unique_ptr<Bus> bus(new Bus(impl));
  if (auto started = impl->start(*addresses, node); !started) return std::unexpected(started.error());
  return bus;
}

Bus::Bus(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Bus::~Bus() { impl_->stop(); }

void Bus::publish(const std::string& node, std::string_view text) { impl_->publish(node, text); }

Result<void> check_bus_urls(const std::string& urls) {
  if (const auto addresses = parse_addresses(urls); !addresses) return std::unexpected(addresses.error());
  return {};
}

}  // namespace codio::rendezvous
