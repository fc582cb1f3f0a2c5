#include "gateway/gateway.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "common/check.h"
#include "content_id/car.h"
#include "gateway/curl_thread.h"
#include "gateway/gateway_url.h"
#include "gateway/verify.h"

namespace codio::gateway {
namespace {

using content_id::ContentId;
using content_id::HashCode;
using Clock = std::chrono::steady_clock;

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
  using OnEnd = std::function<void(CURLcode)>;

  Request(std::size_t source, const std::string& url, const CurlOptions& options, curl_slist* headers, OnEnd on_end)
      : CurlTransfer(url, options, headers), source_(source), on_end_(std::move(on_end)) {}

  Result<SharedBytes> finish(CURLcode code, const ContentId& cid);
  std::size_t source() const { return source_; }

 private:
  bool take(BytesView bytes) override;
  void handle_end(CURLcode code) override { on_end_(code); }
  /// Whether status and headers promise a block.
  Result<void> check_answer() const;

  const std::size_t source_;
  const OnEnd on_end_;
  bool answered_ = false;  ///< The first byte of the body has come.
  Bytes body_;
  std::size_t dropped_ = 0;
  std::optional<Error> error_;
};

bool Request::take(BytesView bytes) {
  if (!std::exchange(answered_, true)) {
    if (auto answer = check_answer(); !answer) error_ = std::move(answer.error());
    const auto length = content_length();
    if (!error_ && length > 0 && std::cmp_less_equal(length, content_id::kMaxBlockSize)) {
      body_.reserve(static_cast<std::size_t>(length));
    }
  }
  if (error_) {
    dropped_ += bytes.size();
    return dropped_ <= kMaxDropped;
  }
  if (body_.size() + bytes.size() > content_id::kMaxBlockSize) {
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
  if (!answered_) {  // The empty block, or an answer without a body.
    if (auto answer = check_answer(); !answer) return std::unexpected(std::move(answer.error()));
  }
  if (auto verified = verify(cid, body_); !verified) return std::unexpected(std::move(verified.error()));
  return share(std::move(body_));
}

struct Fetch {
  FetchId id;
  ContentId cid;
  Gateway::Done done;
  std::vector<bool> asked;
  std::string causes;                    ///< "; URL: cause" of each gateway that failed.
  std::optional<ErrorCode> common_code;  ///< Of all the causes so far.
  bool is_started = false;               ///< No longer in the queue.
  std::unique_ptr<Request> request;      ///< On its way now.
};

/// A gateway, and whether to ask it now.
struct Source {
  std::string url;
  int failures = 0;  ///< In a row.
  Clock::time_point rests_until;
};

}  // namespace

class Gateway::Loop {
 public:
  Loop(GatewayConfig config, const std::vector<std::string>& urls);
  ~Loop();

  FetchId add(const ContentId& cid, Done done);
  void cancel(FetchId id);
  bool runs_here() const { return thread_.runs_here(); }

 private:
  static constexpr auto kCancelled = "the request was cancelled";

  void admit(std::unique_ptr<Fetch> fetch);
  void start_queued();
  void ask_next(Fetch& fetch);
  std::size_t choose_source(const Fetch& fetch);
  bool is_ready(Source& source);
  void handle_end(FetchId id, CURLcode code);
  void handle_result(Fetch& fetch, std::size_t asked, Result<SharedBytes> result);
  void finish(FetchId id, Result<SharedBytes> result);

  const GatewayConfig config_;
  const CurlHeaders headers_{curl_slist_append(nullptr, "Accept: application/vnd.ipld.raw")};

  // The thread's own.
  std::vector<Source> sources_;
  std::map<FetchId, std::unique_ptr<Fetch>> fetches_;
  std::deque<FetchId> queue_;  ///< May name fetches that have been cancelled.
  std::size_t in_flight_ = 0;
  bool stopping_ = false;

  std::mutex mutex_;
  std::uint64_t last_id_ = 0;

  CurlThread thread_;
};

Result<std::unique_ptr<Gateway>> Gateway::make(GatewayConfig config) {
  std::vector<std::string> urls{config.primary};
  urls.insert(urls.end(), config.fallbacks.begin(), config.fallbacks.end());
  for (std::string& url : urls) {
    auto parsed = parse_gateway_url(url);
    if (!parsed) return std::unexpected(parsed.error());
    url = *std::move(parsed);
  }
  return std::unique_ptr<Gateway>(new Gateway(std::make_unique<Loop>(std::move(config), urls)));
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

Gateway::Loop::Loop(GatewayConfig config, const std::vector<std::string>& urls) : config_(std::move(config)) {
  for (const std::string& url : urls) sources_.push_back({.url = url});
}

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
  thread_.post([this, id] { finish(id, fail(ErrorCode::kCancelled, kCancelled)); });
}

void Gateway::Loop::admit(std::unique_ptr<Fetch> fetch) {
  const FetchId id = fetch->id;
  const ContentId cid = fetch->cid;
  fetch->asked.resize(sources_.size());
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
    queue_.push_back(id);
    start_queued();
  }
}

void Gateway::Loop::start_queued() {
  while (!stopping_ && in_flight_ < config_.max_in_flight && !queue_.empty()) {
    const auto next = fetches_.find(queue_.front());
    queue_.pop_front();
    if (next == fetches_.end()) continue;
    ++in_flight_;
    next->second->is_started = true;
    ask_next(*next->second);
  }
}

void Gateway::Loop::ask_next(Fetch& fetch) {
  const std::size_t chosen = choose_source(fetch);
  fetch.asked[chosen] = true;
  const CurlOptions options{.timeout = config_.timeout,
                            .connect_timeout = config_.connect_timeout,
                            .max_redirects = config_.max_redirects,
                            .user_agent = config_.user_agent,
                            .ca_file = config_.ca_file};
  fetch.request =
      std::make_unique<Request>(chosen, sources_[chosen].url + fetch.cid.to_string() + "?format=raw", options,
                                headers_.get(), [this, id = fetch.id](CURLcode code) { handle_end(id, code); });
  thread_.add(*fetch.request);
}

/// The first that was not asked yet, of those that do not rest if there is one.
std::size_t Gateway::Loop::choose_source(const Fetch& fetch) {
  std::optional<std::size_t> resting;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    if (fetch.asked[i]) continue;
    if (is_ready(sources_[i])) return i;
    if (!resting) resting = i;
  }
  return *resting;
}

bool Gateway::Loop::is_ready(Source& source) {
  if (source.failures < config_.max_failures) return true;
  const auto now = Clock::now();
  if (now < source.rests_until) return false;
  source.rests_until = now + config_.rest;  // For all but the one request that now finds out how it is.
  return true;
}

void Gateway::Loop::handle_end(FetchId id, CURLcode code) {
  Fetch& fetch = *fetches_.at(id);
  const auto request = std::move(fetch.request);  // Alive, as this is its call.
  handle_result(fetch, request->source(), request->finish(code, fetch.cid));
}

void Gateway::Loop::handle_result(Fetch& fetch, std::size_t asked, Result<SharedBytes> result) {
  Source& source = sources_[asked];
  if (result) {
    source.failures = 0;
    return finish(fetch.id, std::move(result));
  }
  const Error& error = result.error();
  if (error.code == ErrorCode::kNotFound) {
    source.failures = 0;
  } else if (++source.failures >= config_.max_failures) {
    source.rests_until = Clock::now() + config_.rest;
  }
  if (config_.on_failure) config_.on_failure(source.url, error);

  fetch.common_code = fetch.causes.empty() || fetch.common_code == error.code ? error.code : ErrorCode::kUnavailable;
  fetch.causes += "; " + source.url + ": " + error.message;
  if (std::ranges::find(fetch.asked, false) != fetch.asked.end()) return ask_next(fetch);
  finish(fetch.id,
         fail(*fetch.common_code, "all gateways failed for " + fetch.cid.to_string() + ": " + fetch.causes.substr(2)));
}

void Gateway::Loop::finish(FetchId id, Result<SharedBytes> result) {
  const auto found = fetches_.find(id);
  if (found == fetches_.end()) return;
  const std::unique_ptr<Fetch> fetch = std::move(found->second);
  fetches_.erase(found);
  if (fetch->request) thread_.remove(*fetch->request);
  if (fetch->is_started) --in_flight_;
  fetch->done(std::move(result));
  start_queued();
}

}  // namespace codio::gateway
