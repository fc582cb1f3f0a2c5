#include "node/remote_store.h"

#include <mutex>
#include <optional>
#include <utility>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "content_id/car.h"
#include "content_id/multibase.h"
#include "node/local_protocol.h"

namespace codio::node {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::local::stream_protocol;
using content_id::ContentId;
using nlohmann::json;

namespace {

constexpr std::uint32_t kMaxHeader = 16 * 1024;
/// A line of a stream.
constexpr std::size_t kMaxLine = 64 * 1024;

std::unexpected<Error> went_away(const std::string& why) {
  return fail(ErrorCode::kIo, "the node that runs on this repo went away: " + why + "; run the command again");
}

std::unexpected<Error> misunderstood() {
  return fail(ErrorCode::kMalformed,
              "the node that runs on this repo is another version of codio: stop it and start this one");
}

/// What the node says in place of an answer.
std::unexpected<Error> refusal(BytesView body) {
  const json value = json::parse(body.begin(), body.end(), nullptr, /*allow_exceptions=*/false);
  auto error = decode<Error>(value);
  return error ? std::unexpected(*std::move(error)) : misunderstood();
}

template <class Answer>
Result<void> done(const Result<Answer>& answer) {
  return answer ? Result<void>() : std::unexpected(answer.error());
}

std::string of(const char* what, const ContentId& cid) { return std::string("/v1/") + what + "/" + cid.to_string(); }

}  // namespace

struct LocalClient::Connection {
  explicit Connection(asio::io_context& io) : socket(io) {}

  boost::system::error_code write(std::string_view method, const std::string& target, BytesView body) {
    http::request<http::empty_body> head{http::string_to_verb({method.data(), method.size()}), target, 11};
    head.set(http::field::host, "codio");
    head.content_length(body.size());
    http::request_serializer<http::empty_body> serializer(head);
    boost::system::error_code error;
    http::write_header(socket, serializer, error);
    if (!error && !body.empty()) asio::write(socket, asio::buffer(body.data(), body.size()), error);
    return error;
  }

  stream_protocol::socket socket;
  beast::flat_buffer buffer;
};

class LocalClient::Pool {
 public:
  asio::io_context& io() { return io_; }

  std::unique_ptr<Connection> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return nullptr;
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    return connection;
  }
  void give(std::unique_ptr<Connection> connection) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(connection));
  }

 private:
  asio::io_context io_;  ///< Never runs: all calls block.
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_;
};

LocalClient::LocalClient(std::filesystem::path socket) : socket_(std::move(socket)), pool_(std::make_unique<Pool>()) {}
LocalClient::~LocalClient() = default;

Result<std::unique_ptr<LocalClient>> LocalClient::connect(const std::filesystem::path& folder) {
  std::unique_ptr<LocalClient> client(new LocalClient(folder / kLocalSocket));
  auto connection = client->open();
  if (!connection) {
    return fail(ErrorCode::kUnavailable, "no node runs on the repo " + folder.string() +
                                             ": start one with `codio serve`, or choose another with --repo DIR");
  }
  client->pool_->give(*std::move(connection));
  return client;
}

Result<std::unique_ptr<LocalClient::Connection>> LocalClient::open() {
  const auto endpoint = LocalEndpoint::of(socket_);
  if (!endpoint) return std::unexpected(endpoint.error());
  auto connection = std::make_unique<Connection>(pool_->io());
  boost::system::error_code error;
  connection->socket.connect(endpoint->get(), error);
  if (error) return went_away(error.message());
  return connection;
}

Result<Bytes> LocalClient::ask(std::string_view method, const std::string& target, BytesView body) {
  auto connection = pool_->take();
  if (!connection) {
    auto opened = open();
    if (!opened) return std::unexpected(opened.error());
    connection = *std::move(opened);
  }
  if (const auto error = connection->write(method, target, body)) return went_away(error.message());
  http::response_parser<http::vector_body<std::uint8_t>> parser;
  parser.header_limit(kMaxHeader);
  parser.body_limit(kMaxLocalBody);
  boost::system::error_code error;
  http::read(connection->socket, connection->buffer, parser, error);
  if (error) return went_away(error.message());
  const bool is_done = parser.get().result() == http::status::ok;
  if (parser.keep_alive()) pool_->give(std::move(connection));
  if (!is_done) return refusal(parser.get().body());
  return std::move(parser.get().body());
}

Result<json> LocalClient::ask_json(std::string_view method, const std::string& target, const json& body) {
  const std::string text = body.is_null() ? "" : body.dump();
  const auto answer = ask(method, target, as_bytes(text));
  if (!answer) return std::unexpected(answer.error());
  json value = json::parse(answer->begin(), answer->end(), nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return misunderstood();
  return value;
}

Result<json> LocalClient::ask_cbor(std::string_view method, const std::string& target, BytesView body) {
  const auto answer = ask(method, target, body);
  if (!answer) return std::unexpected(answer.error());
  auto value = parse_cbor(*answer);
  return value ? value : misunderstood();
}

Result<void> LocalClient::follow(const std::string& target, const std::function<bool(const json&)>& take) {
  auto connection = open();
  if (!connection) return std::unexpected(connection.error());
  auto& [socket, buffer] = **connection;
  if (const auto error = (*connection)->write("POST", target, {})) return went_away(error.message());
  http::response_parser<http::vector_body<std::uint8_t>> parser;
  parser.header_limit(kMaxHeader);
  boost::system::error_code error;
  http::read_header(socket, buffer, parser, error);
  if (error) return went_away(error.message());
  if (parser.get().result() != http::status::ok) {
    http::read(socket, buffer, parser, error);
    return refusal(parser.get().body());
  }
  std::string rest(beast::buffers_to_string(buffer.data()));
  for (;;) {
    const std::size_t size = asio::read_until(socket, asio::dynamic_buffer(rest, kMaxLine), '\n', error);
    if (error == asio::error::eof && rest.empty()) return {};
    if (error) return went_away(error.message());
    const json value = json::parse(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(size), nullptr, false);
    rest.erase(0, size);
    if (value.is_discarded()) return misunderstood();
    if (!take(value)) return {};
  }
}

Result<std::shared_ptr<const void>> LocalClient::keep(const std::string& target) {
  auto connection = open();
  if (!connection) return std::unexpected(connection.error());
  if (const auto error = (*connection)->write("GET", target, {})) return went_away(error.message());
  http::response_parser<http::empty_body> parser;
  parser.header_limit(kMaxHeader);
  boost::system::error_code error;
  http::read_header((*connection)->socket, (*connection)->buffer, parser, error);
  if (error) return went_away(error.message());
  if (parser.get().result() != http::status::ok) return misunderstood();
  return std::shared_ptr<const void>(std::shared_ptr<Connection>(*std::move(connection)));
}

Result<void> RemoteStore::put(const ContentId& cid, BytesView bytes) {
  return done(client_->ask("PUT", of("blocks", cid), bytes));
}

Result<void> RemoteStore::put_many(std::span<const Entry> entries) {
  Bytes archive = content_id::car_header({});
  std::size_t size = archive.size();
  for (const Entry& entry : entries) size += entry.bytes.size() + 128;
  archive.reserve(size);
  for (const Entry& entry : entries) {
    append(archive, content_id::car_section_prefix(entry.cid, entry.bytes.size()));
    append(archive, entry.bytes);
  }
  return done(client_->ask("POST", "/v1/blocks", archive));
}

Result<void> RemoteStore::put_references(std::span<const ReferenceEntry> entries) {
  return done(client_->ask("POST", "/v1/references", to_cbor(encode_list(entries))));
}

Result<void> RemoteStore::sync() { return done(client_->ask("POST", "/v1/sync")); }

Result<std::optional<SharedBytes>> RemoteStore::get(const ContentId& cid) const {
  auto block = client_->ask("GET", of("blocks", cid));
  if (!block && block.error().code == ErrorCode::kNotFound) return std::nullopt;
  if (!block) return std::unexpected(block.error());
  return share(*std::move(block));
}

Result<bool> RemoteStore::touch(const ContentId& cid) const {
  const auto here = client_->ask_cbor("POST", of("touch", cid));
  if (!here) return std::unexpected(here.error());
  return here->is_boolean() ? Result<bool>(here->get<bool>()) : misunderstood();
}

Result<std::optional<std::uint64_t>> RemoteStore::size(const ContentId& cid) const {
  const auto info = client_->ask_cbor("GET", of("info", cid));
  if (!info) return std::unexpected(info.error());
  const auto size = info->find("size");
  if (size == info->end()) return misunderstood();
  return size->is_number_unsigned() ? std::optional(size->get<std::uint64_t>()) : std::nullopt;
}

Result<std::optional<store::Reference>> RemoteStore::reference(const ContentId& cid) const {
  const auto info = client_->ask_cbor("GET", of("info", cid));
  if (!info) return std::unexpected(info.error());
  const auto reference = info->find("reference");
  if (reference == info->end()) return misunderstood();
  if (reference->is_null()) return std::nullopt;
  auto decoded = decode<store::Reference>(*reference);
  if (!decoded) return misunderstood();
  return *std::move(decoded);
}

Result<void> RemoteStore::remove(const ContentId& cid) { return done(client_->ask("DELETE", of("blocks", cid))); }

Result<std::vector<store::BlockInfo>> RemoteStore::list(const std::optional<content_id::Multihash>& after,
                                                        std::size_t max) const {
  std::string target = "/v1/blocks?max=" + std::to_string(max);
  if (after) target += "&after=" + content_id::multibase_encode(content_id::Multibase::kBase16, after->bytes());
  const auto page = client_->ask_cbor("GET", target);
  if (!page) return std::unexpected(page.error());
  auto blocks = decode_list<store::BlockInfo>(*page);
  return blocks ? blocks : misunderstood();
}

Result<void> RemoteStore::add_root(const store::Root& root) {
  return done(client_->ask("PUT", "/v1/pins", to_cbor(encode(root))));
}

Result<void> RemoteStore::remove_root(const ContentId& cid) { return done(client_->ask("DELETE", of("pins", cid))); }

Result<std::vector<store::Root>> RemoteStore::roots() const {
  const auto list = client_->ask_cbor("GET", "/v1/pins");
  if (!list) return std::unexpected(list.error());
  auto roots = decode_list<store::Root>(*list);
  return roots ? roots : misunderstood();
}

Result<store::Hold> RemoteStore::hold() { return client_->keep("/v1/hold"); }

Result<store::Collection> RemoteStore::collect(const store::CollectOptions& options) {
  std::string target = std::string("/v1/collect?dry-run=") + (options.dry_run ? "1" : "0");
  if (options.below) target += "&below=" + options.below->to_string();
  std::optional<Result<store::Collection>> result;
  const auto followed = client_->follow(target, [&](const json& line) {
    if (line.contains("progress")) {
      const auto progress = decode<store::Collection>(line["progress"]);
      if (!progress || !options.on_progress || options.on_progress(*progress)) return true;
      result = fail(ErrorCode::kCancelled, "interrupted");
    } else if (line.contains("done")) {
      result = decode<store::Collection>(line["done"]);
    } else {
      const auto error = decode<Error>(line);
      result = error ? std::unexpected(*error) : misunderstood();
    }
    return false;
  });
  if (result) return *result;
  return followed ? went_away("it ended in the middle") : std::unexpected(followed.error());
}

Result<void> RemoteStore::set_limit(std::optional<std::uint64_t> limit) {
  return done(client_->ask_json("PATCH", "/v1/limits", {{"storeLimit", limit ? json(*limit) : json()}}));
}

Result<store::Usage> RemoteStore::usage() const {
  const auto usage = client_->ask_cbor("GET", "/v1/usage");
  if (!usage) return std::unexpected(usage.error());
  auto decoded = decode<store::Usage>(*usage);
  return decoded ? decoded : misunderstood();
}

}  // namespace codio::node
