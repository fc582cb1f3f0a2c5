// One connection of the HTTP server, plain or encrypted, and one request on it that is being answered.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "common/bytes.h"
#include "common/time.h"
#include "web/http.h"

namespace codio::node {

/// Failures of the connection are boost::system::system_error: whoever owns it closes it then. What takes longer than
/// it may closes it, too. Only in a shared_ptr.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  /// `tls` is null for a plain one; it must outlive the handshake. `write_timeout`: for each 256 KiB that are written.
  HttpConnection(boost::asio::ip::tcp::socket socket, boost::asio::ssl::context* tls, Duration write_timeout);

  boost::asio::awaitable<void> handshake(Duration most);
  /// One request; what follows it on the connection is kept for the next.
  boost::asio::awaitable<boost::system::error_code> read(Parser& parser, Duration most);
  /// Two buffers in one write; either may be empty.
  boost::asio::awaitable<void> write(BytesView first, BytesView second);
  void close();
  /// Ends the wait for a request, if there is one.
  void cancel_read();

  bool is_encrypted() const { return std::holds_alternative<Tls>(stream_); }
  const boost::asio::ip::address& client() const { return client_; }
  boost::asio::ip::tcp::endpoint local() const;
  boost::asio::ip::tcp::socket& socket();
  /// Reads and writes what is neither request nor answer any more.
  boost::asio::awaitable<std::size_t> read_some(boost::asio::mutable_buffer into, boost::system::error_code& error);

 private:
  using Clock = std::chrono::steady_clock;
  using Plain = boost::asio::ip::tcp::socket;
  using Tls = boost::asio::ssl::stream<Plain>;

  /// What begins now is to end by then.
  void expires_after(Duration most);
  void expires_never() { deadline_ = Clock::time_point::max(); }
  void watch();

  std::variant<Plain, Tls> stream_;
  boost::asio::ip::address client_;
  Duration write_timeout_;
  boost::beast::flat_buffer buffer_;
  /// One timer for all, which looks at the deadline when it fires: to set it for each read and write would cost a small
  /// answer more than to send it.
  Clock::time_point deadline_ = Clock::time_point::max();
  boost::asio::steady_timer timer_;
  bool is_watched_ = false;
  bool is_reading_ = false;  ///< A request.
};

inline constexpr std::uint32_t kMaxRequestHead = 16 * 1024;
inline constexpr std::uint64_t kMaxRequestBody = 4096;

/// An answer under way. Heads get their connection's headers here: Date, Connection, Transfer-Encoding.
class HttpCall {
 public:
  HttpCall(HttpConnection& connection, const HttpConnection::Parser::value_type& message);
  ~HttpCall();
  HttpCall(const HttpCall&) = delete;
  HttpCall& operator=(const HttpCall&) = delete;

  const web::Request& request() const { return request_; }
  std::string_view method() const;
  /// Without one Host header, which HTTP/1.1 demands.
  bool is_without_host() const;
  /// A proxy passed it on.
  bool is_forwarded() const;
  HttpConnection& connection() { return connection_; }

  /// A whole answer. The body does not go out in answer to HEAD.
  boost::asio::awaitable<void> respond(web::Head head, std::string_view body);
  boost::asio::awaitable<void> refuse(web::Refusal refusal);
  /// Not by a Refusal made in place: g++ 12 destroys twice what is in braces where a coroutine waits.
  boost::asio::awaitable<void> refuse(int status, std::string message);
  /// The head, then pieces, then end(). The head says how long the body is; if it does not, the body is chunked, or,
  /// for HTTP/1.0, ends with the connection.
  void begin(web::Head head);
  /// Small pieces are gathered; a large one is on its way when it returns.
  boost::asio::awaitable<void> write(BytesView piece);
  /// What was gathered is on its way when it returns.
  boost::asio::awaitable<void> send_now();
  boost::asio::awaitable<void> end();
  /// Takes an answer back of which nothing went out; false if something did.
  bool take_back();
  /// Ends the connection in the middle of the answer, so that the client sees that it is not whole.
  [[noreturn]] void abort();

  void close_after() { keep_alive_ = false; }
  bool keep_alive() const { return keep_alive_; }
  int status() const { return status_; }
  std::uint64_t sent() const { return sent_; }

 private:
  boost::asio::awaitable<void> flush(BytesView more);

  HttpConnection& connection_;
  const HttpConnection::Parser::value_type& message_;
  web::Request request_;
  std::string pending_;  ///< Of the head and small pieces.
  bool chunked_ = false;
  bool keep_alive_;
  bool flushed_ = false;
  int status_ = 0;
  std::uint64_t sent_ = 0;  ///< Of bodies.
};

}  // namespace codio::node
