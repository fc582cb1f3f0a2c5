#include "node/http_connection.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <utility>
#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>

#include "web/answer.h"

namespace codio::node {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::use_awaitable;
using asio::ip::tcp;

namespace {

constexpr std::size_t kWritePiece = 256 * 1024;
/// Pieces are gathered up to this.
constexpr std::size_t kGathered = 32 * 1024;

/// Of now, as every server that has a clock must: RFC 9110, 6.6.1. Made once a second.
const std::string& http_date() {
  thread_local std::time_t made_at = 0;
  thread_local std::string text;
  const std::time_t now = std::time(nullptr);
  if (now != made_at) {
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char buffer[sizeof "Thu, 01 Jan 1970 00:00:00 GMT"];
    text.assign(buffer, std::strftime(buffer, sizeof buffer, "%a, %d %b %Y %H:%M:%S GMT", &parts));
    made_at = now;
  }
  return text;
}

/// What the last answer of this thread was written into: the next one needs no memory.
std::string& spare() {
  thread_local std::string text;
  return text;
}

std::string_view view(boost::string_view text) { return {text.data(), text.size()}; }

std::variant<tcp::socket, asio::ssl::stream<tcp::socket>> make_stream(tcp::socket socket, asio::ssl::context* tls) {
  if (tls == nullptr) return socket;
  return std::variant<tcp::socket, asio::ssl::stream<tcp::socket>>(std::in_place_index<1>, std::move(socket), *tls);
}

}  // namespace

HttpConnection::HttpConnection(tcp::socket socket, asio::ssl::context* tls, Duration write_timeout)
    : stream_(make_stream(std::move(socket), tls)),
      write_timeout_(write_timeout),
      buffer_(kMaxRequestHead + kMaxRequestBody),
      timer_(this->socket().get_executor()) {
  boost::system::error_code ignored;
  this->socket().set_option(tcp::no_delay(true), ignored);
  client_ = this->socket().remote_endpoint(ignored).address();
  if (client_.is_v6() && client_.to_v6().is_v4_mapped()) {
    client_ = asio::ip::make_address_v4(asio::ip::v4_mapped, client_.to_v6());
  }
}

tcp::socket& HttpConnection::socket() {
  if (auto* tls = std::get_if<Tls>(&stream_)) return tls->next_layer();
  return std::get<Plain>(stream_);
}

tcp::endpoint HttpConnection::local() const {
  boost::system::error_code ignored;
  return const_cast<HttpConnection*>(this)->socket().local_endpoint(ignored);
}

void HttpConnection::expires_after(Duration most) {
  deadline_ = Clock::now() + most;
  if (!is_watched_ || deadline_ < timer_.expiry()) watch();
}

void HttpConnection::watch() {
  is_watched_ = true;
  timer_.expires_at(deadline_);
  timer_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self) return;
    self->is_watched_ = false;
    if (Clock::now() >= self->deadline_) return self->close();
    if (self->deadline_ != Clock::time_point::max()) self->watch();
  });
}

asio::awaitable<void> HttpConnection::handshake(Duration most) {
  auto* tls = std::get_if<Tls>(&stream_);
  if (tls == nullptr) co_return;
  expires_after(most);
  co_await tls->async_handshake(asio::ssl::stream_base::server, use_awaitable);
  expires_never();
}

asio::awaitable<boost::system::error_code> HttpConnection::read(Parser& parser, Duration most) {
  boost::system::error_code error;
  expires_after(most);
  is_reading_ = true;
  if (auto* tls = std::get_if<Tls>(&stream_)) {
    co_await http::async_read(*tls, buffer_, parser, asio::redirect_error(use_awaitable, error));
  } else {
    co_await http::async_read(std::get<Plain>(stream_), buffer_, parser, asio::redirect_error(use_awaitable, error));
  }
  is_reading_ = false;
  expires_never();
  co_return error;
}

asio::awaitable<std::size_t> HttpConnection::read_some(asio::mutable_buffer into, boost::system::error_code& error) {
  if (auto* tls = std::get_if<Tls>(&stream_))
    co_return co_await tls->async_read_some(into, asio::redirect_error(use_awaitable, error));
  co_return co_await std::get<Plain>(stream_).async_read_some(into, asio::redirect_error(use_awaitable, error));
}

asio::awaitable<void> HttpConnection::write(BytesView first, BytesView second) {
  while (!first.empty() || !second.empty()) {
    const BytesView head = first.first(std::min(first.size(), kWritePiece));
    first = first.subspan(head.size());
    const BytesView tail =
        first.empty() ? second.first(std::min(second.size(), kWritePiece - head.size())) : BytesView();
    second = second.subspan(tail.size());
    const std::array<asio::const_buffer, 2> buffers{asio::buffer(head.data(), head.size()),
                                                    asio::buffer(tail.data(), tail.size())};
    expires_after(write_timeout_);
    if (auto* tls = std::get_if<Tls>(&stream_)) {
      co_await asio::async_write(*tls, buffers, use_awaitable);
    } else {
      co_await asio::async_write(std::get<Plain>(stream_), buffers, use_awaitable);
    }
  }
  expires_never();
}

void HttpConnection::close() {
  boost::system::error_code ignored;
  socket().shutdown(tcp::socket::shutdown_both, ignored);
  socket().close(ignored);
}

void HttpConnection::cancel_read() {
  boost::system::error_code ignored;
  if (is_reading_) socket().cancel(ignored);
}

HttpCall::HttpCall(HttpConnection& connection, const HttpConnection::Parser::value_type& message)
    : connection_(connection), message_(message), keep_alive_(message.keep_alive()) {
  request_.is_head = message.method() == http::verb::head;
  request_.target = view(message.target());
  request_.is_encrypted = connection.is_encrypted();
  for (const auto& field : message) {
    const std::string_view value = view(field.value());
    switch (field.name()) {
      case http::field::host: request_.host = value; break;
      case http::field::accept: request_.accept = value; break;
      // HEAD asks how long a file is, and browsers would tell of the compressed one.
      case http::field::accept_encoding: request_.accept_encoding = request_.is_head ? "" : value; break;
      case http::field::range: request_.range = value; break;
      case http::field::if_range: request_.if_range = value; break;
      case http::field::if_none_match: request_.if_none_match = value; break;
      case http::field::cache_control: request_.cache_control = value; break;
      default: {
        const auto named = [&](std::string_view name) {
          return field.name_string().size() == name.size() &&
                 beast::iequals(field.name_string(), {name.data(), name.size()});
        };
        if (named("Service-Worker")) request_.service_worker = value;
        if (named("X-Forwarded-Host")) request_.forwarded_host = value;
        if (named("X-Forwarded-Proto")) request_.forwarded_proto = value;
        break;
      }
    }
  }
}

std::string_view HttpCall::method() const { return view(message_.method_string()); }

bool HttpCall::is_without_host() const { return message_.version() >= 11 && message_.count(http::field::host) != 1; }

bool HttpCall::is_forwarded() const {
  return message_.count("X-Forwarded-For") != 0 || message_.count(http::field::forwarded) != 0 ||
         !request_.forwarded_host.empty();
}

asio::awaitable<void> HttpCall::respond(web::Head head, std::string_view body) {
  if (head.status != 304 && head.status != 204) head.add("Content-Length", std::to_string(body.size()));
  begin(std::move(head));
  if (!request_.is_head) co_await write(as_bytes(body));
  co_await end();
}

asio::awaitable<void> HttpCall::refuse(int status, std::string message) {
  return refuse(web::Refusal{status, std::move(message)});
}

asio::awaitable<void> HttpCall::refuse(web::Refusal refusal) {
  web::Page page = web::explain(request_, refusal);
  co_await respond(std::move(page.head), page.body);
}

void HttpCall::begin(web::Head head) {
  status_ = head.status;
  const bool has_body = status_ != 304 && status_ != 204;
  if (has_body && head.get("Content-Length").empty()) {
    chunked_ = message_.version() >= 11 && !request_.is_head;
    if (message_.version() >= 11) {
      head.add("Transfer-Encoding", "chunked");
    } else {
      keep_alive_ = false;
    }
  }
  head.add("Date", http_date());
  if (!keep_alive_) head.add("Connection", "close");
  if (keep_alive_ && message_.version() < 11) head.add("Connection", "keep-alive");
  pending_ = std::exchange(spare(), {});
  web::write_head(head, message_.version(), pending_);
}

asio::awaitable<void> HttpCall::write(BytesView piece) {
  if (piece.empty()) co_return;
  sent_ += piece.size();
  if (!chunked_) {
    if (pending_.size() + piece.size() > kGathered) co_return co_await flush(piece);
    pending_ += as_text(piece);
    co_return;
  }
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
  pending_ += size;
  if (pending_.size() + piece.size() > kGathered) {
    co_await flush(piece);
  } else {
    pending_ += as_text(piece);
  }
  pending_ += "\r\n";
}

asio::awaitable<void> HttpCall::send_now() { return flush({}); }

asio::awaitable<void> HttpCall::end() {
  if (chunked_) pending_ += "0\r\n\r\n";
  return flush({});
}

HttpCall::~HttpCall() {
  pending_.clear();
  if (pending_.capacity() > spare().capacity()) spare() = std::move(pending_);
}

asio::awaitable<void> HttpCall::flush(BytesView more) {
  flushed_ = true;
  co_await connection_.write(as_bytes(pending_), more);
  pending_.clear();
}

bool HttpCall::take_back() {
  if (flushed_) return false;
  pending_.clear();
  chunked_ = false;
  sent_ = 0;
  return true;
}

void HttpCall::abort() { throw boost::system::system_error(asio::error::connection_aborted); }

}  // namespace codio::node
