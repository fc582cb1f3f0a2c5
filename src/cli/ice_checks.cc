#include "cli/ice_checks.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

namespace codio::cli {

namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

/// Between the last answer of an ICE server and the verdict on the NAT.
constexpr std::chrono::milliseconds kNatGrace{500};

/// An address of ours as ICE describes it: RFC 8839, 5.1.
struct Candidate {
  std::string type;     ///< host, srflx (as a server sees us), relay.
  std::string address;  ///< ADDRESS:PORT
  std::string base;     ///< Where it was seen from, for srflx: ADDRESS:PORT of this machine.

  static std::optional<Candidate> parse(const std::string& text) {
    std::istringstream words(text);
    std::string foundation, component, transport, priority, host, port, name, value;
    Candidate candidate;
    if (!(words >> foundation >> component >> transport >> priority >> host >> port)) return std::nullopt;
    candidate.address = join(host, port);
    std::string base_host;
    while (words >> name >> value) {
      if (name == "typ") candidate.type = value;
      if (name == "raddr") base_host = value;
      if (name == "rport") candidate.base = join(base_host, value);
    }
    return candidate;
  }

 private:
  static std::string join(const std::string& host, const std::string& port) {
    return (host.find(':') == host.npos ? host : "[" + host + "]") + ":" + port;
  }
};

/// Asks libwebrtc for all the addresses that some ICE servers give.
class Gathering {
 public:
  Gathering(webrtc::PeerConnectionFactory& factory, std::vector<webrtc::IceServer> servers,
            std::function<void()> on_change) {
    webrtc::PeerConnectionEvents events;
    events.on_local_candidate = [this, on_change](const webrtc::IceCandidate& found) {
      if (found.candidate.empty()) {
        is_complete_ = true;
      } else if (auto candidate = Candidate::parse(found.candidate)) {
        candidates_.push_back(*std::move(candidate));
      }
      on_change();
    };
    events.on_server_failure = [this, on_change](webrtc::IceServerFailure failure) {
      failures_.push_back(std::move(failure));
      on_change();
    };
    events.on_closed = [this, on_change](const Error& error) {
      failures_.push_back({"", 0, error.message});
      is_complete_ = true;
      on_change();
    };
    factory.set_ice_servers(std::move(servers));
    connection_ = factory.create(std::move(events));
    connection_->offer();
  }

  bool is_complete() const { return is_complete_; }
  const std::vector<webrtc::IceServerFailure>& failures() const { return failures_; }
  const std::vector<Candidate>& candidates() const { return candidates_; }
  std::size_t count(std::string_view type) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(candidates_, [type](const Candidate& one) { return one.type == type; }));
  }
  const Candidate* find(std::string_view type) const {
    const auto found = std::ranges::find(candidates_, type, &Candidate::type);
    return found == candidates_.end() ? nullptr : &*found;
  }

 private:
  bool is_complete_ = false;
  std::vector<Candidate> candidates_;
  std::vector<webrtc::IceServerFailure> failures_;
  std::unique_ptr<webrtc::PeerConnection> connection_;
};

/// One STUN or TURN server.
class IceServerCheck : public Check {
 public:
  IceServerCheck(Ward& ward, webrtc::PeerConnectionFactory& factory, webrtc::IceServer server,
                 std::function<void()> on_ended)
      : Check(ward, is_relay(server) ? "turn" : "stun"),
        factory_(factory),
        server_(std::move(server)),
        on_ended_(std::move(on_ended)) {}

  void start() override {
    started_at_ = steady_clock::now();
    expect_end();
    gathering_ = std::make_unique<Gathering>(factory_, std::vector{server_}, [this] { look(); });
  }

  bool has_answered() const { return has_answered_; }

 private:
  static bool is_relay(const webrtc::IceServer& server) { return !server.urls.front().starts_with("stun:"); }
  const std::string& url() const { return server_.urls.front(); }

  void look() {
    if (has_ended()) return;
    const bool is_turn = is_relay(server_);
    if (const Candidate* found = gathering_->find(is_turn ? "relay" : "srflx")) {
      return accept(is_turn ? "relays at " + found->address : "sees this machine as " + found->address);
    }
    const bool is_refused = std::ranges::any_of(
        gathering_->failures(), [](const auto& failure) { return failure.code >= 400 && failure.code < 700; });
    if (!gathering_->is_complete() && !is_refused) return;
    // An address that the server sees as it is makes no candidate; one that it does not see makes a failure.
    if (!is_turn && gathering_->failures().size() < gathering_->count("host")) {
      return accept("sees this machine under an address of its own");
    }
    refuse(gathering_->failures().empty() ? "no network interface is up" : describe(gathering_->failures().back()));
  }

  static std::string describe(const webrtc::IceServerFailure& failure) {
    return failure.text + (failure.code == 0 ? "" : " (" + std::to_string(failure.code) + ")");
  }

  void accept(const std::string& what) {
    has_answered_ = true;
    end(Health::kOk, url() + " " + what + "; took " + milliseconds_since(started_at_));
    on_ended_();
  }
  void refuse(const std::string& why) {
    end(Health::kProblem, url() + ": " + why,
        is_relay(server_)
            ? "check its address, and the user and credential in --ice-server "
              "turn:HOST:PORT,USER,CREDENTIAL; where UDP is blocked, turn:HOST:PORT?transport=tcp or turns:"
            : "check its address in --ice-server, and whether a firewall lets UDP out and its answers in");
    on_ended_();
  }
  void handle_deadline() override { refuse(kTooLate); }

  webrtc::PeerConnectionFactory& factory_;
  const webrtc::IceServer server_;
  const std::function<void()> on_ended_;
  std::unique_ptr<Gathering> gathering_;
  steady_clock::time_point started_at_;
  bool has_answered_ = false;
};

/// What kind of NAT there is: the same socket asks all servers, and a NAT that gives it an address for each is one that
/// peers cannot be told a way through.
class NatCheck : public Check {
 public:
  NatCheck(Ward& ward, webrtc::PeerConnectionFactory& factory)
      : Check(ward, "nat"), factory_(factory), grace_(ward.io) {}

  void start() override {
    if (ward().options.ice_servers.empty()) {
      return end(
          Health::kWarning,
          "no ICE server is named, so peers behind other NATs are reached only if they find a way by themselves",
          "name a STUN server of yours or of someone you trust: --ice-server stun:HOST:PORT, here and for `codio "
          "serve`; two show what kind of NAT there is");
    }
    expect_end(kCheckDeadline + kNatGrace);
    gathering_ = std::make_unique<Gathering>(factory_, ward().options.ice_servers, [] {});
  }

  void watch(const IceServerCheck& server) { servers_.push_back(&server); }

  /// One of the servers has answered or will not.
  void handle_server_ended() {
    if (has_ended() || !std::ranges::all_of(servers_, [](const auto* server) { return server->has_ended(); })) return;
    grace_.expires_after(kNatGrace);
    grace_.async_wait([this](const boost::system::error_code& error) {
      if (!error) conclude();
    });
  }

 private:
  void handle_deadline() override { conclude(); }

  void conclude() {
    const auto answered = std::ranges::count_if(servers_, [](const auto* server) { return server->has_answered(); });
    if (answered == 0 || gathering_->find("host") == nullptr) {
      return end(Health::kWarning,
                 "what kind of NAT there is cannot be told, as the STUN and TURN servers do not answer",
                 "see to the servers first");
    }
    std::map<std::string, std::set<std::string>> seen;  // By our socket's address.
    for (const Candidate& candidate : gathering_->candidates()) {
      if (candidate.type == "srflx") seen[candidate.base].insert(candidate.address);
    }
    if (seen.empty()) return end(Health::kOk, "no NAT between this machine and the servers");
    const auto most =
        std::ranges::max_element(seen, {}, [](const auto& addresses_of_one) { return addresses_of_one.second.size(); });
    std::string addresses;
    for (const std::string& address : most->second) addresses += (addresses.empty() ? "" : ", ") + address;
    if (most->second.size() > 1) {
      const bool has_relay = gathering_->find("relay") != nullptr;
      return end(Health::kWarning, "a symmetric NAT, which shows another address to each server: " + addresses,
                 has_relay
                     ? "peers behind such NATs are reached through the TURN server only, which costs it bandwidth; "
                       "a port forwarded to `codio serve` avoids that"
                     : "name a TURN server with --ice-server turn:HOST:PORT,USER,CREDENTIAL: other ways to peers "
                       "behind NATs will often fail");
    }
    if (answered == 1) {
      return end(Health::kWarning, "a NAT, behind which this machine is seen as " + addresses,
                 "name a second STUN server, at another host: two show whether it is symmetric, and peers need TURN");
    }
    end(Health::kOk, "a NAT that shows the same address to all servers, " + addresses + ": peers find a way through");
  }

  webrtc::PeerConnectionFactory& factory_;
  asio::steady_timer grace_;
  std::unique_ptr<Gathering> gathering_;
  std::vector<const IceServerCheck*> servers_;
};

}  // namespace

void add_ice_checks(Ward& ward, webrtc::PeerConnectionFactory& factory, std::vector<std::unique_ptr<Check>>& checks) {
  auto nat = std::make_unique<NatCheck>(ward, factory);
  for (const webrtc::IceServer& server : ward.options.ice_servers) {
    auto check =
        std::make_unique<IceServerCheck>(ward, factory, server, [raw = nat.get()] { raw->handle_server_ended(); });
    nat->watch(*check);
    checks.push_back(std::move(check));
  }
  checks.push_back(std::move(nat));
}

}  // namespace codio::cli
