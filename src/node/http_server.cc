#include "node/http_server.h"

#include <charconv>
#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "node/content_path.h"
#include "node/descriptor.h"
#include "node/routing_records.h"
#include "node/store_walk.h"
#include "transfer/wire/messages.h"

namespace codio::node {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace unixfs = content_id::unixfs;
using asio::use_awaitable;
using asio::ip::tcp;
using nlohmann::json;
using Request = http::request<http::string_body>;

namespace {

constexpr std::uint32_t kMaxHeader = 16 * 1024;
constexpr std::uint64_t kMaxRequestBody = 4096;
constexpr auto kIdleTimeout = std::chrono::seconds(60);
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
/// For one block to a slow reader: 2 MiB at 35 kB/s.
constexpr auto kWriteTimeout = std::chrono::seconds(60);
constexpr std::string_view kRouting = "/routing/v1/providers/";
constexpr std::string_view kServiceWorker = "/pkg/codio-sw.js";
constexpr const char* kImmutable = "public, max-age=29030400, immutable";

/// A target's path, and its query's parameters.
struct Target {
  std::string path;
  std::string query;

  explicit Target(std::string_view text) {
    const std::size_t mark = std::min(text.find('?'), text.size());
    path = text.substr(0, mark);
    query = text.substr(std::min(mark + 1, text.size()));
  }

  std::string_view parameter(std::string_view name) const {
    for (std::string_view rest = query; !rest.empty();) {
      const std::size_t end = std::min(rest.find('&'), rest.size());
      const std::string_view pair = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (pair.starts_with(name) && pair.substr(name.size()).starts_with('=')) return pair.substr(name.size() + 1);
    }
    return {};
  }
};

std::string_view header(const Request& request, http::field field) {
  const auto value = request[field];
  return {value.data(), value.size()};
}

/// If-None-Match is a list of tags, weak or not, or `*`.
bool matches_etag(std::string_view list, std::string_view etag) { return list == "*" || list.find(etag) != list.npos; }

/// `bytes=A-B`, `bytes=A-`, `bytes=-N`, of a file of `size` bytes. Nothing: no or another kind of range; then the whole
/// file is the answer. An error: 416.
Result<std::optional<unixfs::ByteRange>> parse_range(std::string_view text, std::uint64_t size) {
  if (!text.starts_with("bytes=") || text.find(',') != text.npos) return std::nullopt;
  text.remove_prefix(6);
  const std::size_t dash = text.find('-');
  if (dash == text.npos) return std::nullopt;
  const auto number = [](std::string_view digits) -> std::optional<std::uint64_t> {
    std::uint64_t value = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (digits.empty() || read.ec != std::errc() || read.ptr != digits.data() + digits.size()) return std::nullopt;
    return value;
  };
  const auto first = number(text.substr(0, dash));
  const auto last = number(text.substr(dash + 1));
  const bool suffix = dash == 0;
  if ((suffix && !last) || (!suffix && !first) || (!last && dash + 1 < text.size())) return std::nullopt;
  if (suffix) {
    if (*last == 0 || size == 0) return fail(ErrorCode::kMalformed, "empty range");
    return unixfs::ByteRange{size - std::min(*last, size), size};
  }
  if (*first >= size || (last && *last < *first)) return fail(ErrorCode::kMalformed, "range outside of the file");
  return unixfs::ByteRange{*first, last ? std::min(*last, size - 1) + 1 : size};
}

/// Boost 1.74 has a string_view of its own.
template <class Message>
void set(Message& message, http::field field, std::string_view value) {
  message.set(field, boost::string_view(value.data(), value.size()));
}

template <class Message>
void allow_other_origins(Message& message) {
  message.set(http::field::access_control_allow_origin, "*");
  message.set(http::field::access_control_allow_methods, "GET, HEAD, OPTIONS");
  message.set(http::field::access_control_allow_headers, "Content-Type, Range, User-Agent, X-Requested-With");
  message.set(http::field::access_control_expose_headers,
              "Content-Range, Content-Length, X-Ipfs-Path, X-Ipfs-Roots, X-Chunked-Output, X-Stream-Output");
}

/// Of now, as every server that has a clock must: RFC 9110, 6.6.1.
template <class Message>
void set_date(Message& message) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[sizeof "Thu, 01 Jan 1970 00:00:00 GMT"];
  set(message, http::field::date, {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)});
}

/// The status that a failed read means.
http::status status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNotFound: return http::status::not_found;
    case ErrorCode::kMalformed:
    case ErrorCode::kUnsupported:
    case ErrorCode::kTooLarge: return http::status::bad_request;
    default: return http::status::internal_server_error;
  }
}

/// Without the names of the node's own files.
std::string for_strangers(const Error& error) {
  const bool is_of_store = error.code == ErrorCode::kIo || error.code == ErrorCode::kMismatch;
  return is_of_store ? "this node cannot read that" : error.message;
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

class HttpServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, std::shared_ptr<const store::BlockStore> store, rendezvous::Server& rendezvous,
       HttpServerOptions options)
      : io_(io),
        acceptor_(io),
        store_(std::move(store)),
        rendezvous_(rendezvous),
        options_(std::move(options)),
        endpoint_(options_.endpoint),
        readers_(2) {}

  Result<void> listen() {
    const tcp::endpoint local(asio::ip::make_address(endpoint_.address), endpoint_.port);
    boost::system::error_code error;
    acceptor_.open(local.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(local, error);
    if (!error) acceptor_.listen(tcp::acceptor::max_listen_connections, error);
    if (error) {
      std::string message = "cannot listen on " + endpoint_.url() + ": " + error.message();
      if (error == asio::error::address_in_use) message += "; choose another port with --http ADDRESS:PORT (0: any)";
      return fail(ErrorCode::kIo, std::move(message));
    }
    endpoint_.port = acceptor_.local_endpoint().port();
    asio::co_spawn(io_, accept(shared_from_this()), asio::detached);
    return {};
  }

  void stop() {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    readers_.join();
  }

  const Endpoint& endpoint() const { return endpoint_; }
  void set_finder(ProviderFinder* finder) { options_.finder = finder; }
  void set_ice_servers(std::vector<rendezvous::IceServer> servers) { options_.ice_servers = std::move(servers); }

 private:
  static asio::awaitable<void> accept(std::shared_ptr<Impl> self) {
    for (;;) {
      boost::system::error_code error;
      tcp::socket socket = co_await self->acceptor_.async_accept(asio::redirect_error(use_awaitable, error));
      if (error == asio::error::operation_aborted || !self->acceptor_.is_open()) co_return;
      if (error) {
        // No file descriptor is free, most likely: one may be soon.
        asio::steady_timer pause(self->io_, kAcceptPause);
        co_await pause.async_wait(asio::redirect_error(use_awaitable, error));
        continue;
      }
      if (self->connections_ >= self->options_.max_connections) continue;
      asio::co_spawn(self->io_, converse(self, beast::tcp_stream(std::move(socket))), asio::detached);
    }
  }

  struct Counted {
    explicit Counted(std::size_t& counter) : count(counter) { ++count; }
    ~Counted() { --count; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    std::size_t& count;
  };

  /// One connection, until it closes, fails or is idle.
  static asio::awaitable<void> converse(std::shared_ptr<Impl> self, beast::tcp_stream stream) {
    const Counted counted(self->connections_);
    beast::flat_buffer buffer(kMaxHeader + kMaxRequestBody);
    boost::system::error_code ignored;
    stream.socket().set_option(tcp::no_delay(true), ignored);
    try {
      for (bool keep = true; keep;) {
        http::request_parser<http::string_body> parser;
        parser.header_limit(kMaxHeader);
        parser.body_limit(kMaxRequestBody);
        stream.expires_after(kIdleTimeout);
        boost::system::error_code error;
        co_await http::async_read(stream, buffer, parser, asio::redirect_error(use_awaitable, error));
        if (error == http::error::end_of_stream) break;
        if (error == http::error::header_limit || error == http::error::body_limit) {
          co_await self->respond(stream, Request(), http::status::request_header_fields_too_large, "request too large");
          break;
        }
        if (error) break;
        Request request = parser.release();
        if (Target(std::string_view(request.target().data(), request.target().size())).path == "/rendezvous") {
          const auto client = stream.socket().remote_endpoint().address();
          self->rendezvous_.accept(std::move(stream), std::move(request), client);
          co_return;
        }
        keep = request.keep_alive();
        stream.expires_after(kWriteTimeout);
        co_await self->answer(stream, request);
      }
    } catch (const boost::system::system_error&) {
      // The client went, or was too slow.
    }
    stream.socket().shutdown(tcp::socket::shutdown_both, ignored);
  }

  asio::awaitable<void> answer(beast::tcp_stream& stream, const Request& request) {
    const Target target(std::string_view(request.target().data(), request.target().size()));
    if (request.method() == http::verb::options) {
      co_return co_await respond(stream, request, http::status::no_content, "");
    }
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
      co_return co_await respond(stream, request, http::status::method_not_allowed,
                                 "only GET and HEAD are allowed here");
    }
    if (target.path.starts_with("/ipfs/")) co_return co_await answer_content(stream, request, target, "/ipfs/");
    if (target.path.starts_with("/codio/")) co_return co_await answer_content(stream, request, target, "/codio/");
    if (target.path == "/.well-known/codio") co_return co_await answer_descriptor(stream, request, target);
    if (target.path.starts_with(kRouting)) co_return co_await answer_routing(stream, request, target);
    if (target.path == "/api/roots") co_return co_await answer_roots(stream, request);
    const auto file = options_.web_files.find(target.path);
    if (!file) co_return co_await respond(stream, request, http::status::not_found, "there is no " + target.path);
    http::response<http::empty_body> head{http::status::ok, request.version()};
    set(head, http::field::content_type, content_type_of(target.path == "/" ? "index.html" : target.path));
    head.set(http::field::cache_control, "no-cache");
    if (target.path == kServiceWorker) head.set("Service-Worker-Allowed", "/");  // Otherwise it gets /pkg/ only.
    allow_other_origins(head);
    co_await write_head(stream, request, head, (*file)->size());
    if (request.method() == http::verb::get) co_await asio::async_write(stream, asio::buffer(**file), use_awaitable);
  }

  asio::awaitable<void> answer_descriptor(beast::tcp_stream& stream, const Request& request, const Target& target) {
    const std::string_view challenge = target.parameter("challenge");
    if (!challenge.empty() && !is_challenge(challenge)) {
      co_return co_await respond(stream, request, http::status::bad_request,
                                 "a challenge is 1 to 64 characters A-Z a-z 0-9 _ -");
    }
    co_await respond_json(stream, request, descriptor(challenge), Readers::kAllOrigins);
  }

  json descriptor(std::string_view challenge) const {
    json servers = json::array();
    for (const auto& server : options_.ice_servers) {
      json one{{"urls", server.urls}};
      if (!server.username.empty()) one["username"] = server.username;
      if (!server.credential.empty()) one["credential"] = server.credential;
      servers.push_back(std::move(one));
    }
    json gateways = json::array({"/ipfs/"});
    for (const auto& gateway : options_.gateways) gateways.push_back(gateway);
    json descriptor{{"version", 1}, {"rendezvous", {"/rendezvous"}}, {"gateways", gateways}, {"iceServers", servers}};
    if (options_.key) {
      const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
      auto [statement, signature] = sign_statement(*options_.key, {.peer = {},
                                                                   .rendezvous = {"/rendezvous"},
                                                                   .gateways = {"/ipfs/"},
                                                                   .versions = {transfer::wire::kVersion},
                                                                   .expires = now + kStatementLifetime,
                                                                   .challenge = std::string(challenge)});
      descriptor["signed"] = {{"statement", std::move(statement)}, {"signature", std::move(signature)}};
    }
    return descriptor;
  }

  /// Delegated Routing V1.
  asio::awaitable<void> answer_routing(beast::tcp_stream& stream, const Request& request, const Target& target) {
    const auto cid = content_id::ContentId::parse(std::string_view(target.path).substr(kRouting.size()));
    if (!cid) {
      co_return co_await respond(stream, request, http::status::unprocessable_entity,
                                 "this is no CID: " + cid.error().message);
    }
    if (routing_ >= options_.max_routing) {
      co_return co_await respond(stream, request, http::status::too_many_requests, "too many searches; try again soon");
    }
    const Counted counted(routing_);
    std::vector<RoutingRecord> records;
    const auto add = [&records](const std::string& peer, const std::string& gateway) {
      const auto address = multiaddr_of(gateway);
      if (!address || records.size() >= kMaxRoutingRecords) return;
      records.push_back({libp2p_id(peer), {*address}, {std::string(kGatewayProtocol)}});
    };
    const auto has = co_await read_store([this, cid = *cid] { return store_->has(cid); });
    if (options_.key && has && *has) {
      const auto local = stream.socket().local_endpoint();
      add(options_.key->peer_id(), Endpoint{local.address().to_string(), local.port()}.url() + "/ipfs/");
    }
    if (options_.finder != nullptr) {
      stream.expires_after(options_.routing_deadline + kWriteTimeout);
      const ProviderFinder::OnFound on_found = [&](const Provider& provider) {
        if (!provider.gateways.empty()) add(provider.peer, provider.gateways.front());
      };
      co_await find_providers(*cid, on_found);
    }
    records =
        filter_records(std::move(records), target.parameter("filter-addrs"), target.parameter("filter-protocols"));
    const bool as_lines = header(request, http::field::accept).find("application/x-ndjson") != std::string_view::npos;
    http::response<http::string_body> response{http::status::ok, request.version()};
    response.set(http::field::content_type, as_lines ? "application/x-ndjson" : "application/json");
    response.set(http::field::cache_control, records.empty() ? "public, max-age=15" : "public, max-age=300");
    response.set(http::field::vary, "Accept");
    allow_other_origins(response);
    set_date(response);
    response.keep_alive(request.keep_alive());
    if (request.method() != http::verb::head) response.body() = write_routing_answer(records, as_lines);
    response.prepare_payload();
    co_await http::async_write(stream, response, use_awaitable);
  }

  /// Returns when the search ends, or at the deadline.
  asio::awaitable<void> find_providers(const content_id::ContentId& cid, const ProviderFinder::OnFound& on_found) {
    asio::steady_timer ended(io_, options_.routing_deadline);
    ProviderFinder& finder = *options_.finder;
    const FindId find =
        finder.find(cid, options_.routing_deadline, on_found, [&ended](const FindSummary&) { ended.cancel(); });
    boost::system::error_code ignored;
    co_await ended.async_wait(asio::redirect_error(use_awaitable, ignored));
    finder.cancel(find);
  }

  asio::awaitable<void> answer_roots(beast::tcp_stream& stream, const Request& request) {
    const auto roots = co_await read_store([this] { return store_->roots(); });
    if (!roots) {
      co_return co_await respond(stream, request, http::status::internal_server_error, for_strangers(roots.error()));
    }
    json list = json::array();
    for (const store::Root& root : *roots) {
      list.push_back({{"cid", root.cid.to_string()}, {"name", root.name}, {"size", root.size}});
    }
    co_await respond_json(stream, request, list, Readers::kThisOrigin);
  }

  asio::awaitable<void> answer_content(beast::tcp_stream& stream, const Request& request, const Target& target,
                                       std::string_view prefix) {
    const auto decoded = percent_decode(std::string_view(target.path).substr(prefix.size()));
    const auto path = decoded ? parse_content_path(*decoded) : std::unexpected(decoded.error());
    if (!path) co_return co_await respond(stream, request, http::status::bad_request, path.error().message);
    const bool wants_block =
        target.parameter("format") == "raw" ||
        (target.parameter("format").empty() &&
         header(request, http::field::accept).find("application/vnd.ipld.raw") != std::string_view::npos);
    if (wants_block && path->names.empty()) co_return co_await answer_block(stream, request, path->root);
    co_await answer_file(stream, request, *path, target.path);
  }

  asio::awaitable<void> answer_block(beast::tcp_stream& stream, const Request& request, content_id::ContentId cid) {
    const std::string etag = "\"" + cid.to_string() + ".raw\"";
    if (matches_etag(header(request, http::field::if_none_match), etag)) {
      co_return co_await respond(stream, request, http::status::not_modified, "");
    }
    const auto block = co_await read_store([this, cid] { return store_->get(cid); });
    if (!block) {
      co_return co_await respond(stream, request, http::status::internal_server_error, for_strangers(block.error()));
    }
    if (!*block) {
      co_return co_await respond(stream, request, http::status::not_found,
                                 "block " + cid.to_string() + " is not on this node");
    }
    http::response<http::empty_body> head{http::status::ok, request.version()};
    head.set(http::field::content_type, "application/vnd.ipld.raw");
    head.set(http::field::content_disposition, "attachment; filename=\"" + cid.to_string() + ".bin\"");
    head.set("X-Content-Type-Options", "nosniff");
    head.set(http::field::etag, etag);
    head.set(http::field::cache_control, kImmutable);
    allow_other_origins(head);
    co_await write_head(stream, request, head, (**block)->size());
    if (request.method() == http::verb::get) co_await asio::async_write(stream, asio::buffer(***block), use_awaitable);
  }

  asio::awaitable<void> answer_file(beast::tcp_stream& stream, const Request& request, ContentPath path,
                                    std::string url_path) {
    Result<unixfs::Entity> entity = co_await find_entity(path);
    if (entity && entity->type == unixfs::EntityType::kDirectory) {
      if (!url_path.ends_with('/')) {
        http::response<http::empty_body> head{http::status::moved_permanently, request.version()};
        head.set(http::field::location, url_path + "/");
        allow_other_origins(head);
        co_return co_await write_head(stream, request, head, 0);
      }
      path.names.emplace_back("index.html");
      entity = co_await find_entity(path);
      if (!entity && entity.error().code == ErrorCode::kNotFound) {
        co_return co_await respond(stream, request, http::status::not_found,
                                   "this directory has no index.html; name a file in it");
      }
    }
    if (!entity)
      co_return co_await respond(stream, request, status_of(entity.error().code), for_strangers(entity.error()));
    if (entity->type == unixfs::EntityType::kSymlink) {
      co_return co_await respond(stream, request, http::status::not_found,
                                 "this is a symlink to " + entity->symlink_target);
    }

    const std::string etag = "\"" + entity->cid.to_string() + "\"";
    if (matches_etag(header(request, http::field::if_none_match), etag)) {
      co_return co_await respond(stream, request, http::status::not_modified, "");
    }
    const auto range = parse_range(header(request, http::field::range), entity->size);
    http::response<http::empty_body> head{http::status::ok, request.version()};
    head.set(http::field::etag, etag);
    head.set(http::field::cache_control, kImmutable);
    head.set(http::field::accept_ranges, "bytes");
    head.set("X-Content-Type-Options", "nosniff");
    // The files of a stranger share this origin with the demo and its storage.
    head.set("Content-Security-Policy", "sandbox allow-scripts");
    allow_other_origins(head);
    if (!range) {
      head.result(http::status::range_not_satisfiable);
      head.erase(http::field::cache_control);
      head.set(http::field::content_range, "bytes */" + std::to_string(entity->size));
      co_return co_await write_head(stream, request, head, 0);
    }
    set(head, http::field::content_type, content_type_of(path.names.empty() ? "" : path.names.back()));
    const unixfs::ByteRange bytes = range->value_or(unixfs::ByteRange{0, entity->size});
    if (*range) {
      head.result(http::status::partial_content);
      head.set(http::field::content_range, "bytes " + std::to_string(bytes.begin) + "-" +
                                               std::to_string(bytes.end - 1) + "/" + std::to_string(entity->size));
    }
    co_await write_head(stream, request, head, bytes.end - bytes.begin);
    if (request.method() == http::verb::head) co_return;

    StoreWalk walk(*store_, entity->cid, {.range = bytes});
    for (;;) {
      const auto segment = co_await read_store([&walk] { return walk.next_segment(); });
      // The length was promised: a missing block can only be shown by closing early.
      if (!segment) throw boost::system::system_error(asio::error::connection_aborted);
      if (!*segment) co_return;
      stream.expires_after(kWriteTimeout);
      const BytesView view = (*segment)->view();
      co_await asio::async_write(stream, asio::buffer(view.data(), view.size()), use_awaitable);
    }
  }

  asio::awaitable<Result<unixfs::Entity>> find_entity(const ContentPath& path) {
    co_return co_await read_store([this, &path] {
      return StoreWalk(*store_, path.root, {.path = path.names, .scope = unixfs::Scope::kEntity}).entity();
    });
  }

  /// Runs `read` on another thread: the disk may be slow. A coroutine stays on the executor that it was spawned on,
  /// hence one of its own.
  template <class Read>
  asio::awaitable<std::invoke_result_t<Read>> read_store(Read read) {
    auto result = co_await asio::co_spawn(readers_, run(std::move(read)), use_awaitable);
    co_return *std::move(result);
  }

  /// Optional, because co_spawn() makes an empty result first.
  template <class Read>
  static asio::awaitable<std::optional<std::invoke_result_t<Read>>> run(Read read) {
    co_return read();
  }

  asio::awaitable<void> respond(beast::tcp_stream& stream, const Request& request, http::status status,
                                const std::string& text) {
    http::response<http::string_body> response{status, request.version()};
    response.set(http::field::content_type, "text/plain; charset=utf-8");
    allow_other_origins(response);
    set_date(response);
    response.keep_alive(request.keep_alive());
    const bool has_body = request.method() != http::verb::head && !text.empty();
    if (has_body) response.body() = text + "\n";
    response.prepare_payload();
    co_await http::async_write(stream, response, use_awaitable);
  }

  /// Whose pages may read an answer.
  enum class Readers : std::uint8_t { kThisOrigin, kAllOrigins };

  asio::awaitable<void> respond_json(beast::tcp_stream& stream, const Request& request, const json& body,
                                     Readers readers) {
    http::response<http::string_body> response{http::status::ok, request.version()};
    response.set(http::field::content_type, "application/json");
    response.set(http::field::cache_control, "no-cache");
    if (readers == Readers::kAllOrigins) allow_other_origins(response);
    set_date(response);
    response.keep_alive(request.keep_alive());
    const std::string text = body.dump(-1, ' ', false, json::error_handler_t::replace);
    if (request.method() == http::verb::head) {
      response.content_length(text.size());
      http::response_serializer<http::string_body> serializer(response);
      co_await http::async_write_header(stream, serializer, use_awaitable);
      co_return;
    }
    response.body() = text;
    response.prepare_payload();
    co_await http::async_write(stream, response, use_awaitable);
  }

  asio::awaitable<void> write_head(beast::tcp_stream& stream, const Request& request,
                                   http::response<http::empty_body>& head, std::uint64_t length) {
    set_date(head);
    head.keep_alive(request.keep_alive());
    head.content_length(length);
    http::response_serializer<http::empty_body> serializer(head);
    co_await http::async_write_header(stream, serializer, use_awaitable);
  }

  asio::io_context& io_;
  tcp::acceptor acceptor_;
  std::shared_ptr<const store::BlockStore> store_;
  rendezvous::Server& rendezvous_;
  HttpServerOptions options_;
  Endpoint endpoint_;
  std::size_t connections_ = 0;
  std::size_t routing_ = 0;  ///< Searches for others.
  asio::thread_pool readers_;
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

void HttpServer::set_finder(ProviderFinder* finder) { impl_->set_finder(finder); }
void HttpServer::set_ice_servers(std::vector<rendezvous::IceServer> servers) {
  impl_->set_ice_servers(std::move(servers));
}
const Endpoint& HttpServer::endpoint() const { return impl_->endpoint(); }

}  // namespace codio::node
