// HTTP(S) GETs of small documents and of blocks, from servers that strangers named.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/bytes.h"
#include "common/result.h"
#include "common/strong.h"
#include "common/time.h"

namespace codio::gateway {

struct HttpAnswer {
  long status = 0;
  std::string content_type;
  /// Of the body, as the server says before it comes.
  std::optional<std::uint64_t> size;
  /// What time it is, as the server says; that of a cached answer is set forth by its age.
  std::optional<std::chrono::sys_seconds> date;
  Bytes body;  ///< Empty with HttpRequest::on_part.
};

struct HttpRequest {
  std::string url;     ///< `http:` or `https:`; followed to no other one but for max_redirects.
  std::string accept;  ///< A media type, or several.
  /// A body that is longer is an error, as soon as it shows.
  std::size_t max_size = 64 * 1024;
  Duration timeout = std::chrono::seconds(5);  ///< Without a byte.
  Duration connect_timeout = std::chrono::seconds(5);
  int max_redirects = 0;
  std::string user_agent = "codio";
  std::string ca_file;  ///< PEM certificates to trust instead of the system's.
  /// For an answer that proves itself: the server's certificate is not looked at.
  bool any_certificate = false;
  /// Nothing else will be asked of that server: the connection is not kept.
  bool closes = false;
  /// Whether the server at this IP address may be connected to; empty: any may. The name may lead to our own network.
  std::function<bool(std::string_view address)> may_ask = {};
  /// Told of each part of the body as it comes, instead of keeping it; not with an empty one.
  std::function<void(const HttpAnswer& head, BytesView part)> on_part = {};
};

struct HttpTag;
using HttpId = Id<HttpTag, std::uint64_t>;

/// Threads: any thread may call. One thread of its own does all the work and runs the callbacks, which must not block.
class HttpClient {
 public:
  /// Called exactly once, never from within get() or cancel(). Any status is an answer. Errors: kMalformed (the URL),
  /// kTimeout, kTooLarge, kCancelled, kUnavailable.
  using Done = std::function<void(Result<HttpAnswer>)>;

  HttpClient();
  /// Cancels every request and waits for their callbacks. Not from a callback.
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  HttpId get(HttpRequest request, Done done);
  /// No effect if it has ended.
  void cancel(HttpId id);

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace codio::gateway
