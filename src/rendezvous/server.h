// The rendezvous server: WebSockets on one side, a Directory on the other. docs/protocol.md §2.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>
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
  using OnElsewhere = std::function<void(std::vector<Elsewhere>)>;
  /// Looks for providers of a CID that meet at other rendezvous and gives them to `answer`, once, on the executor: at
  /// once, or later, even after the Server is gone. The first kMaxElsewhere are passed on to who asks; an answer after
  /// directory.search_timeout is too late.
  using FindElsewhere = std::function<void(const content_id::ContentId& cid, OnElsewhere answer)>;

  struct Options {
    Directory::Options directory;
    /// Written but not yet taken by a client; one that does not read holds no more memory than this.
    std::size_t max_unread = 1 << 20;
    /// A silent client is closed after this, and pinged after half of it: mobile networks forget a silent connection
    /// after about a minute.
    std::chrono::seconds idle_timeout{60};
    /// For one message, from its first byte to its last: longer than any link that signalling works over needs.
    std::chrono::seconds message_timeout{30};
    /// Asked when fewer than directory.enough_providers are known here; empty: nobody is.
    FindElsewhere find_elsewhere;
    /// What check_bus_urls() accepts: nodes on one bus are one rendezvous. Empty: this one is alone.
    std::string bus;
    /// That the bus was joined, or lost.
    std::function<void(const std::string&)> on_log;
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

  /// Tells every client to connect elsewhere, spread over at most `most`, and accepts no more; closes those that stay.
  /// Then, or as soon as none is left, `on_left` is called.
  void leave(Duration most, std::function<void()> on_left);

  /// Told to those who come and to those who are here.
  void set_ice_servers(std::vector<IceServer> servers);

  const Directory& directory() const;
  /// Clients that announced the CID, as who asks here is told them: at most 32.
  std::vector<std::string> providers(const content_id::ContentId& cid);
  std::size_t sisters() const;  ///< Other nodes on the bus.

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace codio::rendezvous
