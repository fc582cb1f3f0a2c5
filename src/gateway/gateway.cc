#include "gateway/gateway.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "common/check.h"
#include "content_id/car.h"
#include "gateway/curl_thread.h"
#include "gateway/gateway_health.h"
#include "gateway/gateway_url.h"
#include "gateway/verify.h"

namespace codio::gateway {
namespace {

using content_id::ContentId;
using content_id::HashCode;

/// What is read of an answer that is no block, so that its connection can be used again.
constexpr std::size_t kMaxDropped = 64 * 1024;

/// What a stranger wrote, fit for a log: without control characters, and short.
std::string printable(std::string_view text) {
  std::string out(text.substr(0, 60));
  std::ranges::replace_if(out, [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

bool is_block_type(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  while (type.ends_with(' ')) type.pop_back();
  std::ranges::transform(type, type.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  // The second is what plain file servers say that hold a copy of a gateway's answers.
  return type == "application/vnd.ipld.raw" || type == "application/octet-stream";
}

/// One GET on its way.
class Request : public CurlTransfer {
 public:
  using OnFirstByte = std::function<void(Request&)>;
  using OnEnd = std::function<void(CURLcode)>;

  Request(const GatewayHealth::Request& health_request, const std::string& url, const CurlOptions& options,
          curl_slist* headers, OnFirstByte on_first_byte, OnEnd on_end)
      : CurlTransfer(url, options, headers),
        health(health_request),
        on_first_byte_(std::move(on_first_byte)),
        on_end_(std::move(on_end)) {}

  Result<SharedBytes> finish(CURLcode code, const ContentId& cid);
  /// With an error of finish(): how long to leave the gateway alone.
  std::optional<Duration> busy_for() const;
  std::uint64_t received() const { return received_; }

  GatewayHealth::Request health;
  Time look_at;  ///< When it is to be found out whether it is late.

 private:
  bool take(BytesView bytes) override;
  void handle_end(CURLcode code) override { on_end_(code); }
  /// Whether status and headers promise a block.
  Result<void> check_answer() const;

  const OnFirstByte on_first_byte_;
  const OnEnd on_end_;
  std::uint64_t received_ = 0;  ///< Of the body, whatever it is.
  Bytes body_;
  std::optional<Error> error_;
};

bool Request::take(BytesView bytes) {
  if (received_ == 0) {
    on_first_byte_(*this);
    if (auto answer = check_answer(); !answer) error_ = std::move(answer.error());
    const auto length = content_length();
    if (!error_ && length > 0 && std::cmp_less_equal(length, content_id::kMaxBlockSize)) {
      body_.reserve(static_cast<std::size_t>(length));
    }
  }
  received_ += bytes.size();
  if (error_) return received_ <= kMaxDropped;
  if (received_ > content_id::kMaxBlockSize) {
    error_ = Error{ErrorCode::kTooLarge, "it sent more than the 2 MiB that a block may have"};
    return false;
  }
  append(body_, bytes);
  return true;
}

Result<void> Request::check_answer() const {
  if (status() != 200) {
    const bool missing = status() == 404 || status() == 410;
    return fail(missing ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
                "HTTP " + std::to_string(status()) + (missing ? ", it does not have the block" : ""));
  }
  const std::string type = content_type();
  if (!is_block_type(type)) {
    return fail(ErrorCode::kUnavailable, "it answered with " + (type.empty() ? "no content type" : printable(type)) +
                                             " and not with a block (application/vnd.ipld.raw)");
  }
  return {};
}

Result<SharedBytes> Request::finish(CURLcode code, const ContentId& cid) {
  if (error_) return std::unexpected(*std::move(error_));
  if (code != CURLE_OK) {
    return fail(code == CURLE_OPERATION_TIMEDOUT ? ErrorCode::kTimeout : ErrorCode::kUnavailable, message(code));
  }
  if (received_ == 0) {  // The empty block, or an answer without a body.
    if (auto answer = check_answer(); !answer) return std::unexpected(std::move(answer.error()));
  }
  if (auto verified = verify(cid, body_); !verified) return std::unexpected(std::move(verified.error()));
  return share(std::move(body_));
}

std::optional<Duration> Request::busy_for() const {
  return status() == 429 || status() == 503 ? retry_after() : std::nullopt;
}

struct Fetch {
  FetchId id;
  ContentId cid;
  Gateway::Done done;
  std::vector<bool> asked;                   ///< By gateway, as are the causes.
  std::vector<std::optional<Error>> causes;  ///< Of those that failed.
  std::optional<Time> patience_end;          ///< Since it waits for a gateway that wants to be left alone.
  bool is_queued = false;
  std::list<std::unique_ptr<Request>> requests;  ///< On their way.
};

auto find_request(Fetch& fetch, std::size_t gateway) {
  return std::ranges::find(fetch.requests, gateway, [](const auto& request) { return request->health.gateway; });
}

Time now() { return Time(std::chrono::duration_cast<Duration>(CurlThread::Clock::now().time_since_epoch())); }
CurlThread::Clock::time_point to_clock(Time time) { return CurlThread::Clock::time_point(time.time_since_epoch()); }

Ending ending_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNotFound: return Ending::kMissing;
    case ErrorCode::kMismatch: return Ending::kLied;
    default: return Ending::kFailed;
  }
}

}  // namespace

class Gateway::Loop {
 public:
  Loop(GatewayConfig config, std::vector<std::string> urls);
  ~Loop();

  FetchId add(const ContentId& cid, Done done);
  void cancel(FetchId id);
  bool runs_here() const { return thread_.runs_here(); }

 private:
  static constexpr auto kCancelled = "the request was cancelled";

  void admit(std::unique_ptr<Fetch> fetch);
  void enqueue(Fetch& fetch);
  void start_queued();
  /// False if it has to stay in the queue.
  bool start(Fetch& fetch);
  /// start_queued(), by then at the latest.
  void start_queued_at(Time when);
  void ask(Fetch& fetch, const GatewayHealth::Request& request);
  void look_later(FetchId id, Request& request);
  /// Asks another gateway too if this one is late.
  void look_at(Fetch& fetch, Request& request);
  void handle_end(FetchId id, std::size_t gateway, CURLcode code);
  void handle_error(Fetch& fetch, const Request& request, Error error);
  /// Each gateway and its cause.
  Error all_failed(const Fetch& fetch) const;
  void finish(FetchId id, Result<SharedBytes> result);

  const GatewayConfig config_;
  const std::vector<std::string> urls_;
  const CurlHeaders headers_{curl_slist_append(nullptr, "Accept: application/vnd.ipld.raw")};

  // The thread's own.
  GatewayHealth health_;
  std::map<FetchId, std::unique_ptr<Fetch>> fetches_;
  std::list<FetchId> queue_;  ///< May name fetches that have ended.
  std::optional<Time> starts_queued_at_;
  bool stopping_ = false;

  std::mutex mutex_;
  std::uint64_t last_id_ = 0;

  CurlThread thread_;
};

Result<std::unique_ptr<Gateway>> Gateway::make(GatewayConfig config) {
  std::vector<std::string> given{config.primary};
  given.insert(given.end(), config.fallbacks.begin(), config.fallbacks.end());
  std::vector<std::string> urls;
  for (const std::string& text : given) {
    auto url = parse_gateway_url(text);
    if (!url) return std::unexpected(url.error());
    if (std::ranges::find(urls, *url) == urls.end()) urls.push_back(*std::move(url));
  }
  return std::unique_ptr<Gateway>(new Gateway(std::make_unique<Loop>(std::move(config), std::move(urls))));
}

Gateway::Gateway(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}

Gateway::~Gateway() = default;

FetchId Gateway::fetch_cid(const ContentId& cid, Done done) { return loop_->add(cid, std::move(done)); }

Result<SharedBytes> Gateway::fetch_cid(const ContentId& cid) {
  check(!loop_->runs_here());
  // Shared, as the value can be here before set_value() has returned there.
  const auto promise = std::make_shared<std::promise<Result<SharedBytes>>>();
  fetch_cid(cid, [promise](Result<SharedBytes> result) { promise->set_value(std::move(result)); });
  return promise->get_future().get();
}

void Gateway::cancel(FetchId id) { loop_->cancel(id); }

Gateway::Loop::Loop(GatewayConfig config, std::vector<std::string> urls)
    : config_(std::move(config)), urls_(std::move(urls)), health_(urls_.size(), config_.health) {}

Gateway::Loop::~Loop() {
  thread_.post([this] {
    stopping_ = true;
    while (!fetches_.empty()) finish(fetches_.begin()->first, fail(ErrorCode::kCancelled, kCancelled));
  });
  thread_.stop();
}

FetchId Gateway::Loop::add(const ContentId& cid, Done done) {
  FetchId id;
  {
    const std::lock_guard lock(mutex_);
    id.value = ++last_id_;
  }
  const auto fetch = std::make_shared<std::unique_ptr<Fetch>>(std::make_unique<Fetch>(id, cid, std::move(done)));
  thread_.post([this, fetch] { admit(std::move(*fetch)); });
  return id;
}

void Gateway::Loop::cancel(FetchId id) {
  thread_.post([this, id] {
    finish(id, fail(ErrorCode::kCancelled, kCancelled));
    start_queued();
  });
}

void Gateway::Loop::admit(std::unique_ptr<Fetch> fetch) {
  const FetchId id = fetch->id;
  const ContentId cid = fetch->cid;
  fetch->asked.resize(urls_.size());
  fetch->causes.resize(urls_.size());
  fetches_.emplace(id, std::move(fetch));
  const HashCode code = cid.multihash().code();
  if (stopping_) {
    finish(id, fail(ErrorCode::kCancelled, kCancelled));
  } else if (code == HashCode::kIdentity) {
    const BytesView block = cid.multihash().digest();
    finish(id, share(Bytes(block.begin(), block.end())));
  } else if (!content_id::is_verifiable(code)) {
    finish(id, std::unexpected(verify(cid, {}).error()));
  } else {
    enqueue(*fetches_.at(id));
    start_queued();
  }
}

void Gateway::Loop::enqueue(Fetch& fetch) {
  if (!std::exchange(fetch.is_queued, true)) queue_.push_back(fetch.id);
}

void Gateway::Loop::start_queued() {
  if (stopping_) return;
  for (auto next = queue_.begin(); next != queue_.end();) {
    const auto found = fetches_.find(*next);
    const bool stays = found != fetches_.end() && !start(*found->second);
    next = stays ? std::next(next) : queue_.erase(next);
  }
}

bool Gateway::Loop::start(Fetch& fetch) {
  const auto time = now();
  const auto choice = health_.choose(time, fetch.asked);
  std::optional<Time> wait_until = choice.wait_until;
  if (wait_until && *wait_until != Time::max()) {
    if (!fetch.patience_end) fetch.patience_end = time + config_.timeout;
    if (*wait_until > *fetch.patience_end) wait_until.reset();
  }
  if (!choice.request && wait_until) {
    if (*wait_until != Time::max()) start_queued_at(*wait_until);
    return false;
  }
  fetch.is_queued = false;
  if (choice.request) {
    ask(fetch, *choice.request);
  } else if (fetch.requests.empty()) {
    finish(fetch.id, std::unexpected(all_failed(fetch)));
  }
  return true;
}

void Gateway::Loop::start_queued_at(Time when) {
  if (starts_queued_at_ && *starts_queued_at_ <= when) return;
  starts_queued_at_ = when;
  thread_.post_at(to_clock(when), [this, when] {
    if (starts_queued_at_ == when) starts_queued_at_.reset();
    start_queued();
  });
}

void Gateway::Loop::ask(Fetch& fetch, const GatewayHealth::Request& request) {
  const std::size_t gateway = request.gateway;
  fetch.asked[gateway] = true;
  const CurlOptions options{.timeout = config_.timeout,
                            .connect_timeout = config_.connect_timeout,
                            .max_redirects = config_.max_redirects,
                            .user_agent = config_.user_agent,
                            .ca_file = config_.ca_file};
  fetch.requests.push_back(std::make_unique<Request>(
      request, urls_[gateway] + fetch.cid.to_string() + "?format=raw", options, headers_.get(),
      [this, id = fetch.id](Request& answering) {
        health_.handle_first_byte(now(), answering.health);
        look_later(id, answering);  // Sooner, if it answers soon.
      },
      [this, id = fetch.id, gateway](CURLcode code) { handle_end(id, gateway, code); }));
  thread_.add(*fetch.requests.back());
  look_later(fetch.id, *fetch.requests.back());
}

void Gateway::Loop::look_later(FetchId id, Request& request) {
  const Time when = health_.next_look(request.health);
  request.look_at = when;
  thread_.post_at(to_clock(when), [this, id, gateway = request.health.gateway, when] {
    const auto fetch = fetches_.find(id);
    if (fetch == fetches_.end()) return;
    const auto found = find_request(*fetch->second, gateway);
    if (found != fetch->second->requests.end() && (*found)->look_at == when) look_at(*fetch->second, **found);
  });
}

void Gateway::Loop::look_at(Fetch& fetch, Request& request) {
  const Time time = now();
  const bool is_late = health_.is_late(time, request.health, request.received());
  const auto hedge = is_late ? health_.choose_hedge(time, fetch.asked) : std::nullopt;
  if (hedge) {
    ask(fetch, *hedge);
  } else {
    look_later(fetch.id, request);
  }
  if (is_late) start_queued();  // Nobody waits for a place at a gateway that is late.
}

void Gateway::Loop::handle_end(FetchId id, std::size_t gateway, CURLcode code) {
  Fetch& fetch = *fetches_.at(id);
  const auto ended = find_request(fetch, gateway);
  const auto request = std::move(*ended);  // Alive, as this is its call.
  fetch.requests.erase(ended);
  auto result = request->finish(code, fetch.cid);
  if (result) {
    health_.handle_end(now(), request->health, Ending::kBlock);
    finish(id, std::move(result));
  } else {
    handle_error(fetch, *request, std::move(result.error()));
  }
  start_queued();
}

void Gateway::Loop::handle_error(Fetch& fetch, const Request& request, Error error) {
  const std::size_t gateway = request.health.gateway;
  if (const auto busy = request.busy_for()) {
    health_.handle_busy(now(), request.health, *busy);
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(*busy).count();
    error.message += ", and it wants to be left alone for " + std::to_string(seconds) + " s";
    fetch.asked[gateway] = false;
  } else {
    health_.handle_end(now(), request.health, ending_of(error.code));
  }
  if (config_.on_failure) config_.on_failure(urls_[gateway], error);
  fetch.causes[gateway] = std::move(error);
  const bool any_hope = std::ranges::any_of(fetch.requests, [](const auto& one) { return !one->health.late; });
  if (!any_hope) enqueue(fetch);
}

Error Gateway::Loop::all_failed(const Fetch& fetch) const {
  std::optional<ErrorCode> common_code;
  std::string text;
  for (std::size_t i = 0; i < urls_.size(); ++i) {
    const Error cause = fetch.causes[i]       ? *fetch.causes[i]
                        : health_.has_lied(i) ? Error{ErrorCode::kMismatch, "it lied before and is asked no more"}
                                              : Error{ErrorCode::kUnavailable, "it wants to be left alone for a while"};
    common_code = !common_code || *common_code == cause.code ? cause.code : ErrorCode::kUnavailable;
    text += (i == 0 ? "" : "; ") + urls_[i] + ": " + cause.message;
  }
  return {*common_code, "all gateways failed for " + fetch.cid.to_string() + ": " + text};
}

void Gateway::Loop::finish(FetchId id, Result<SharedBytes> result) {
  const auto found = fetches_.find(id);
  if (found == fetches_.end()) return;
  const std::unique_ptr<Fetch> fetch = std::move(found->second);
  fetches_.erase(found);
  for (const auto& request : fetch->requests) {
    thread_.remove(*request);
    health_.handle_end(now(), request->health, result && request->health.late ? Ending::kOutrun : Ending::kCancelled);
  }
  fetch->done(std::move(result));
}

}  // namespace codio::gateway
