// The node's HTTP side: the descriptor, blocks and files, the browser's files, and the way in to the rendezvous.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include <boost/asio/io_context.hpp>

#include "common/result.h"
#include "identity/identity.h"
#include "node/provider.h"
#include "node/web_files.h"
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
};

struct HttpServerOptions {
  Endpoint endpoint{"127.0.0.1", 8080};
  WebFiles web_files;
  /// Of docs/protocol.md §1, besides this node's own.
  std::vector<std::string> gateways;
  std::vector<rendezvous::IceServer> ice_servers;
  /// Signs the descriptor; nothing: it is not signed.
  std::optional<identity::Key> key;
  std::size_t max_connections = 4096;
  /// Asked for the providers of content, for /routing/v1; nothing: only this node's own content is told. It must
  /// outlive the server.
  ProviderFinder* finder = nullptr;
  /// Before an answer of /routing/v1 goes out with what has been found.
  Duration routing_deadline = std::chrono::seconds(5);
  std::size_t max_routing = 64;  ///< Such questions at a time; more are answered 429.
};

/// | path                  | what                                                                             |
/// |-----------------------|----------------------------------------------------------------------------------|
/// | /rendezvous           | docs/protocol.md §2                                                              |
/// | /.well-known/codio    | docs/protocol.md §1; signed for `?challenge=`                                    |
/// | /ipfs/CID[/path]      | a block with `?format=raw` or its media type; else a file, with ranges           |
/// | /codio/CID[/path]     | the same file                                                                    |
/// | /routing/v1/providers/CID | Delegated Routing V1: gateways that provide it, as JSON or NDJSON             |
/// | /api/roots            | the store's roots, as JSON                                                       |
/// | everything else       | the browser's files                                                              |
///
/// Threads: the io_context's one thread; the store is read on others.
class HttpServer {
 public:
  /// Listens. Fails if the address is not ours or the port is in use.
  static Result<std::unique_ptr<HttpServer>> listen(boost::asio::io_context& io,
                                                    std::shared_ptr<const store::BlockStore> store,
                                                    rendezvous::Server& rendezvous, HttpServerOptions options);
  ~HttpServer();

  /// Replaces HttpServerOptions::finder.
  void set_finder(ProviderFinder* finder);
  /// In the descriptor from now on.
  void set_ice_servers(std::vector<rendezvous::IceServer> servers);

  /// With the port that was taken if 0 was asked for.
  const Endpoint& endpoint() const;

 private:
  class Impl;
  explicit HttpServer(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace codio::node
