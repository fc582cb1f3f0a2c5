#include "cli/dht.h"

#include <algorithm>
#include <spdlog/spdlog.h>
#include <utility>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>

#include "cli/session.h"
#include "node/dht_finder.h"

namespace codio::cli {

namespace {

constexpr const char* kNone = "none";

dht::DhtOptions base_options(const CommonOptions& common) {
  dht::DhtOptions options;
  options.network = common.dht_bootstrap.empty() ? dht::Network::kMainline : dht::Network::kOwn;
  for (const std::string& text : common.dht_bootstrap) {
    if (auto node = parse_bootstrap(text); node && *node) options.bootstrap.push_back(**std::move(node));
  }
  options.port = common.dht_port;
  options.state_file =
      repo_folder(common) / (options.network == dht::Network::kMainline ? "dht.state" : "dht-own.state");
  options.on_log = [](const std::string& message) { spdlog::info("{}", message); };
  return options;
}

bool joins_loopback_only(const dht::DhtOptions& options) {
  return std::ranges::all_of(options.bootstrap, [](const auto& node) { return is_loopback(node.host); });
}

}  // namespace

bool is_loopback(const std::string& host) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  return host == "localhost" || (!error && address.is_loopback());
}

Result<std::optional<dht::BootstrapNode>> parse_bootstrap(const std::string& text) {
  if (text == kNone) return std::nullopt;
  auto node = dht::BootstrapNode::parse(text);
  if (!node) return fail(node.error().code, node.error().message + ", nor none");
  return *std::move(node);
}

std::optional<dht::DhtOptions> dht_options(const CommonOptions& common) {
  if (common.no_dht) return std::nullopt;
  dht::DhtOptions options = base_options(common);
  options.read_only = options.network == dht::Network::kMainline;
  if (options.network == dht::Network::kOwn && joins_loopback_only(options)) options.addresses = {"127.0.0.1", "::1"};
  return options;
}

std::optional<dht::DhtOptions> dht_options(const CommonOptions& common, const node::Endpoint& http) {
  if (common.no_dht) return std::nullopt;
  dht::DhtOptions options = base_options(common);
  options.http_port = http.port;
  const auto address = boost::asio::ip::make_address(http.address);
  if (address.is_loopback()) {
    if (options.network == dht::Network::kMainline) {
      spdlog::info(
          "serves this machine only, so its content is not announced in the public DHT; "
          "--http 0.0.0.0:{} serves others",
          http.port);
      return std::nullopt;
    }
    if (joins_loopback_only(options)) options.addresses = {"127.0.0.1", "::1"};
  } else if (!address.is_unspecified()) {
    options.addresses = {http.address};
  }
  return options;
}

LazyDhtFinder::LazyDhtFinder(boost::asio::any_io_executor executor, dht::DhtOptions options)
    : executor_(std::move(executor)), options_(std::move(options)) {}
LazyDhtFinder::~LazyDhtFinder() = default;

node::FindId LazyDhtFinder::find(const content_id::ContentId& root, Duration deadline, OnFound on_found, OnEnd on_end) {
  if (!finder_) {
    auto dht = dht::DhtNode::start(executor_, options_);
    if (!dht) {
      summary_ = node::FindSummary{.trouble = dht.error().message};
      boost::asio::post(executor_, [on_end = std::move(on_end), summary = *summary_] { on_end(summary); });
      return {};
    }
    dht_ = *std::move(dht);
    node::DhtFinderOptions options;
    options.public_only = options_.network == dht::Network::kMainline;
    finder_ = std::make_unique<node::DhtFinder>(executor_, *dht_, options);
  }
  return finder_->find(root, deadline, std::move(on_found),
                       [this, on_end = std::move(on_end)](const node::FindSummary& summary) {
                         summary_ = summary;
                         on_end(summary);
                       });
}

void LazyDhtFinder::cancel(node::FindId find) {
  if (finder_) finder_->cancel(find);
}

std::string describe(const node::FindSummary& summary) {
  if (!summary.trouble.empty()) return summary.trouble;
  if (summary.candidates == 0) return "nobody in the DHT provides it";
  return "the DHT names " + std::to_string(summary.candidates) + " addresses, of which " +
         std::to_string(summary.dead) + " did not answer and " + std::to_string(summary.liars) + " are no Codio nodes" +
         (summary.unasked == 0 ? "" : "; " + std::to_string(summary.unasked) + " were not asked, in time or at all");
}

}  // namespace codio::cli
