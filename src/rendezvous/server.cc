#include "rendezvous/server.h"

#include <algorithm>
#include <array>
#include <deque>
#include <openssl/rand.h>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/websocket.hpp>

#include "common/check.h"

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

// What the connection limit counts. An IPv6 user has a whole /64.
std::string limited_address(const asio::ip::address& client) {
  if (client.is_v4() || client.is_loopback()) return client.to_string();
  const auto v6 = client.to_v6();
  if (v6.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_string();
  auto bytes = v6.to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), std::uint8_t{0});
  return asio::ip::make_address_v6(bytes).to_string() + "/64";
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
        directory_(options_.directory),
        timer_(executor_) {}

  void accept(beast::tcp_stream stream, Request request, const asio::ip::address& client) {
    const auto turn_down = [&](http::status status, std::string why) {
      asio::co_spawn(executor_, refuse(std::move(stream), request.version(), status, std::move(why)), asio::detached);
    };
    if (!websocket::is_upgrade(request) || !offers_subprotocol(request)) {
      return turn_down(http::status::bad_request,
                       "The rendezvous is a WebSocket with the subprotocol " + std::string(kSubprotocol) + ".");
    }
    if (closed_) return turn_down(http::status::service_unavailable, "The rendezvous is shutting down.");
    const auto id = directory_.connect(limited_address(client), random_peer_id(), random_challenge());
    if (!id) return turn_down(http::status::too_many_requests, "The rendezvous has " + id.error().message + ".");

    stream.expires_never();
    const auto connection = std::make_shared<Connection>(*id, std::move(stream));
    connections_.emplace(id->value, connection);
    drain();
    asio::co_spawn(executor_, serve(shared_from_this(), connection, std::move(request)), asio::detached);
  }

  void close() {
    closed_ = true;
    for (const auto& [id, connection] : connections_) {
      end(connection, CloseCode::kGoingAway, "the server is shutting down");
    }
  }

  void drop() {
    closed_ = true;
    timer_.cancel();
    for (const auto& [id, connection] : connections_) beast::get_lowest_layer(connection->socket).close();
  }

  const Directory& directory() const { return directory_; }

 private:
  struct Connection {
    Connection(ConnectionId connection_id, beast::tcp_stream stream)
        : id(connection_id), socket(std::move(stream)), deadline(socket.get_executor()) {}

    const ConnectionId id;
    WebSocket socket;
    asio::steady_timer deadline;     // Of the close.
    std::deque<std::string> unread;  // The first is being written, if `is_writing`.
    std::size_t unread_bytes = 0;
    bool is_open = false;
    bool is_writing = false;
    bool is_closing = false;
  };
  using ConnectionPtr = std::shared_ptr<Connection>;

  static asio::awaitable<void> serve(std::shared_ptr<Impl> self, ConnectionPtr connection, Request request) {
    co_await self->converse(connection, request);
    connection->deadline.cancel();
    beast::get_lowest_layer(connection->socket).close();
    self->connections_.erase(connection->id.value);
    self->directory_.disconnect(connection->id);
    self->drain();
  }

  asio::awaitable<void> converse(const ConnectionPtr& connection, const Request& request) {
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

    error_code error;
    co_await socket.async_accept(request, asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
    connection->is_open = true;
    write_next(connection);

    beast::flat_buffer buffer;
    while (true) {
      co_await socket.async_read(buffer, asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return;
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
    }
  }

  void drain() {
    while (auto output = directory_.poll_output()) {
      std::visit([this](auto& one) { perform(one); }, *output);
    }
    schedule_wakeup();
  }

  void perform(Send& output) {
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
    const auto found = connections_.find(output.connection.value);
    if (found != connections_.end()) end(found->second, output.code, output.reason);
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
    connection->deadline.expires_after(kCloseTimeout);
    connection->deadline.async_wait([connection](error_code error) {
      if (!error) beast::get_lowest_layer(connection->socket).close();
    });
    if (!connection->is_open) return beast::get_lowest_layer(connection->socket).close();
    connection->socket.async_close({static_cast<websocket::close_code>(code), reason.c_str()},
                                   [connection](error_code /*the deadline closes it then*/) {});
  }

  void schedule_wakeup() {
    const auto when = directory_.next_wakeup();
    if (!when || closed_ || is_wakeup_set_) return;  // One that is set is early enough: sessions only get younger.
    is_wakeup_set_ = true;
    timer_.expires_at(std::chrono::steady_clock::time_point(when->time_since_epoch()));
    timer_.async_wait([weak = weak_from_this()](error_code error) {
      const auto self = weak.lock();
      if (error || !self) return;
      self->is_wakeup_set_ = false;
      self->directory_.handle_wakeup(now());
      self->drain();
    });
  }

  asio::any_io_executor executor_;
  Options options_;
  Directory directory_;
  asio::steady_timer timer_;
  bool is_wakeup_set_ = false;
  std::unordered_map<std::uint64_t, ConnectionPtr> connections_;
  bool closed_ = false;
};

Server::Server(asio::any_io_executor executor, Options options)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(options))) {}

Server::~Server() { impl_->drop(); }

void Server::accept(beast::tcp_stream stream, Request request, const asio::ip::address& client) {
  impl_->accept(std::move(stream), std::move(request), client);
}

void Server::close() { impl_->close(); }

const Directory& Server::directory() const { return impl_->directory(); }

}  // namespace codio::rendezvous
