// provide --once: announces content in the DHT, and says under which address others see it.
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "cli/content.h"
#include "cli/dht.h"
#include "cli/options.h"
#include "cli/session.h"
#include "cli/terminal.h"

namespace codio::cli {

using content_id::ContentId;

namespace {

constexpr std::chrono::milliseconds kInterruptCheck{100};
/// Mainline answers within seconds; a lookup waits for nodes that do not.
constexpr Duration kDeadline = std::chrono::seconds(60);
/// Whoever waits longer is told what for.
constexpr Duration kQuiet = std::chrono::seconds(1);

/// The content must be here, whole: who comes for it is to get it.
Result<std::vector<ContentId>> read_whole(const CommonOptions& common, const std::vector<std::string>& texts) {
  const auto store = open_store(common);
  if (!store) return std::unexpected(store.error());
  std::vector<ContentId> cids;
  for (const std::string& text : texts) {
    const auto cid = ContentId::parse(text);
    if (!cid) return std::unexpected(cid.error());
    const auto known = survey(**store, *cid);
    if (!known) return std::unexpected(known.error());
    if (!known->is_whole || known->blocks.empty()) {
      return fail(ErrorCode::kNotFound,
                  cid->to_string() + " is not whole here; `codio get " + text + "` or `codio add` first");
    }
    cids.push_back(*cid);
  }
  return cids;
}

class Announcement {
 public:
  explicit Announcement(const CommonOptions& common) : common_(common), line_(!common.json) {}

  Result<void> run(dht::DhtOptions options, const std::vector<ContentId>& cids) {
    const std::uint16_t http_port = options.http_port;
    options.on_announced = [this, http_port](const dht::Key& key) {
      const auto cid = waiting_.find(key);
      if (cid != waiting_.end()) look(cid->second, http_port);
    };
    auto dht = dht::DhtNode::start(io_.get_executor(), std::move(options));
    if (!dht) return std::unexpected(dht.error());
    dht_ = *std::move(dht);
    for (const ContentId& cid : cids) {
      waiting_.emplace(dht::key_of(cid), cid);
      dht_->announce(cid);
    }
    const auto work = boost::asio::make_work_guard(io_);
    const auto begin = std::chrono::steady_clock::now();
    for (auto passed = begin - begin; !waiting_.empty() && !interrupted() && passed < kDeadline;
         passed = std::chrono::steady_clock::now() - begin) {
      io_.run_one_for(kInterruptCheck);
      if (passed > kQuiet) line_.update(progress(cids.size(), passed));
    }
    const bool is_reachable = dht_->status().is_reachable;
    dht_.reset();
    if (waiting_.empty()) return {};
    if (auto go_on = check_interrupt(); !go_on) return go_on;
    return fail(
        ErrorCode::kUnavailable,
        std::to_string(waiting_.size()) + " of " + std::to_string(cids.size()) + " could not be announced: " +
            (is_reachable ? "the DHT does not give them back"
                          : "no node of the DHT answers; is the network down, UDP blocked, or --dht-bootstrap wrong?"));
  }

 private:
  std::string progress(std::size_t all, std::chrono::steady_clock::duration passed) const {
    const auto status = dht_->status();
    const std::string what = status.is_reachable
                                 ? "announcing in the DHT, " + std::to_string(status.nodes) + " nodes known"
                                 : "looking for a node of the DHT";
    return what + ": " + std::to_string(all - waiting_.size()) + " of " + std::to_string(all) + " done, " +
           std::to_string(std::chrono::duration_cast<std::chrono::seconds>(passed).count()) + " s";
  }

  /// Whether others find it now.
  void look(const ContentId& cid, std::uint16_t http_port) {
    dht_->find_providers(cid, kDeadline,
                         [this, cid, http_port](const dht::Endpoint& endpoint, std::size_t /*place*/) {
                           // Of several, ours is the one with our port; whose else that is does not matter here.
                           if (endpoint.port() != http_port || waiting_.erase(dht::key_of(cid)) == 0) return;
                           const std::string address =
                               node::Endpoint{endpoint.address().to_string(), endpoint.port()}.url();
                           if (common_.json) {
                             print_json({{"event", "announced"}, {"cid", cid.to_string()}, {"http", address}});
                           } else {
                             line_.hide();
                             print_line("announced " + cid.to_string() + "; others are told to ask " + address);
                           }
                         },
                         {});
  }

  const CommonOptions& common_;
  StatusLine line_;
  boost::asio::io_context io_;
  std::unique_ptr<dht::DhtNode> dht_;
  std::map<dht::Key, ContentId> waiting_;
};

}  // namespace

Result<void> provide(const CommonOptions& common, const ProvideOptions& options) {
  const auto endpoint = node::Endpoint::parse(options.http);
  if (!endpoint) return std::unexpected(endpoint.error());
  if (options.once && endpoint->port == 0) {
    return fail(ErrorCode::kMalformed,
                "--once announces the port of a server that runs: say which, --http ADDRESS:PORT");
  }
  const auto cids = read_whole(common, options.cids);
  if (!cids) return std::unexpected(cids.error());
  auto dht = dht_options(common, *endpoint);
  if (!dht) {
    return fail(ErrorCode::kUnsupported, common.no_dht ? "--no-dht leaves nowhere to announce it"
                                                       : "nobody in the public DHT reaches " + endpoint->url() +
                                                             "; listen on another address with --http ADDRESS:PORT");
  }
  if (!options.once) return serve(common, {.paths = {}, .http = options.http, .provided = *cids});
  const InterruptWatch watch;
  return Announcement(common).run(*std::move(dht), *cids);
}

}  // namespace codio::cli
