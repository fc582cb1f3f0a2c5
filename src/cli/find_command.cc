// find: who provides content, as the DHT and routers know it.
#include <charconv>
#include <chrono>
#include <cstdio>
#include <deque>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "cli/dht.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "node/router_finder.h"

namespace codio::cli {

using content_id::ContentId;

namespace {

/// How long an interrupt may go unseen while nothing happens.
constexpr std::chrono::milliseconds kInterruptCheck{100};
/// Whoever waits longer is told what for.
constexpr std::chrono::seconds kQuiet{1};

void print_provider(const CommonOptions& common, const node::Provider& provider) {
  const double milliseconds = std::chrono::duration<double, std::milli>(provider.latency).count();
  if (common.json) {
    return print_json({{"peer", provider.peer},
                       {"address", provider.address},
                       {"rendezvous", provider.rendezvous},
                       {"gateways", provider.gateways},
                       {"latency", milliseconds}});
  }
  char latency[32];
  std::snprintf(latency, sizeof latency, "%.1f ms", milliseconds);
  std::string line = provider.peer + "  " + provider.address + "  " + latency;
  for (const std::string& url : provider.rendezvous) line += "  WebRTC by " + printable(url);
  for (const std::string& url : provider.gateways) line += "  HTTP by " + printable(url);
  print_line(line);
}

}  // namespace

Result<Duration> parse_timeout(const std::string& text) {
  double seconds = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const std::string_view unit(read.ptr, static_cast<std::size_t>(text.data() + text.size() - read.ptr));
  if (read.ec != std::errc() || (!unit.empty() && unit != "s") || !(seconds >= 0.1 && seconds <= 3600)) {
    return fail(ErrorCode::kMalformed, "'" + text + "' is no time from 0.1 to 3600 seconds, such as 20 or 1.5s");
  }
  return Duration(static_cast<Duration::rep>(seconds * 1e6));
}

Result<void> find(const CommonOptions& common, const FindOptions& options) {
  const auto cid = ContentId::parse(options.cid);
  if (!cid) return std::unexpected(cid.error());
  const auto deadline = parse_timeout(options.timeout);
  if (!deadline) return std::unexpected(deadline.error());
  const InterruptWatch watch;
  boost::asio::io_context io;
  const auto work = boost::asio::make_work_guard(io);
  std::optional<LazyDhtFinder> dht;
  if (auto joined = dht_options(common)) dht.emplace(io.get_executor(), *std::move(joined));
  std::deque<node::RouterFinder> routers;
  for (const std::string& router : common.routers) {
    auto url = node::parse_router_url(router);
    if (!url) return std::unexpected(url.error());
    routers.emplace_back(io.get_executor(), *std::move(url));
  }
  if (!dht && routers.empty()) {
    return fail(ErrorCode::kUnsupported, "--no-dht leaves nothing to search; name a --router, or leave it out");
  }

  StatusLine line(!common.json);
  std::set<std::string> printed;  // Two may know the same one.
  std::size_t running = 0;
  std::string why;
  bool was_hindered = false;
  const auto ask = [&](node::ProviderFinder& finder, const std::function<std::string(const node::FindSummary&)>& tell) {
    ++running;
    finder.find(
        *cid, *deadline,
        [&](const node::Provider& provider) {
          if (!printed.insert(provider.peer + " " + provider.address).second) return;
          line.hide();
          print_provider(common, provider);
        },
        [&, tell](const node::FindSummary& summary) {
          --running;
          was_hindered = was_hindered || !summary.trouble.empty();
          why += (why.empty() ? "" : "; ") + tell(summary);
        });
  };
  if (dht) ask(*dht, describe);
  for (node::RouterFinder& router : routers) {
    ask(router,
        [](const auto& summary) { return summary.trouble.empty() ? "the router names nobody" : summary.trouble; });
  }
  const auto begin = std::chrono::steady_clock::now();
  while (running > 0 && !interrupted()) {
    io.run_one_for(kInterruptCheck);
    const auto passed = std::chrono::floor<std::chrono::seconds>(std::chrono::steady_clock::now() - begin);
    if (passed < kQuiet) continue;
    line.update("searching: " + std::to_string(printed.size()) + " found, " + std::to_string(passed.count()) + " of " +
                std::to_string(std::chrono::ceil<std::chrono::seconds>(*deadline).count()) + " s");
  }
  line.hide();
  if (running > 0) return check_interrupt();
  if (!printed.empty()) return {};
  return fail(was_hindered ? ErrorCode::kUnavailable : ErrorCode::kNotFound,
              "no provider of " + cid->to_string() + " was found: " + why +
                  (was_hindered ? "" : "; a node that serves it announces it within a minute or so"));
}

}  // namespace codio::cli
