// A peer's side of the rendezvous, docs/protocol.md §2: one WebSocket that is kept open.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/address.hpp>

#include "common/result.h"
#include "content_id/cid.h"
#include "identity/identity.h"
#include "rendezvous/messages.h"
#include "rendezvous/server_url.h"

namespace codio::rendezvous {

/// Who serves a CID, as far as the server knows.
struct Found {
  std::vector<std::string> peers;    ///< At this rendezvous, best first.
  std::vector<Elsewhere> elsewhere;  ///< At others.
  bool more = false;                 ///< More will come.
};

/// What a client tells its owner, on its executor; never from inside a call into the client, nor after its destructor
/// began. Any may be empty.
struct ClientEvents {
  /// Others can reach the client. Without a key it is by another id than before; sessions of an earlier connection are
  /// void.
  std::function<void(const Welcome&)> on_connected;
  /// The connection ended, or could not be made; the error names the server and the cause. Another try follows by
  /// itself.
  std::function<void(const Error&)> on_disconnected;
  std::function<void(Offer)> on_offer;
  std::function<void(Answer)> on_answer;
  std::function<void(Candidate)> on_candidate;
  std::function<void(Unreachable)> on_unreachable;
  /// Those of the welcome are void soon.
  std::function<void(const std::vector<IceServer>&)> on_ice_servers;
  /// The server refused something, or sent what we do not understand and ignored; for the log.
  std::function<void(const Error&)> on_warning;
};

/// Keeps a connection to one of several servers that know the same peers: reconnects, to the next when one fails or
/// says that it goes, announces everything again and in time to be remembered, asks pending questions again. For `wss:`
/// the certificate is always verified, against the system's roots (OpenSSL's SSL_CERT_FILE and SSL_CERT_DIR count).
///
/// Threads: everything happens on `executor`, which must not run handlers concurrently.
class Client {
 public:
  struct Options {
    std::optional<identity::Key> key;                   ///< Who the client is; nothing: somebody without a key.
    std::chrono::milliseconds connect_timeout{10'000};  ///< From the first try to the server's welcome.
    std::chrono::milliseconds find_timeout{10'000};     ///< Includes waiting for the connection.
    /// Between tries: doubles from the first to the last, times a random half to whole, so that the clients of a server
    /// that restarted do not all come at once.
    std::chrono::milliseconds first_delay{500};
    std::chrono::milliseconds last_delay{30'000};
    std::chrono::seconds idle_timeout{60};  ///< A silent server is gone; it is pinged after half of this.
    /// Bytes not yet taken by the server; offers and candidates above are dropped with a warning.
    std::size_t max_unsent = 1 << 20;
    /// Whether the server at this address may be connected to; empty: any may. A stranger's name may lead to our own
    /// network.
    std::function<bool(const boost::asio::ip::address&)> may_connect;
  };
  using OnFound = std::function<void(Result<Found>)>;

  /// `urls` has at least one; they are tried in order.
  Client(boost::asio::any_io_executor executor, std::vector<ServerUrl> urls, ClientEvents events, Options options);
  Client(boost::asio::any_io_executor executor, std::vector<ServerUrl> urls, ClientEvents events)
      : Client(std::move(executor), std::move(urls), std::move(events), Options()) {}
  Client(boost::asio::any_io_executor executor, ServerUrl url, ClientEvents events, Options options)
      : Client(std::move(executor), std::vector{std::move(url)}, std::move(events), options) {}
  Client(boost::asio::any_io_executor executor, ServerUrl url, ClientEvents events)
      : Client(std::move(executor), std::move(url), std::move(events), Options()) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  /// Adds to what is announced, now and after every reconnection. Calls made at once travel in batches.
  void announce(const content_id::ContentId& cid);
  void withdraw(const content_id::ContentId& cid);

  /// Asks who serves `cid`. `on_found` is called with what is known at once, and again as long as there was `more`;
  /// peers may be named again. kTimeout or the server's refusal ends it, and kUnavailable when none of the servers
  /// could be reached in turn. It is not called after the client is destroyed.
  void find(const content_id::ContentId& cid, OnFound on_found);

  /// Passed on by the server to `peer`; dropped while not connected, as sessions do not outlive a connection.
  void send(Offer message);
  void send(Answer message);
  void send(Candidate message);

  /// As on_connected and on_disconnected tell.
  bool is_connected() const;
  const ServerUrl& url() const;  ///< Of the server that it is connected to, or that is tried.

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace codio::rendezvous
