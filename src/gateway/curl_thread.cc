#include "gateway/curl_thread.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <utility>

namespace codio::gateway {
namespace {

long to_milliseconds(Duration duration) {
  return static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

CURLM* make_multi() {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  check(initialised == CURLE_OK);
  return curl_multi_init();
}

}  // namespace

CurlTransfer::CurlTransfer(const std::string& url, const CurlOptions& options, curl_slist* headers)
    : timeout_(options.timeout) {
  const bool tls = url.starts_with("https:");
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PRIVATE, this);
  set(CURLOPT_HTTPHEADER, headers);
  set(CURLOPT_USERAGENT, options.user_agent.c_str());
  set(CURLOPT_PROTOCOLS_STR, tls ? "https" : "http");
  // Never from https to http: a server cannot make us ask a machine of our own network, which seldom has https.
  set(CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, static_cast<long>(options.max_redirects));
  set(CURLOPT_CONNECTTIMEOUT_MS, to_milliseconds(options.connect_timeout));
  set(CURLOPT_HTTP_VERSION, static_cast<long>(tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
  // One connection for all if it turns out to be HTTP/2. Without TLS that shows only in the first answer, and all would
  // wait behind a server's first stall.
  set(CURLOPT_PIPEWAIT, tls ? 1L : 0L);
  if (!options.ca_file.empty()) set(CURLOPT_CAINFO, options.ca_file.c_str());
  if (options.any_certificate) {
    set(CURLOPT_SSL_VERIFYPEER, 0L);
    set(CURLOPT_SSL_VERIFYHOST, 0L);
  }
  set(CURLOPT_FORBID_REUSE, options.closes ? 1L : 0L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);  // Else to cancel would wait for a name server.
  set(CURLOPT_ERRORBUFFER, message_.data());
  set(CURLOPT_WRITEFUNCTION, &CurlTransfer::on_body);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_HEADERFUNCTION, &CurlTransfer::on_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_OPENSOCKETFUNCTION, &CurlTransfer::on_socket);
  set(CURLOPT_OPENSOCKETDATA, this);
  set(CURLOPT_PREREQFUNCTION, &CurlTransfer::on_connected);
  set(CURLOPT_PREREQDATA, this);
  deadline_ = Clock::now() + options.connect_timeout + timeout_;
}

long CurlTransfer::status() const {
  long status = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  return status;
}

std::string CurlTransfer::content_type() const {
  const char* type = nullptr;
  curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_TYPE, &type);
  return type == nullptr ? "" : type;
}

long long CurlTransfer::content_length() const {
  curl_off_t length = -1;
  curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  return length;
}

const char* CurlTransfer::header(const char* name) const {
  curl_header* found = nullptr;
  const bool is_there = curl_easy_header(easy_.get(), name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK;
  return is_there ? found->value : nullptr;
}

std::optional<std::chrono::sys_seconds> CurlTransfer::date() const {
  constexpr long kMaxAge = 365L * 24 * 3600;
  const char* const text = header("date");
  if (text == nullptr) return std::nullopt;
  const std::time_t date = curl_getdate(text, nullptr);
  if (date < 0) return std::nullopt;
  const char* const age = header("age");
  const long seconds = age == nullptr ? 0 : std::strtol(age, nullptr, 10);
  return std::chrono::sys_seconds(std::chrono::seconds(date + std::clamp(seconds, 0L, kMaxAge)));
}

std::optional<Duration> CurlTransfer::retry_after() const {
  constexpr long long kMost = 365LL * 24 * 3600;
  const char* const text = header("retry-after");
  if (text == nullptr) return std::nullopt;
  if (*text >= '0' && *text <= '9') {
    return std::chrono::seconds(std::clamp(std::strtoll(text, nullptr, 10), 0LL, kMost));
  }
  const std::time_t until = curl_getdate(text, nullptr);
  if (until < 0) return std::nullopt;
  // By the server's own clock, whatever ours says.
  const auto now = date().value_or(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
  return std::chrono::seconds(std::clamp<long long>(until - now.time_since_epoch().count(), 0, kMost));
}

const char* CurlTransfer::message(CURLcode code) const {
  return message_[0] != 0 ? message_.data() : curl_easy_strerror(code);
}

int CurlTransfer::on_socket(void* transfer, curlsocktype, curl_sockaddr* address) {
  auto& self = *static_cast<CurlTransfer*>(transfer);
  std::array<char, INET6_ADDRSTRLEN> text{};
  const auto* bytes = address->family == AF_INET6
                          ? static_cast<const void*>(&reinterpret_cast<sockaddr_in6*>(&address->addr)->sin6_addr)
                          : static_cast<const void*>(&reinterpret_cast<sockaddr_in*>(&address->addr)->sin_addr);
  if (::inet_ntop(address->family, bytes, text.data(), text.size()) != nullptr && self.may_ask(text.data())) {
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }
  self.was_refused_ = true;
  return CURL_SOCKET_BAD;
}

/// Also told of a connection that another transfer left, which may have been allowed more.
int CurlTransfer::on_connected(void* transfer, char* address, char*, int, int) {
  auto& self = *static_cast<CurlTransfer*>(transfer);
  self.put_off_deadline();
  if (self.may_ask(address)) return CURL_PREREQFUNC_OK;
  self.was_refused_ = true;
  return CURL_PREREQFUNC_ABORT;
}

std::size_t CurlTransfer::on_header(char*, std::size_t, std::size_t size, void* transfer) {
  static_cast<CurlTransfer*>(transfer)->put_off_deadline();
  return size;
}

std::size_t CurlTransfer::on_body(char* data, std::size_t, std::size_t size, void* transfer) {
  constexpr std::size_t kAbort = 0;
  auto& self = *static_cast<CurlTransfer*>(transfer);
  self.put_off_deadline();
  return self.take(as_bytes({data, size})) ? size : kAbort;
}

CurlThread::CurlThread() : multi_(make_multi()), thread_([this] { run(); }) {}

void CurlThread::stop() {
  check(!runs_here());
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  curl_multi_wakeup(multi_.get());
  thread_.join();
}

void CurlThread::post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  curl_multi_wakeup(multi_.get());
}

void CurlThread::add(CurlTransfer& transfer) {
  transfers_.insert(&transfer);
  check(curl_multi_add_handle(multi_.get(), transfer.easy_.get()) == CURLM_OK);
}

void CurlThread::remove(CurlTransfer& transfer) {
  transfers_.erase(&transfer);
  curl_multi_remove_handle(multi_.get(), transfer.easy_.get());
}

void CurlThread::run() {
  // OpenSSL writes to sockets that the other side has closed.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);

  while (run_tasks()) {
    int running = 0;
    check(curl_multi_perform(multi_.get(), &running) == CURLM_OK);
    collect_finished();
    expire_stalled();
    run_timers();
    wait();
  }
}

/// False when the thread is to end.
bool CurlThread::run_tasks() {
  while (true) {
    std::vector<std::function<void()>> tasks;
    bool stopping = false;
    {
      const std::lock_guard lock(mutex_);
      tasks.swap(tasks_);
      stopping = stopping_;
    }
    if (tasks.empty()) return !stopping;
    for (const auto& task : tasks) task();
  }
}

void CurlThread::collect_finished() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
    const CURLcode code = message->data.result;
    char* owner = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
    CurlTransfer& transfer = *reinterpret_cast<CurlTransfer*>(owner);
    remove(transfer);
    transfer.handle_end(code);
  }
}

void CurlThread::expire_stalled() {
  const auto now = std::chrono::steady_clock::now();
  for (;;) {
    const auto stalled =
        std::ranges::find_if(transfers_, [&](const CurlTransfer* transfer) { return transfer->deadline_ <= now; });
    if (stalled == transfers_.end()) return;
    CurlTransfer& transfer = **stalled;
    remove(transfer);
    std::snprintf(transfer.message_.data(), transfer.message_.size(), "no byte came for %ld ms",
                  to_milliseconds(transfer.timeout_));
    transfer.handle_end(CURLE_OPERATION_TIMEDOUT);
  }
}

void CurlThread::post_at(Clock::time_point when, std::function<void()> task) { timers_.emplace(when, std::move(task)); }

void CurlThread::run_timers() {
  const auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) timers_.extract(timers_.begin()).mapped()();
}

void CurlThread::wait() {
  using std::chrono::milliseconds;
  auto pause = std::chrono::duration_cast<milliseconds>(std::chrono::hours(1));
  const auto now = std::chrono::steady_clock::now();
  for (const CurlTransfer* transfer : transfers_) {
    pause = std::min(pause, std::chrono::ceil<milliseconds>(transfer->deadline_ - now));
  }
  if (!timers_.empty()) pause = std::min(pause, std::chrono::ceil<milliseconds>(timers_.begin()->first - now));
  const auto timeout = static_cast<int>(std::max(pause, milliseconds(0)).count());
  check(curl_multi_poll(multi_.get(), nullptr, 0, timeout, nullptr) == CURLM_OK);
}

}  // namespace codio::gateway
