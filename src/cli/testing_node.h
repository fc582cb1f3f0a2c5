// A running node, for the tests of the commands beside it.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "cli/session.h"
#include "cli/testing.h"
#include "node/http_server.h"
#include "node/local_api.h"
#include "node/local_protocol.h"
#include "node/transfer_manager.h"
#include "rendezvous/server.h"

namespace codio::cli {

/// A node's parts that the commands meet.
class Node {
 public:
  /// `dht` is what it tells of its DHT.
  explicit Node(const CommonOptions& common, const json& dht = nullptr) : store_(*open_own_store(common)) {
    transfers_ = *node::TransferManager::make(io_.get_executor(), store_, {});
    node::HttpServerOptions http;
    http.endpoint = {"127.0.0.1", 0};
    http_ = *node::HttpServer::listen(io_, store_, rendezvous_, std::move(http));
    node::LocalApiOptions api;
    api.about = [this, dht] { return json{{"http", url()}, {"rendezvous", {rendezvous()}}, {"dht", dht}}; };
    api.path = repo_folder(common) / node::kLocalSocket;
    api_ = *node::LocalApi::listen(io_, store_, *transfers_, std::move(api));
    thread_ = std::jthread([this] { io_.run(); });
  }
  ~Node() {
    io_.stop();
    thread_ = {};
    http_.reset();
    api_.reset();
    transfers_.reset();
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  std::string url() const { return http_->endpoint().url(); }
  std::string gateway() const { return url() + "/ipfs/"; }
  std::string rendezvous() const { return "ws" + url().substr(4) + "/rendezvous"; }

  /// The whole answer, head and body.
  std::string fetch(const std::string& target) const {
    boost::asio::io_context io;
    boost::asio::ip::tcp::socket socket(io);
    socket.connect({boost::asio::ip::address_v4::loopback(), http_->endpoint().port});
    const std::string request = "GET " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    boost::asio::write(socket, boost::asio::buffer(request));
    std::string answer;
    boost::system::error_code end;
    boost::asio::read(socket, boost::asio::dynamic_buffer(answer), end);
    return answer;
  }

 private:
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  std::shared_ptr<store::BlockStore> store_;
  rendezvous::Server rendezvous_{io_.get_executor(), {}};
  std::unique_ptr<node::TransferManager> transfers_;
  std::unique_ptr<node::LocalApi> api_;
  std::unique_ptr<node::HttpServer> http_;
  std::jthread thread_;
};

}  // namespace codio::cli
