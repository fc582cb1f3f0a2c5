#include "node/local_api.h"

#include <atomic>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <mutex>
#include <set>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>
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

#include "content_id/car.h"
#include "content_id/multibase.h"
#include "node/local_protocol.h"

namespace codio::node {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::use_awaitable;
using asio::local::stream_protocol;
using content_id::ContentId;
using nlohmann::json;
using Request = http::request<http::vector_body<std::uint8_t>>;

namespace {

constexpr std::uint32_t kMaxHeader = 16 * 1024;
constexpr std::size_t kMaxConnections = 256;
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
/// How often a collection tells how far it is.
constexpr auto kProgressInterval = std::chrono::milliseconds(100);

constexpr const char* kJson = "application/json";
constexpr const char* kCbor = "application/cbor";
constexpr const char* kBlock = "application/vnd.ipld.raw";

struct Reply {
  http::status status = http::status::ok;
  const char* type = kCbor;
  SharedBytes body;
};

Reply reply(const json& value, const char* type = kCbor) {
  if (type == kCbor) return {http::status::ok, type, share(to_cbor(value))};
  const std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  const BytesView bytes = as_bytes(text);
  return {http::status::ok, type, share(Bytes(bytes.begin(), bytes.end()))};
}

Reply refuse(const Error& error) {
  Reply refusal = reply(encode(error), kJson);
  switch (error.code) {
    case ErrorCode::kNotFound: refusal.status = http::status::not_found; break;
    case ErrorCode::kMalformed: refusal.status = http::status::bad_request; break;
    default: refusal.status = http::status::internal_server_error;
  }
  return refusal;
}

/// What is done is all there is to say.
Reply reply_done(const Result<void>& done) { return done ? reply(json::object()) : refuse(done.error()); }

template <class T>
Reply reply_encoded(const Result<T>& value) {
  return value ? reply(encode(*value)) : refuse(value.error());
}

Error unknown(std::string_view what) {
  return {ErrorCode::kNotFound,
          "the node knows no " + std::string(what) + ": it is another version of codio; stop it and start this one"};
}

Error too_large() { return {ErrorCode::kTooLarge, "the request is too large"}; }

/// `/v1/NAME[/REST][?QUERY]`
struct Target {
  std::string name;
  std::string rest;
  std::string query;

  explicit Target(std::string_view text) {
    const std::size_t mark = std::min(text.find('?'), text.size());
    query = text.substr(std::min(mark + 1, text.size()));
    text = text.substr(0, mark);
    constexpr std::string_view kPrefix = "/v1/";
    if (!text.starts_with(kPrefix)) return;
    text.remove_prefix(kPrefix.size());
    const std::size_t slash = std::min(text.find('/'), text.size());
    name = text.substr(0, slash);
    rest = text.substr(std::min(slash + 1, text.size()));
  }

  std::string parameter(std::string_view wanted) const {
    for (std::string_view left = query; !left.empty();) {
      const std::size_t end = std::min(left.find('&'), left.size());
      const std::string_view pair = left.substr(0, end);
      left.remove_prefix(std::min(end + 1, left.size()));
      if (pair.starts_with(wanted) && pair.substr(wanted.size()).starts_with('=')) {
        return std::string(pair.substr(wanted.size() + 1));
      }
    }
    return {};
  }
};

std::string_view target_of(const Request& request) { return {request.target().data(), request.target().size()}; }

// The store's part; on a thread of the pool.

Reply put_blocks(store::BlockStore& store, const Bytes& archive) {
  content_id::CarReader reader;
  reader.append(archive);
  std::vector<content_id::CarBlock> blocks;
  for (;;) {
    auto block = reader.poll_block();
    if (!block) return refuse(block.error());
    if (!*block) break;
    blocks.push_back(**std::move(block));
  }
  if (!reader.at_boundary()) return refuse({ErrorCode::kMalformed, "the blocks end early"});
  std::vector<store::BlockStore::Entry> entries;
  entries.reserve(blocks.size());
  for (const auto& block : blocks) entries.push_back({block.cid, *block.bytes});
  return reply_done(store.put_many(entries));
}

Reply put_references(store::BlockStore& store, const Bytes& body) {
  const auto value = parse_cbor(body);
  if (!value) return refuse(value.error());
  const auto entries = decode_list<store::BlockStore::ReferenceEntry>(*value);
  return entries ? reply_done(store.put_references(*entries)) : refuse(entries.error());
}

Reply list_blocks(const store::BlockStore& store, const Target& target) {
  std::optional<content_id::Multihash> after;
  if (const std::string text = target.parameter("after"); !text.empty()) {
    const auto bytes = content_id::multibase_decode(text);
    if (!bytes) return refuse(bytes.error());
    BytesView view(*bytes);
    auto hash = content_id::Multihash::take(view);
    if (!hash) return refuse(hash.error());
    after = *std::move(hash);
  }
  std::size_t max = 0;
  const std::string text = target.parameter("max");
  std::from_chars(text.data(), text.data() + text.size(), max);
  const auto page = store.list(after, std::min(max, kMaxLocalPage));
  return page ? reply(encode_list(std::span(*page))) : refuse(page.error());
}

Reply describe_block(const store::BlockStore& store, const ContentId& cid) {
  const auto size = store.size(cid);
  if (!size) return refuse(size.error());
  const auto reference = store.reference(cid);
  if (!reference) return refuse(reference.error());
  return reply({{"size", *size ? json(**size) : json()}, {"reference", *reference ? encode(**reference) : json()}});
}

Reply get_block(const store::BlockStore& store, const ContentId& cid) {
  auto block = store.get(cid);
  if (!block) return refuse(block.error());
  if (!*block) return refuse({ErrorCode::kNotFound, "block " + cid.to_string() + " is not in the store"});
  return {http::status::ok, kBlock, **std::move(block)};
}

Reply pin(store::BlockStore& store, const Bytes& body) {
  const auto value = parse_cbor(body);
  if (!value) return refuse(value.error());
  const auto root = decode<store::Root>(*value);
  return root ? reply_done(store.add_root(*root)) : refuse(root.error());
}

Reply answer_store(store::BlockStore& store, const Request& request) {
  const Target target(target_of(request));
  const auto is = [&](http::verb verb, std::string_view name) {
    return request.method() == verb && target.name == name;
  };
  if (target.rest.empty()) {
    if (is(http::verb::get, "blocks")) return list_blocks(store, target);
    if (is(http::verb::post, "blocks")) return put_blocks(store, request.body());
    if (is(http::verb::post, "references")) return put_references(store, request.body());
    if (is(http::verb::post, "sync")) return reply_done(store.sync());
    if (is(http::verb::put, "pins")) return pin(store, request.body());
    if (is(http::verb::get, "usage")) return reply_encoded(store.usage());
    if (is(http::verb::get, "pins")) {
      const auto roots = store.roots();
      return roots ? reply(encode_list(std::span(*roots))) : refuse(roots.error());
    }
    return refuse(unknown(target_of(request)));
  }
  const auto cid = ContentId::parse(target.rest);
  if (!cid) return refuse(cid.error());
  if (is(http::verb::get, "blocks")) return get_block(store, *cid);
  if (is(http::verb::put, "blocks")) return reply_done(store.put(*cid, request.body()));
  if (is(http::verb::delete_, "blocks")) return reply_done(store.remove(*cid));
  if (is(http::verb::get, "info")) return describe_block(store, *cid);
  if (is(http::verb::delete_, "pins")) return reply_done(store.remove_root(*cid));
  if (is(http::verb::post, "touch")) {
    const auto here = store.touch(*cid);
    return here ? reply(*here) : refuse(here.error());
  }
  return refuse(unknown(target_of(request)));
}

// The node's part.

json rate_json(const std::optional<std::uint64_t>& rate) { return rate ? json(*rate) : json(); }

using RateChange = std::optional<std::optional<std::uint64_t>>;

/// Nothing if the field is not there; an inner nothing if it is null.
Result<RateChange> rate_field(const json& body, const char* name) {
  const auto field = body.find(name);
  if (field == body.end()) return RateChange();
  if (field->is_null()) return RateChange(std::in_place, std::nullopt);
  if (field->is_number_unsigned()) return RateChange(std::in_place, field->get<std::uint64_t>());
  return fail(ErrorCode::kMalformed, std::string(name) + " is no number of bytes");
}

Result<LimitChanges> parse_limits(const Bytes& text) {
  const json body = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!body.is_object()) return fail(ErrorCode::kMalformed, "the limits are no JSON object");
  LimitChanges changes;
  for (const auto& [name, target] :
       {std::pair("maxUpload", &changes.upload_rate), std::pair("maxDownload", &changes.download_rate),
        std::pair("storeLimit", &changes.store_limit)}) {
    auto rate = rate_field(body, name);
    if (!rate) return std::unexpected(rate.error());
    *target = *rate;
  }
  if (const auto slots = body.find("uploadSlots"); slots != body.end()) {
    if (!slots->is_number_unsigned() || *slots == 0) {
      return fail(ErrorCode::kMalformed, "uploadSlots is no number of peers");
    }
    changes.upload_slots = slots->get<std::size_t>();
  }
  return changes;
}

json transfer_json(const TransferProgress& transfer) {
  const transfer::Progress& progress = transfer.progress;
  json peers = json::array();
  for (std::size_t i = 0; i < progress.peers.size(); ++i) {
    peers.push_back(
        {{"id", transfer.peers.at(i)}, {"bytes", progress.peers[i].bytes}, {"rate", progress.peers[i].rate}});
  }
  return {{"cid", transfer.root.to_string()},
          {"received", progress.received},
          {"total", rate_json(progress.total)},
          {"verified", progress.verified},
          {"fromStore", progress.from_store},
          {"fromPeers", progress.from_peers},
          {"fromGateways", progress.from_gateways},
          {"duplicates", progress.duplicates},
          {"rate", progress.rate},
          {"averageRate", progress.average_rate},
          {"remaining", progress.remaining ? json(std::chrono::duration<double>(*progress.remaining).count()) : json()},
          {"peers", peers}};
}

/// Resident bytes of this process; 0 if they cannot be known.
std::uint64_t memory_in_use() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  file >> size >> resident;
  return file ? resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

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
          const Reply refusal = refuse(too_large());
          co_await self->send(socket, refusal, false);
          break;
        }
        if (error) break;
        const Request request = parser.release();
        const Target target(target_of(request));
        if (target.name == "hold") co_return co_await self->hold(socket);
        if (target.name == "collect") co_return co_await self->collect(socket, target);
        keep = request.keep_alive();
        const Reply answer = co_await self->answer(request, target);
        co_await self->send(socket, answer, keep);
      }
    } catch (const boost::system::system_error&) {
      // The command went.
    }
  }

  asio::awaitable<Reply> answer(const Request& request, const Target& target) {
    const bool is_get = request.method() == http::verb::get;
    if (is_get && target.name == "peers") co_return reply(peers(), kJson);
    if (is_get && target.name == "stats") {
      const auto usage = co_await on_worker([this] { return store_->usage(); });
      co_return usage ? reply(stats(*usage), kJson) : refuse(usage.error());
    }
    if (target.name == "limits") {
      if (request.method() == http::verb::patch) {
        const auto changes = parse_limits(request.body());
        if (!changes) co_return refuse(changes.error());
        if (auto changed = change(*changes); !changed) co_return refuse(changed.error());
      }
      const auto usage = co_await on_worker([this] { return store_->usage(); });
      co_return usage ? reply(limits(usage->limit), kJson) : refuse(usage.error());
    }
    Reply answered = co_await on_worker([this, &request] { return answer_store(*store_, request); });
    if (answered.status == http::status::ok && target.name == "pins") tell_of_pin(request, target);
    co_return answered;
  }

  void tell_of_pin(const Request& request, const Target& target) const {
    if (request.method() == http::verb::put && options_.on_pinned) {
      const auto root = decode<store::Root>(*parse_cbor(request.body()));
      options_.on_pinned(root->cid);
    }
    if (request.method() == http::verb::delete_ && options_.on_unpinned) {
      options_.on_unpinned(*ContentId::parse(target.rest));
    }
  }

  json peers() {
    json list = json::array();
    for (const PeerInfo& peer : transfers_.peers()) {
      list.push_back({{"id", peer.id},
                      {"downloaded", peer.stats.downloaded},
                      {"uploaded", peer.stats.uploaded},
                      {"downloadRate", peer.stats.download_rate},
                      {"uploadRate", peer.stats.upload_rate},
                      {"window", peer.stats.window}});
    }
    return list;
  }

  json stats(const store::Usage& usage) {
    const auto peers = transfers_.peers();
    double upload_rate = 0;
    double download_rate = 0;
    for (const PeerInfo& peer : peers) {
      upload_rate += peer.stats.upload_rate;
      download_rate += peer.stats.download_rate;
    }
    json transfers = json::array();
    for (const TransferProgress& transfer : transfers_.transfers()) transfers.push_back(transfer_json(transfer));
    const transfer::Totals& totals = transfers_.totals();
    json result = options_.about();
    const auto uptime = std::chrono::steady_clock::now() - started_;
    result.update({{"id", transfers_.id()},
                   {"uptime", std::chrono::duration_cast<std::chrono::seconds>(uptime).count()},
                   {"connections", peers.size()},
                   {"uploaded", totals.uploaded},
                   {"downloaded", totals.from_peers},
                   {"fromGateways", totals.from_gateways},
                   {"duplicates", totals.duplicates},
                   {"uploadRate", upload_rate},
                   {"downloadRate", download_rate},
                   {"transfers", transfers},
                   {"store",
                    {{"path", usage.folder},
                     {"blocks", usage.blocks},
                     {"bytes", usage.bytes},
                     {"references", usage.references},
                     {"referenceBytes", usage.reference_bytes},
                     {"pins", usage.pins},
                     {"diskBytes", usage.disk_bytes}}},
                   {"memory", memory_in_use()},
                   {"limits", limits(usage.limit)}});
    return result;
  }

  json limits(const std::optional<std::uint64_t>& store_limit) const {
    const transfer::Limits& limits = transfers_.limits();
    return {{"maxUpload", rate_json(limits.upload_rate)},
            {"maxDownload", rate_json(limits.download_rate)},
            {"uploadSlots", limits.upload_slots},
            {"storeLimit", rate_json(store_limit)}};
  }

  Result<void> change(const LimitChanges& changes) {
    transfer::Limits limits = transfers_.limits();
    limits.upload_rate = changes.upload_rate.value_or(limits.upload_rate);
    limits.download_rate = changes.download_rate.value_or(limits.download_rate);
    limits.upload_slots = changes.upload_slots.value_or(limits.upload_slots);
    transfers_.set_limits(limits);
    return changes.store_limit ? store_->set_limit(*changes.store_limit) : Result<void>();
  }

  /// Until the command closes the connection.
  asio::awaitable<void> hold(Socket& socket) {
    const auto held = co_await on_worker([this] { return store_->hold(); });
    if (!held) {
      const Reply refusal = refuse(held.error());
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

  asio::awaitable<void> collect(Socket& socket, const Target& target) {
    auto state = std::make_shared<Collecting>();
    store::CollectOptions options;
    options.dry_run = target.parameter("dry-run") == "1";
    if (const std::string below = target.parameter("below"); !below.empty()) {
      const auto cid = ContentId::parse(below);
      if (!cid) {
        const Reply refusal = refuse(cid.error());
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

  asio::awaitable<void> send(Socket& socket, const Reply& reply, bool keep) {
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
