// Client over TLS: what it trusts and what it does not.
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <thread>
#include <unistd.h>
#include <utility>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>

#include "rendezvous/testing.h"

namespace codio::rendezvous {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using asio::ip::tcp;
using boost::system::error_code;
using testing::AllOf;
using testing::HasSubstr;
using namespace std::chrono_literals;

// Welcomes one client, in a thread of its own.
class TlsServer {
 public:
  explicit TlsServer(const Certificate& certificate)
      : context_(asio::ssl::context::tls_server), acceptor_(io_, {asio::ip::address_v4::loopback(), 0}) {
    context_.use_certificate_chain(asio::buffer(certificate.certificate));
    context_.use_private_key(asio::buffer(certificate.key), asio::ssl::context::pem);
    thread_ = std::jthread([this] { serve(); });
  }

  std::string url(const std::string& host) const {
    return "wss://" + host + ":" + std::to_string(acceptor_.local_endpoint().port()) + "/rendezvous";
  }
  // After the client is gone.
  std::string server_name() {
    thread_.join();
    return server_name_;
  }

 private:
  void serve() {
    websocket::stream<beast::ssl_stream<tcp::socket>> socket(acceptor_.accept(), context_);
    error_code error;
    socket.next_layer().handshake(asio::ssl::stream_base::server, error);
    if (error) return;
    const char* name = SSL_get_servername(socket.next_layer().native_handle(), TLSEXT_NAMETYPE_host_name);
    server_name_ = name == nullptr ? "" : name;
    socket.set_option(websocket::stream_base::decorator([](websocket::response_type& response) {
      response.set(http::field::sec_websocket_protocol, "codio-rendezvous.1");
    }));
    socket.accept(error);
    socket.write(asio::buffer(to_json(ServerMessage{Welcome{"alice", {}, 1, {}}})), error);
    socket.write(asio::buffer(to_json(ServerMessage{Joined{"alice"}})), error);
    beast::flat_buffer buffer;
    while (!error) socket.read(buffer, error);
  }

  asio::io_context io_;
  asio::ssl::context context_;
  tcp::acceptor acceptor_;
  std::string server_name_;
  std::jthread thread_;
};

class ClientTlsTest : public testing::Test {
 protected:
  ~ClientTlsTest() override {
    unsetenv("SSL_CERT_FILE");
    std::filesystem::remove(roots_);
  }

  void trust(const Certificate& certificate) {
    std::ofstream(roots_) << certificate.certificate;
    setenv("SSL_CERT_FILE", roots_.c_str(), 1);
  }

  // Connects once: the failure, or nothing.
  std::optional<Error> connect(const std::string& url) {
    asio::io_context io;
    std::optional<Error> failure;
    std::optional<Client> client;
    bool is_over = false;
    client.emplace(io.get_executor(), *ServerUrl::parse(url),
                   ClientEvents{.on_connected = [&](const Welcome&) { is_over = true; },
                                .on_disconnected =
                                    [&](const Error& error) {
                                      failure = error;
                                      is_over = true;
                                    }});
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (!is_over && std::chrono::steady_clock::now() < deadline) io.run_one_for(20ms);
    EXPECT_TRUE(is_over);
    client.reset();
    io.run_for(20ms);
    return failure;
  }

  const std::filesystem::path roots_ =
      std::filesystem::temp_directory_path() / ("codio_tls_test_" + std::to_string(getpid()) + ".pem");
};

TEST_F(ClientTlsTest, ConnectsToAServerWhoseCertificateIsTrusted) {
  const Certificate certificate = make_certificate();
  trust(certificate);
  TlsServer server(certificate);
  EXPECT_EQ(connect(server.url("localhost")), std::nullopt);
  EXPECT_EQ(server.server_name(), "localhost");
}

TEST_F(ClientTlsTest, RefusesACertificateThatNobodyKnows) {
  TlsServer server(make_certificate());
  const std::string url = server.url("localhost");
  const auto failure = connect(url);
  ASSERT_TRUE(failure.has_value());
  EXPECT_THAT(failure->message, AllOf(HasSubstr(url), HasSubstr("TLS"), HasSubstr("certificate verify failed")));
}

TEST_F(ClientTlsTest, RefusesACertificateOfAnotherHost) {
  const Certificate certificate = make_certificate();
  trust(certificate);
  TlsServer server(certificate);
  const auto failure = connect(server.url("127.0.0.1"));
  ASSERT_TRUE(failure.has_value());
  EXPECT_THAT(failure->message, HasSubstr("certificate verify failed"));
}

}  // namespace
}  // namespace codio::rendezvous
