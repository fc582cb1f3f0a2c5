// serve: a node, from its first line on the standard output to SIGINT or SIGTERM.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <spdlog/spdlog.h>
#include <stop_token>
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

#include "cli/access_log.h"
#include "cli/content.h"
#include "cli/dht.h"
#include "cli/open_files.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "node/dht_finder.h"
#include "node/http_server.h"
#include "node/local_api.h"
#include "node/local_protocol.h"
#include "node/puller.h"
#include "node/remote_store.h"
#include "node/router_finder.h"
#include "node/shared_finder.h"
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
/// How often it is looked whether a certificate or a deny list has changed.
constexpr std::chrono::seconds kReload{2};
/// How often it is looked whether a site has changed.
constexpr std::chrono::seconds kScan{1};
/// Downloads at a time for those who ask the gateway.
constexpr std::size_t kMaxPulls = 256;
/// Connections of one address. A browser opens six to a host, and many may be behind one NAT.
constexpr std::size_t kClientConnections = 128;
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

/// What changes when a file below the folder does: names, kinds, sizes and times.
std::string fingerprint_of(const fs::path& folder) {
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto mix = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  };
  // Whatever order the system lists them in.
  std::uint64_t sum = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    hash = 0xcbf29ce484222325;
    mix(entry->path().string());
    mix(std::to_string(static_cast<int>(entry->symlink_status(ignored).type())));
    if (entry->is_regular_file(ignored)) mix(std::to_string(entry->file_size(ignored)));
    if (entry->is_symlink(ignored)) mix(fs::read_symlink(entry->path(), ignored).string());
    mix(std::to_string(fs::last_write_time(entry->path(), ignored).time_since_epoch().count()));
    sum += hash;
  }
  return std::to_string(sum);
}

/// The drop-in (docs/site-owners.md): it joins the network and brings the service worker.
constexpr auto kInjected = "<script type=\"module\" src=\"/pkg/codio.js\"></script>";

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
        hangup_(io_, SIGHUP),
        timer_(io_),
        issue_(io_),
        reload_(io_) {}

  Result<void> start() {
    if (auto read = read_files(); !read) return read;
    if (auto listening = listen(); !listening) return listening;
    if (auto joined = join_dht(); !joined) return joined;
    if (auto joined = join_network(); !joined) return joined;
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
    reload_in_time();
    reload_on_hangup();
    importer_ = std::jthread([this](const std::stop_token& stop) { import_paths(stop); });
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
    if (!imported_ || importing_) std::_Exit(outcome_ ? EXIT_SUCCESS : EXIT_FAILURE);
    return outcome_;
  }

 private:
  Result<void> read_files() {
    if (!options_.deny_lists.empty()) {
      auto lists = node::DenyLists::load(options_.deny_lists);
      if (!lists) return std::unexpected(lists.error());
      deny_lists_ = *std::move(lists);
      spdlog::info("{} rules say what is not served", deny_lists_->size());
    }
    if (!options_.tls_cert.empty()) {
      auto tls = node::TlsFiles::load(options_.tls_cert, options_.tls_key);
      if (!tls) return std::unexpected(tls.error());
      tls_ = *std::move(tls);
    }
    if (!options_.access_log.empty()) {
      auto log = AccessLog::open(options_.access_log);
      if (!log) return std::unexpected(log.error());
      access_log_ = *std::move(log);
    }
    if (options_.pull || !options_.upstreams.empty()) {
      puller_ = std::make_shared<node::Puller>(io_.get_executor(), kMaxPulls);
    }
    return {};
  }

  Result<void> listen() {
    auto endpoint = node::Endpoint::parse(options_.http);
    if (!endpoint) return std::unexpected(endpoint.error());
    node::HttpServerOptions options;
    options.endpoint = *std::move(endpoint);
    options.web_root = options_.web_root;
    options.gateways = gateways_for_clients(common_);
    options.ice_servers = issued_ice_servers();
    auto key = load_key(common_);
    if (!key) return std::unexpected(key.error());
    const std::string peer = key->peer_id();
    options.key = *std::move(key);
    options.subdomain_gateways = options_.subdomains;
    options.max_client_connections =
        options_.client_connections.value_or(options.endpoint.is_loopback() ? 0 : kClientConnections);
    options.tls = tls_;
    options.content.puller = puller_;
    options.content.deny_lists = deny_lists_;
    if (options_.inject) options.content.injected = kInjected;
    if (options_.site) options.site = [this] { return site_root(); };
    if (access_log_) options.on_answered = [this](const node::AccessRecord& record) { access_log_->write(record); };
    auto http = node::HttpServer::listen(io_, store_, rendezvous_, std::move(options));
    if (!http) return std::unexpected(http.error());
    http_ = *std::move(http);
    const std::string url = http_->url();
    if (common_.json) {
      print_json({{"event", "listening"}, {"http", url}, {"peer", peer}});
    } else {
      print_line("listening on " + url);
      print_line("peer id " + peer);
    }
    return {};
  }

  /// To serve; what is not here is fetched only for those who ask the gateway, if it is to pull.
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
    if (puller_) {
      if (auto asked = ask_others(*options); !asked) return asked;
    }
    if (deny_lists_) {
      options->is_denied = [lists = deny_lists_](const ContentId& cid) { return lists->denied_block(cid).has_value(); };
    }
    auto own = own_rendezvous(http_->inside());
    if (!own) return std::unexpected(own.error());
    options->rendezvous.insert(options->rendezvous.begin(), std::vector{*std::move(own)});
    for (const auto& urls : options->rendezvous) {
      for (const rendezvous::ServerUrl& url : urls) rendezvous_urls_.push_back(url.text);
    }
    auto transfers = node::TransferManager::make(io_.get_executor(), store_, *std::move(options));
    if (!transfers) return std::unexpected(transfers.error());
    transfers_ = *std::move(transfers);
    if (puller_) puller_->attach(*transfers_);
    return {};
  }

  /// Whom the gateway fetches from.
  Result<void> ask_others(node::TransferManagerOptions& options) {
    if (!options_.upstreams.empty()) {
      gateway::GatewayConfig upstream;
      upstream.primary = options_.upstreams.front();
      upstream.fallbacks.assign(options_.upstreams.begin() + 1, options_.upstreams.end());
      upstream.on_failure = [](std::string_view url, const Error& error) {
        spdlog::info("upstream {}: {}", url, error.message);
      };
      options.gateway = std::move(upstream);
    }
    if (finder_) options.finders.push_back(finder_);
    for (const std::string& router : common_.routers) {
      auto url = node::parse_router_url(router);
      if (!url) return std::unexpected(url.error());
      options.finders.push_back(shared(std::make_shared<node::RouterFinder>(io_.get_executor(), *std::move(url))));
    }
    options.on_stored = [puller = puller_](const ContentId& cid) { puller->handle_stored(cid); };
    return {};
  }

  std::shared_ptr<node::ProviderFinder> shared(std::shared_ptr<node::ProviderFinder> finder) {
    return std::make_shared<node::SharedFinder>(io_.get_executor(), std::move(finder), node::SharedFinder::Options());
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
    finder_ = shared(std::make_shared<node::DhtFinder>(io_.get_executor(), *dht_, finder));
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

  /// What a deny list names is offered as soon as none does any more.
  void announce(const ContentId& cid) {
    const bool is_denied = this->is_denied(cid);
    offered_.insert_or_assign(cid, is_denied);
    if (is_denied) return;
    transfers_->announce_content(cid);
    if (!dht_) return;
    if (!dht_->announce(cid))
      spdlog::warn("{} is not announced in the DHT: there is too much already", cid.to_string());
    announced_.emplace(dht::key_of(cid), cid);
  }

  void withdraw(const ContentId& cid) {
    offered_.erase(cid);
    stop_offering(cid);
  }

  void stop_offering(const ContentId& cid) {
    transfers_->withdraw_content(cid);
    if (dht_) dht_->withdraw(cid);
  }

  bool is_denied(const ContentId& cid) const { return deny_lists_ && deny_lists_->denied_block(cid).has_value(); }

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
    return {{"http", http_->url()}, {"rendezvous", rendezvous_urls_}, {"dht", dht}};
  }

  Result<void> serve_commands() {
    node::LocalApiOptions options;
    options.path = repo_folder(common_) / node::kLocalSocket;
    options.about = [this] { return about(); };
    options.on_pinned = [this](const ContentId& cid) { announce(cid); };
    options.on_unpinned = [this](const ContentId& cid) { withdraw(cid); };
    auto api = node::LocalApi::listen(io_, store_, *transfers_, std::move(options));
    if (!api) return std::unexpected(api.error());
    api_ = *std::move(api);
    return {};
  }

  /// On the importer's thread.
  void import_paths(const std::stop_token& stop) {
    std::string seen = options_.site ? fingerprint_of(options_.paths.front()) : "";
    for (const fs::path& path : options_.paths) {
      auto root = add_path(path, store_.get(), {.nocopy = options_.nocopy}, !common_.json);
      const bool failed = !root;
      asio::post(io_, [this, path, root = std::move(root)] {
        if (!root) return end(std::unexpected(root.error()));
        handle_root(*root, path);
      });
      if (failed) break;
    }
    asio::post(io_, [this] { handle_imported(); });
    if (options_.site) watch_site(stop, std::move(seen));
  }

  /// Until the node ends: adds the site again whenever it has changed and then not for a scan.
  void watch_site(const std::stop_token& stop, std::string added) {
    const fs::path& path = options_.paths.front();
    std::string before = added;
    std::mutex mutex;
    std::condition_variable_any ended;
    for (;;) {
      std::unique_lock lock(mutex);
      if (ended.wait_for(lock, stop, kScan, [&] { return stop.stop_requested(); })) return;
      std::string now = fingerprint_of(path);
      if (now != added && now == before) {
        importing_ = true;
        auto root = add_path(path, store_.get(), {.nocopy = options_.nocopy}, false);
        importing_ = false;
        if (root) {
          added = now;
          asio::post(io_, [this, path, root = *std::move(root)] { handle_root(root, path); });
        } else {
          spdlog::warn("the site stays as it was: {}", root.error().message);
        }
      }
      before = std::move(now);
    }
  }

  /// A site's root before is not kept any more: it is served until it is collected.
  void handle_root(const store::Root& root, const fs::path& path) {
    if (options_.site) {
      const auto before = site_root();
      if (before == root.cid) return;
      {
        const std::lock_guard lock(site_mutex_);
        site_root_ = root.cid;
      }
      if (before) {
        withdraw(*before);
        if (auto removed = store_->remove_root(*before); !removed) spdlog::warn("{}", removed.error().message);
      }
    }
    announce(root.cid);
    print_root(root, path.string());
  }

  std::optional<ContentId> site_root() const {
    const std::lock_guard lock(site_mutex_);
    return site_root_;
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

  /// Looks whether files have changed that can be read again.
  void reload_in_time() {
    if (!tls_ && !deny_lists_) return;
    reload_.expires_after(kReload);
    reload_.async_wait([this](const boost::system::error_code& error) {
      if (error || ending_) return;
      reload();
      reload_in_time();
    });
  }

  void reload_on_hangup() {
    hangup_.async_wait([this](const boost::system::error_code& error, int) {
      if (error) return;
      reload();
      if (access_log_) {
        if (auto opened = access_log_->reopen(); !opened) spdlog::warn("{}", opened.error().message);
      }
      reload_on_hangup();
    });
  }

  void reload() {
    const auto tell = [](const Result<bool>& changed, std::string_view what) {
      if (!changed) spdlog::warn("{}; the old one stays in use", changed.error().message);
      if (changed && *changed) spdlog::info("{} was read again", what);
    };
    if (tls_) tell(tls_->reload(), "the certificate");
    if (deny_lists_) {
      const auto changed = deny_lists_->reload();
      tell(changed, "the deny list");
      if (changed && *changed) offer_by_the_list();
    }
  }

  /// After the deny list changed.
  void offer_by_the_list() {
    for (auto& [cid, was_denied] : offered_) {
      if (is_denied(cid) == was_denied) continue;
      if (was_denied) {
        announce(cid);
      } else {
        was_denied = true;
        stop_offering(cid);
      }
    }
  }

  /// Sends the clients elsewhere and ends the answers that are under way before it ends; a second signal kills.
  void leave() {
    signals_.clear();
    if (ending_) return;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(options_.leave_time);
    http_->drain();
    rendezvous_.leave(std::chrono::seconds(options_.leave_time), [this, deadline] { end_when_answered(deadline); });
  }

  void end_when_answered(std::chrono::steady_clock::time_point deadline) {
    if (http_->connections() == 0 || std::chrono::steady_clock::now() >= deadline) return end({});
    timer_.expires_after(kReadyCheck);
    timer_.async_wait([this, deadline](const boost::system::error_code& error) {
      if (!error) end_when_answered(deadline);
    });
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
  asio::signal_set hangup_;
  asio::steady_timer timer_;
  std::unique_ptr<dht::DhtNode> dht_;
  std::shared_ptr<node::ProviderFinder> finder_;  ///< In the DHT.
  std::map<ContentId, bool> offered_;             ///< To be announced, and whether a deny list keeps it from that.
  std::map<dht::Key, ContentId> announced_;       ///< Not told yet.
  asio::steady_timer issue_;
  asio::steady_timer reload_;
  std::shared_ptr<node::TlsFiles> tls_;
  std::shared_ptr<node::DenyLists> deny_lists_;
  std::unique_ptr<AccessLog> access_log_;
  std::shared_ptr<node::Puller> puller_;
  mutable std::mutex site_mutex_;
  std::optional<ContentId> site_root_;
  std::set<ContentId> printed_;
  bool imported_ = false;
  std::atomic<bool> importing_ = false;  ///< A site, again.
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
  if (options.site && (options.paths.size() != 1 || !fs::is_directory(options.paths.front()))) {
    return fail(ErrorCode::kMalformed, "--site is for one folder: codio serve --site public/");
  }
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
  if (const std::uint64_t most = raise_open_files(); most < kFewOpenFiles) {
    spdlog::warn("only {} files and sockets may be open at a time; {}", most, kRaiseOpenFiles);
  }
  const auto store = open_own_store(common);
  if (!store) return std::unexpected(store.error());
  Serving serving(common, options, *store, *ice_servers, std::move(turn_secret));
  if (auto started = serving.start(); !started) return started;
  return serving.run();
}

}  // namespace codio::cli
