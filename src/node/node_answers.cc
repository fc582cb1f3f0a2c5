#include "node/node_answers.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <nlohmann/json.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include "node/descriptor.h"
#include "node/http_server.h"
#include "node/routing_records.h"
#include "transfer/wire/messages.h"

namespace codio::node {

namespace asio = boost::asio;
using nlohmann::json;

namespace {

/// For an answer of main's thread, which does nothing that takes long.
constexpr std::chrono::seconds kMainAnswers{30};

/// For other providers of what is on this node: who asks need not wait for them.
constexpr std::chrono::milliseconds kOthers{500};

std::string dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

/// Whose pages may read an answer.
enum class Readers : std::uint8_t { kThisOrigin, kAllOrigins };

asio::awaitable<void> respond_json(HttpCall& call, std::string text, Readers readers) {
  web::Head head;
  head.add("Content-Type", "application/json");
  head.add("Cache-Control", "no-cache");
  if (readers == Readers::kAllOrigins) head.is_for_all_origins = true;
  co_await call.respond(std::move(head), text);
}

class Counted {
 public:
  explicit Counted(std::atomic<std::size_t>& count) : count_(count), now_(++count) {}
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  std::size_t now() const { return now_; }

 private:
  std::atomic<std::size_t>& count_;
  std::size_t now_;
};

/// What a search found so far.
class Found {
 public:
  void add(const std::string& peer, const std::string& gateway) {
    const auto address = multiaddr_of(gateway);
    const std::lock_guard lock(mutex_);
    if (!address || records_.size() >= kMaxRoutingRecords) return;
    records_.push_back({libp2p_id(peer), {*address}, {std::string(kGatewayProtocol)}});
  }
  std::vector<RoutingRecord> so_far() const {
    const std::lock_guard lock(mutex_);
    return records_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<RoutingRecord> records_;
};

}  // namespace

NodeAnswers::NodeAnswers(asio::io_context& main, std::shared_ptr<const store::BlockStore> store,
                         NodeAnswersOptions options)
    : main_(main), store_(std::move(store)), options_(std::move(options)) {}

asio::awaitable<void> NodeAnswers::answer_descriptor(HttpCall& call, const web::Target& target) {
  const std::string challenge = target.parameter("challenge").value_or("");
  if (!challenge.empty() && !is_challenge(challenge)) {
    co_return co_await call.refuse(400, "a challenge is 1 to 64 characters A-Z a-z 0-9 _ -");
  }
  Signal done(co_await asio::this_coro::executor);
  const auto text = std::make_shared<std::string>();
  asio::post(main_, [self = shared_from_this(), challenge, text, notify = done.notifier()] {
    *text = self->descriptor(challenge);
    notify();
  });
  if (!co_await done.wait(kMainAnswers)) co_return co_await call.refuse(503, "this node is busy; try again soon");
  co_await respond_json(call, *text, Readers::kAllOrigins);
}

std::string NodeAnswers::descriptor(const std::string& challenge) const {
  json servers = json::array();
  for (const auto& server : options_.ice_servers) {
    json one{{"urls", server.urls}};
    if (!server.username.empty()) one["username"] = server.username;
    if (!server.credential.empty()) one["credential"] = server.credential;
    servers.push_back(std::move(one));
  }
  json gateways = json::array({"/ipfs/"});
  for (const auto& gateway : options_.gateways) gateways.push_back(gateway);
  json descriptor{{"version", 1}, {"rendezvous", {"/rendezvous"}}, {"gateways", gateways}, {"iceServers", servers}};
  if (options_.key) {
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    auto [statement, signature] = sign_statement(*options_.key, {.peer = {},
                                                                 .rendezvous = {"/rendezvous"},
                                                                 .gateways = {"/ipfs/"},
                                                                 .versions = {transfer::wire::kVersion},
                                                                 .expires = now + kStatementLifetime,
                                                                 .challenge = challenge});
    descriptor["signed"] = {{"statement", std::move(statement)}, {"signature", std::move(signature)}};
  }
  return dump(descriptor);
}

asio::awaitable<void> NodeAnswers::answer_routing(HttpCall& call, const web::Target& target) {
  const auto cid = content_id::ContentId::parse(target.path.substr(kRouting.size()));
  if (!cid) co_return co_await call.refuse(422, "this is no CID: " + cid.error().message);
  const Counted counted(routing_);
  if (counted.now() > options_.max_routing) {
    co_return co_await call.refuse(web::try_again(429, "too many searches; try again soon", 5));
  }
  const auto found = std::make_shared<Found>();
  const auto has = store_->has(*cid);
  const bool is_denied = options_.deny_lists && options_.deny_lists->denied_block(*cid);
  if (options_.key && has && *has && !is_denied) {
    const auto local = call.connection().local();
    std::string own = Endpoint{local.address().to_string(), local.port()}.url() + "/ipfs/";
    if (call.connection().is_encrypted()) own.insert(std::string_view("http").size(), "s");
    found->add(options_.key->peer_id(), own);
  }
  Signal done(co_await asio::this_coro::executor);
  asio::post(main_, [self = shared_from_this(), cid = *cid, found, notify = done.notifier()] {
    ProviderFinder* finder = self->options_.finder;
    if (finder == nullptr) return notify();
    const auto on_found = [found](const Provider& provider) {
      if (!provider.gateways.empty()) found->add(provider.peer, provider.gateways.front());
    };
    finder->find(cid, self->options_.routing_deadline, on_found, [notify](const FindSummary&) { notify(); });
  });
  const bool is_found = !found->so_far().empty();
  co_await done.wait(is_found ? std::min<Duration>(options_.routing_deadline, kOthers) : options_.routing_deadline);
  auto records = found->so_far();
  records = filter_records(std::move(records), target.parameter("filter-addrs").value_or(""),
                           target.parameter("filter-protocols").value_or(""));
  const bool as_lines = web::accepts(call.request().accept, "application/x-ndjson");
  web::Head head;
  head.add("Content-Type", as_lines ? "application/x-ndjson" : "application/json");
  head.add("Cache-Control", records.empty() ? "public, max-age=15" : "public, max-age=300");
  head.add("Vary", "Accept");
  head.is_for_all_origins = true;
  co_await call.respond(std::move(head), write_routing_answer(records, as_lines));
}

asio::awaitable<void> NodeAnswers::answer_roots(HttpCall& call) const {
  const auto roots = store_->roots();
  if (!roots) co_return co_await call.refuse(500, "this node cannot read its roots");
  json list = json::array();
  for (const store::Root& root : *roots) {
    list.push_back({{"cid", root.cid.to_string()}, {"name", root.name}, {"size", root.size}});
  }
  co_await respond_json(call, dump(list), Readers::kThisOrigin);
}

}  // namespace codio::node
