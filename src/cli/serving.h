// A node that serves, from its first line on the standard output to SIGINT or SIGTERM.
//
// | file                | what                                                                                  |
// |---------------------|---------------------------------------------------------------------------------------|
// | serve_command.cc    | its life: what is checked before it starts, its start, its end                        |
// | serving_network.cc  | how it is reached: HTTP, rendezvous, peers, the DHT, commands beside it               |
// | serving_content.cc  | what it offers: pins, what is added while it runs, a site that changes                |
// | serving_files.cc    | files that are read again: certificate, deny lists, access log                        |
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "cli/access_log.h"
#include "cli/options.h"
#include "dht/dht_node.h"
#include "node/http_server.h"
#include "node/local_api.h"
#include "node/provider.h"
#include "node/puller.h"
#include "node/transfer_manager.h"
#include "rendezvous/server.h"
#include "rendezvous/turn.h"

namespace codio::cli {

/// Everything happens on the thread that runs `io_`, but importing, which has its own.
class Serving {
 public:
  Serving(const CommonOptions& common, const ServeOptions& options, std::shared_ptr<store::BlockStore> store,
          const std::vector<webrtc::IceServer>& ice_servers, std::optional<rendezvous::TurnSecret> turn_secret);

  Result<void> start();
  /// To the end. Ends the program itself if an import is under way.
  Result<void> run();

 private:
  // Files.

  Result<void> read_files();
  /// Looks whether files have changed that can be read again.
  void reload_in_time();
  void reload_on_hangup();
  void reload();

  // How it is reached.

  Result<void> listen();
  Result<void> join_dht();
  /// For the clients of our rendezvous: who the DHT knows, besides us.
  void find_elsewhere(const content_id::ContentId& cid, rendezvous::Server::OnElsewhere answer);
  /// To serve; what is not here is fetched only for those who ask the gateway, if it is to pull.
  Result<void> join_network();
  /// Whom the gateway fetches from.
  Result<void> ask_others(node::TransferManagerOptions& options);
  Result<void> serve_commands();
  nlohmann::json about() const;
  std::vector<rendezvous::IceServer> issued_ice_servers() const;
  /// In half of their lifetime, so that a credential is good for a while whenever it is used first.
  void issue_in_time();

  // What it offers.

  /// What a deny list names is offered as soon as none does any more.
  void announce(const content_id::ContentId& cid);
  void withdraw(const content_id::ContentId& cid);
  void stop_offering(const content_id::ContentId& cid);
  bool is_denied(const content_id::ContentId& cid) const;
  /// After the deny list changed.
  void offer_by_the_list();
  /// Told for the first time of each; it is announced again and again.
  void handle_announced(const dht::Key& key);
  /// On the importer's thread.
  void import_paths(const std::stop_token& stop);
  /// Until the node ends: adds the site again whenever it has changed and then not for a scan.
  void watch_site(const std::stop_token& stop, std::string added);
  /// A site's root before is not kept any more: it is served until it is collected.
  void handle_root(const store::Root& root, const std::filesystem::path& path);
  std::optional<content_id::ContentId> site_root() const;
  void handle_imported();
  void print_root(const store::Root& root, const std::string& path);
  void report_when_ready();

  // Its life.

  /// Sends the clients elsewhere and ends the answers that are under way before it ends; a second signal kills.
  void leave();
  void end_when_answered(std::chrono::steady_clock::time_point deadline);
  void end(Result<void> outcome);

  const CommonOptions& common_;
  const ServeOptions& options_;
  boost::asio::io_context io_{1};
  std::shared_ptr<store::BlockStore> store_;
  std::vector<rendezvous::IceServer> ice_servers_;
  std::optional<rendezvous::TurnSecret> turn_secret_;
  rendezvous::Server rendezvous_;
  std::unique_ptr<node::HttpServer> http_;
  std::vector<std::string> rendezvous_urls_;  ///< That the node is connected to, or tries to be; its own first.
  std::unique_ptr<node::TransferManager> transfers_;
  std::unique_ptr<node::LocalApi> api_;
  boost::asio::signal_set signals_;
  boost::asio::signal_set hangup_;
  boost::asio::steady_timer timer_;
  std::unique_ptr<dht::DhtNode> dht_;
  std::shared_ptr<node::ProviderFinder> finder_;   ///< In the DHT.
  std::map<content_id::ContentId, bool> offered_;  ///< To be announced, and whether a deny list keeps it from that.
  std::map<dht::Key, content_id::ContentId> announced_;  ///< Not told yet.
  boost::asio::steady_timer issue_;
  boost::asio::steady_timer reload_;
  std::shared_ptr<node::TlsFiles> tls_;
  std::shared_ptr<node::DenyLists> deny_lists_;
  std::unique_ptr<AccessLog> access_log_;
  std::shared_ptr<node::Puller> puller_;
  mutable std::mutex site_mutex_;
  std::optional<content_id::ContentId> site_root_;
  std::set<content_id::ContentId> printed_;
  bool imported_ = false;
  std::atomic<bool> importing_ = false;  ///< A site, again.
  bool ending_ = false;
  Result<void> outcome_;
  std::jthread importer_;
};

}  // namespace codio::cli
