// serve: a node, from its first line on the standard output to SIGINT or SIGTERM.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <spdlog/spdlog.h>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "cli/content.h"
#include "cli/dht.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "node/dht_finder.h"
#include "node/http_server.h"
#include "node/local_api.h"
#include "node/local_protocol.h"
#include "node/remote_store.h"
#include "node/transfer_manager.h"
#include "rendezvous/server.h"
#include "rendezvous/turn.h"

namespace codio::cli {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using content_id::ContentId;

namespace {

/// How often it is looked whether the node is connected to its own rendezvous.
constexpr std::chrono::milliseconds kReadyCheck{20};
/// For whom the node's rendezvous looks in the DHT: a page does not wait for longer.
constexpr std::chrono::seconds kFindElsewhere{4};
/// Once one is found, others may come for so long.
constexpr std::chrono::milliseconds kMoreElsewhere{200};
/// For the clients of the rendezvous to hear that the node goes.
constexpr std::chrono::milliseconds kFarewell{100};

std::vector<rendezvous::IceServer> for_clients(const std::vector<webrtc::IceServer>& servers) {
  std::vector<rendezvous::IceServer> result;
  for (const auto& server : servers) result.push_back({server.urls, server.username, server.credential});
  return result;
}

std::vector<std::string> gateways_for_clients(const CommonOptions& common) {
  if (common.no_gateway) return {};
  return common.gateways.empty() ? std::vector{gateway::GatewayConfig().primary} : common.gateways;
}

rendezvous::Server::Options rendezvous_options(std::vector<rendezvous::IceServer> ice_servers, const std::string& bus,
                                               rendezvous::Server::FindElsewhere find_elsewhere) {
  rendezvous::Server::Options options;
  options.directory.ice_servers = std::move(ice_servers);
  options.bus = bus;
  options.find_elsewhere = std::move(find_elsewhere);
  options.on_log = [](const std::string& message) { spdlog::info("{}", message); };
  return options;
}

std::chrono::seconds unix_time() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
}

/// Where the node itself reaches the rendezvous that it serves.
Result<rendezvous::ServerUrl> own_rendezvous(node::Endpoint endpoint) {
  const auto address = asio::ip::make_address(endpoint.address);
  if (address.is_unspecified()) endpoint.address = address.is_v6() ? "::1" : "127.0.0.1";
  return rendezvous::ServerUrl::parse("ws" + endpoint.url().substr(std::string_view("http").size()) + "/rendezvous");
}

/// Everything happens on the thread that runs `io_`, but importing, which has its own.
class Serving {
 public:
  Serving(const CommonOptions& common, const ServeOptions& options, std::shared_ptr<store::BlockStore> store,
          const std::vector<webrtc::IceServer>& ice_servers, std::optional<rendezvous::TurnSecret> turn_secret)
      : common_(common),
        options_(options),
        store_(std::move(store)),
        ice_servers_(for_clients(ice_servers)),
        turn_secret_(std::move(turn_secret)),
        rendezvous_(io_.get_executor(),
                    rendezvous_options(issued_ice_servers(), options.bus,
                                       [this](const ContentId& cid, rendezvous::Server::OnElsewhere answer) {
                                         find_elsewhere(cid, std::move(answer));
                                       })),
        signals_(io_, SIGINT, SIGTERM),
        timer_(io_),
        issue_(io_) {}

  Result<void> start() {
    if (auto listening = listen(); !listening) return listening;
    if (auto joined = join_network(); !joined) return joined;
    if (auto joined = join_dht(); !joined) return joined;
    if (auto reachable = serve_commands(); !reachable) return reachable;
    const auto roots = store_->roots();
    if (!roots) return std::unexpected(roots.error());
    if (options_.provided.empty()) {
      for (const store::Root& root : *roots) announce(root.cid);
    }
    for (const ContentId& cid : options_.provided) announce(cid);
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
      if (!error) signal == SIGTERM ? leave() : end({});
    });
    issue_in_time();
    importer_ = std::jthread([this] { import_paths(); });
    return {};
  }

  Result<void> run() {
    io_.run();
    api_.reset();
    transfers_.reset();
    http_.reset();
    finder_.reset();
    dht_.reset();
    // An import cannot be stopped half-way, and may take minutes; the store is made to survive this.
    if (!imported_) std::_Exit(outcome_ ? EXIT_SUCCESS : EXIT_FAILURE);
    return outcome_;
  }

 private:
  Result<void> listen() {
    auto endpoint = node::Endpoint::parse(options_.http);
    if (!endpoint) return std::unexpected(endpoint.error());
    node::HttpServerOptions options;
    options.endpoint = *std::move(endpoint);
    options.web_files = node::WebFiles(options_.web_root);
    options.gateways = gateways_for_clients(common_);
    options.ice_servers = issued_ice_servers();
    auto key = load_key(common_);
    if (!key) return std::unexpected(key.error());
    const std::string peer = key->peer_id();
    options.key = *std::move(key);
    auto http = node::HttpServer::listen(io_, store_, rendezvous_, std::move(options));
    if (!http) return std::unexpected(http.error());
    http_ = *std::move(http);
    const std::string url = http_->endpoint().url();
    if (common_.json) {
      print_json({{"event", "listening"}, {"http", url}, {"peer", peer}});
    } else {
      print_line("listening on " + url);
      print_line("peer id " + peer);
    }
    return {};
  }

  /// Only to serve: what is not here is not fetched.
  Result<void> join_network() {
    CommonOptions common = common_;
    if (turn_secret_) {
      // They come with their credentials from the rendezvous, as for every client.
      std::erase_if(common.ice_servers,
                    [](const std::string& text) { return needs_credentials(parse_ice_servers({text})->front()); });
    }
    auto options = transfer_options(common);
    if (!options) return std::unexpected(options.error());
    auto key = load_key(common_);
    if (!key) return std::unexpected(key.error());
    options->key = *std::move(key);
    options->gateway.reset();
    auto own = own_rendezvous(http_->endpoint());
    if (!own) return std::unexpected(own.error());
    options->rendezvous.insert(options->rendezvous.begin(), std::vector{*std::move(own)});
    for (const auto& urls : options->rendezvous) {
      for (const rendezvous::ServerUrl& url : urls) rendezvous_urls_.push_back(url.text);
    }
    auto transfers = node::TransferManager::make(io_.get_executor(), store_, *std::move(options));
    if (!transfers) return std::unexpected(transfers.error());
    transfers_ = *std::move(transfers);
    return {};
  }

  Result<void> join_dht() {
    auto options = dht_options(common_, http_->endpoint());
    if (!options) return {};
    options->on_announced = [this](const dht::Key& key) { handle_announced(key); };
    auto dht = dht::DhtNode::start(io_.get_executor(), *std::move(options));
    if (!dht) return std::unexpected(dht.error());
    dht_ = *std::move(dht);
    node::DhtFinderOptions finder;
    finder.public_only = common_.dht_bootstrap.empty();
    finder_ = std::make_unique<node::DhtFinder>(io_.get_executor(), *dht_, finder);
    http_->set_finder(finder_.get());
    if (common_.json) print_json({{"event", "dht"}, {"port", dht_->status().port}});
    return {};
  }

  /// For the clients of our rendezvous: who the DHT knows, besides us.
  void find_elsewhere(const ContentId& cid, rendezvous::Server::OnElsewhere answer) {
    if (!finder_) return answer({});
    struct Search {
      std::vector<rendezvous::Elsewhere> found;
      rendezvous::Server::OnElsewhere answer;
      asio::steady_timer soon;

      void end() {
        if (const auto once = std::exchange(answer, {})) once(std::move(found));
      }
    };
    const auto search = std::make_shared<Search>(Search{{}, std::move(answer), asio::steady_timer(io_)});
    finder_->find(
        cid, kFindElsewhere,
        [this, search](const node::Provider& provider) {
          if (provider.peer == transfers_->id() || provider.rendezvous.empty()) return;
          search->found.push_back({provider.peer, provider.rendezvous.front()});
          if (search->found.size() > 1) return;
          search->soon.expires_after(kMoreElsewhere);
          search->soon.async_wait([search](const boost::system::error_code&) { search->end(); });
        },
        [search](const node::FindSummary&) { search->end(); });
  }

  void announce(const ContentId& cid) {
    transfers_->announce_content(cid);
    if (!dht_) return;
    if (!dht_->announce(cid))
      spdlog::warn("{} is not announced in the DHT: there is too much already", cid.to_string());
    announced_.emplace(dht::key_of(cid), cid);
  }

  /// Told for the first time of each; it is announced again and again.
  void handle_announced(const dht::Key& key) {
    const auto cid = announced_.extract(key);
    if (cid.empty()) return;
    const std::string text = cid.mapped().to_string();
    if (common_.json) print_json({{"event", "announced"}, {"cid", text}});
    spdlog::info("announced {} in the DHT", text);
  }

  nlohmann::json about() const {
    nlohmann::json dht;
    if (dht_) {
      const dht::DhtStatus status = dht_->status();
      dht = {{"nodes", status.nodes},
             {"ready", status.is_ready},
             {"reachable", status.is_reachable},
             {"public", common_.dht_bootstrap.empty()},
             {"port", status.port}};
    }
    return {{"http", http_->endpoint().url()}, {"rendezvous", rendezvous_urls_}, {"dht", dht}};
  }

  Result<void> serve_commands() {
    node::LocalApiOptions options;
    options.path = repo_folder(common_) / node::kLocalSocket;
    options.about = [this] { return about(); };
    options.on_pinned = [this](const ContentId& cid) { announce(cid); };
    options.on_unpinned = [this](const ContentId& cid) {
      transfers_->withdraw_content(cid);
      if (dht_) dht_->withdraw(cid);
    };
    auto api = node::LocalApi::listen(io_, store_, *transfers_, std::move(options));
    if (!api) return std::unexpected(api.error());
    api_ = *std::move(api);
    return {};
  }

  /// On the importer's thread.
  void import_paths() {
    for (const fs::path& path : options_.paths) {
      auto root = add_path(path, store_.get(), {.nocopy = options_.nocopy}, !common_.json);
      const bool failed = !root;
      asio::post(io_, [this, path, root = std::move(root)] {
        if (!root) return end(std::unexpected(root.error()));
        announce(root->cid);
        print_root(*root, path.string());
      });
      if (failed) break;
    }
    asio::post(io_, [this] { handle_imported(); });
  }

  void handle_imported() {
    imported_ = true;
    if (ending_) return;
    const auto roots = store_->roots();
    if (!roots) return end(std::unexpected(roots.error()));
    for (const store::Root& root : *roots) {
      if (!printed_.contains(root.cid)) print_root(root, root.name);
    }
    report_when_ready();
  }

  void print_root(const store::Root& root, const std::string& path) {
    printed_.insert(root.cid);
    const std::string cid = root.cid.to_string();
    if (common_.json) {
      print_json({{"event", "root"}, {"cid", cid}, {"path", path}, {"size", root.size}});
    } else {
      print_line(cid + "  " + printable(path));
    }
  }

  void report_when_ready() {
    if (!common_.json || ending_) return;
    if (transfers_->is_connected()) return print_json({{"event", "ready"}});
    timer_.expires_after(kReadyCheck);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (!error) report_when_ready();
    });
  }

  std::vector<rendezvous::IceServer> issued_ice_servers() const {
    return turn_secret_ ? turn_secret_->issue(ice_servers_, unix_time()) : ice_servers_;
  }

  /// In half of their lifetime, so that a credential is good for a while whenever it is used first.
  void issue_in_time() {
    if (!turn_secret_) return;
    issue_.expires_after(turn_secret_->lifetime() / 2);
    issue_.async_wait([this](const boost::system::error_code& error) {
      if (error || ending_) return;
      rendezvous_.set_ice_servers(issued_ice_servers());
      http_->set_ice_servers(issued_ice_servers());
      issue_in_time();
    });
  }

  /// Sends the clients elsewhere before it ends; a second signal kills.
  void leave() {
    signals_.clear();
    if (ending_) return;
    rendezvous_.leave(std::chrono::seconds(options_.leave_time), [this] { end({}); });
  }

  void end(Result<void> outcome) {
    if (std::exchange(ending_, true)) return;
    outcome_ = std::move(outcome);
    signals_.clear();  // A second one kills.
    rendezvous_.close();
    timer_.expires_after(kFarewell);
    timer_.async_wait([this](const boost::system::error_code&) { io_.stop(); });
  }

  const CommonOptions& common_;
  const ServeOptions& options_;
  asio::io_context io_{1};
  std::shared_ptr<store::BlockStore> store_;
  std::vector<rendezvous::IceServer> ice_servers_;
  std::optional<rendezvous::TurnSecret> turn_secret_;
  rendezvous::Server rendezvous_;
  std::unique_ptr<node::HttpServer> http_;
  std::vector<std::string> rendezvous_urls_;  ///< That the node is connected to, or tries to be; its own first.
  std::unique_ptr<node::TransferManager> transfers_;
  std::unique_ptr<node::LocalApi> api_;
  asio::signal_set signals_;
  asio::steady_timer timer_;
  std::unique_ptr<dht::DhtNode> dht_;
  std::unique_ptr<node::DhtFinder> finder_;
  std::map<dht::Key, ContentId> announced_;  ///< Not told yet.
  asio::steady_timer issue_;
  std::set<ContentId> printed_;
  bool imported_ = false;
  bool ending_ = false;
  Result<void> outcome_;
  std::jthread importer_;
};

/// Before it listens: a misspelt path is told at once.
Result<void> check_paths(const std::vector<fs::path>& paths) {
  for (const fs::path& path : paths) {
    std::error_code error;
    (void)fs::symlink_status(path, error);
    if (error) return io_failure("read", path, error.value());
  }
  return {};
}

}  // namespace

Result<void> serve(const CommonOptions& common, const ServeOptions& options) {
  if (auto paths = check_paths(options.paths); !paths) return paths;
  const auto ice_servers = parse_ice_servers(common.ice_servers);
  if (!ice_servers) return std::unexpected(ice_servers.error());
  if (node::LocalClient::connect(repo_folder(common))) {
    return fail(ErrorCode::kUnavailable, "a node runs on the repo " + repo_folder(common).string() +
                                             " already: `codio stats` tells of it, or choose another with --repo DIR");
  }
  std::optional<rendezvous::TurnSecret> turn_secret;
  if (!options.turn_secret_file.empty()) {
    auto read = rendezvous::TurnSecret::read(options.turn_secret_file, std::chrono::seconds(options.turn_lifetime));
    if (!read) return std::unexpected(read.error());
    turn_secret = *std::move(read);
  }
  const auto store = open_own_store(common);
  if (!store) return std::unexpected(store.error());
  Serving serving(common, options, *store, *ice_servers, std::move(turn_secret));
  if (auto started = serving.start(); !started) return started;
  return serving.run();
}

}  // namespace codio::cli
