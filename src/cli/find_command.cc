// find: who provides content, as the DHT knows it.
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "cli/dht.h"
#include "cli/options.h"
#include "cli/terminal.h"

namespace codio::cli {

using content_id::ContentId;

namespace {

/// How long an interrupt may go unseen while nothing happens.
constexpr std::chrono::milliseconds kInterruptCheck{100};

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
  auto dht = dht_options(common);
  if (!dht) return fail(ErrorCode::kUnsupported, "--no-dht leaves nothing to search");
  const InterruptWatch watch;
  boost::asio::io_context io;
  const auto work = boost::asio::make_work_guard(io);
  LazyDhtFinder finder(io.get_executor(), *std::move(dht));
  std::size_t found = 0;
  bool ended = false;
  finder.find(
      *cid, *deadline,
      [&](const node::Provider& provider) {
        ++found;
        print_provider(common, provider);
      },
      [&](const node::FindSummary&) { ended = true; });
  while (!ended && !interrupted()) io.run_one_for(kInterruptCheck);
  if (!ended) return check_interrupt();
  const node::FindSummary& summary = *finder.summary();
  if (found > 0) return {};
  return fail(summary.trouble.empty() ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
              "no provider of " + cid->to_string() + " was found: " + describe(summary) +
                  (summary.trouble.empty() ? "; a node that serves it announces it within a minute or so" : ""));
}

}  // namespace codio::cli
