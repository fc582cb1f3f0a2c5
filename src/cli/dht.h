// The DHT as the command line wants it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <boost/asio/any_io_executor.hpp>

#include "cli/options.h"
#include "dht/dht_node.h"
#include "node/provider.h"

namespace codio::cli {

/// `HOST:PORT`, or `none`: begin a network of one's own.
Result<std::optional<dht::BootstrapNode>> parse_bootstrap(const std::string& text);

/// Whether a name or address is of this machine's loopback interface.
bool is_loopback(const std::string& host);

/// Of a program that soon ends; nothing with --no-dht.
std::optional<dht::DhtOptions> dht_options(const CommonOptions& common);
/// Of one that serves there over HTTP; nothing also if nobody could reach it: in the public DHT on the loopback
/// interface.
std::optional<dht::DhtOptions> dht_options(const CommonOptions& common, const node::Endpoint& http);

/// Finds through the DHT, which it joins when it is asked first: a command that needs nothing of the network does not
/// touch it.
class LazyDhtFinder : public node::ProviderFinder {
 public:
  LazyDhtFinder(boost::asio::any_io_executor executor, dht::DhtOptions options);
  ~LazyDhtFinder() override;

  node::FindId find(const content_id::ContentId& root, Duration deadline, OnFound on_found, OnEnd on_end) override;
  void cancel(node::FindId find) override;

  /// How the last search ended, as far as it has.
  const std::optional<node::FindSummary>& summary() const { return summary_; }

 private:
  boost::asio::any_io_executor executor_;
  dht::DhtOptions options_;
  std::unique_ptr<dht::DhtNode> dht_;
  std::unique_ptr<node::ProviderFinder> finder_;
  std::optional<node::FindSummary> summary_;
};

/// Why a search brought too little, for the end of a message: "nobody in the DHT provides it".
std::string describe(const node::FindSummary& summary);

}  // namespace codio::cli
