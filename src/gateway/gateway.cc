#include "gateway/gateway.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <curl/curl.h>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <pthread.h>
#include <signal.h>
#include <thread>
#include <utility>

#include "common/check.h"
#include "content_id/car.h"
#include "gateway/gateway_url.h"
#include "gateway/verify.h"

namespace codio::gateway {
namespace {

using content_id::ContentId;
using content_id::HashCode;
using Clock = std::chrono::steady_clock;

using Easy = std::unique_ptr<CURL, decltype([](CURL* easy) { curl_easy_cleanup(easy); })>;
using Multi = std::unique_ptr<CURLM, decltype([](CURLM* multi) { curl_multi_cleanup(multi); })>;
using Headers = std::unique_ptr<curl_slist, decltype([](curl_slist* list) { curl_slist_free_all(list); })>;

/// What is read of an answer that is no block, so that its connection can be used again.
constexpr std::size_t kMaxDropped = 64 * 1024;

long to_milliseconds(Duration duration) {
  return static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

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
class Request {
 public:
  Request(std::size_t source, Duration timeout) : source_(source), timeout_(timeout) {}
  Request(const Request&) = delete;  // libcurl holds its address.
  Request& operator=(const Request&) = delete;

  void start(const std::string& url, const GatewayConfig& config, curl_slist* headers, void* owner);
  CURL* easy() const { return easy_.get(); }
  Clock::time_point deadline() const { return deadline_; }
  Result<SharedBytes> finish(CURLcode code, const ContentId& cid);

  std::size_t source() const { return source_; }

 private:
  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* request);
  static std::size_t on_header(char* data, std::size_t, std::size_t size, void* request);
  static int on_connected(void* request, char*, char*, int, int);
  void put_off_deadline() { deadline_ = Clock::now() + timeout_; }
  /// Whether status and headers promise a block.
  Result<void> check_answer() const;

  const std::size_t source_;
  const Duration timeout_;
  Easy easy_{curl_easy_init()};
  Clock::time_point deadline_;
  bool answered_ = false;  ///< The first byte of the body has come.
  Bytes body_;
  std::size_t dropped_ = 0;
  std::optional<Error> error_;
  std::array<char, CURL_ERROR_SIZE> curl_message_{};
};

template <class Value>
void set(const Easy& easy, CURLoption option, Value value) {
  check(curl_easy_setopt(easy.get(), option, value) == CURLE_OK);
}

void Request::start(const std::string& url, const GatewayConfig& config, curl_slist* headers, void* owner) {
  const bool tls = url.starts_with("https:");
  set(easy_, CURLOPT_URL, url.c_str());
  set(easy_, CURLOPT_PRIVATE, owner);
  set(easy_, CURLOPT_HTTPHEADER, headers);
  set(easy_, CURLOPT_USERAGENT, config.user_agent.c_str());
  set(easy_, CURLOPT_PROTOCOLS_STR, tls ? "https" : "http");
  // Never from https to http: a gateway cannot make us ask a machine of our own network, which seldom has https.
  set(easy_, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
  set(easy_, CURLOPT_FOLLOWLOCATION, 1L);
  set(easy_, CURLOPT_MAXREDIRS, static_cast<long>(config.max_redirects));
  set(easy_, CURLOPT_CONNECTTIMEOUT_MS, to_milliseconds(config.connect_timeout));
  set(easy_, CURLOPT_HTTP_VERSION, static_cast<long>(tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
  // One connection for all if it turns out to be HTTP/2. Without TLS that shows only in the first answer, and all would
  // wait behind a gateway's first stall.
  set(easy_, CURLOPT_PIPEWAIT, tls ? 1L : 0L);
  if (!config.ca_file.empty()) set(easy_, CURLOPT_CAINFO, config.ca_file.c_str());
  set(easy_, CURLOPT_NOSIGNAL, 1L);
  set(easy_, CURLOPT_QUICK_EXIT, 1L);  // Else to cancel would wait for a name server.
  set(easy_, CURLOPT_ERRORBUFFER, curl_message_.data());
  set(easy_, CURLOPT_WRITEFUNCTION, &Request::on_body);
  set(easy_, CURLOPT_WRITEDATA, this);
  set(easy_, CURLOPT_HEADERFUNCTION, &Request::on_header);
  set(easy_, CURLOPT_HEADERDATA, this);
  set(easy_, CURLOPT_PREREQFUNCTION, &Request::on_connected);
  set(easy_, CURLOPT_PREREQDATA, this);
  deadline_ = Clock::now() + config.connect_timeout + timeout_;
}

int Request::on_connected(void* request, char*, char*, int, int) {
  static_cast<Request*>(request)->put_off_deadline();
  return CURL_PREREQFUNC_OK;
}

std::size_t Request::on_header(char*, std::size_t, std::size_t size, void* request) {
  static_cast<Request*>(request)->put_off_deadline();
  return size;
}

std::size_t Request::on_body(char* data, std::size_t, std::size_t size, void* request) {
  constexpr std::size_t kAbort = 0;
  auto& self = *static_cast<Request*>(request);
  self.put_off_deadline();
  if (!std::exchange(self.answered_, true)) {
    if (auto answer = self.check_answer(); !answer) self.error_ = std::move(answer.error());
    curl_off_t length = -1;
    curl_easy_getinfo(self.easy(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (!self.error_ && length > 0 && std::cmp_less_equal(length, content_id::kMaxBlockSize)) {
      self.body_.reserve(static_cast<std::size_t>(length));
    }
  }
  if (self.error_) {
    self.dropped_ += size;
    return self.dropped_ <= kMaxDropped ? size : kAbort;
  }
  if (self.body_.size() + size > content_id::kMaxBlockSize) {
    self.error_ = Error{ErrorCode::kTooLarge, "it sent more than the 2 MiB that a block may have"};
    return kAbort;
  }
  append(self.body_, as_bytes({data, size}));
  return size;
}

Result<void> Request::check_answer() const {
  long status = 0;
  curl_easy_getinfo(easy(), CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    const bool missing = status == 404 || status == 410;
    return fail(missing ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
                "HTTP " + std::to_string(status) + (missing ? ", it does not have the block" : ""));
  }
  const char* type = nullptr;
  curl_easy_getinfo(easy(), CURLINFO_CONTENT_TYPE, &type);
  if (type == nullptr || !is_block_type(type)) {
    return fail(ErrorCode::kUnavailable, "it answered with " + (type ? printable(type) : "no content type") +
                                             " and not with a block (application/vnd.ipld.raw)");
  }
  return {};
}

Result<SharedBytes> Request::finish(CURLcode code, const ContentId& cid) {
  if (error_) return std::unexpected(*std::move(error_));
  if (code != CURLE_OK) {
    return fail(code == CURLE_OPERATION_TIMEDOUT ? ErrorCode::kTimeout : ErrorCode::kUnavailable,
                curl_message_[0] != 0 ? curl_message_.data() : curl_easy_strerror(code));
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
  bool runs_here() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  void run();
  bool take_commands();
  void admit(std::unique_ptr<Fetch> fetch);
  void start_queued();
  void ask_next(Fetch& fetch);
  std::size_t choose_source(const Fetch& fetch);
  bool is_ready(Source& source);
  void collect_finished();
  void expire_stalled();
  void wait();
  /// Ends the request, which takes its connection down if it is still on its way.
  std::unique_ptr<Request> take_request(Fetch& fetch);
  void handle_result(Fetch& fetch, const Request& request, Result<SharedBytes> result);
  void finish(FetchId id, Result<SharedBytes> result);

  const GatewayConfig config_;
  const Headers headers_{curl_slist_append(nullptr, "Accept: application/vnd.ipld.raw")};
  const Multi multi_{curl_multi_init()};

  // The thread's own.
  std::vector<Source> sources_;
  std::map<FetchId, std::unique_ptr<Fetch>> fetches_;
  std::deque<FetchId> queue_;  ///< May name fetches that have been cancelled.
  std::size_t in_flight_ = 0;

  // Handed to the thread.
  std::mutex mutex_;
  std::vector<std::unique_ptr<Fetch>> added_;
  std::vector<FetchId> cancelled_;
  std::uint64_t last_id_ = 0;
  bool stopping_ = false;

  std::thread thread_;
};

Result<std::unique_ptr<Gateway>> Gateway::make(GatewayConfig config) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  check(initialised == CURLE_OK);
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
  thread_ = std::thread([this] { run(); });
}

Gateway::Loop::~Loop() {
  check(!runs_here());
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  curl_multi_wakeup(multi_.get());
  thread_.join();
}

FetchId Gateway::Loop::add(const ContentId& cid, Done done) {
  FetchId id;
  {
    const std::lock_guard lock(mutex_);
    id.value = ++last_id_;
    added_.push_back(std::make_unique<Fetch>(id, cid, std::move(done)));
  }
  curl_multi_wakeup(multi_.get());
  return id;
}

void Gateway::Loop::cancel(FetchId id) {
  {
    const std::lock_guard lock(mutex_);
    cancelled_.push_back(id);
  }
  curl_multi_wakeup(multi_.get());
}

void Gateway::Loop::run() {
  // OpenSSL writes to sockets that the other side has closed.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);

  while (take_commands()) {
    start_queued();
    int running = 0;
    check(curl_multi_perform(multi_.get(), &running) == CURLM_OK);
    collect_finished();
    expire_stalled();
    start_queued();
    wait();
  }
}

/// False when the gateway is to end and all fetches have.
bool Gateway::Loop::take_commands() {
  while (true) {
    std::vector<std::unique_ptr<Fetch>> added;
    std::vector<FetchId> cancelled;
    bool stopping = false;
    {
      const std::lock_guard lock(mutex_);
      added.swap(added_);
      cancelled.swap(cancelled_);
      stopping = stopping_;
    }
    for (auto& fetch : added) admit(std::move(fetch));
    const auto cancel = [this](FetchId id) { finish(id, fail(ErrorCode::kCancelled, "the request was cancelled")); };
    std::ranges::for_each(cancelled, cancel);
    if (!stopping) return true;
    if (added.empty() && fetches_.empty()) return false;
    while (!fetches_.empty()) cancel(fetches_.begin()->first);  // Their callbacks may fetch more.
  }
}

void Gateway::Loop::admit(std::unique_ptr<Fetch> fetch) {
  const FetchId id = fetch->id;
  const ContentId cid = fetch->cid;
  fetch->asked.resize(sources_.size());
  fetches_.emplace(id, std::move(fetch));
  const HashCode code = cid.multihash().code();
  if (code == HashCode::kIdentity) {
    const BytesView block = cid.multihash().digest();
    finish(id, share(Bytes(block.begin(), block.end())));
  } else if (!content_id::is_verifiable(code)) {
    finish(id, std::unexpected(verify(cid, {}).error()));
  } else {
    queue_.push_back(id);
  }
}

void Gateway::Loop::start_queued() {
  while (in_flight_ < config_.max_in_flight && !queue_.empty()) {
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
  fetch.request = std::make_unique<Request>(chosen, config_.timeout);
  fetch.request->start(sources_[chosen].url + fetch.cid.to_string() + "?format=raw", config_, headers_.get(), &fetch);
  check(curl_multi_add_handle(multi_.get(), fetch.request->easy()) == CURLM_OK);
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

void Gateway::Loop::collect_finished() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
    const CURLcode code = message->data.result;
    char* owner = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
    Fetch& fetch = *reinterpret_cast<Fetch*>(owner);
    const auto request = take_request(fetch);
    handle_result(fetch, *request, request->finish(code, fetch.cid));
  }
}

void Gateway::Loop::expire_stalled() {
  const auto now = Clock::now();
  std::vector<Fetch*> stalled;
  for (const auto& [id, fetch] : fetches_) {
    if (fetch->request && fetch->request->deadline() <= now) stalled.push_back(fetch.get());
  }
  for (Fetch* fetch : stalled) {
    const auto request = take_request(*fetch);
    handle_result(
        *fetch, *request,
        fail(ErrorCode::kTimeout, "no byte came for " + std::to_string(to_milliseconds(config_.timeout)) + " ms"));
  }
}

void Gateway::Loop::wait() {
  using std::chrono::milliseconds;
  auto pause = std::chrono::duration_cast<milliseconds>(std::chrono::hours(1));
  const auto now = Clock::now();
  for (const auto& [id, fetch] : fetches_) {
    if (!fetch->request) continue;
    pause = std::min(pause, std::chrono::ceil<milliseconds>(fetch->request->deadline() - now));
  }
  const auto timeout = static_cast<int>(std::max(pause, milliseconds(0)).count());
  check(curl_multi_poll(multi_.get(), nullptr, 0, timeout, nullptr) == CURLM_OK);
}

std::unique_ptr<Request> Gateway::Loop::take_request(Fetch& fetch) {
  curl_multi_remove_handle(multi_.get(), fetch.request->easy());
  return std::move(fetch.request);
}

void Gateway::Loop::handle_result(Fetch& fetch, const Request& request, Result<SharedBytes> result) {
  Source& source = sources_[request.source()];
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
  if (fetch->request) take_request(*fetch);
  if (fetch->is_started) --in_flight_;
  fetch->done(std::move(result));
}

}  // namespace codio::gateway
