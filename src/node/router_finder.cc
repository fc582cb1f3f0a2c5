#include "node/router_finder.h"

#include <map>
#include <utility>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "gateway/gateway_url.h"
#include "gateway/http_client.h"
#include "node/routing_records.h"
#include "rendezvous/server_url.h"

namespace codio::node {

using content_id::ContentId;

namespace {

constexpr std::string_view kIpfs = "/ipfs/";

}  // namespace

Result<std::string> parse_router_url(std::string_view text) {
  std::string_view base = text;
  while (base.ends_with('/')) base.remove_suffix(1);
  const auto url = gateway::parse_gateway_url(std::string(base) + std::string(kIpfs));
  if (!url) {
    return fail(ErrorCode::kMalformed,
                "'" + std::string(text) + "' is no router's URL, such as https://delegated-ipfs.dev");
  }
  return url->substr(0, url->size() - kIpfs.size());
}

class RouterFinder::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(boost::asio::any_io_executor executor, std::string url) : executor_(std::move(executor)), url_(std::move(url)) {}

  void stop() { searches_.clear(); }

  FindId find(const ContentId& root, Duration deadline, OnFound on_found, OnEnd on_end) {
    const FindId id{++last_id_};
    gateway::HttpRequest request;
    request.url = url_ + "/routing/v1/providers/" + root.to_string() +
                  "?filter-protocols=" + std::string(kGatewayProtocol) + "," + std::string(kWebRtcProtocol);
    request.accept = "application/x-ndjson, application/json;q=0.9";
    request.max_size = kMaxRoutingAnswer;
    request.timeout = deadline;
    request.on_part = [weak = weak_from_this(), executor = executor_, id](const gateway::HttpAnswer& head,
                                                                          BytesView part) {
      boost::asio::post(executor, [weak, id, head, text = std::string(as_text(part))] {
        if (const auto self = weak.lock()) self->handle_part(id, head, text);
      });
    };
    const auto http = http_.get(
        std::move(request), [weak = weak_from_this(), executor = executor_, id](Result<gateway::HttpAnswer> answer) {
          boost::asio::post(executor, [weak, id, answer = std::move(answer)] {
            if (const auto self = weak.lock()) self->handle_answer(id, answer);
          });
        });
    const auto search = searches_.emplace(
        id, Search{std::move(on_found), std::move(on_end), http, std::chrono::steady_clock::now(), timer_of(deadline)});
    // A router that trickles would never be without a byte for so long.
    search.first->second.timer.async_wait([weak = weak_from_this(), id](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || !self || !self->searches_.contains(id)) return;
      self->http_.cancel(self->searches_.at(id).http);
      self->handle_answer(id, fail(ErrorCode::kTimeout, "it does not come to the end of its answer"));
    });
    return id;
  }

  void cancel(FindId id) {
    const auto search = searches_.extract(id);
    if (!search.empty()) http_.cancel(search.mapped().http);
  }

 private:
  struct Search {
    OnFound on_found;
    OnEnd on_end;
    gateway::HttpId http;
    std::chrono::steady_clock::time_point begun_at;
    boost::asio::steady_timer timer;
    std::string text = {};  ///< That came and was not read yet.
    FindSummary summary = {};
  };

  boost::asio::steady_timer timer_of(Duration deadline) const {
    return boost::asio::steady_timer(executor_, std::chrono::steady_clock::time_point::duration(deadline));
  }

  /// A router that answers line by line is read so: it may take as long as we wait.
  void handle_part(FindId id, const gateway::HttpAnswer& head, const std::string& text) {
    const auto search = searches_.find(id);
    if (search == searches_.end()) return;
    search->second.text += text;
    const std::size_t lines = search->second.text.rfind('\n') + 1;
    if (lines == 0 || head.status != 200 || !head.content_type.starts_with("application/x-ndjson")) return;
    const std::string whole = search->second.text.substr(0, lines);
    search->second.text.erase(0, lines);
    if (const auto records = parse_routing_answer(head.content_type, whole)) {
      give(id, *records);
    } else {
      search->second.summary.trouble = trouble(records.error());
    }
  }

  void handle_answer(FindId id, const Result<gateway::HttpAnswer>& answer) {
    const auto found = searches_.find(id);
    if (found == searches_.end()) return;
    const auto records = read(answer, found->second.text);
    if (!records) found->second.summary.trouble = trouble(records.error());
    if (records && !give(id, *records)) return;
    const auto search = searches_.extract(id);
    search.mapped().on_end(search.mapped().summary);
  }

  std::string trouble(const Error& error) const { return "the router " + url_ + " is no help: " + error.message; }

  /// False if the callback ended the search.
  bool give(FindId id, const std::vector<RoutingRecord>& records) {
    for (const RoutingRecord& record : records) {
      const auto search = searches_.find(id);
      if (search == searches_.end()) return false;
      if (++search->second.summary.candidates > kMaxRoutingRecords) return true;
      const auto passed = std::chrono::steady_clock::now() - search->second.begun_at;
      const auto provider = provider_of(record, std::chrono::duration_cast<Duration>(passed));
      const OnFound on_found = search->second.on_found;
      if (provider) on_found(*provider);
    }
    return searches_.contains(id);
  }

  static Result<std::vector<RoutingRecord>> read(const Result<gateway::HttpAnswer>& answer, std::string_view text) {
    if (!answer) return std::unexpected(answer.error());
    if (answer->status == 404) return std::vector<RoutingRecord>();
    if (answer->status != 200) {
      return fail(ErrorCode::kUnavailable, "it answered with HTTP " + std::to_string(answer->status));
    }
    return parse_routing_answer(answer->content_type, text);
  }

  std::optional<Provider> provider_of(const RoutingRecord& record, Duration latency) const {
    Provider provider{.peer = record.id, .address = {}, .latency = latency, .teller = reach_of_url(url_)};
    for (const std::string& address : record.addrs) {
      const auto url = gateway_of(address);
      if (!url) continue;
      provider.gateways.push_back(*url);
      provider.address = origin_of(*url);
      break;
    }
    const std::string peer = peer_of_libp2p_id(record.id);
    if (!peer.empty() && rendezvous::ServerUrl::parse(record.rendezvous)) {
      provider.peer = peer;
      provider.rendezvous.push_back(record.rendezvous);
      if (provider.address.empty()) provider.address = origin_of(record.rendezvous);
    }
    return provider.address.empty() ? std::nullopt : std::optional(std::move(provider));
  }

  /// `HOST:PORT` of a URL, the port as it has it.
  static std::string origin_of(std::string_view url) {
    url.remove_prefix(url.find("//") + 2);
    return std::string(url.substr(0, url.find('/')));
  }

  boost::asio::any_io_executor executor_;
  const std::string url_;
  std::uint64_t last_id_ = 0;
  std::map<FindId, Search> searches_;
  gateway::HttpClient http_;
};

RouterFinder::RouterFinder(boost::asio::any_io_executor executor, std::string url)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(url))) {}
RouterFinder::~RouterFinder() { impl_->stop(); }

FindId RouterFinder::find(const ContentId& root, Duration deadline, OnFound on_found, OnEnd on_end) {
  return impl_->find(root, deadline, std::move(on_found), std::move(on_end));
}
void RouterFinder::cancel(FindId find) { impl_->cancel(find); }

}  // namespace codio::node
