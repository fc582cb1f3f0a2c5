#include "gateway/http_client.h"

#include <arpa/inet.h>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace codio::gateway {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// Answers one request with these bytes, and then waits until the client goes.
class Server {
 public:
  explicit Server(std::string answer) : answer_(std::move(answer)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/";
    thread_ = std::thread([this] { serve(); });
  }
  ~Server() {
    stop();
    ::close(listener_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  const std::string& url() const { return url_; }

  /// Takes no connection any more. Whether one came.
  bool stop() {
    ::shutdown(listener_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    return was_visited_;
  }

 private:
  void serve() {
    const int client = ::accept(listener_, nullptr, nullptr);
    if (client < 0) return;
    was_visited_ = true;
    std::string request;
    char byte = 0;
    while (!request.ends_with("\r\n\r\n") && ::recv(client, &byte, 1, 0) == 1) request += byte;
    ::send(client, answer_.data(), answer_.size(), MSG_NOSIGNAL);
    while (::recv(client, &byte, 1, 0) > 0) {
    }
    ::close(client);
  }

  const std::string answer_;
  const int listener_;
  std::string url_;
  bool was_visited_ = false;  // The thread's.
  std::thread thread_;
};

/// Waits for the answer, and cancels the request first if asked to.
Result<HttpAnswer> get(HttpRequest request, bool cancel = false) {
  std::promise<Result<HttpAnswer>> promise;
  HttpClient client;
  const HttpId id =
      client.get(std::move(request), [&](Result<HttpAnswer> answer) { promise.set_value(std::move(answer)); });
  if (cancel) client.cancel(id);
  return promise.get_future().get();
}

TEST(HttpClient, GivesStatusTypeAndBody) {
  const Server server("HTTP/1.1 404 No\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nnever");
  const auto answer = get({.url = server.url(), .accept = "text/plain"});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 404);
  EXPECT_EQ(answer->content_type, "text/plain");
  EXPECT_EQ(answer->size, 5U);
  EXPECT_EQ(as_text(answer->body), "never");
}

TEST(HttpClient, FollowsNoRedirect) {
  const Server elsewhere("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  const Server server("HTTP/1.1 302 Go\r\nLocation: " + elsewhere.url() + "\r\nContent-Length: 0\r\n\r\n");
  const auto answer = get({.url = server.url(), .accept = "*/*"});
  EXPECT_FALSE(answer && answer->status == 200);
}

TEST(HttpClient, StopsWhatIsTooLong) {
  const Server promising("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nx");
  EXPECT_EQ(get({.url = promising.url(), .accept = "*/*", .max_size = 1000}).error().code, ErrorCode::kTooLarge);
  const Server endless("HTTP/1.1 200 OK\r\n\r\n" + std::string(5000, 'x'));
  EXPECT_EQ(get({.url = endless.url(), .accept = "*/*", .max_size = 1000}).error().code, ErrorCode::kTooLarge);
}

TEST(HttpClient, GivesUpOnSilence) {
  const Server server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
  const auto answer = get({.url = server.url(), .accept = "*/*", .timeout = 200ms});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kTimeout);
  EXPECT_THAT(answer.error().message, HasSubstr("200 ms"));
}

TEST(HttpClient, DoesNotEvenConnectToAServerThatItMustNotAsk) {
  Server server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  const auto answer = get({.url = server.url(), .accept = "*/*", .may_ask = [](std::string_view address) {
                             EXPECT_EQ(address, "127.0.0.1");
                             return false;
                           }});
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("local network"));
  EXPECT_FALSE(server.stop());
}

TEST(HttpClient, GivesPartsAsTheyCome) {
  const Server server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nparts");
  std::string parts;
  const auto answer =
      get({.url = server.url(), .accept = "*/*", .on_part = [&](const HttpAnswer& head, BytesView part) {
             EXPECT_EQ(head.status, 200);
             EXPECT_EQ(head.size, 5U);
             parts += as_text(part);
           }});
  ASSERT_TRUE(answer);
  EXPECT_EQ(parts, "parts");
  EXPECT_TRUE(answer->body.empty());
}

TEST(HttpClient, CancelsAndRefusesWhatIsNoUrl) {
  const Server server("");
  EXPECT_EQ(get({.url = server.url(), .accept = "*/*"}, true).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(get({.url = "ftp://127.0.0.1/", .accept = "*/*"}).error().code, ErrorCode::kMalformed);
  EXPECT_FALSE(get({.url = "http://", .accept = "*/*"}));
}

TEST(HttpClient, EndsWithRequestsUnderWay) {
  const Server server("");
  Result<HttpAnswer> answer = fail(ErrorCode::kIo, "not told");
  {
    HttpClient client;
    client.get({.url = server.url(), .accept = "*/*"}, [&](Result<HttpAnswer> told) { answer = std::move(told); });
  }
  EXPECT_EQ(answer.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace codio::gateway
