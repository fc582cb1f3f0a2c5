#include "rendezvous/server.h"

#include <algorithm>
#include <array>
#include <list>
#include <memory>
#include <openssl/rand.h>
#include <optional>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/websocket.hpp>

#include "common/check.h"
#include "rendezvous/bus.h"
#include "rendezvous/federation.h"

namespace codio::rendezvous {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;

using Request = http::request<http::string_body>;
using WebSocket = websocket::stream<beast::tcp_stream, /*deflateSupported=*/false>;

constexpr std::chrono::seconds kHandshakeTimeout{10};
// For a client to take what is under way and answer the close; then the socket is closed anyhow.
constexpr std::chrono::seconds kCloseTimeout{5};
// For a client that was told when to go to have gone.
constexpr std::chrono::seconds kLeaveTimeout{2};
// Of what each connection has ready for its next message: as many as most have. There are many connections, and few
// large messages: a buffer that one made larger is given back.
constexpr std::size_t kReadAhead = 256;

Time now() { return Time(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())); }

// 128 random bits: nobody can guess the id of another peer.
std::string random_peer_id() {
  std::array<unsigned char, 16> bytes;
  check(RAND_bytes(bytes.data(), bytes.size()) == 1);
  std::string id;
  for (const unsigned char byte : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    id += kDigits[byte >> 4];
    id += kDigits[byte & 0xf];
  }
  return id;
}

Challenge random_challenge() {
  Challenge challenge;
  check(RAND_bytes(challenge.data(), challenge.size()) == 1);
  return challenge;
}

bool offers_subprotocol(const Request& request) {
  const auto header = request.equal_range(http::field::sec_websocket_protocol);
  for (auto field = header.first; field != header.second; ++field) {
    for (const auto& name : http::token_list{field->value()}) {
      if (std::string_view(name.data(), name.size()) == kSubprotocol) return true;
    }
  }
  return false;
}

asio::awaitable<void> refuse(beast::tcp_stream stream, unsigned version, http::status status, std::string why) {
  http::response<http::string_body> response(status, version);
  response.set(http::field::content_type, "text/plain");
  response.keep_alive(false);
  response.body() = std::move(why) + "\n";
  response.prepare_payload();
  stream.expires_after(kHandshakeTimeout);
  error_code ignored;
  co_await http::async_write(stream, response, asio::redirect_error(asio::use_awaitable, ignored));
  stream.socket().shutdown(beast::tcp_stream::socket_type::shutdown_send, ignored);
}

}  // namespace

class Server::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::any_io_executor executor, Options options)
      : executor_(std::move(executor)),
        options_(std::move(options)),
        directory_(directory_options(options_)),
        timer_(executor_),
        leaving_(executor_) {
    if (!options_.bus.empty()) federation_.emplace(Federation::Options{.node = random_peer_id()}, directory_);
  }

  void start() {
    if (!federation_) return;
    const auto log = [this](const std::string& message) {
      if (options_.on_log) options_.on_log(message);
    };
    auto bus = Bus::make(executor_, options_.bus, federation_->node(),
                         {.on_connected =
                              [this, log] {
                                log("joined the bus");
                                federation_->handle_connected(now());
                                drain();
                              },
                          .on_disconnected =
                              [this, log](const Error& error) {
                                log(error.message);
                                federation_->handle_disconnected();
                                drain();
                              },
                          .on_message =
                              [this](std::string_view text) {
                                federation_->handle_bus_message(now(), text);
                                drain();
                              }});
    if (bus) {
      bus_ = *std::move(bus);
    } else {
      log(bus.error().message);
    }
  }

  void accept(beast::tcp_stream stream, Request request, const asio::ip::address& client) {
    const auto turn_down = [&](http::status status, std::string why) {
      asio::co_spawn(executor_, refuse(std::move(stream), request.version(), status, std::move(why)), asio::detached);
    };
    if (!websocket::is_upgrade(request) || !offers_subprotocol(request)) {
      return turn_down(http::status::bad_request,
                       "The rendezvous is a WebSocket with the subprotocol " + std::string(kSubprotocol) + ".");
    }
    if (closed_ || is_leaving_) return turn_down(http::status::service_unavailable, "The rendezvous is shutting down.");
    const auto id = directory_.connect(client.to_string(), random_peer_id(), random_challenge());
    if (!id) return turn_down(http::status::too_many_requests, "The rendezvous has " + id.error().message + ".");

    stream.expires_never();
    const auto connection = std::make_shared<Connection>(*id, std::move(stream));
    connections_.emplace(id->value, connection);
    drain();
    asio::co_spawn(executor_, serve(shared_from_this(), connection, std::move(request)), asio::detached);
  }

  void close() {
    closed_ = true;
    if (federation_) federation_->leave();
    drain();
    for (const auto& [id, connection] : connections_) {
      end(connection, CloseCode::kGoingAway, "the server is shutting down");
    }
  }

  void leave(Duration most, std::function<void()> on_left) {
    is_leaving_ = true;
    const Duration all = directory_.leave(most);
    drain();
    on_left_ = std::move(on_left);
    leaving_.expires_after(all + kLeaveTimeout);
    leaving_.async_wait([weak = weak_from_this()](error_code error) {
      const auto self = weak.lock();
      if (!error && self) self->close();
    });
    if (!connections_.empty()) return;
    leaving_.cancel();
    asio::post(executor_, std::exchange(on_left_, nullptr));
  }

  void set_ice_servers(std::vector<IceServer> servers) {
    directory_.set_ice_servers(std::move(servers));
    drain();
  }

  void drop() {
    closed_ = true;
    bus_.reset();
    timer_.cancel();
    leaving_.cancel();
    for (const auto& [id, connection] : connections_) beast::get_lowest_layer(connection->socket).close();
  }

  Directory& directory() { return directory_; }
  std::size_t sisters() const { return federation_ ? federation_->nodes() : 0; }

 private:
  struct Connection {
    Connection(ConnectionId connection_id, beast::tcp_stream stream) : id(connection_id), socket(std::move(stream)) {}

    // Most of the time a connection is silent, and there are many: what a message needs is made for it.
    const ConnectionId id;
    WebSocket socket;
    std::unique_ptr<asio::steady_timer> deadline;  // Of the close.
    std::list<std::string> unread;                 // The first is being written, if `is_writing`.
    std::size_t unread_bytes = 0;
    std::chrono::steady_clock::time_point pinged_at;
    bool is_pinged = false;
    bool is_open = false;
    bool is_writing = false;
    bool is_closing = false;
  };
  using ConnectionPtr = std::shared_ptr<Connection>;

  static Directory::Options directory_options(const Options& options) {
    Directory::Options result = options.directory;
    result.searchers = (options.find_elsewhere ? 1 : 0) + (options.bus.empty() ? 0 : 1);
    result.can_locate = !options.bus.empty();
    return result;
  }

  static asio::awaitable<void> serve(std::shared_ptr<Impl> self, ConnectionPtr connection, Request request) {
    const bool is_open = co_await self->open(connection, std::move(request));
    if (is_open) co_await self->converse(connection);
    if (connection->deadline) connection->deadline->cancel();
    beast::get_lowest_layer(connection->socket).close();
    self->connections_.erase(connection->id.value);
    self->directory_.disconnect(connection->id);
    self->drain();
    if (self->connections_.empty() && self->on_left_) {
      self->leaving_.cancel();
      std::exchange(self->on_left_, nullptr)();
    }
  }

  asio::awaitable<bool> open(ConnectionPtr connection, Request request) {
    WebSocket& socket = connection->socket;
    websocket::stream_base::timeout timeout;
    timeout.handshake_timeout = kHandshakeTimeout;
    timeout.idle_timeout = options_.idle_timeout;
    timeout.keep_alive_pings = true;
    socket.set_option(timeout);
    socket.set_option(websocket::stream_base::decorator([](websocket::response_type& response) {
      response.set(http::field::sec_websocket_protocol, beast::string_view(kSubprotocol.data(), kSubprotocol.size()));
    }));
    socket.read_message_max(kMaxMessage);
    socket.auto_fragment(false);  // It would keep a buffer.
    socket.control_callback([this, weak = std::weak_ptr(connection)](websocket::frame_type type, beast::string_view) {
      const auto pinged = weak.lock();
      if (type != websocket::frame_type::pong || !pinged || !std::exchange(pinged->is_pinged, false)) return;
      const auto trip = std::chrono::steady_clock::now() - pinged->pinged_at;
      directory_.handle_round_trip(pinged->id, std::chrono::duration_cast<Duration>(trip));
    });

    error_code error;
    co_await socket.async_accept(request, asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return false;
    connection->is_open = true;
    write_next(connection);
    connection->is_pinged = true;
    connection->pinged_at = std::chrono::steady_clock::now();
    socket.async_ping({}, [connection](error_code /*the read fails too*/) {});
    co_return true;
  }

  asio::awaitable<void> converse(const ConnectionPtr& connection) {
    WebSocket& socket = connection->socket;
    error_code error;
    beast::flat_buffer buffer;
    std::optional<std::chrono::steady_clock::time_point> began;  // The message that is not whole yet.
    while (true) {
      const std::size_t more = std::max(kReadAhead, buffer.size());
      co_await socket.async_read_some(buffer, more, asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return;
      if (!socket.is_message_done()) {
        const auto time = std::chrono::steady_clock::now();
        if (!began) began = time;
        if (time - *began > options_.message_timeout) end(connection, CloseCode::kPolicy, "a message takes too long");
        if (connection->is_closing) buffer.clear();
        continue;
      }
      began.reset();
      if (connection->is_closing) {
        // What it said before it saw the close is void.
      } else if (!socket.got_text()) {
        end(connection, CloseCode::kUnknownData, "rendezvous messages are text");
      } else {
        const auto data = buffer.cdata();
        directory_.handle_message(now(), connection->id, {static_cast<const char*>(data.data()), data.size()});
        drain();
      }
      buffer.clear();
      if (buffer.capacity() > kReadAhead) buffer.shrink_to_fit();
    }
  }

  void drain() {
    while (auto output = directory_.poll_output()) {
      std::visit([this](auto& one) { perform(one); }, *output);
    }
    while (auto output = federation_ ? federation_->poll_output() : std::nullopt) {
      if (bus_) bus_->publish(output->node, output->text);
    }
    schedule_wakeup();
  }

  void perform(Send& output) {
    if (federation_ && federation_->handle_send(now(), output)) return;
    const auto found = connections_.find(output.connection.value);
    if (found == connections_.end()) return;
    const ConnectionPtr connection = found->second;
    if (connection->is_closing) return;
    if (connection->unread_bytes + output.text.size() > options_.max_unread) {
      return end(connection, CloseCode::kPolicy, "the client does not read");
    }
    connection->unread_bytes += output.text.size();
    connection->unread.push_back(std::move(output.text));
    write_next(connection);
  }

  void perform(Close& output) {
    if (federation_ && federation_->handle_close(output)) return;
    const auto found = connections_.find(output.connection.value);
    if (found != connections_.end()) end(found->second, output.code, output.reason);
  }

  void perform(Locate& output) { federation_->handle_locate(now(), std::move(output)); }

  void perform(const Search& output) {
    if (federation_) federation_->handle_search(now(), output);
    if (!options_.find_elsewhere) return;
    options_.find_elsewhere(output.cid,
                            [weak = weak_from_this(), search = output.search](const std::vector<Elsewhere>& found) {
                              const auto self = weak.lock();
                              if (!self) return;
                              self->directory_.handle_found(search, {}, found, true);
                              self->drain();
                            });
  }

  void write_next(const ConnectionPtr& connection) {
    if (!connection->is_open || connection->is_writing || connection->is_closing || connection->unread.empty()) return;
    connection->is_writing = true;
    connection->socket.async_write(asio::buffer(connection->unread.front()),
                                   [self = shared_from_this(), connection](error_code error, std::size_t) {
                                     connection->is_writing = false;
                                     if (error) return;  // The read fails too, and ends the connection.
                                     connection->unread_bytes -= connection->unread.front().size();
                                     connection->unread.pop_front();
                                     self->write_next(connection);
                                   });
  }

  // Says why and waits a little for the client's answer, which ends the read and with it the connection.
  void end(const ConnectionPtr& connection, CloseCode code, const std::string& reason) {
    if (connection->is_closing) return;
    connection->is_closing = true;
    directory_.disconnect(connection->id);
    connection->deadline = std::make_unique<asio::steady_timer>(executor_, kCloseTimeout);
    connection->deadline->async_wait([connection](error_code error) {
      if (!error) beast::get_lowest_layer(connection->socket).close();
    });
    if (!connection->is_open) return beast::get_lowest_layer(connection->socket).close();
    connection->socket.async_close({static_cast<websocket::close_code>(code), reason.c_str()},
                                   [connection](error_code /*the deadline closes it then*/) {});
  }

  void schedule_wakeup() {
    auto when = directory_.next_wakeup();
    const auto also = federation_ ? federation_->next_wakeup() : std::nullopt;
    if (also && (!when || *also < *when)) when = also;
    if (!when || closed_ || (wakeup_ && *wakeup_ <= *when)) return;
    wakeup_ = when;
    timer_.expires_at(std::chrono::steady_clock::time_point(when->time_since_epoch()));
    timer_.async_wait([weak = weak_from_this()](error_code error) {
      const auto self = weak.lock();
      if (error || !self) return;
      self->wakeup_.reset();
      self->directory_.handle_wakeup(now());
      if (self->federation_) self->federation_->handle_wakeup(now());
      self->drain();
    });
  }

  asio::any_io_executor executor_;
  Options options_;
  Directory directory_;
  std::optional<Federation> federation_;
  std::unique_ptr<Bus> bus_;
  asio::steady_timer timer_;
  std::optional<Time> wakeup_;  // What the timer is set to.
  std::unordered_map<std::uint64_t, ConnectionPtr> connections_;
  bool closed_ = false;
  bool is_leaving_ = false;
  asio::steady_timer leaving_;
  std::function<void()> on_left_;
};

Server::Server(asio::any_io_executor executor, Options options)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(options))) {
  impl_->start();
}

Server::~Server() { impl_->drop(); }

void Server::accept(beast::tcp_stream stream, Request request, const asio::ip::address& client) {
  impl_->accept(std::move(stream), std::move(request), client);
}

void Server::close() { impl_->close(); }

void Server::leave(Duration most, std::function<void()> on_left) { impl_->leave(most, std::move(on_left)); }

void Server::set_ice_servers(std::vector<IceServer> servers) { impl_->set_ice_servers(std::move(servers)); }

const Directory& Server::directory() const { return impl_->directory(); }
std::vector<std::string> Server::providers(const content_id::ContentId& cid) {
  return impl_->directory().providers(cid);
}

std::size_t Server::sisters() const { return impl_->sisters(); }

}  // namespace codio::rendezvous
