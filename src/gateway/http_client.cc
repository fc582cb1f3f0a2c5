#include "gateway/http_client.h"

#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "gateway/curl_thread.h"

namespace codio::gateway {
namespace {

using OnEnd = std::function<void(Result<HttpAnswer>)>;

class Transfer : public CurlTransfer {
 public:
  Transfer(const HttpRequest& request, OnEnd on_end) : Transfer(make_headers(request), request, std::move(on_end)) {}

 private:
  Transfer(CurlHeaders headers, const HttpRequest& request, OnEnd on_end)
      : CurlTransfer(request.url,
                     {.timeout = request.timeout,
                      .connect_timeout = request.connect_timeout,
                      .max_redirects = request.max_redirects,
                      .user_agent = request.user_agent,
                      .ca_file = request.ca_file,
                      .any_certificate = request.any_certificate,
                      .closes = request.closes},
                     headers.get()),
        headers_(std::move(headers)),
        request_(request),
        on_end_(std::move(on_end)) {}

  static CurlHeaders make_headers(const HttpRequest& request) {
    return CurlHeaders(curl_slist_append(nullptr, ("Accept: " + request.accept).c_str()));
  }

  bool take(BytesView bytes) override {
    if (received_ == 0) read_head();
    received_ += bytes.size();
    if (received_ > request_.max_size || answer_.size.value_or(0) > request_.max_size) {
      error_ = Error{ErrorCode::kTooLarge, "it sends more than " + std::to_string(request_.max_size) + " bytes"};
      return false;
    }
    if (request_.on_part) {
      request_.on_part(answer_, bytes);
    } else {
      append(answer_.body, bytes);
    }
    return true;
  }

  bool may_ask(const char* address) const override { return !request_.may_ask || request_.may_ask(address); }

  void handle_end(CURLcode code) override {
    if (received_ == 0) read_head();
    if (error_) return on_end_(std::unexpected(*std::move(error_)));
    if (code == CURLE_OK) return on_end_(std::move(answer_));
    if (was_refused() && (code == CURLE_COULDNT_CONNECT || code == CURLE_ABORTED_BY_CALLBACK)) {
      return on_end_(fail(ErrorCode::kUnavailable, "its address is of a local network, which no stranger may name"));
    }
    const bool is_malformed = code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL;
    on_end_(fail(is_malformed                       ? ErrorCode::kMalformed
                 : code == CURLE_OPERATION_TIMEDOUT ? ErrorCode::kTimeout
                                                    : ErrorCode::kUnavailable,
                 message(code)));
  }

  void read_head() {
    answer_.status = status();
    answer_.content_type = content_type();
    answer_.date = date();
    if (const auto length = content_length(); length >= 0) answer_.size = static_cast<std::uint64_t>(length);
  }

  const CurlHeaders headers_;
  const HttpRequest request_;
  const OnEnd on_end_;
  HttpAnswer answer_;
  std::uint64_t received_ = 0;
  std::optional<Error> error_;
};

}  // namespace

class HttpClient::Loop {
 public:
  ~Loop() {
    thread_.post([this] {
      stopping_ = true;
      while (!running_.empty()) cancel_now(running_.begin()->first);
    });
    thread_.stop();
  }

  HttpId get(HttpRequest request, Done done) {
    HttpId id;
    {
      const std::lock_guard lock(mutex_);
      id.value = ++last_id_;
    }
    thread_.post([this, id, request = std::move(request), done = std::move(done)] { start(id, request, done); });
    return id;
  }

  void cancel(HttpId id) {
    thread_.post([this, id] { cancel_now(id); });
  }

 private:
  struct Running {
    std::unique_ptr<Transfer> transfer;
    Done done;
  };

  void start(HttpId id, const HttpRequest& request, const Done& done) {
    if (stopping_) return done(fail(ErrorCode::kCancelled, "the request was cancelled"));
    auto transfer = std::make_unique<Transfer>(request, [this, id](Result<HttpAnswer> answer) {
      const auto ended = running_.extract(id);  // It holds this very function.
      ended.mapped().done(std::move(answer));
    });
    thread_.add(*transfer);
    running_.emplace(id, Running{std::move(transfer), done});
  }

  void cancel_now(HttpId id) {
    auto cancelled = running_.extract(id);
    if (cancelled.empty()) return;
    thread_.remove(*cancelled.mapped().transfer);
    cancelled.mapped().done(fail(ErrorCode::kCancelled, "the request was cancelled"));
  }

  std::map<HttpId, Running> running_;  // The thread's own.
  bool stopping_ = false;              // Likewise.
  std::mutex mutex_;
  std::uint64_t last_id_ = 0;
  CurlThread thread_;
};

HttpClient::HttpClient() : loop_(std::make_unique<Loop>()) {}
HttpClient::~HttpClient() = default;

HttpId HttpClient::get(HttpRequest request, Done done) { return loop_->get(std::move(request), std::move(done)); }
void HttpClient::cancel(HttpId id) { loop_->cancel(id); }

}  // namespace codio::gateway
