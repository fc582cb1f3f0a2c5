// Clients that cost a connection. What is answered is tested from outside, in tests/conformance.
#include "node/http_server.h"

#include <future>
#include <gtest/gtest.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "node/testing.h"

namespace codio::node {
namespace {

using namespace std::chrono_literals;
using boost::asio::ip::tcp;

class HttpServerTest : public testing::Test {
 protected:
  void serve(HttpServerOptions options) {
    options.endpoint = {"127.0.0.1", 0};
    loop_.run([&] {
      rendezvous_.emplace(loop_.io().get_executor(), rendezvous::Server::Options());
      server_ = *HttpServer::listen(loop_.io(), store_, *rendezvous_, std::move(options));
    });
  }

  ~HttpServerTest() override {
    loop_.run([&] {
      server_.reset();
      rendezvous_.reset();
    });
  }

  /// On a connection of which nothing is read yet.
  tcp::socket send(std::string_view text) {
    tcp::socket socket(io_);
    socket.connect({boost::asio::ip::make_address("127.0.0.1"), server_->endpoint().port});
    boost::asio::write(socket, boost::asio::buffer(text));
    return socket;
  }

  TemporaryFolder folder_;
  std::shared_ptr<store::BlockStore> store_ = *store::BlockStore::open(folder_.path());
  Loop loop_;
  boost::asio::io_context io_;
  std::optional<rendezvous::Server> rendezvous_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ARequestThatDoesNotEndEndsTheConnection) {
  HttpServerOptions options;
  options.request_timeout = 50ms;
  serve(std::move(options));
  tcp::socket socket = send("GET /healthz HTTP/1.1\r\nHost: ");
  boost::system::error_code error;
  std::array<char, 100> answer;
  const std::size_t size = boost::asio::read(socket, boost::asio::buffer(answer), error);
  EXPECT_EQ(size, 0u);
  EXPECT_TRUE(error);
}

TEST_F(HttpServerTest, AReaderThatDoesNotReadIsLeft) {
  constexpr std::size_t kSize = std::size_t{64} << 20;  // More than all buffers of a connection.
  const auto cid = put_file(*store_, random_bytes(1, kSize));
  std::promise<AccessRecord> broken_off;
  HttpServerOptions options;
  options.write_timeout = 50ms;
  options.on_answered = [&](const AccessRecord& record) { broken_off.set_value(record); };
  serve(std::move(options));
  const tcp::socket socket = send("GET /ipfs/" + cid.to_string() + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const AccessRecord record = broken_off.get_future().get();
  EXPECT_EQ(record.status, 200);
  EXPECT_LT(record.bytes, kSize);
}

}  // namespace
}  // namespace codio::node
