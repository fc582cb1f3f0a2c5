// The rendezvous server: WebSockets on one side, a Directory on the other. docs/protocol.md §2.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <utility>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>

#include "rendezvous/directory.h"

namespace codio::rendezvous {

/// Serves connections that an HTTP server accepted. It speaks plain `ws:`; TLS ends in front of it.
///
/// Threads: everything happens on `executor`, which must not run handlers concurrently; the streams' executors must be
/// the same.
class Server {
 public:
  struct Options {
    Directory::Options directory;
    /// Written but not yet taken by a client; one that does not read holds no more memory than this.
    std::size_t max_unread = 1 << 20;
    /// A silent client is closed after this, and pinged after half of it: mobile networks forget a silent connection
    /// after about a minute.
    std::chrono::seconds idle_timeout{60};
  };

  Server(boost::asio::any_io_executor executor, Options options);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();  ///< Drops every connection.

  /// Takes over a connection whose first request asked for the rendezvous. The request is answered here: upgraded, or
  /// refused with 400 (no WebSocket, or not our subprotocol) or 429 (too many connections of `client`, of one /64 for
  /// IPv6) and closed. `client` is whom the limit counts: the stream's other end, or whom a trusted proxy names.
  void accept(boost::beast::tcp_stream stream, boost::beast::http::request<boost::beast::http::string_body> request,
              const boost::asio::ip::address& client);

  /// Tells every client with 1001 that the server goes, and accepts no more. They are gone soon after.
  void close();

  const Directory& directory() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace codio::rendezvous
