#include "cli/doctor.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <unistd.h>
#include <utility>
#include <vector>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "cli/check.h"
#include "cli/dht.h"
#include "cli/ice_checks.h"
#include "cli/open_files.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "content_id/cid.h"
#include "gateway/gateway_url.h"
#include "gateway/http_client.h"
#include "gateway/verify.h"
#include "rendezvous/client.h"
#include "webrtc/peer_connection.h"

namespace codio::cli {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using content_id::ContentId;
using nlohmann::json;
using std::chrono::steady_clock;

namespace {

/// Joining takes several round trips to nodes of which many are gone.
constexpr std::chrono::seconds kDhtDeadline{8};
constexpr std::chrono::milliseconds kDhtCheck{50};
/// How long an interrupt may go unseen while nothing happens.
constexpr std::chrono::milliseconds kInterruptCheck{100};
/// A block that every gateway has, being empty: what the trustless gateway specification has clients ask.
constexpr const char* kProbe = "bafkqaaa";
/// Statements that peers sign hold for minutes to hours.
constexpr std::chrono::seconds kClockTolerance{60};
constexpr std::uint64_t kLittleSpace = 100 << 20;
constexpr std::uint64_t kScarceSpace = 1 << 30;

class DiskCheck : public Check {
 public:
  explicit DiskCheck(Ward& ward) : Check(ward, "disk") {}

  void start() override {
    const fs::path folder = repo_folder(ward().common);
    const fs::path there = existing_part(folder);
    std::error_code error;
    const auto space = fs::space(there, error);
    if (error) return refuse("cannot ask for the free space of " + there.string() + ": " + error.message());
    if (const int failed = try_writing(there, fs::exists(folder, error)); failed != 0) {
      return refuse("cannot write to " + there.string() + ": " + std::strerror(failed));
    }
    const std::string seen =
        folder.string() + " can be written; " + human_size(space.available) + " are free on its disk";
    constexpr const char* kMakeSpace =
        "make space: `codio gc` removes what is not pinned; --store-limit SIZE bounds the store";
    const bool is_scarce = space.available < kScarceSpace;
    end(space.available < kLittleSpace ? Health::kProblem
        : is_scarce                    ? Health::kWarning
                                       : Health::kOk,
        seen, is_scarce ? kMakeSpace : "");
  }

 private:
  void refuse(std::string seen) {
    end(Health::kProblem, std::move(seen), "make it writable for this user, or choose another folder with --repo DIR");
  }

  /// 0, or the system's error. Only a repo that exists gets a file, for a moment.
  static int try_writing(const fs::path& folder, bool is_repo) {
    std::error_code error;
    if (!fs::is_directory(folder, error)) return ENOTDIR;
    if (!is_repo) return ::access(folder.c_str(), W_OK | X_OK) == 0 ? 0 : errno;
    std::string name = (folder / ".doctor-XXXXXX").string();
    const int file = ::mkstemp(name.data());
    if (file < 0) return errno;
    constexpr std::array<char, 4096> kPage{};
    int failed = 0;
    if (::write(file, kPage.data(), kPage.size()) != static_cast<ssize_t>(kPage.size()) || ::fsync(file) != 0) {
      failed = errno != 0 ? errno : ENOSPC;
    }
    ::close(file);
    ::unlink(name.c_str());
    return failed;
  }
};

class OpenFilesCheck : public Check {
 public:
  explicit OpenFilesCheck(Ward& ward) : Check(ward, "files") {}

  void start() override {
    const std::uint64_t most = most_open_files();
    const std::string seen = most == std::numeric_limits<std::uint64_t>::max()
                                 ? "any number of files and sockets may be open"
                                 : std::to_string(most) + " files and sockets may be open at a time";
    if (most >= kFewOpenFiles) return end(Health::kOk, seen);
    end(Health::kWarning, seen, kRaiseOpenFiles);
  }
};

/// Compares this machine's clock with what servers answer, which others ask.
class ClockCheck : public Check {
 public:
  explicit ClockCheck(Ward& ward) : Check(ward, "clock") {}

  void start() override {
    if (expected_ > 0) return expect_end(2 * kCheckDeadline);
    end(Health::kWarning, "the clock was not compared, as no gateway or rendezvous is named",
        "name one with --gateway or --rendezvous");
  }

  /// Before anything starts, for each answer that will come.
  void expect_answer() { ++expected_; }

  void handle_answer(const std::string& server, const Result<gateway::HttpAnswer>& answer) {
    --expected_;
    if (answer && answer->date) {
      const auto ahead = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) - *answer->date;
      // One server's clock may be wrong, and then others disagree with it.
      if (server_.empty() || std::chrono::abs(ahead) < std::chrono::abs(ahead_)) {
        server_ = server;
        ahead_ = ahead;
      }
    }
    if (expected_ == 0) conclude();
  }

 private:
  void handle_deadline() override { conclude(); }

  void conclude() {
    if (server_.empty()) {
      return end(Health::kWarning, "the clock was not compared, as no server that was asked told the time",
                 "compare it yourself: date -u");
    }
    const auto seconds = std::chrono::abs(ahead_).count();
    if (std::chrono::abs(ahead_) <= kClockTolerance) {
      return end(Health::kOk, "the clock is within " + std::to_string(std::max<std::int64_t>(seconds, 1)) +
                                  " s of that of " + server_);
    }
    end(Health::kProblem,
        "the clock is " + std::to_string(seconds) + " s " + (ahead_.count() > 0 ? "ahead of" : "behind") + " that of " +
            server_,
        "set it, best by NTP (timedatectl set-ntp true): what peers sign expires, and certificates do");
  }

  std::size_t expected_ = 0;
  std::string server_;  ///< Whose clock is the closest; empty: none yet.
  std::chrono::seconds ahead_{0};
};

/// Asks for a document, and tells `on_answer` on the ward's thread.
void ask(Ward& ward, gateway::HttpClient& http, const std::string& url,
         std::function<void(const Result<gateway::HttpAnswer>&)> on_answer) {
  gateway::HttpRequest request{.url = url, .accept = "application/vnd.ipld.raw"};
  request.timeout = request.connect_timeout = kCheckDeadline;
  request.max_redirects = gateway::GatewayConfig().max_redirects;
  http.get(std::move(request), [&io = ward.io, on_answer = std::move(on_answer)](Result<gateway::HttpAnswer> answer) {
    asio::post(io, [on_answer, answer = std::move(answer)] { on_answer(answer); });
  });
}

class GatewayCheck : public Check {
 public:
  GatewayCheck(Ward& ward, gateway::HttpClient& http, ClockCheck& clock, std::string url)
      : Check(ward, "gateway"), http_(http), clock_(clock), url_(std::move(url)) {
    clock_.expect_answer();
  }

  void start() override {
    started_at_ = steady_clock::now();
    expect_end(2 * kCheckDeadline);
    ask(ward(), http_, url_ + kProbe + "?format=raw", [this](const auto& answer) {
      clock_.handle_answer(url_, answer);
      handle_answer(answer);
    });
  }

 private:
  void handle_answer(const Result<gateway::HttpAnswer>& answer) {
    constexpr const char* kAnother = "name another one with --gateway URL, or ask none with --no-gateway";
    if (!answer) {
      return end(Health::kProblem, url_ + ": " + answer.error().message,
                 std::string("check this machine's network, DNS and proxy; or ") + kAnother);
    }
    if (answer->status != 200) {
      return end(
          Health::kProblem,
          url_ + " answers with HTTP status " + std::to_string(answer->status) + " where a block should come",
          answer->status == 429 ? std::string("it limits how often it is asked: wait, or ") + kAnother : kAnother);
    }
    if (const auto good = gateway::verify(*ContentId::parse(kProbe), answer->body); !good) {
      return end(
          Health::kProblem, url_ + " answers, but " + good.error().message,
          std::string("something on the way may answer in its place, such as a login page; or it is no trustless "
                      "gateway: ") +
              kAnother);
    }
    end(Health::kOk, url_ + " gives a block, verified, in " + milliseconds_since(started_at_));
  }
  void handle_deadline() override { handle_answer(fail(ErrorCode::kTimeout, kTooLate)); }

  gateway::HttpClient& http_;
  ClockCheck& clock_;
  const std::string url_;
  steady_clock::time_point started_at_;
};

/// Connects as a stranger: under the repo's key, a running node would lose its place.
class RendezvousCheck : public Check {
 public:
  RendezvousCheck(Ward& ward, gateway::HttpClient& http, ClockCheck& clock, rendezvous::ServerUrl url)
      : Check(ward, "rendezvous"), http_(http), clock_(clock), url_(std::move(url)) {
    clock_.expect_answer();
  }

  void start() override {
    started_at_ = steady_clock::now();
    expect_end();
    const bool is_ipv6 = url_.host.find(':') != std::string::npos;
    const std::string site =
        (url_.tls ? "https://" : "http://") + (is_ipv6 ? "[" + url_.host + "]" : url_.host) + ":" + url_.port + "/";
    ask(ward(), http_, site, [this, site](const auto& answer) { clock_.handle_answer(site, answer); });
    rendezvous::ClientEvents events;
    events.on_connected = [this](const rendezvous::Welcome&) { handle_welcome(); };
    events.on_disconnected = [this](const Error& error) { refuse(error.message); };
    rendezvous::Client::Options options;
    options.connect_timeout = options.find_timeout = 2 * kCheckDeadline;
    client_ = std::make_unique<rendezvous::Client>(ward().io.get_executor(), url_, std::move(events), options);
  }

 private:
  void handle_welcome() {
    welcome_ = milliseconds_since(started_at_);
    asked_at_ = steady_clock::now();
    client_->find(*ContentId::parse(kProbe), [this](const auto& found) {
      if (!found) return refuse(found.error().message);
      end(Health::kOk, url_.text + " welcomes after " + welcome_ + " and answers in " + milliseconds_since(asked_at_));
    });
  }
  void refuse(const std::string& why) {
    const std::string seen = why.find(url_.text) == why.npos ? url_.text + ": " + why : why;
    end(Health::kProblem, seen,
        "see whether a node or rendezvous runs there (`codio serve` is one), and whether a firewall or proxy lets "
        "WebSockets through");
  }
  void handle_deadline() override { refuse(welcome_.empty() ? kTooLate : "welcomes, but does not answer"); }

  gateway::HttpClient& http_;
  ClockCheck& clock_;
  const rendezvous::ServerUrl url_;
  std::unique_ptr<rendezvous::Client> client_;
  steady_clock::time_point started_at_;
  steady_clock::time_point asked_at_;
  std::string welcome_;  ///< After how long it came.
};

/// A node's own view if one runs that has joined; else joins for a moment.
class DhtCheck : public Check {
 public:
  explicit DhtCheck(Ward& ward) : Check(ward, "dht"), timer_(ward.io) {}

  void start() override {
    const json of_node = ward().node.is_null() ? json() : ward().node.value("dht", json());
    if (of_node.is_object() && ward().common.dht_bootstrap.empty()) {
      return judge_node(of_node);
    }
    auto options = dht_options(ward().common);
    if (!options) return end(Health::kOk, "not tested: --no-dht");
    if (!ward().node.is_null()) options->state_file.clear();
    if (options->network == dht::Network::kOwn && options->bootstrap.empty()) {
      return end(Health::kOk, "a network of one's own begins here, with nobody to reach yet");
    }
    auto dht = dht::DhtNode::start(ward().io.get_executor(), *std::move(options));
    if (!dht) {
      return end(Health::kProblem, dht.error().message, "choose another port with --dht-port, or leave it out");
    }
    dht_ = *std::move(dht);
    expect_end(kDhtDeadline);
    look();
  }

 private:
  void judge_node(const json& dht) {
    status_ = {.nodes = dht.value("nodes", std::size_t{0}), .port = dht.value("port", std::uint16_t{0})};
    if (dht.value("reachable", false)) return accept("the running node");
    if (!dht.value("ready", true)) {
      return end(Health::kWarning, "the running node has not joined the DHT yet", "ask again in some seconds");
    }
    if (!dht.value("public", true)) {
      return end(Health::kWarning, "the running node is alone in a DHT of its own",
                 "start other nodes with --dht-bootstrap HOST:" + std::to_string(status_.port));
    }
    refuse("the running node reaches no node of the DHT");
  }

  void look() {
    status_ = dht_->status();
    if (status_.is_reachable) return accept("this machine");
    timer_.expires_after(kDhtCheck);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (!error && !has_ended()) look();
    });
  }

  void accept(const std::string& who) {
    end(Health::kOk, who + " reaches the DHT and knows " + std::to_string(status_.nodes) +
                         (status_.nodes == 1 ? " node" : " nodes") + " so far; whether they reach its UDP port " +
                         std::to_string(status_.port) + " by themselves cannot be told from here");
  }
  void refuse(const std::string& seen) {
    const bool is_public = ward().common.dht_bootstrap.empty();
    end(Health::kProblem, seen,
        is_public
            ? "let UDP out and its answers in; where that is not allowed, find content with --router URL and "
              "--no-dht"
            : "see whether a node runs at the address of --dht-bootstrap, and whether a firewall lets UDP through");
  }
  void handle_deadline() override {
    std::string asked;
    for (const std::string& node : ward().common.dht_bootstrap) asked += (asked.empty() ? "" : ", ") + node;
    refuse("no node of the " + (asked.empty() ? "public DHT" : "DHT at " + asked) + " answered within " +
           std::to_string(kDhtDeadline.count()) + " seconds");
  }

  asio::steady_timer timer_;
  std::unique_ptr<dht::DhtNode> dht_;
  dht::DhtStatus status_;
};

/// `scheme:HOST[:PORT][?…]`
std::string host_of(const webrtc::IceServer& server) {
  const std::string& url = server.urls.front();
  std::string host = url.substr(url.find(':') + 1);
  host.resize(std::min(host.find('?'), host.size()));
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.rfind(':'));
}

std::vector<rendezvous::ServerUrl> all_rendezvous(const Ward& ward) {
  std::vector<rendezvous::ServerUrl> all;
  for (const auto& urls : ward.options.rendezvous) all.insert(all.end(), urls.begin(), urls.end());
  if (ward.node.is_null()) return all;
  for (const json& text : ward.node.value("rendezvous", json::array())) {
    auto url = rendezvous::ServerUrl::parse(text.get<std::string>());
    if (url && std::ranges::find(all, url->text, &rendezvous::ServerUrl::text) == all.end()) {
      all.push_back(*std::move(url));
    }
  }
  return all;
}

Result<std::vector<std::string>> all_gateways(const node::TransferManagerOptions& options) {
  std::vector<std::string> all;
  if (!options.gateway) return all;
  std::vector<std::string> texts{options.gateway->primary};
  texts.insert(texts.end(), options.gateway->fallbacks.begin(), options.gateway->fallbacks.end());
  for (const std::string& text : texts) {
    auto url = gateway::parse_gateway_url(text);
    if (!url) return std::unexpected(url.error());
    all.push_back(*std::move(url));
  }
  return all;
}

}  // namespace

std::string_view to_string(Health health) {
  switch (health) {
    case Health::kOk: return "ok";
    case Health::kWarning: return "warning";
    case Health::kProblem: return "problem";
  }
  return "";
}

Result<void> examine(const CommonOptions& common, const json& node, const std::function<void(const Finding&)>& report) {
  const auto options = transfer_options(common);
  if (!options) return std::unexpected(options.error());
  const auto gateways = all_gateways(*options);
  if (!gateways) return std::unexpected(gateways.error());
  const InterruptWatch watch;
  asio::io_context io;
  const auto work = asio::make_work_guard(io);
  Ward ward{io, common, *options, node, report};
  const bool use_loopback =
      !options->ice_servers.empty() && std::ranges::all_of(options->ice_servers, is_loopback, host_of);
  webrtc::PeerConnectionFactory factory({.use_loopback = use_loopback},
                                        [&io](std::function<void()> function) { asio::post(io, std::move(function)); });
  std::vector<std::unique_ptr<Check>> checks;
  gateway::HttpClient http;

  checks.push_back(std::make_unique<DiskCheck>(ward));
  checks.push_back(std::make_unique<OpenFilesCheck>(ward));
  add_ice_checks(ward, factory, checks);
  auto clock = std::make_unique<ClockCheck>(ward);
  for (const std::string& url : *gateways) checks.push_back(std::make_unique<GatewayCheck>(ward, http, *clock, url));
  const auto servers = all_rendezvous(ward);
  for (const auto& url : servers) checks.push_back(std::make_unique<RendezvousCheck>(ward, http, *clock, url));
  checks.push_back(std::move(clock));
  checks.push_back(std::make_unique<DhtCheck>(ward));

  if (!options->gateway) report({"gateway", Health::kOk, "not tested: --no-gateway", ""});
  if (servers.empty()) {
    report({"rendezvous", Health::kWarning, "no rendezvous is named, so browsers and peers behind NATs are not found",
            "name one with --rendezvous ws://HOST:PORT/rendezvous, or run `codio serve`, which is one"});
  }
  for (const auto& check : checks) check->start();
  while (ward.running > 0 && !interrupted()) io.run_one_for(kInterruptCheck);
  return check_interrupt();
}

}  // namespace codio::cli
