// What the tests of TransferManager share: peers, and the rendezvous where they meet.
#pragma once

#include <functional>
#include <future>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "node/http_server.h"
#include "node/testing.h"
#include "node/transfer_manager.h"

namespace codio::node {

/// A test's peers, each with a store of its own, over real sockets on the loopback interface.
class PeersAtARendezvous : public testing::Test {
 protected:
  struct Peer {
    TemporaryFolder folder;
    std::shared_ptr<store::BlockStore> store;
    std::unique_ptr<TransferManager> transfers;
  };

  PeersAtARendezvous() {
    node_store_ = *store::BlockStore::open(node_folder_.path());
    loop_.run([this] {
      rendezvous_ = std::make_unique<rendezvous::Server>(loop_.io().get_executor(), rendezvous::Server::Options());
      server_ = *HttpServer::listen(loop_.io(), node_store_, *rendezvous_, {.endpoint = {"127.0.0.1", 0}});
    });
  }

  ~PeersAtARendezvous() override {
    loop_.run([this] {
      peers_.clear();
      server_.reset();
      rendezvous_.reset();
    });
  }

  using Wrap = std::function<std::shared_ptr<store::BlockStore>(std::shared_ptr<store::BlockStore>)>;

  /// A peer that is at the rendezvous. `wrap`: what it has instead of its store.
  Peer& add_peer(TransferManagerOptions options = {}, const Wrap& wrap = {}) {
    peers_.push_back(std::make_unique<Peer>());
    Peer& peer = *peers_.back();
    peer.store = *store::BlockStore::open(peer.folder.path());
    if (wrap) peer.store = wrap(std::move(peer.store));
    options.rendezvous = {{*rendezvous::ServerUrl::parse("ws" + server_->endpoint().url().substr(4) + "/rendezvous")}};
    options.use_loopback = true;
    loop_.run(
        [&] { peer.transfers = *TransferManager::make(loop_.io().get_executor(), peer.store, std::move(options)); });
    while (!loop_.run([&] { return peer.transfers->is_connected(); })) std::this_thread::yield();
    return peer;
  }

  std::string id(const Peer& peer) {
    return loop_.run([&] { return peer.transfers->id(); });
  }

  /// Searches for providers, as a browser does.
  Result<Bytes> download(Peer& peer, const content_id::ContentId& cid) {
    std::promise<Result<Bytes>> promise;
    Bytes bytes;
    loop_.run([&] {
      peer.transfers->download(cid, {},
                               {.on_data = [&](const auto& segment) { append(bytes, segment.view()); },
                                .on_end =
                                    [&](Result<void> end) {
                                      promise.set_value(end ? Result<Bytes>(bytes) : std::unexpected(end.error()));
                                    }});
    });
    return promise.get_future().get();
  }

  gateway::GatewayConfig gateway_config() { return {.primary = server_->endpoint().url() + "/ipfs/", .fallbacks = {}}; }

  TemporaryFolder node_folder_;
  std::shared_ptr<store::BlockStore> node_store_;
  Loop loop_;
  std::unique_ptr<rendezvous::Server> rendezvous_;
  std::unique_ptr<HttpServer> server_;
  std::vector<std::unique_ptr<Peer>> peers_;
};

}  // namespace codio::node
