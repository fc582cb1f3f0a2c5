// How a node that serves is reached: HTTP, rendezvous, peers, the DHT, commands beside it.
#include <algorithm>
#include <chrono>
#include <spdlog/spdlog.h>
#include <string_view>
#include <utility>
#include <boost/asio/ip/address.hpp>

#include "cli/dht.h"
#include "cli/serving.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "node/dht_finder.h"
#include "node/local_protocol.h"
#include "node/router_finder.h"
#include "node/shared_finder.h"

namespace codio::cli {

namespace asio = boost::asio;
using content_id::ContentId;

namespace {

/// For whom the node's rendezvous looks in the DHT: a page does not wait for longer.
constexpr std::chrono::seconds kFindElsewhere{4};
/// Once one is found, others may come for so long.
constexpr std::chrono::milliseconds kMoreElsewhere{200};
/// Connections of one address. A browser opens six to a host, and many may be behind one NAT.
constexpr std::size_t kClientConnections = 128;

/// The drop-in (docs/site-owners.md): it joins the network and brings the service worker.
constexpr auto kInjected = "<script type=\"module\" src=\"/pkg/codio.js\"></script>";

std::vector<std::string> gateways_for_clients(const CommonOptions& common) {
  if (common.no_gateway) return {};
  return common.gateways.empty() ? std::vector{gateway::GatewayConfig().primary} : common.gateways;
}

/// Where the node itself reaches the rendezvous that it serves.
Result<rendezvous::ServerUrl> own_rendezvous(node::Endpoint endpoint) {
  const auto address = asio::ip::make_address(endpoint.address);
  if (address.is_unspecified()) endpoint.address = address.is_v6() ? "::1" : "127.0.0.1";
  return rendezvous::ServerUrl::parse("ws" + endpoint.url().substr(std::string_view("http").size()) + "/rendezvous");
}

std::chrono::seconds unix_time() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch());
}

std::shared_ptr<node::ProviderFinder> shared(asio::io_context& io, std::shared_ptr<node::ProviderFinder> finder) {
  return std::make_shared<node::SharedFinder>(io.get_executor(), std::move(finder), node::SharedFinder::Options());
}

}  // namespace

Result<void> Serving::listen() {
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

Result<void> Serving::join_dht() {
  auto options = dht_options(common_, http_->endpoint());
  if (!options) return {};
  options->on_announced = [this](const dht::Key& key) { handle_announced(key); };
  auto dht = dht::DhtNode::start(io_.get_executor(), *std::move(options));
  if (!dht) return std::unexpected(dht.error());
  dht_ = *std::move(dht);
  node::DhtFinderOptions finder;
  finder.public_only = common_.dht_bootstrap.empty();
  finder_ = shared(io_, std::make_shared<node::DhtFinder>(io_.get_executor(), *dht_, finder));
  http_->set_finder(finder_.get());
  if (common_.json) print_json({{"event", "dht"}, {"port", dht_->status().port}});
  return {};
}

void Serving::find_elsewhere(const ContentId& cid, rendezvous::Server::OnElsewhere answer) {
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

Result<void> Serving::join_network() {
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

Result<void> Serving::ask_others(node::TransferManagerOptions& options) {
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
    options.finders.push_back(shared(io_, std::make_shared<node::RouterFinder>(io_.get_executor(), *std::move(url))));
  }
  options.on_stored = [puller = puller_](const ContentId& cid) { puller->handle_stored(cid); };
  return {};
}

Result<void> Serving::serve_commands() {
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

nlohmann::json Serving::about() const {
  nlohmann::json dht;
  if (dht_) {
    const dht::DhtStatus status = dht_->status();
    dht = {{"nodes", status.nodes},
           {"ready", status.is_ready},
           {"reachable", status.is_reachable},
           {"public", common_.dht_bootstrap.empty()},
           {"port", status.port},
           {"announced", status.announced - status.waiting},
           {"waiting", status.waiting}};
  }
  return {{"http", http_->url()}, {"rendezvous", rendezvous_urls_}, {"dht", dht}};
}

std::vector<rendezvous::IceServer> Serving::issued_ice_servers() const {
  return turn_secret_ ? turn_secret_->issue(ice_servers_, unix_time()) : ice_servers_;
}

void Serving::issue_in_time() {
  if (!turn_secret_) return;
  issue_.expires_after(turn_secret_->lifetime() / 2);
  issue_.async_wait([this](const boost::system::error_code& error) {
    if (error || ending_) return;
    rendezvous_.set_ice_servers(issued_ice_servers());
    http_->set_ice_servers(issued_ice_servers());
    issue_in_time();
  });
}

}  // namespace codio::cli
