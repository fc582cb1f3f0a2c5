// The node's HTTP side: the descriptor, blocks and files, the browser's files, and the way in to the rendezvous.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include <boost/asio/io_context.hpp>

#include "common/result.h"
#include "identity/identity.h"
#include "node/content_server.h"
#include "node/http_metrics.h"
#include "node/provider.h"
#include "node/tls_files.h"
#include "rendezvous/server.h"
#include "store/block_store.h"

namespace codio::node {

/// `ADDRESS:PORT`, an IPv6 address in brackets.
struct Endpoint {
  std::string address;
  std::uint16_t port;

  static Result<Endpoint> parse(std::string_view text);
  /// `http://ADDRESS:PORT`
  std::string url() const;
  /// Whether only this machine can reach it.
  bool is_loopback() const;
};

struct HttpServerOptions {
  Endpoint endpoint{"127.0.0.1", 8080};
  /// Of the browser's files, instead of those in the program: for their development.
  std::filesystem::path web_root;
  /// Of docs/protocol.md §1, besides this node's own.
  std::vector<std::string> gateways;
  std::vector<rendezvous::IceServer> ice_servers;
  /// Signs the descriptor; nothing: it is not signed.
  std::optional<identity::Key> key;
  std::size_t max_connections = 4096;
  /// Asked for the providers of content, for /routing/v1; nothing: only this node and those at its rendezvous are told.
  /// It must outlive the server.
  ProviderFinder* finder = nullptr;
  /// Before an answer of /routing/v1 goes out with what has been found.
  Duration routing_deadline = std::chrono::seconds(5);
  std::size_t max_routing = 64;  ///< Such questions at a time; more are answered 429.
  /// Of one address; more are answered 429. 0: no limit, as behind a proxy, from which all come.
  std::size_t max_client_connections = 0;
  /// For a request, from the end of the answer before it: browsers' idle connections last as long.
  Duration request_timeout = std::chrono::seconds(60);
  /// For 256 KiB to a slow reader: 4.3 kB/s.
  Duration write_timeout = std::chrono::seconds(60);
  /// Names under which content has an origin of its own, CID.ipfs.NAME, in lower case.
  std::vector<std::string> subdomain_gateways;
  /// Nothing: plain HTTP.
  std::shared_ptr<TlsFiles> tls;
  /// What is fetched from elsewhere for those who ask, and what is denied to them.
  ContentServerOptions content;
  /// The content that is shown at `/` in place of the browser's files; empty, or nothing yet: those. On any thread.
  std::function<std::optional<content_id::ContentId>()> site;
  /// Told of every answered request, on any thread; empty: nobody is.
  std::function<void(const AccessRecord&)> on_answered;
  /// 0: one for each processor, and two at least.
  std::size_t threads = 0;
};

/// | path                  | what                                                                             |
/// |-----------------------|----------------------------------------------------------------------------------|
/// | /rendezvous           | docs/protocol.md §2                                                              |
/// | /.well-known/codio    | docs/protocol.md §1; signed for `?challenge=`                                    |
/// | /ipfs/CID[/path]      | docs/gateway.md: files, listings, blocks, CARs, archives                         |
/// | /codio/CID[/path]     | the same                                                                         |
/// | /routing/v1/providers/CID | Delegated Routing V1: gateways and peers that provide it, as JSON or NDJSON   |
/// | /api/roots            | the store's roots, as JSON                                                       |
/// | /healthz, /metrics    | for who operates it                                                              |
/// | everything else       | the site, or the browser's files                                                 |
///
/// On a host CID.ipfs.NAME all paths are the content's.
///
/// Threads: it has its own, which read the store too; what it is asked here belongs to the io_context's one thread.
class HttpServer {
 public:
  /// Listens. Fails if the address is not ours or the port is in use.
  static Result<std::unique_ptr<HttpServer>> listen(boost::asio::io_context& io,
                                                    std::shared_ptr<const store::BlockStore> store,
                                                    rendezvous::Server& rendezvous, HttpServerOptions options);
  ~HttpServer();

  /// Replaces HttpServerOptions::finder.
  void set_finder(ProviderFinder* finder);
  /// Takes no more connections, and ends each with the answer that is under way on it.
  void drain();
  /// How many there are.
  std::size_t connections() const;
  /// In the descriptor from now on.
  void set_ice_servers(std::vector<rendezvous::IceServer> servers);

  /// With the port that was taken if 0 was asked for.
  const Endpoint& endpoint() const;
  /// `https://ADDRESS:PORT`, or http.
  std::string url() const;
  /// Where this process reaches it without TLS: the endpoint itself, or, with TLS, a port of the loopback interface.
  const Endpoint& inside() const;

 private:
  class Impl;
  explicit HttpServer(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace codio::node
