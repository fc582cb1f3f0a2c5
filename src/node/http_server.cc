#include "node/http_server.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <sys/socket.h>
#include <thread>
#include <utility>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http.hpp>

#include "node/gzip.h"
#include "node/http_connection.h"
#include "node/http_threads.h"
#include "node/node_answers.h"
#include "node/web_files.h"
#include "web/answer.h"
#include "web/conditions.h"
#include "web/content_type.h"
#include "web/host.h"

namespace codio::node {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::use_awaitable;
using asio::ip::tcp;

namespace {

constexpr std::size_t kMaxTarget = 8 * 1024;
constexpr std::chrono::seconds kHandshakeTimeout{15};
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr std::size_t kBridgeBuffer = 16 * 1024;
/// Each is compressed once, unless the build did it.
constexpr std::size_t kMaxWebFileCompressed = std::size_t{8} << 20;
constexpr std::size_t kWebFilesCompressed = std::size_t{8} << 20;
constexpr std::string_view kServiceWorker = "/pkg/codio-sw.js";

std::size_t thread_count(std::size_t wanted) {
  return wanted != 0 ? wanted : std::max<std::size_t>(2, std::thread::hardware_concurrency());
}

/// Of this machine or its own network: who may see how the node does.
bool is_near(const asio::ip::address& address) {
  if (address.is_loopback()) return true;
  if (address.is_v6()) return address.to_v6().is_link_local() || (address.to_v6().to_bytes()[0] & 0xfe) == 0xfc;
  const auto bytes = address.to_v4().to_bytes();
  return bytes[0] == 10 || (bytes[0] == 172 && (bytes[1] & 0xf0) == 16) || (bytes[0] == 192 && bytes[1] == 168);
}

/// Whom a limit counts: everybody has 2^64 addresses of IPv6.
asio::ip::address network_of(const asio::ip::address& address) {
  if (!address.is_v6()) return address;
  auto bytes = address.to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), 0);
  return asio::ip::address_v6(bytes);
}

bool is_content_path(std::string_view path) {
  return path.starts_with("/ipfs/") || path.starts_with("/codio/") || path.starts_with("/ipns/");
}

web::Refusal wrong_method() {
  return {405, "only GET, HEAD and OPTIONS are allowed here", {{"Allow", "GET, HEAD, OPTIONS"}}};
}

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  std::uint16_t port = 0;
  const std::string_view digits = colon == text.npos ? std::string_view() : text.substr(colon + 1);
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  std::string address(text.substr(0, std::min(colon, text.size())));
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  if (address == "localhost") address = "127.0.0.1";
  boost::system::error_code error;
  asio::ip::make_address(address, error);
  if (digits.empty() || read.ptr != digits.data() + digits.size() || read.ec != std::errc() || error) {
    return fail(ErrorCode::kMalformed, "'" + std::string(text) + "' is not ADDRESS:PORT, such as 127.0.0.1:8080");
  }
  return Endpoint{std::move(address), port};
}

std::string Endpoint::url() const {
  const std::string host = address.find(':') == address.npos ? address : "[" + address + "]";
  return "http://" + host + ":" + std::to_string(port);
}

bool Endpoint::is_loopback() const { return asio::ip::make_address(address).is_loopback(); }

class HttpServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, std::shared_ptr<const store::BlockStore> store, rendezvous::Server& rendezvous,
       HttpServerOptions options)
      : io_(io),
        acceptor_(io),
        inside_acceptor_(io),
        rendezvous_(rendezvous),
        options_(std::move(options)),
        endpoint_(options_.endpoint),
        web_files_(options_.web_root),
        content_(store, options_.content),
        node_(std::make_shared<NodeAnswers>(io, store, rendezvous,
                                            NodeAnswersOptions{.gateways = options_.gateways,
                                                               .ice_servers = options_.ice_servers,
                                                               .key = options_.key,
                                                               .finder = options_.finder,
                                                               .routing_deadline = options_.routing_deadline,
                                                               .max_routing = options_.max_routing,
                                                               .deny_lists = options_.content.deny_lists,
                                                               .tls = options_.tls})),
        open_(thread_count(options_.threads)),
        threads_(std::make_unique<HttpThreads>(open_.size())) {}

  Result<void> listen() {
    if (auto listening = listen(acceptor_, endpoint_); !listening) return listening;
    node_->set_port(endpoint_.port);
    asio::co_spawn(io_, accept(shared_from_this(), acceptor_, options_.tls), asio::detached);
    inside_ = endpoint_;
    if (!options_.tls) return {};
    inside_ = {"127.0.0.1", 0};
    if (auto listening = listen(inside_acceptor_, inside_); !listening) return listening;
    asio::co_spawn(io_, accept(shared_from_this(), inside_acceptor_, nullptr), asio::detached);
    return {};
  }

  void stop() {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    inside_acceptor_.close(ignored);
    threads_->stop();
  }

  void drain() {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    inside_acceptor_.close(ignored);
    draining_ = true;
    for (std::size_t i = 0; i < threads_->size(); ++i) {
      asio::post(threads_->io(i), [self = shared_from_this(), i] {
        for (HttpConnection* connection : self->open_[i]) connection->cancel_read();
      });
    }
  }

  const Endpoint& endpoint() const { return endpoint_; }
  const Endpoint& inside() const { return inside_; }
  std::string url() const {
    std::string url = endpoint_.url();
    if (options_.tls) url.insert(std::string_view("http").size(), "s");
    return url;
  }
  std::size_t connections() const { return connections_; }
  NodeAnswers& node() { return *node_; }

 private:
  using Request = HttpConnection::Parser::value_type;

  /// Takes the port; the endpoint then has it.
  static Result<void> listen(tcp::acceptor& acceptor, Endpoint& endpoint) {
    const tcp::endpoint local(asio::ip::make_address(endpoint.address), endpoint.port);
    boost::system::error_code error;
    acceptor.open(local.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(local, error);
    if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
    if (error) {
      std::string message = "cannot listen on " + endpoint.url() + ": " + error.message();
      if (error == asio::error::address_in_use) message += "; choose another port with --http ADDRESS:PORT (0: any)";
      return fail(ErrorCode::kIo, std::move(message));
    }
    endpoint.port = acceptor.local_endpoint().port();
    return {};
  }

  /// `tls` null: plain.
  static asio::awaitable<void> accept(std::shared_ptr<Impl> self, tcp::acceptor& acceptor,
                                      std::shared_ptr<TlsFiles> tls) {
    for (std::size_t next = 0;; next = (next + 1) % self->threads_->size()) {
      boost::system::error_code error;
      tcp::socket socket = co_await acceptor.async_accept(asio::redirect_error(use_awaitable, error));
      if (error == asio::error::operation_aborted || !acceptor.is_open()) co_return;
      if (error) {
        // No file descriptor is free, most likely: one may be soon.
        asio::steady_timer pause(self->io_, kAcceptPause);
        co_await pause.async_wait(asio::redirect_error(use_awaitable, error));
        continue;
      }
      if (self->connections_ >= self->options_.max_connections) {
        self->metrics_.turned_away();
        continue;
      }
      // Made anew on its thread: nothing of this one's may hold a part of that, as the threads end first.
      const tcp protocol = acceptor.local_endpoint().protocol();
      const auto handle = socket.release(error);
      if (error) continue;
      asio::co_spawn(self->threads_->io(next), converse(self, next, protocol, handle, tls), asio::detached);
    }
  }

  /// Counts a connection, and its client's, and knows it on its thread.
  class Place {
   public:
    Place(Impl& server, std::size_t thread, HttpConnection& connection)
        : server_(server), thread_(thread), connection_(connection), client_(network_of(connection.client())) {
      server_.open_[thread_].insert(&connection_);
      ++server_.connections_;
      server_.metrics_.connected();
      if (server_.options_.max_client_connections == 0) return;
      const std::lock_guard lock(server_.clients_mutex_);
      count_ = ++server_.clients_[client_];
    }
    ~Place() {
      server_.open_[thread_].erase(&connection_);
      --server_.connections_;
      server_.metrics_.disconnected();
      if (server_.options_.max_client_connections == 0) return;
      const std::lock_guard lock(server_.clients_mutex_);
      if (--server_.clients_[client_] == 0) server_.clients_.erase(client_);
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    bool is_too_much() const { return count_ > server_.options_.max_client_connections; }

   private:
    Impl& server_;
    std::size_t thread_;
    HttpConnection& connection_;
    asio::ip::address client_;
    std::size_t count_ = 0;
  };

  /// One connection, until it closes, fails or is idle.
  static asio::awaitable<void> converse(std::shared_ptr<Impl> self, std::size_t thread, tcp protocol, int handle,
                                        std::shared_ptr<TlsFiles> tls) {
    const auto context = tls ? tls->current() : nullptr;
    const auto connection = std::make_shared<HttpConnection>(tcp::socket(self->threads_->io(thread), protocol, handle),
                                                             context.get(), self->options_.write_timeout);
    const Place place(*self, thread, *connection);
    try {
      co_await connection->handshake(kHandshakeTimeout);
      for (bool keep = true; keep && !self->draining_;) {
        HttpConnection::Parser parser;
        parser.header_limit(kMaxRequestHead);
        parser.body_limit(kMaxRequestBody);
        const auto error = co_await connection->read(parser, self->options_.request_timeout);
        if (error) {
          co_await self->refuse_unread(*connection, error);
          break;
        }
        const Request& request = parser.get();
        HttpCall call(*connection, request);
        if (place.is_too_much()) {
          self->metrics_.turned_away();
          call.close_after();
          co_await call.refuse(
              web::try_again(429, "too many connections come from your address; use fewer, and keep them open", 10));
          break;
        }
        if (web::Target(call.request().target).path == "/rendezvous") {
          co_return co_await self->hand_over(connection, parser.release());
        }
        const auto began = std::chrono::steady_clock::now();
        const auto count = [&] {
          self->count(call, std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - began));
        };
        try {
          co_await self->answer(call);
        } catch (const boost::system::system_error&) {
          count();  // An answer that broke off.
          throw;
        }
        count();
        keep = call.keep_alive();
      }
    } catch (const boost::system::system_error&) {
      // The client went, or was too slow, or its answer could not be ended.
    }
    connection->close();
  }

  void count(HttpCall& call, Duration took) {
    const AccessRecord record{.client = call.connection().client(),
                              .method = call.method(),
                              .host = call.request().host,
                              .target = call.request().target,
                              .status = call.status(),
                              .bytes = call.sent(),
                              .took = took};
    metrics_.count(record);
    if (options_.on_answered) options_.on_answered(record);
  }

  /// What is no request gets an answer if it looks like one from far.
  static asio::awaitable<void> refuse_unread(HttpConnection& connection, boost::system::error_code error) {
    if (error.category() != make_error_code(http::error::bad_method).category()) co_return;
    if (error == http::error::end_of_stream || error == http::error::partial_message) co_return;
    const Request nothing{};
    HttpCall call(connection, nothing);
    call.close_after();
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      co_return co_await call.refuse(431, "the request's head is over 16 KiB");
    }
    if (error == http::error::body_limit) co_return co_await call.refuse(413, "the request's body is over 4 KiB");
    co_await call.refuse(400, "this is not HTTP as RFC 9112 has it: " + error.message());
  }

  /// A WebSocket is the rendezvous', on the node's own thread. Of an encrypted one it gets the inside, by a pair of
  /// sockets.
  asio::awaitable<void> hand_over(std::shared_ptr<HttpConnection> connection, Request request) {
    if (!connection->is_encrypted()) {
      const auto protocol = connection->local().protocol();
      const auto socket = connection->socket().release();
      co_return give(protocol, socket, std::move(request), connection->client());
    }
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) co_return connection->close();
    give(connection->local().protocol(), pair[0], std::move(request), connection->client());
    const auto executor = co_await asio::this_coro::executor;
    const auto inside =
        std::make_shared<asio::local::stream_protocol::socket>(executor, asio::local::stream_protocol(), pair[1]);
    asio::co_spawn(executor, bridge_out(connection, inside), asio::detached);
    std::vector<std::uint8_t> buffer(kBridgeBuffer);
    boost::system::error_code error;
    while (!error) {
      const std::size_t size = co_await connection->read_some(asio::buffer(buffer), error);
      if (!error)
        co_await asio::async_write(*inside, asio::buffer(buffer, size), asio::redirect_error(use_awaitable, error));
    }
    inside->close(error);
    connection->close();
  }

  static asio::awaitable<void> bridge_out(std::shared_ptr<HttpConnection> connection,
                                          std::shared_ptr<asio::local::stream_protocol::socket> inside) {
    std::vector<std::uint8_t> buffer(kBridgeBuffer);
    try {
      for (;;) {
        const std::size_t size = co_await inside->async_read_some(asio::buffer(buffer), use_awaitable);
        co_await connection->write(BytesView(buffer).first(size), {});
      }
    } catch (const boost::system::system_error&) {
      connection->close();
    }
  }

  void give(const tcp& protocol, int socket, Request request, const asio::ip::address& client) {
    asio::post(io_, [self = shared_from_this(), protocol, socket, request = std::move(request), client]() mutable {
      self->rendezvous_.accept(beast::tcp_stream(tcp::socket(self->io_, protocol, socket)), std::move(request), client);
    });
  }

  asio::awaitable<void> answer(HttpCall& call) {
    if (draining_) call.close_after();
    const web::Request& request = call.request();
    if (const auto refusal = check(call)) co_return co_await call.refuse(*refusal);
    if (call.method() == "OPTIONS") co_return co_await call.refuse(204, "");
    if (call.method() != "GET" && call.method() != "HEAD") {
      co_return co_await call.refuse(wrong_method());
    }
    const web::Target target(request.target);
    const auto host = web::understand_host(request, options_.subdomain_gateways);
    if (!host) co_return co_await call.refuse(host.error());
    if (host->kind == web::HostMeaning::Kind::kSubdomain) {
      const web::Place place{.kind = web::Place::Kind::kSubdomain, .prefix = "", .gateway = host->gateway};
      co_return co_await answer_content(call, web::read_origin_request(request, *host->root, place));
    }
    if (is_content_path(target.path)) co_return co_await answer_content(call, web::read_path_request(request, *host));
    if (target.path == "/.well-known/codio") co_return co_await node_->answer_descriptor(call, target);
    if (target.path.starts_with(NodeAnswers::kRouting)) co_return co_await node_->answer_routing(call, target);
    if (target.path == "/healthz") co_return co_await answer_health(call);
    if (target.path == "/metrics" || target.path == "/api/roots") {
      if (endpoint_.is_loopback() && !web::is_own_host(request.host)) {
        co_return co_await call.refuse(403, "this is only told under an address or the name localhost, not as '" +
                                                std::string(request.host) + "'");
      }
      if (target.path == "/api/roots") co_return co_await node_->answer_roots(call);
      co_return co_await answer_metrics(call);
    }
    if (options_.site && !target.path.starts_with("/pkg/")) {
      if (const auto root = options_.site()) {
        const web::Place place{.kind = web::Place::Kind::kSite, .prefix = "", .gateway = ""};
        co_return co_await answer_content(call, web::read_origin_request(request, *root, place));
      }
      co_return co_await call.refuse(web::try_again(503, "this site is being read; try again soon", 1));
    }
    co_await answer_web_file(call, target);
  }

  /// What no answer is given to, whatever it asks.
  static std::optional<web::Refusal> check(HttpCall& call) {
    const web::Request& request = call.request();
    if (request.target.size() > kMaxTarget) {
      call.close_after();
      return web::Refusal{414, "the URL is over 8 KiB"};
    }
    if (call.is_without_host()) return web::Refusal{400, "a request has one Host header"};
    const bool is_path = request.target.starts_with('/') || request.target.starts_with("http://") ||
                         request.target.starts_with("https://") || request.target == "*";
    if (!is_path) return web::Refusal{400, "a URL's path begins with /"};
    return std::nullopt;
  }

  asio::awaitable<void> answer_content(HttpCall& call, std::expected<web::ContentRequest, web::Refusal> content) {
    if (!content) return call.refuse(std::move(content.error()));
    return content_.answer(call, *std::move(content));
  }

  asio::awaitable<void> answer_health(HttpCall& call) {
    if (draining_) co_return co_await call.refuse(503, "draining");
    web::Head head;
    head.add("Content-Type", "text/plain; charset=utf-8");
    head.add("Cache-Control", "no-store");
    co_await call.respond(std::move(head), "ok\n");
  }

  asio::awaitable<void> answer_metrics(HttpCall& call) {
    // What a proxy passes on comes from anywhere.
    if (!is_near(call.connection().client()) || call.is_forwarded()) {
      co_return co_await call.refuse(403, "metrics are told to this machine and its own network only");
    }
    web::Head head;
    head.add("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    head.add("Cache-Control", "no-store");
    const std::string text = metrics_.text(options_.content.puller ? options_.content.puller->active() : 0);
    co_await call.respond(std::move(head), text);
  }

  asio::awaitable<void> answer_web_file(HttpCall& call, const web::Target& target) {
    const std::string path(target.path);
    const auto file = web_files_.find(path);
    if (!file) co_return co_await call.refuse(404, "there is no " + path);
    std::string_view type = web::content_type_of(path == "/" ? "index.html" : path);
    if (type.empty()) type = "application/octet-stream";
    const bool is_compressible = web::is_compressible(type) && file->bytes.size() <= kMaxWebFileCompressed;
    const Coded coded = is_compressible ? code(*file, call.request().accept_encoding) : Coded{"", file->bytes};
    const std::string etag =
        coded.coding.empty() ? "\"" + file->hash + "\"" : "W/\"" + file->hash + "." + std::string(coded.coding) + "\"";
    web::Head head;
    if (web::matches_any(call.request().if_none_match, etag)) head.status = 304;
    head.add("Content-Type", type);
    head.add("Etag", etag);
    head.add("Cache-Control", "no-cache");
    if (is_compressible) head.add("Vary", "Accept-Encoding");
    if (!coded.coding.empty()) head.add("Content-Encoding", coded.coding);
    if (path == kServiceWorker) head.add("Service-Worker-Allowed", "/");  // Otherwise it gets /pkg/ only.
    head.is_for_all_origins = true;
    const BytesView body = head.status == 304 ? BytesView() : coded.bytes;
    co_await call.respond(std::move(head), as_text(body));
  }

  struct Coded {
    std::string_view coding;  ///< For Content-Encoding; empty: it goes out as it is.
    BytesView bytes;
    SharedBytes made = nullptr;  ///< What `bytes` is of, if it was compressed here.
  };

  /// As the client wants it most, and the smallest that it wants as much.
  Coded code(const WebFile& file, std::string_view accept_encoding) {
    const unsigned gzip = web::weight_of_coding(accept_encoding, "gzip");
    const unsigned brotli = file.brotli.empty() ? 0 : web::weight_of_coding(accept_encoding, "br");
    if (brotli != 0 && brotli >= gzip) return {"br", file.brotli};
    if (gzip == 0) return {"", file.bytes};
    if (!file.gzip.empty()) return {"gzip", file.gzip};
    SharedBytes made = compressed_.find(file.hash);
    if (!made) made = compressed_.compress(file.hash, file.bytes);
    const BytesView bytes = *made;
    return {"gzip", bytes, std::move(made)};
  }

  asio::io_context& io_;
  tcp::acceptor acceptor_;
  tcp::acceptor inside_acceptor_;
  rendezvous::Server& rendezvous_;
  HttpServerOptions options_;
  Endpoint endpoint_;
  Endpoint inside_;
  HttpMetrics metrics_;
  WebFiles web_files_;
  CompressedFiles compressed_{kWebFilesCompressed};
  ContentServer content_;
  std::shared_ptr<NodeAnswers> node_;
  std::atomic<std::size_t> connections_ = 0;
  std::atomic<bool> draining_ = false;
  std::mutex clients_mutex_;
  std::map<asio::ip::address, std::size_t> clients_;
  /// Of each thread, and on it only.
  std::vector<std::set<HttpConnection*>> open_;
  std::unique_ptr<HttpThreads> threads_;
};

Result<std::unique_ptr<HttpServer>> HttpServer::listen(asio::io_context& io,
                                                       std::shared_ptr<const store::BlockStore> store,
                                                       rendezvous::Server& rendezvous, HttpServerOptions options) {
  auto impl = std::make_shared<Impl>(io, std::move(store), rendezvous, std::move(options));
  if (auto listening = impl->listen(); !listening) return std::unexpected(listening.error());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { impl_->stop(); }

void HttpServer::set_finder(ProviderFinder* finder) { impl_->node().set_finder(finder); }
void HttpServer::set_ice_servers(std::vector<rendezvous::IceServer> servers) {
  impl_->node().set_ice_servers(std::move(servers));
}
void HttpServer::drain() { impl_->drain(); }
std::size_t HttpServer::connections() const { return impl_->connections(); }
const Endpoint& HttpServer::endpoint() const { return impl_->endpoint(); }
const Endpoint& HttpServer::inside() const { return impl_->inside(); }
std::string HttpServer::url() const { return impl_->url(); }

}  // namespace codio::node
