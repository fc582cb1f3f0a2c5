// What the tests of servers and clients share: both, in one process on the loopback interface.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <openssl/pem.h>
#include <string>
#include <utility>
#include <vector>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

#include <openssl/x509v3.h>

#include "rendezvous/client.h"
#include "rendezvous/server.h"

namespace codio::rendezvous {

/// False if it did not become true in time, which is long enough for any machine.
inline bool run_until(boost::asio::io_context& io, const std::function<bool()>& done,
                      std::chrono::seconds limit = std::chrono::seconds(60)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  io.restart();
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    io.run_one_for(std::chrono::milliseconds(20));
  }
  return true;
}

/// An HTTP server with nothing but a rendezvous.
class Host {
 public:
  /// Port 0: any.
  Host(boost::asio::io_context& io, std::uint16_t port, Server::Options options = {})
      : server_(io.get_executor(), std::move(options)), acceptor_(io) {
    const boost::asio::ip::tcp::endpoint endpoint(boost::asio::ip::address_v4::loopback(), port);
    acceptor_.open(endpoint.protocol());
    acceptor_.set_option(boost::asio::ip::tcp::acceptor::reuse_address(true));
    acceptor_.bind(endpoint);
    acceptor_.listen();
    boost::asio::co_spawn(io, accept_loop(), boost::asio::detached);
  }

  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  Server& server() { return server_; }
  std::string url() const { return "ws://127.0.0.1:" + std::to_string(port()) + "/rendezvous"; }

  /// The host must not be destroyed before its coroutines ended.
  void stop_accepting() { acceptor_.close(); }

 private:
  boost::asio::awaitable<void> accept_loop() {
    while (true) {
      boost::system::error_code error;
      boost::asio::ip::tcp::socket socket =
          co_await acceptor_.async_accept(boost::asio::redirect_error(boost::asio::use_awaitable, error));
      if (error) co_return;
      boost::asio::co_spawn(acceptor_.get_executor(), hand_over(std::move(socket)), boost::asio::detached);
    }
  }

  boost::asio::awaitable<void> hand_over(boost::asio::ip::tcp::socket socket) {
    boost::beast::tcp_stream stream(std::move(socket));
    boost::beast::flat_buffer buffer;
    boost::beast::http::request<boost::beast::http::string_body> request;
    boost::system::error_code error;
    co_await boost::beast::http::async_read(stream, buffer, request,
                                            boost::asio::redirect_error(boost::asio::use_awaitable, error));
    if (error) co_return;
    const auto client = stream.socket().remote_endpoint().address();
    server_.accept(std::move(stream), std::move(request), client);
  }

  Server server_;
  boost::asio::ip::tcp::acceptor acceptor_;
};

/// A client that writes down what it hears.
struct Peer {
  Peer(boost::asio::io_context& io, const std::string& url,
       Client::Options options = {.first_delay = std::chrono::milliseconds(20)})
      : client(io.get_executor(), *ServerUrl::parse(url),
               {.on_connected = [this](const Welcome& message) { welcomes.push_back(message); },
                .on_disconnected = [this](const Error& error) { disconnections.push_back(error); },
                .on_offer = [this](Offer message) { offers.push_back(std::move(message)); },
                .on_answer = [this](Answer message) { answers.push_back(std::move(message)); },
                .on_candidate = [this](Candidate message) { candidates.push_back(std::move(message)); },
                .on_unreachable = [this](Unreachable message) { unreachable.push_back(std::move(message)); },
                .on_warning = [this](const Error& error) { warnings.push_back(error); }},
               options) {}

  std::string id() const { return welcomes.back().peer; }

  std::vector<Welcome> welcomes;
  std::vector<Error> disconnections;
  std::vector<Error> warnings;
  std::vector<Offer> offers;
  std::vector<Answer> answers;
  std::vector<Candidate> candidates;
  std::vector<Unreachable> unreachable;
  Client client;
};

struct Certificate {
  std::string certificate;  ///< PEM.
  std::string key;
};

/// Self-signed, for that host, valid now.
inline Certificate make_certificate(const std::string& host = "localhost") {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(host.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, ("DNS:" + host).c_str());
  X509_add_ext(certificate, names, -1);
  X509_sign(certificate, key, EVP_sha256());

  const auto to_text = [](auto write) {
    BIO* memory = BIO_new(BIO_s_mem());
    write(memory);
    char* data = nullptr;
    const auto size = BIO_get_mem_data(memory, &data);
    std::string text(data, static_cast<std::size_t>(size));
    BIO_free(memory);
    return text;
  };
  Certificate made{to_text([&](BIO* out) { PEM_write_bio_X509(out, certificate); }), to_text([&](BIO* out) {
                     PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
                   })};
  X509_EXTENSION_free(names);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return made;
}

}  // namespace codio::rendezvous
