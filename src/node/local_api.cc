#include "node/local_api.h"

#include <atomic>
#include <cerrno>
#include <mutex>
#include <set>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "node/local_protocol.h"
#include "node/local_reply.h"
#include "node/local_status.h"
#include "node/local_store.h"

namespace codio::node {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::use_awaitable;
using asio::local::stream_protocol;
using content_id::ContentId;
using nlohmann::json;

namespace {

constexpr std::uint32_t kMaxHeader = 16 * 1024;
constexpr std::size_t kMaxConnections = 256;
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
/// How often a collection tells how far it is.
constexpr auto kProgressInterval = std::chrono::milliseconds(100);

Error too_large() { return {ErrorCode::kTooLarge, "the request is too large"}; }

}  // namespace

class LocalApi::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, std::shared_ptr<store::BlockStore> store, TransferManager& transfers,
       LocalApiOptions options)
      : io_(io),
        acceptor_(io),
        store_(std::move(store)),
        transfers_(transfers),
        options_(std::move(options)),
        started_(std::chrono::steady_clock::now()),
        workers_(4) {}

  Result<void> listen() {
    const auto endpoint = LocalEndpoint::of(options_.path);
    if (!endpoint) return std::unexpected(endpoint.error());
    ::unlink(options_.path.c_str());
    boost::system::error_code error;
    acceptor_.open(stream_protocol(), error);
    // Before it has a name, so that it never is another user's.
    if (!error && ::fchmod(acceptor_.native_handle(), S_IRUSR | S_IWUSR) != 0) {
      error.assign(errno, boost::system::system_category());
    }
    if (!error) acceptor_.bind(endpoint->get(), error);
    if (!error) acceptor_.listen(stream_protocol::acceptor::max_listen_connections, error);
    if (error) {
      return fail(ErrorCode::kIo, "cannot listen on the socket " + options_.path.string() + ": " + error.message() +
                                      "; choose a repo on another file system with --repo DIR");
    }
    is_bound_ = true;
    asio::co_spawn(io_, accept(shared_from_this()), asio::detached);
    return {};
  }

  void stop() {
    stopped_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    if (is_bound_) ::unlink(options_.path.c_str());
    for (stream_protocol::socket* socket : sockets_) socket->close(ignored);
    workers_.join();
  }

 private:
  using Socket = stream_protocol::socket;

  static asio::awaitable<void> accept(std::shared_ptr<Impl> self) {
    for (;;) {
      boost::system::error_code error;
      Socket socket = co_await self->acceptor_.async_accept(asio::redirect_error(use_awaitable, error));
      if (error == asio::error::operation_aborted || !self->acceptor_.is_open()) co_return;
      if (error) {
        // No file descriptor is free, most likely: one may be soon.
        asio::steady_timer pause(self->io_, kAcceptPause);
        co_await pause.async_wait(asio::redirect_error(use_awaitable, error));
        continue;
      }
      if (self->sockets_.size() >= kMaxConnections) continue;
      asio::co_spawn(self->io_, converse(self, std::move(socket)), asio::detached);
    }
  }

  struct Listed {
    Listed(std::set<Socket*>& all, Socket& one) : sockets(all), socket(&one) { sockets.insert(socket); }
    ~Listed() { sockets.erase(socket); }
    Listed(const Listed&) = delete;
    Listed& operator=(const Listed&) = delete;
    std::set<Socket*>& sockets;
    Socket* socket;
  };

  static asio::awaitable<void> converse(std::shared_ptr<Impl> self, Socket socket) {
    const Listed listed(self->sockets_, socket);
    beast::flat_buffer buffer;
    try {
      for (bool keep = true; keep && !self->stopped_;) {
        http::request_parser<http::vector_body<std::uint8_t>> parser;
        parser.header_limit(kMaxHeader);
        parser.body_limit(kMaxLocalBody);
        boost::system::error_code error;
        co_await http::async_read(socket, buffer, parser, asio::redirect_error(use_awaitable, error));
        if (error == http::error::body_limit || error == http::error::header_limit) {
          const LocalReply refusal = refuse(too_large());
          co_await self->send(socket, refusal, false);
          break;
        }
        if (error) break;
        const LocalRequest request = parser.release();
        const LocalTarget target(target_of(request));
        if (target.name == "hold") co_return co_await self->hold(socket);
        if (target.name == "collect") co_return co_await self->collect(socket, target);
        keep = request.keep_alive();
        const LocalReply answer = co_await self->answer(request, target);
        co_await self->send(socket, answer, keep);
      }
    } catch (const boost::system::system_error&) {
      // The command went.
    }
  }

  asio::awaitable<LocalReply> answer(const LocalRequest& request, const LocalTarget& target) {
    const bool is_get = request.method() == http::verb::get;
    if (is_get && target.name == "peers") co_return reply(peers_json(transfers_), kJsonType);
    if (is_get && target.name == "stats") {
      const auto usage = co_await on_worker([this] { return store_->usage(); });
      co_return usage ? reply(stats(*usage), kJsonType) : refuse(usage.error());
    }
    if (target.name == "limits") {
      if (request.method() == http::verb::patch) {
        const auto changes = parse_limits(request.body());
        if (!changes) co_return refuse(changes.error());
        if (auto changed = change_limits(transfers_, *store_, *changes); !changed) co_return refuse(changed.error());
      }
      const auto usage = co_await on_worker([this] { return store_->usage(); });
      co_return usage ? reply(limits_json(transfers_.limits(), usage->limit), kJsonType) : refuse(usage.error());
    }
    LocalReply answered = co_await on_worker([this, &request] { return answer_store(*store_, request); });
    if (answered.status == http::status::ok && target.name == "pins") tell_of_pin(request, target);
    co_return answered;
  }

  void tell_of_pin(const LocalRequest& request, const LocalTarget& target) const {
    if (request.method() == http::verb::put && options_.on_pinned) {
      const auto root = decode<store::Root>(*parse_cbor(request.body()));
      options_.on_pinned(root->cid);
    }
    if (request.method() == http::verb::delete_ && options_.on_unpinned) {
      options_.on_unpinned(*ContentId::parse(target.rest));
    }
  }

  json stats(const store::Usage& usage) {
    json stats = options_.about();
    const auto uptime = std::chrono::steady_clock::now() - started_;
    stats.update(stats_json(transfers_, usage, std::chrono::duration_cast<std::chrono::seconds>(uptime)));
    return stats;
  }

  /// Until the command closes the connection.
  asio::awaitable<void> hold(Socket& socket) {
    const auto held = co_await on_worker([this] { return store_->hold(); });
    if (!held) {
      const LocalReply refusal = refuse(held.error());
      co_return co_await send(socket, refusal, false);
    }
    co_await send_head(socket);
    char byte = 0;
    boost::system::error_code ignored;
    co_await socket.async_read_some(asio::buffer(&byte, 1), asio::redirect_error(use_awaitable, ignored));
  }

  struct Collecting {
    std::atomic<bool> wanted = true;
    std::mutex mutex;
    store::Collection progress;                       ///< Under the mutex.
    std::optional<Result<store::Collection>> result;  ///< On the io_context's thread.
  };

  static json progress_line(Collecting& state) {
    const std::lock_guard lock(state.mutex);
    return {{"progress", encode(state.progress)}};
  }

  static json result_line(const Result<store::Collection>& result) {
    return result ? json{{"done", encode(*result)}} : encode(result.error());
  }

  asio::awaitable<void> collect(Socket& socket, const LocalTarget& target) {
    auto state = std::make_shared<Collecting>();
    store::CollectOptions options;
    options.dry_run = target.parameter("dry-run") == "1";
    if (const std::string below = target.parameter("below"); !below.empty()) {
      const auto cid = ContentId::parse(below);
      if (!cid) {
        const LocalReply refusal = refuse(cid.error());
        co_return co_await send(socket, refusal, false);
      }
      options.below = *cid;
    }
    options.on_progress = [self = shared_from_this(), state](const store::Collection& progress) {
      const std::lock_guard lock(state->mutex);
      state->progress = progress;
      return state->wanted && !self->stopped_;
    };
    asio::steady_timer timer(io_);
    asio::post(workers_, [self = shared_from_this(), state, options = std::move(options), &timer] {
      auto result = self->store_->collect(options);
      asio::post(self->io_, [state, result = std::move(result), &timer] {
        state->result = result;
        timer.cancel();
      });
    });
    boost::system::error_code gone;
    co_await send_head(socket, gone);
    while (!state->result) {
      state->wanted = !gone && !stopped_;
      timer.expires_after(kProgressInterval);
      boost::system::error_code ignored;
      co_await timer.async_wait(asio::redirect_error(use_awaitable, ignored));
      if (state->result || gone) continue;
      const json line = progress_line(*state);
      co_await send_line(socket, line, gone);
    }
    if (gone) co_return;
    const json line = result_line(*state->result);
    co_await send_line(socket, line, gone);
  }

  /// Runs `work` on another thread: the disk may be slow. A coroutine stays on the executor that it was spawned on,
  /// hence one of its own.
  template <class Work>
  asio::awaitable<std::invoke_result_t<Work>> on_worker(Work work) {
    auto result = co_await asio::co_spawn(workers_, run(std::move(work)), use_awaitable);
    co_return *std::move(result);
  }

  /// Optional, because co_spawn() makes an empty result first.
  template <class Work>
  static asio::awaitable<std::optional<std::invoke_result_t<Work>>> run(Work work) {
    co_return work();
  }

  asio::awaitable<void> send(Socket& socket, const LocalReply& reply, bool keep) {
    http::response<http::empty_body> head{reply.status, 11};
    head.set(http::field::content_type, reply.type);
    head.keep_alive(keep);
    head.content_length(reply.body->size());
    http::response_serializer<http::empty_body> serializer(head);
    co_await http::async_write_header(socket, serializer, use_awaitable);
    co_await asio::async_write(socket, asio::buffer(*reply.body), use_awaitable);
  }

  /// Of an answer that ends with the connection.
  static asio::awaitable<void> send_head(Socket& socket, boost::system::error_code& error) {
    http::response<http::empty_body> head{http::status::ok, 11};
    head.set(http::field::content_type, "application/x-ndjson");
    head.keep_alive(false);
    http::response_serializer<http::empty_body> serializer(head);
    co_await http::async_write_header(socket, serializer, asio::redirect_error(use_awaitable, error));
  }

  static asio::awaitable<void> send_head(Socket& socket) {
    boost::system::error_code error;
    co_await send_head(socket, error);
  }

  static asio::awaitable<void> send_line(Socket& socket, const json& value, boost::system::error_code& error) {
    const std::string line = value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
    co_await asio::async_write(socket, asio::buffer(line), asio::redirect_error(use_awaitable, error));
  }

  asio::io_context& io_;
  stream_protocol::acceptor acceptor_;
  std::shared_ptr<store::BlockStore> store_;
  TransferManager& transfers_;
  LocalApiOptions options_;
  std::chrono::steady_clock::time_point started_;
  std::set<Socket*> sockets_;
  bool is_bound_ = false;
  std::atomic<bool> stopped_ = false;  ///< Also read by workers.
  asio::thread_pool workers_;
};

Result<std::unique_ptr<LocalApi>> LocalApi::listen(asio::io_context& io, std::shared_ptr<store::BlockStore> store,
                                                   TransferManager& transfers, LocalApiOptions options) {
  auto impl = std::make_shared<Impl>(io, std::move(store), transfers, std::move(options));
  if (auto listening = impl->listen(); !listening) return std::unexpected(listening.error());
  return std::unique_ptr<LocalApi>(new LocalApi(std::move(impl)));
}

LocalApi::LocalApi(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
LocalApi::~LocalApi() { impl_->stop(); }

}  // namespace codio::node
