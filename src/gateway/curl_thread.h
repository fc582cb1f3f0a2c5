// libcurl on a thread: what Gateway and HttpClient share. Not for other modules.
#pragma once

#include <array>
#include <chrono>
#include <curl/curl.h>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/bytes.h"
#include "common/check.h"
#include "common/time.h"

namespace codio::gateway {

struct CurlCleanup {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct CurlMultiCleanup {  // CURL and CURLM are both void.
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

using CurlHeaders = std::unique_ptr<curl_slist, CurlCleanup>;

/// How every GET is done.
struct CurlOptions {
  Duration timeout;          ///< Without a byte.
  Duration connect_timeout;  ///< From the name lookup to the end of the TLS handshake.
  int max_redirects = 0;
  std::string user_agent;
  std::string ca_file;           ///< PEM certificates to trust instead of the system's.
  bool any_certificate = false;  ///< Trust whatever the server shows.
  bool closes = false;           ///< Keep the connection for nobody else.
};

/// One GET. Everything of it happens on its CurlThread.
class CurlTransfer {
 public:
  CurlTransfer(const std::string& url, const CurlOptions& options, curl_slist* headers);
  virtual ~CurlTransfer() = default;
  CurlTransfer(const CurlTransfer&) = delete;  // libcurl holds its address.
  CurlTransfer& operator=(const CurlTransfer&) = delete;

 protected:
  long status() const;               ///< HTTP; 0 before the answer.
  std::string content_type() const;  ///< Empty if there is none.
  long long content_length() const;  ///< -1 if it is not known.
  /// The server's Date, set forth by its Age.
  std::optional<std::chrono::sys_seconds> date() const;
  /// How long the server wants to be left alone; nothing: it does not say. Not negative.
  std::optional<Duration> retry_after() const;
  const char* message(CURLcode code) const;
  /// An address was passed over because of may_ask().
  bool was_refused() const { return was_refused_; }
  template <class Value>
  void set(CURLoption option, Value value) {
    check(curl_easy_setopt(easy_.get(), option, value) == CURLE_OK);
  }

 private:
  friend class CurlThread;
  /// Of the last answer; null if it is not there.
  const char* header(const char* name) const;

  using Clock = std::chrono::steady_clock;

  /// The body's next bytes; false ends the transfer.
  virtual bool take(BytesView bytes) = 0;
  /// Whether the server at this address may be asked, and so connected to.
  virtual bool may_ask(const char*) const { return true; }
  /// It is over, and the thread has forgotten it. May destroy it. CURLE_OPERATION_TIMEDOUT also when no byte came for
  /// the time of `timeout`.
  virtual void handle_end(CURLcode code) = 0;

  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* transfer);
  static std::size_t on_header(char* data, std::size_t, std::size_t size, void* transfer);
  static int on_socket(void* transfer, curlsocktype, curl_sockaddr* address);
  static int on_connected(void* transfer, char* address, char*, int, int);
  void put_off_deadline() { deadline_ = Clock::now() + timeout_; }

  std::unique_ptr<CURL, CurlCleanup> easy_{curl_easy_init()};
  const Duration timeout_;
  Clock::time_point deadline_;
  bool was_refused_ = false;
  std::array<char, CURL_ERROR_SIZE> message_{};
};

/// Runs tasks and transfers until it is destroyed.
class CurlThread {
 public:
  using Clock = std::chrono::steady_clock;

  CurlThread();
  ~CurlThread() { stop(); }
  /// Runs what was posted, and what that posts, and ends. No transfer may be left then. Not on the thread.
  void stop();

  /// From any thread; never runs it at once.
  void post(std::function<void()> task);
  bool runs_here() const { return std::this_thread::get_id() == thread_.get_id(); }

  // On the thread. The transfer must live until it ended or was removed, which takes its connection down.
  void add(CurlTransfer& transfer);
  void remove(CurlTransfer& transfer);
  /// Runs it on the thread at that time, unless that ends before.
  void post_at(Clock::time_point when, std::function<void()> task);

 private:
  void run();
  bool run_tasks();
  void collect_finished();
  void expire_stalled();
  void run_timers();
  void wait();

  const std::unique_ptr<CURLM, CurlMultiCleanup> multi_;
  std::set<CurlTransfer*> transfers_;
  std::multimap<Clock::time_point, std::function<void()>> timers_;

  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace codio::gateway
