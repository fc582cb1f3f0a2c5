#include "rendezvous/client.h"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>

namespace codio::rendezvous {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
namespace websocket = boost::beast::websocket;
using asio::redirect_error;
using asio::use_awaitable;
using boost::system::error_code;
using content_id::ContentId;

// A connection that lived this long was a good one: the next try follows soon.
constexpr std::chrono::seconds kGoodConnection{10};
// What a server may ask for at most, in seconds and in milliseconds: beyond that it makes no difference.
constexpr std::uint64_t kLongestLifetime = 24 * 60 * 60;
constexpr std::uint64_t kLongestMove = 10 * 60 * 1000;

/// A failed step of connecting: what and why.
struct Failure {
  std::string_view step;
  std::string cause;
};

/// A WebSocket over TCP or TLS.
class Socket {
 public:
  virtual ~Socket() = default;

  virtual asio::awaitable<std::optional<Failure>> open(const ServerUrl& url,
                                                       const asio::ip::tcp::resolver::results_type& endpoints,
                                                       const websocket::stream_base::timeout& timeout) = 0;
  virtual asio::awaitable<error_code> read(beast::flat_buffer& buffer) = 0;
  virtual void write(std::string_view text, std::function<void(error_code)> done) = 0;
  virtual websocket::close_reason reason() const = 0;
  virtual void close() = 0;  ///< At once; what is under way ends with an error.
};

asio::awaitable<error_code> secure(beast::tcp_stream& /*stream*/, const ServerUrl& /*url*/) { co_return error_code{}; }

asio::awaitable<error_code> secure(beast::ssl_stream<beast::tcp_stream>& stream, const ServerUrl& url) {
  error_code error;
  // Servers choose their certificate by name; an address is not one (RFC 6066 §3).
  asio::ip::make_address(url.host, error);
  if (error && SSL_set_tlsext_host_name(stream.native_handle(), url.host.c_str()) != 1) {
    co_return error_code{static_cast<int>(ERR_get_error()), asio::error::get_ssl_category()};
  }
  stream.set_verify_mode(ssl::verify_peer, error);
  if (!error) stream.set_verify_callback(ssl::host_name_verification(url.host), error);
  if (!error) co_await stream.async_handshake(ssl::stream_base::client, redirect_error(use_awaitable, error));
  co_return error;
}

template <class Transport>
class SocketOver final : public Socket {
 public:
  template <class... Arguments>
  explicit SocketOver(Arguments&&... arguments) : socket_(std::forward<Arguments>(arguments)...) {}

  asio::awaitable<std::optional<Failure>> open(const ServerUrl& url,
                                               const asio::ip::tcp::resolver::results_type& endpoints,
                                               const websocket::stream_base::timeout& timeout) override {
    error_code error;
    auto& tcp = beast::get_lowest_layer(socket_);
    co_await tcp.async_connect(endpoints, redirect_error(use_awaitable, error));
    if (error) co_return Failure{"connect", error.message()};
    tcp.socket().set_option(asio::ip::tcp::no_delay(true), error);
    if (const error_code refused = co_await secure(socket_.next_layer(), url)) {
      co_return Failure{"TLS", refused.message()};
    }
    socket_.set_option(timeout);
    socket_.read_message_max(kMaxMessage);
    socket_.set_option(websocket::stream_base::decorator([](websocket::request_type& request) {
      request.set(http::field::sec_websocket_protocol, beast::string_view(kSubprotocol.data(), kSubprotocol.size()));
    }));
    websocket::response_type response;
    const std::string host = url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]";
    co_await socket_.async_handshake(response, host + ":" + url.port, url.target, redirect_error(use_awaitable, error));
    if (error == websocket::error::upgrade_declined) {
      co_return Failure{"WebSocket", "the server answered " + std::to_string(response.result_int()) + " " +
                                         std::string(http::obsolete_reason(response.result()))};
    }
    if (error) co_return Failure{"WebSocket", error.message()};
    const auto protocol = response[http::field::sec_websocket_protocol];
    if (std::string_view(protocol.data(), protocol.size()) != kSubprotocol) {
      co_return Failure{"WebSocket", "the server does not speak " + std::string(kSubprotocol)};
    }
    co_return std::nullopt;
  }

  asio::awaitable<error_code> read(beast::flat_buffer& buffer) override {
    error_code error;
    co_await socket_.async_read(buffer, redirect_error(use_awaitable, error));
    co_return error;
  }

  void write(std::string_view text, std::function<void(error_code)> done) override {
    socket_.async_write(asio::buffer(text.data(), text.size()),
                        [done = std::move(done)](error_code error, std::size_t) { done(error); });
  }

  websocket::close_reason reason() const override { return socket_.reason(); }
  void close() override { beast::get_lowest_layer(socket_).close(); }

 private:
  websocket::stream<Transport, /*deflateSupported=*/false> socket_;
};

}  // namespace

class Client::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::any_io_executor executor, std::vector<ServerUrl> urls, ClientEvents events, Options options)
      : executor_(std::move(executor)),
        urls_(std::move(urls)),
        events_(std::move(events)),
        options_(std::move(options)),
        timer_(executor_),
        refresh_(executor_),
        move_(executor_),
        resolver_(executor_),
        random_(std::random_device{}()) {}

  void start() { asio::co_spawn(executor_, run(shared_from_this()), asio::detached); }

  void stop() {
    is_stopped_ = true;
    timer_.cancel();
    refresh_.cancel();
    move_.cancel();
    resolver_.cancel();
    finds_.clear();
    if (socket_) socket_->close();
  }

  void announce(const ContentId& cid) {
    const auto [entry, is_new] = announced_.try_emplace(content_key(cid), cid);
    if (!is_new) return;
    to_withdraw_.erase(entry->first);
    to_announce_.insert(entry->first);
    flush_soon();
  }

  void withdraw(const ContentId& cid) {
    const auto entry = announced_.extract(content_key(cid));
    if (entry.empty()) return;
    to_announce_.erase(entry.key());
    to_withdraw_.insert_or_assign(entry.key(), entry.mapped());
    flush_soon();
  }

  void find(const ContentId& cid, OnFound on_found) {
    const std::uint64_t id = ++last_find_;
    const auto [entry, _] = finds_.emplace(id, PendingFind{cid, std::move(on_found), asio::steady_timer(executor_)});
    entry->second.timer.expires_after(options_.find_timeout);
    entry->second.timer.async_wait([weak = weak_from_this(), id](error_code error) {
      if (const auto self = weak.lock(); self && !error) {
        self->answer_find(id, fail(ErrorCode::kTimeout, self->url().text + ": no answer to who serves a CID" +
                                                            (self->is_connected_ ? "" : "; " + self->last_failure_)));
      }
    });
    if (is_connected_) send(Find{id, cid});
  }

  void send(const ClientMessage& message) {
    if (!is_connected_) return;
    std::string text = to_json(message);
    if (text.size() > kMaxMessage || unsent_bytes_ + text.size() > options_.max_unsent) {
      const std::string_view why = text.size() > kMaxMessage ? "it is over 64 KiB" : "the server does not read";
      return asio::post(executor_, [self = shared_from_this(), why] {
        self->warn(ErrorCode::kTooLarge, "a message was dropped: " + std::string(why));
      });
    }
    unsent_bytes_ += text.size();
    unsent_.push_back(std::move(text));
    write_next();
  }

  bool is_connected() const { return is_joined_; }
  const ServerUrl& url() const { return urls_[at_]; }

 private:
  struct PendingFind {
    ContentId cid;
    OnFound on_found;
    asio::steady_timer timer;
  };

  static asio::awaitable<void> run(std::shared_ptr<Impl> self) {
    auto delay = self->options_.first_delay;
    while (!self->is_stopped_) {
      const auto began = std::chrono::steady_clock::now();
      Error failure = co_await self->connect_and_converse();
      const bool was_joined = self->is_joined_;
      self->forget_connection();
      if (self->is_stopped_) co_return;
      self->note_failure(failure, was_joined);
      if (self->events_.on_disconnected) self->events_.on_disconnected(failure);
      if (!self->is_stopped_) self->give_up_finds();
      if (self->is_stopped_) co_return;

      const bool was_good = std::chrono::steady_clock::now() - began > kGoodConnection;
      if (was_good) delay = self->options_.first_delay;
      // The server spread its clients over time, so there is no need to wait.
      if (std::exchange(self->is_moving_, false) && was_good) continue;
      // Two programs with one key would turn each other out without end.
      if (std::exchange(self->is_replaced_, false)) delay = self->options_.last_delay;
      std::uniform_int_distribution<std::int64_t> jitter(delay.count() / 2, delay.count());
      self->timer_.expires_after(std::chrono::milliseconds(jitter(self->random_)));
      delay = std::min(delay * 2, self->options_.last_delay);
      error_code ignored;
      co_await self->timer_.async_wait(redirect_error(use_awaitable, ignored));
    }
  }

  void note_failure(const Error& failure, bool was_joined) {
    last_failure_ = failure.message;
    if (!was_joined) failures_.push_back(failure.message);
    at_ = (at_ + 1) % urls_.size();
  }

  // Who asks need not wait for the deadline once all servers have failed one after the other.
  void give_up_finds() {
    if (failures_.size() < urls_.size()) return;
    std::string all;
    for (const std::string& one : std::exchange(failures_, {})) all += (all.empty() ? "" : "; ") + one;
    std::vector<std::uint64_t> asked;
    for (const auto& [id, pending] : finds_) asked.push_back(id);
    for (const std::uint64_t id : asked) {
      if (!is_stopped_) answer_find(id, fail(ErrorCode::kUnavailable, all));
    }
  }

  // Until the connection ends, and why it did.
  asio::awaitable<Error> connect_and_converse() {
    timer_.expires_after(options_.connect_timeout);
    has_timed_out_ = false;
    timer_.async_wait([weak = weak_from_this()](error_code error) {
      const auto self = weak.lock();
      if (error || !self) return;
      self->has_timed_out_ = true;
      self->resolver_.cancel();
      if (self->socket_) self->socket_->close();
    });

    error_code error;
    const auto resolved =
        co_await resolver_.async_resolve(url().host, url().port, redirect_error(use_awaitable, error));
    if (is_stopped_ || error || has_timed_out_) co_return failure("resolve", error.message());
    const auto endpoints = allowed(resolved);
    if (endpoints.empty())
      co_return failure("resolve", "its address is of a local network, which no stranger may name");

    std::optional<ssl::context> tls;
    if (url().tls) {
      tls.emplace(ssl::context::tls_client);
      tls->set_default_verify_paths(error);
      if (error) co_return failure("TLS", error.message());
      socket_ = std::make_shared<SocketOver<beast::ssl_stream<beast::tcp_stream>>>(executor_, *tls);
    } else {
      socket_ = std::make_shared<SocketOver<beast::tcp_stream>>(executor_);
    }
    const auto socket = socket_;

    websocket::stream_base::timeout timeout;
    timeout.handshake_timeout = options_.connect_timeout;
    timeout.idle_timeout = options_.idle_timeout;
    timeout.keep_alive_pings = true;
    if (auto failed = co_await socket->open(url(), endpoints, timeout)) co_return failure(failed->step, failed->cause);

    beast::flat_buffer buffer;
    while (!is_stopped_) {
      if (const error_code ended = co_await socket->read(buffer)) {
        is_replaced_ = socket->reason().code == static_cast<std::uint16_t>(CloseCode::kReplaced);
        co_return failure("connection",
                          ended == websocket::error::closed ? close_cause(socket->reason()) : ended.message());
      }
      if (is_stopped_) break;
      const auto data = buffer.cdata();
      auto message = parse_server_message({static_cast<const char*>(data.data()), data.size()});
      buffer.clear();
      if (is_connected_) {
        if (message) {
          std::visit([this](auto& one) { handle(one); }, *message);
        } else {
          warn(message.error().code, "ignored a message: " + message.error().message);
        }
      } else if (const auto* welcome = message ? std::get_if<Welcome>(&*message) : nullptr) {
        timer_.cancel();
        enter(*welcome);
      } else {
        co_return failure("welcome", message ? "the server began with another message" : message.error().message);
      }
    }
    co_return failure("connection", "stopped");
  }

  using Endpoints = asio::ip::tcp::resolver::results_type;

  Endpoints allowed(const Endpoints& resolved) const {
    if (!options_.may_connect) return resolved;
    std::vector<asio::ip::tcp::endpoint> endpoints;
    for (const auto& entry : resolved) {
      if (options_.may_connect(entry.endpoint().address())) endpoints.push_back(entry.endpoint());
    }
    return Endpoints::create(endpoints.begin(), endpoints.end(), url().host, url().port);
  }

  static std::string close_cause(const websocket::close_reason& reason) {
    std::string cause = "closed by the server with " + std::to_string(reason.code);
    if (!reason.reason.empty()) cause += ": " + std::string(reason.reason.data(), reason.reason.size());
    return cause;
  }

  Error failure(std::string_view step, const std::string& cause) const {
    if (has_timed_out_) {
      return {ErrorCode::kTimeout, "rendezvous " + url().text + ": no welcome in " +
                                       std::to_string(options_.connect_timeout.count()) + " ms (" + std::string(step) +
                                       ")"};
    }
    if (is_moving_) return {ErrorCode::kUnavailable, "rendezvous " + url().text + " is shutting down"};
    return {ErrorCode::kUnavailable, "rendezvous " + url().text + ": " + std::string(step) + ": " + cause};
  }

  void enter(const Welcome& welcome) {
    is_connected_ = true;
    Join join;
    if (options_.key) {
      const auto signature = options_.key->sign(identity::Purpose::kJoin, welcome.challenge);
      join = {options_.key->peer_id(), Bytes(signature.begin(), signature.end())};
    }
    send(join);
    to_withdraw_.clear();
    for (const auto& [key, cid] : announced_) to_announce_.insert(key);
    flush();
    refresh_in_time(std::chrono::seconds(std::min<std::uint64_t>(welcome.announce_seconds, kLongestLifetime)));
    for (const auto& [id, pending] : finds_) send(Find{id, pending.cid});
    welcome_ = welcome;
  }

  // Half of the lifetime leaves time for another try; the rest is so that not all come at once.
  void refresh_in_time(std::chrono::milliseconds lifetime) {
    if (lifetime == std::chrono::milliseconds(0)) return;
    std::uniform_int_distribution<std::int64_t> jitter(lifetime.count() * 2 / 5, lifetime.count() / 2);
    refresh_.expires_after(std::chrono::milliseconds(jitter(random_)));
    refresh_.async_wait([weak = weak_from_this(), lifetime](error_code error) {
      const auto self = weak.lock();
      if (error || !self || !self->is_connected_) return;
      for (const auto& [key, cid] : self->announced_) self->to_announce_.insert(key);
      self->flush();
      self->refresh_in_time(lifetime);
    });
  }

  void forget_connection() {
    timer_.cancel();
    refresh_.cancel();
    move_.cancel();
    if (socket_) {
      socket_->close();
      // Its operations end with an error that is delivered before this; TLS ones need the stream until then.
      asio::post(executor_, [socket = std::exchange(socket_, nullptr)] {});
    }
    is_connected_ = false;
    is_joined_ = false;
    is_writing_ = false;
    unsent_.clear();
    unsent_bytes_ = 0;
  }

  void handle(const Welcome& /*message*/) { warn(ErrorCode::kMalformed, "ignored a second welcome"); }
  void handle(Joined& message) {
    if (std::exchange(is_joined_, true)) return;
    failures_.clear();
    welcome_.peer = std::move(message.peer);
    if (events_.on_connected) events_.on_connected(welcome_);
  }
  void handle(const IceServers& message) {
    if (events_.on_ice_servers) events_.on_ice_servers(message.servers);
  }
  void handle(const Moving& message) {
    move_.expires_after(std::chrono::milliseconds(std::min<std::uint64_t>(message.after_ms, kLongestMove)));
    move_.async_wait([weak = weak_from_this(), socket = socket_](error_code error) {
      const auto self = weak.lock();
      if (error || !self || self->socket_ != socket) return;
      self->is_moving_ = true;
      socket->close();
    });
  }
  void handle(Providers& message) {
    answer_find(message.id, Found{std::move(message.peers), std::move(message.elsewhere), message.more});
  }
  void handle(Offer& message) {
    if (events_.on_offer) events_.on_offer(std::move(message));
  }
  void handle(Answer& message) {
    if (events_.on_answer) events_.on_answer(std::move(message));
  }
  void handle(Candidate& message) {
    if (events_.on_candidate) events_.on_candidate(std::move(message));
  }
  void handle(Unreachable& message) {
    if (events_.on_unreachable) events_.on_unreachable(std::move(message));
  }
  void handle(const Refusal& message) {
    const std::string text = "refused: " + message.code + ": " + message.message;
    if (message.id && finds_.contains(*message.id)) {
      return answer_find(*message.id, fail(ErrorCode::kUnavailable, "rendezvous " + url().text + ": " + text));
    }
    warn(ErrorCode::kUnavailable, text);
  }

  void answer_find(std::uint64_t id, Result<Found> result) {
    const auto entry = finds_.find(id);
    if (entry == finds_.end()) return;
    const OnFound on_found = entry->second.on_found;  // It may destroy this.
    if (!result || !result->more) finds_.erase(entry);
    on_found(std::move(result));
  }

  void warn(ErrorCode code, std::string_view what) {
    if (events_.on_warning && !is_stopped_) {
      events_.on_warning({code, "rendezvous " + url().text + ": " + std::string(what)});
    }
  }

  void flush_soon() {
    if (!is_connected_ || is_flush_due_) return;
    is_flush_due_ = true;
    asio::post(executor_, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->flush();
    });
  }

  void flush() {
    is_flush_due_ = false;
    if (!is_connected_) return;
    Withdraw withdraw;
    for (const auto& [key, cid] : std::exchange(to_withdraw_, {})) add(withdraw, cid);
    if (!withdraw.cids.empty()) send(withdraw);
    Announce announce;
    for (const auto& key : std::exchange(to_announce_, {})) add(announce, announced_.at(key));
    if (!announce.cids.empty()) send(announce);
  }

  template <class Batch>
  void add(Batch& batch, const ContentId& cid) {
    batch.cids.push_back(cid);
    if (batch.cids.size() == kMaxCids) send(std::exchange(batch, {}));
  }

  void write_next() {
    if (is_writing_ || unsent_.empty()) return;
    is_writing_ = true;
    // The text is the handler's, so that it outlives a connection that is forgotten while it is written.
    auto text = std::make_shared<std::string>(std::move(unsent_.front()));
    unsent_.pop_front();
    socket_->write(*text, [weak = weak_from_this(), socket = socket_, text](error_code error) {
      const auto self = weak.lock();
      if (!self || self->socket_ != socket || error) return;  // The read fails too, and ends the connection.
      self->is_writing_ = false;
      self->unsent_bytes_ -= text->size();
      self->write_next();
    });
  }

  asio::any_io_executor executor_;
  const std::vector<ServerUrl> urls_;
  std::size_t at_ = 0;  // In urls_.
  const ClientEvents events_;
  const Options options_;
  asio::steady_timer timer_;  // Of the connecting, then of the delay before the next try.
  asio::steady_timer refresh_;
  asio::steady_timer move_;
  asio::ip::tcp::resolver resolver_;
  std::minstd_rand random_;

  std::map<std::string, ContentId> announced_;    // By content_key, as the two below.
  std::set<std::string> to_announce_;             // Not yet told the server.
  std::map<std::string, ContentId> to_withdraw_;  // The same.
  bool is_flush_due_ = false;

  std::uint64_t last_find_ = 0;
  std::map<std::uint64_t, PendingFind> finds_;

  std::shared_ptr<Socket> socket_;
  bool is_connected_ = false;  // What is sent now arrives after the join.
  bool is_joined_ = false;
  Welcome welcome_;
  bool has_timed_out_ = false;
  bool is_stopped_ = false;
  bool is_moving_ = false;  // Closed the connection because the server asked for it.
  bool is_replaced_ = false;
  std::string last_failure_ = "not connected yet";
  std::vector<std::string> failures_;  // One after the other, since a server was joined or finds were given up.
  std::deque<std::string> unsent_;
  std::size_t unsent_bytes_ = 0;
  bool is_writing_ = false;
};

Client::Client(asio::any_io_executor executor, std::vector<ServerUrl> urls, ClientEvents events, Options options)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(urls), std::move(events), std::move(options))) {
  impl_->start();
}

Client::~Client() { impl_->stop(); }

void Client::announce(const ContentId& cid) { impl_->announce(cid); }
void Client::withdraw(const ContentId& cid) { impl_->withdraw(cid); }
void Client::find(const ContentId& cid, OnFound on_found) { impl_->find(cid, std::move(on_found)); }
void Client::send(Offer message) { impl_->send(std::move(message)); }
void Client::send(Answer message) { impl_->send(std::move(message)); }
void Client::send(Candidate message) { impl_->send(std::move(message)); }
bool Client::is_connected() const { return impl_->is_connected(); }
const ServerUrl& Client::url() const { return impl_->url(); }

}  // namespace codio::rendezvous
