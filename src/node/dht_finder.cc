#include "node/dht_finder.h"

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "node/descriptor.h"
#include "node/http_server.h"
#include "node/reach.h"

namespace codio::node {

using content_id::ContentId;

namespace {

Time now() { return Time(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())); }

std::string text_of(const dht::Endpoint& endpoint) {
  return Endpoint{endpoint.address().to_string(), endpoint.port()}.url().substr(std::string_view("http://").size());
}

constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";

std::string trouble_of(dht::SearchEnd end) {
  if (end != dht::SearchEnd::kUnreachable) return "";
  return "no node of the DHT answers; is the network down, UDP blocked, or --dht-bootstrap wrong?";
}

}  // namespace

class DhtFinder::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(boost::asio::any_io_executor executor, dht::DhtNode& dht, DhtFinderOptions options)
      : executor_(std::move(executor)),
        dht_(dht),
        options_(options),
        book_(options.book),
        queue_(queue_options(options)),
        http_(std::make_unique<gateway::HttpClient>()) {}

  void stop() {
    stopped_ = true;
    while (!searches_.empty()) cancel(searches_.begin()->first);
    http_.reset();
  }

  FindId find(const ContentId& root, Duration deadline, OnFound on_found, OnEnd on_end) {
    const FindId id{++last_id_};
    Search& search = searches_.try_emplace(id, executor_).first->second;
    search.on_found = std::move(on_found);
    search.on_end = std::move(on_end);
    search.dht = dht_.find_providers(
        root, deadline,
        [this, id](const dht::Endpoint& endpoint, std::size_t place) { handle_endpoint(id, endpoint, place); },
        [this, id](dht::SearchEnd end) { handle_searched(id, end); });
    search.timer.expires_after(deadline);
    search.timer.async_wait([weak = weak_from_this(), id](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (!error && self && !self->stopped_) self->end(id);
    });
    return id;
  }

  void cancel(FindId id) {
    const auto search = searches_.find(id);
    if (search == searches_.end()) return;
    if (search->second.dht) dht_.cancel(*search->second.dht);
    searches_.erase(search);
  }

 private:
  struct Search {
    explicit Search(const boost::asio::any_io_executor& executor) : timer(executor) {}

    OnFound on_found;
    OnEnd on_end;
    boost::asio::steady_timer timer;
    std::optional<dht::SearchId> dht;     ///< As long as it runs.
    std::set<dht::Endpoint> asking = {};  ///< Or waiting for it.
    std::set<std::string> given = {};     ///< Peers.
    FindSummary summary = {};
  };

  /// In the queue or being asked.
  struct Asked {
    explicit Asked(const boost::asio::any_io_executor& executor) : timer(executor) {}

    std::set<FindId> searches;
    boost::asio::steady_timer timer;
    gateway::HttpId request{};
  };

  static AskQueueOptions queue_options(const DhtFinderOptions& options) {
    AskQueueOptions queue = options.queue;
    if (!options.public_only) queue.max_of_network = 0;
    return queue;
  }

  void handle_endpoint(FindId id, const dht::Endpoint& endpoint, std::size_t place) {
    const auto search = searches_.find(id);
    if (search == searches_.end()) return;
    ++search->second.summary.candidates;
    if (const EndpointBook::Entry* known = book_.find(now(), text_of(endpoint))) return give(id, *known);
    if (!asked_.contains(endpoint) && !queue_.push(endpoint, place)) {
      ++search->second.summary.unasked;
      return;
    }
    asked_.try_emplace(endpoint, executor_).first->second.searches.insert(id);
    search->second.asking.insert(endpoint);
    ask_queued();
  }

  void handle_searched(FindId id, dht::SearchEnd end_of_search) {
    const auto search = searches_.find(id);
    if (search == searches_.end()) return;
    search->second.dht.reset();
    search->second.summary.trouble = trouble_of(end_of_search);
    if (search->second.asking.empty()) end(id);
  }

  void ask_queued() {
    while (const auto endpoint = queue_.pop()) {
      Asked& asked = asked_.at(*endpoint);
      std::erase_if(asked.searches, [this](FindId id) { return !searches_.contains(id); });
      if (asked.searches.empty()) {
        queue_.done(*endpoint);
        asked_.erase(*endpoint);
        continue;
      }
      asked.timer.expires_after(options_.answer_timeout);
      asked.timer.async_wait([weak = weak_from_this(), endpoint = *endpoint](const boost::system::error_code& error) {
        const auto self = weak.lock();
        if (error || !self || self->stopped_) return;
        if (const auto late = self->asked_.find(endpoint); late != self->asked_.end()) {
          self->http_->cancel(late->second.request);
        }
      });
      ask(*endpoint);
    }
  }

  /// The DHT knows no scheme: what does not speak HTTP may speak HTTPS. Its certificate is of a name and not of this
  /// address; who answers proves itself by its signature.
  void ask(const dht::Endpoint& endpoint, std::string_view scheme = kHttp) {
    const std::string challenge = identity::random_token();
    const std::string url = std::string(scheme) + text_of(endpoint) + "/.well-known/codio";
    gateway::HttpRequest request;
    request.url = url + "?challenge=" + challenge;
    request.any_certificate = true;
    request.accept = "application/json";
    request.max_size = kMaxDescriptor;
    request.timeout = options_.timeout;
    request.connect_timeout = options_.connect_timeout;
    request.closes = true;
    if (options_.public_only) request.may_ask = named_by(Reach::kInternet);
    auto done = [weak = weak_from_this(), executor = executor_, endpoint, url, challenge,
                 asked_at = now()](Result<gateway::HttpAnswer> answer) {
      boost::asio::post(executor,
                        [weak, endpoint, url, challenge, latency = now() - asked_at, answer = std::move(answer)] {
                          const auto self = weak.lock();
                          if (self && !self->stopped_) self->handle_answer(endpoint, url, challenge, latency, answer);
                        });
    };
    asked_.at(endpoint).request = http_->get(std::move(request), std::move(done));
  }

  /// An HTTPS server closes the connection or answers 400 when it is spoken to in HTTP.
  static bool may_speak_https(const Result<gateway::HttpAnswer>& answer) {
    return answer ? answer->status == 400 : answer.error().code == ErrorCode::kUnavailable;
  }

  void handle_answer(const dht::Endpoint& endpoint, const std::string& url, const std::string& challenge,
                     Duration latency, const Result<gateway::HttpAnswer>& answer) {
    if (url.starts_with(kHttp) && may_speak_https(answer)) return ask(endpoint, kHttps);
    queue_.done(endpoint);
    const std::string address = text_of(endpoint);
    const EndpointBook::Entry entry = judge(address, url, challenge, latency, answer);
    book_.note(now(), address, entry);
    const auto asked = asked_.extract(endpoint);
    for (const FindId id : asked.mapped().searches) {
      const auto search = searches_.find(id);
      if (search == searches_.end()) continue;
      search->second.asking.erase(endpoint);
      give(id, entry);
      const auto again = searches_.find(id);  // Its callback may have cancelled it.
      if (again != searches_.end() && again->second.asking.empty() && !again->second.dht) end(id);
    }
    ask_queued();
  }

  EndpointBook::Entry judge(const std::string& address, const std::string& url, const std::string& challenge,
                            Duration latency, const Result<gateway::HttpAnswer>& answer) const {
    if (!answer) {
      return {answer.error().code == ErrorCode::kTooLarge ? Verdict::kLiar : Verdict::kDead, {}};
    }
    if (answer->status >= 500) return {Verdict::kDead, {}};
    if (answer->status != 200) return {Verdict::kLiar, {}};
    auto statement = verify_descriptor(
        as_text(answer->body), {.url = url,
                                .challenge = challenge,
                                .now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())});
    if (!statement) return {Verdict::kLiar, {}};
    // What it says is told to others too, who cannot know where it was said.
    const Reach teller = reach_of_url(url);
    drop_closer(statement->rendezvous, teller);
    drop_closer(statement->gateways, teller);
    return {Verdict::kNode,
            {.peer = statement->peer,
             .address = address,
             .rendezvous = std::move(statement->rendezvous),
             .gateways = std::move(statement->gateways),
             .latency = latency,
             .teller = teller}};
  }

  void give(FindId id, const EndpointBook::Entry& entry) {
    Search& search = searches_.at(id);
    if (entry.verdict == Verdict::kDead) ++search.summary.dead;
    if (entry.verdict == Verdict::kLiar) ++search.summary.liars;
    if (entry.verdict != Verdict::kNode || !search.given.insert(entry.provider.peer).second) return;
    const bool is_enough = search.given.size() >= options_.max_providers;
    const OnFound on_found = search.on_found;  // The callback may end the search.
    if (on_found) on_found(entry.provider);
    if (is_enough) end(id);
  }

  void end(FindId id) {
    auto search = searches_.extract(id);
    if (search.empty()) return;
    if (search.mapped().dht) dht_.cancel(*search.mapped().dht);
    search.mapped().summary.unasked += search.mapped().asking.size();
    if (search.mapped().on_end) search.mapped().on_end(search.mapped().summary);
  }

  boost::asio::any_io_executor executor_;
  dht::DhtNode& dht_;
  DhtFinderOptions options_;
  EndpointBook book_;
  AskQueue queue_;
  std::unique_ptr<gateway::HttpClient> http_;
  std::uint64_t last_id_ = 0;
  std::map<FindId, Search> searches_;
  std::map<dht::Endpoint, Asked> asked_;
  bool stopped_ = false;
};

DhtFinder::DhtFinder(boost::asio::any_io_executor executor, dht::DhtNode& dht, DhtFinderOptions options)
    : impl_(std::make_shared<Impl>(std::move(executor), dht, options)) {}
DhtFinder::~DhtFinder() { impl_->stop(); }

FindId DhtFinder::find(const ContentId& root, Duration deadline, OnFound on_found, OnEnd on_end) {
  return impl_->find(root, deadline, std::move(on_found), std::move(on_end));
}
void DhtFinder::cancel(FindId find) { impl_->cancel(find); }

}  // namespace codio::node
