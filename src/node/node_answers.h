// What the node tells of itself over HTTP: its descriptor, its roots, and providers by Delegated Routing.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "identity/identity.h"
#include "node/deny_lists.h"
#include "node/http_connection.h"
#include "node/provider.h"
#include "node/signal.h"
#include "node/tls_files.h"
#include "rendezvous/server.h"
#include "store/block_store.h"
#include "web/uri.h"

namespace codio::node {

struct NodeAnswersOptions {
  std::vector<std::string> gateways;
  std::vector<rendezvous::IceServer> ice_servers;
  std::optional<identity::Key> key;
  ProviderFinder* finder = nullptr;
  Duration routing_deadline{};
  std::size_t max_routing = 0;
  /// Content that this node does not offer. Nothing: all is offered.
  std::shared_ptr<DenyLists> deny_lists;
  /// Whose certificate says by which name this node is reached; nothing: by whatever address it is.
  std::shared_ptr<const TlsFiles> tls;
};

/// Answers on any thread; what changes while it runs belongs to `main`'s thread, where it is asked.
class NodeAnswers : public std::enable_shared_from_this<NodeAnswers> {
 public:
  /// `rendezvous` must outlive `main`'s last handler.
  NodeAnswers(boost::asio::io_context& main, std::shared_ptr<const store::BlockStore> store,
              rendezvous::Server& rendezvous, NodeAnswersOptions options);

  /// Where it listens, before it does.
  void set_port(std::uint16_t port) { port_ = port; }

  /// On main's thread.
  void set_finder(ProviderFinder* finder) { options_.finder = finder; }
  void set_ice_servers(std::vector<rendezvous::IceServer> servers) { options_.ice_servers = std::move(servers); }

  boost::asio::awaitable<void> answer_descriptor(HttpCall& call, const web::Target& target);
  boost::asio::awaitable<void> answer_routing(HttpCall& call, const web::Target& target);
  boost::asio::awaitable<void> answer_roots(HttpCall& call) const;

  static constexpr std::string_view kRouting = "/routing/v1/providers/";

 private:
  class Search;

  std::string descriptor(const std::string& challenge) const;
  /// `https://NAME:PORT`; empty: it has no name.
  std::string named_origin() const;
  /// What this node is for who asked on that connection.
  std::string origin_of(const HttpConnection& connection) const;
  void search(const content_id::ContentId& cid, const std::string& origin, const std::shared_ptr<Search>& search);

  boost::asio::io_context& main_;
  std::shared_ptr<const store::BlockStore> store_;
  rendezvous::Server& rendezvous_;
  NodeAnswersOptions options_;
  std::uint16_t port_ = 0;
  std::atomic<std::size_t> routing_ = 0;  ///< Searches for others.
};

}  // namespace codio::node
