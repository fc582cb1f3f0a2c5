#include "node/node_answers.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
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

web::Head routing_head(bool as_lines, bool is_empty) {
  web::Head head;
  head.add("Content-Type", as_lines ? "application/x-ndjson" : "application/json");
  head.add("Cache-Control", is_empty ? "public, max-age=15" : "public, max-age=300");
  head.add("Vary", "Accept");
  head.is_for_all_origins = true;
  return head;
}

/// However a coroutine ends: main's thread is told.
class GivesUp {
 public:
  GivesUp(asio::io_context& main, std::function<void()> then) : main_(main), then_(std::move(then)) {}
  ~GivesUp() { asio::post(main_, std::move(then_)); }
  GivesUp(const GivesUp&) = delete;
  GivesUp& operator=(const GivesUp&) = delete;

 private:
  asio::io_context& main_;
  std::function<void()> then_;
};

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

std::string websocket(const std::string& origin) {
  return "ws" + origin.substr(std::string_view("http").size()) + "/rendezvous";
}

}  // namespace

/// What a search has found, between main's thread and the one that answers.
class NodeAnswers::Search {
 public:
  explicit Search(std::function<void()> notify) : notify_(std::move(notify)) {}

  /// One peer is one record, as long as that was not told yet.
  void add(RoutingRecord record) {
    {
      const std::lock_guard lock(mutex_);
      const auto known = std::ranges::find(records_, record.id, &RoutingRecord::id);
      if (known != records_.end()) {
        merge(*known, record);
      } else if (told_.size() + records_.size() < kMaxRoutingRecords && !told_.contains(record.id)) {
        records_.push_back(std::move(record));
      }
    }
    if (is_begun_) notify_();
  }

  /// Those that were not taken yet.
  std::vector<RoutingRecord> take() {
    const std::lock_guard lock(mutex_);
    for (const RoutingRecord& record : records_) told_.insert(record.id);
    return std::exchange(records_, {});
  }

  /// What is known at once has been added.
  void begin() {
    is_begun_ = true;
    notify_();
  }
  void end() {
    is_over_ = true;
    notify_();
  }
  bool is_over() const { return is_over_; }

  // Of main's thread.
  std::optional<FindId> find;
  bool is_given_up = false;

 private:
  static void merge(RoutingRecord& known, RoutingRecord& more) {
    for (auto member : {&RoutingRecord::addrs, &RoutingRecord::protocols}) {
      for (std::string& text : more.*member) {
        if (std::ranges::find(known.*member, text) == (known.*member).end()) (known.*member).push_back(std::move(text));
      }
    }
    if (known.rendezvous.empty()) known.rendezvous = std::move(more.rendezvous);
  }

  const std::function<void()> notify_;
  std::mutex mutex_;
  std::vector<RoutingRecord> records_;  ///< Under the mutex, as the next.
  std::set<std::string> told_;
  std::atomic<bool> is_begun_ = false;
  std::atomic<bool> is_over_ = false;
};

NodeAnswers::NodeAnswers(asio::io_context& main, std::shared_ptr<const store::BlockStore> store,
                         rendezvous::Server& rendezvous, NodeAnswersOptions options)
    : main_(main), store_(std::move(store)), rendezvous_(rendezvous), options_(std::move(options)) {}

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
    const std::string origin = named_origin();
    const std::string own_rendezvous = origin.empty() ? "/rendezvous" : websocket(origin);
    auto [statement, signature] = sign_statement(*options_.key, {.peer = {},
                                                                 .rendezvous = {own_rendezvous},
                                                                 .gateways = {origin + "/ipfs/"},
                                                                 .versions = {transfer::wire::kVersion},
                                                                 .expires = now + kStatementLifetime,
                                                                 .challenge = challenge});
    descriptor["signed"] = {{"statement", std::move(statement)}, {"signature", std::move(signature)}};
  }
  return dump(descriptor);
}

std::string NodeAnswers::named_origin() const {
  const std::string name = options_.tls ? options_.tls->host_name() : "";
  return name.empty() ? "" : "https://" + name + ":" + std::to_string(port_);
}

std::string NodeAnswers::origin_of(const HttpConnection& connection) const {
  std::string origin = connection.is_encrypted() ? named_origin() : "";
  if (!origin.empty()) return origin;
  const auto local = connection.local();
  origin = Endpoint{local.address().to_string(), local.port()}.url();
  if (connection.is_encrypted()) origin.insert(std::string_view("http").size(), "s");
  return origin;
}

/// On main's thread.
void NodeAnswers::search(const content_id::ContentId& cid, const std::string& origin,
                         const std::shared_ptr<Search>& search) {
  for (const std::string& peer : rendezvous_.providers(cid)) {
    // Who has no key has no name that means anything elsewhere.
    const std::string id = libp2p_id(peer);
    if (!id.empty()) search->add({id, {}, {std::string(kWebRtcProtocol)}, websocket(origin)});
  }
  search->begin();
  if (options_.finder == nullptr) return search->end();
  const auto on_found = [search](const Provider& provider) {
    const std::string id = libp2p_id(provider.peer);
    const auto address = provider.gateways.empty() ? std::nullopt : multiaddr_of(provider.gateways.front());
    RoutingRecord record{id.empty() ? provider.peer : id, {}, {}};
    if (address) {
      record.addrs.push_back(*address);
      record.protocols.emplace_back(kGatewayProtocol);
    }
    if (!provider.rendezvous.empty()) {
      record.protocols.emplace_back(kWebRtcProtocol);
      record.rendezvous = provider.rendezvous.front();
    }
    if (!record.protocols.empty()) search->add(std::move(record));
  };
  search->find =
      options_.finder->find(cid, options_.routing_deadline, on_found, [search](const FindSummary&) { search->end(); });
}

asio::awaitable<void> NodeAnswers::answer_routing(HttpCall& call, const web::Target& target) {
  const auto cid = content_id::ContentId::parse(target.path.substr(kRouting.size()));
  if (!cid) co_return co_await call.refuse(422, cid.error().message);
  const Counted counted(routing_);
  if (counted.now() > options_.max_routing) {
    co_return co_await call.refuse(web::try_again(429, "too many searches; try again soon", 5));
  }
  const std::string addrs = target.parameter("filter-addrs").value_or("");
  const std::string protocols = target.parameter("filter-protocols").value_or("");
  const std::string origin = origin_of(call.connection());
  Signal news(co_await asio::this_coro::executor);
  const auto search = std::make_shared<Search>(news.notifier());
  const auto has = store_->has(*cid);
  const auto own = multiaddr_of(origin + "/ipfs/");
  const bool is_denied = options_.deny_lists && options_.deny_lists->denied_block(*cid);
  const bool is_here = options_.key && has && *has && own && !is_denied;
  if (is_here) {
    search->add({libp2p_id(options_.key->peer_id()), {*own}, {std::string(kGatewayProtocol)}});
  }
  asio::post(main_, [self = shared_from_this(), cid = *cid, origin, search] {
    if (!search->is_given_up) self->search(cid, origin, search);
  });
  const GivesUp gives_up(main_, [self = shared_from_this(), search] {
    search->is_given_up = true;
    if (search->find && self->options_.finder != nullptr) self->options_.finder->cancel(*search->find);
  });

  const bool as_lines = web::accepts(call.request().accept, "application/x-ndjson");
  const bool streams = as_lines && !call.request().is_head;
  std::vector<RoutingRecord> records;
  bool has_begun = false;
  const Duration patience =
      is_here && !streams ? std::min<Duration>(options_.routing_deadline, kOthers) : options_.routing_deadline;
  const auto end = std::chrono::steady_clock::now() + patience;
  for (bool is_over = false; !is_over;) {
    const auto left = std::chrono::duration_cast<Duration>(end - std::chrono::steady_clock::now());
    const bool is_in_time = co_await news.wait(std::max(left, Duration::zero()));
    is_over = search->is_over() || !is_in_time;
    auto more = filter_records(search->take(), addrs, protocols);
    if (!streams) {
      std::ranges::move(more, std::back_inserter(records));
      continue;
    }
    if (more.empty()) continue;
    if (!std::exchange(has_begun, true)) call.begin(routing_head(true, false));
    const std::string lines = write_routing_answer(more, true);
    co_await call.write(as_bytes(lines));
    co_await call.send_now();
  }
  if (has_begun) co_return co_await call.end();
  const std::string text = write_routing_answer(records, as_lines);
  web::Head head = routing_head(as_lines, records.empty());
  co_await call.respond(std::move(head), text);
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
