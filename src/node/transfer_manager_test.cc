// Native peers over real sockets on the loopback interface: the three tests that the proposal names, and what goes
// wrong.
#include "node/transfer_manager.h"

#include <fstream>
#include <future>
#include <gtest/gtest.h>
#include <iterator>
#include <thread>
#include <utility>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>

#include "content_id/car.h"
#include "content_id/unixfs/builder.h"
#include "node/hash.h"
#include "node/transfer_testing.h"

namespace codio::node {
namespace {

using content_id::ContentId;

constexpr std::size_t kMiB = 1024 * 1024;

class TransferManagerTest : public PeersAtARendezvous {};

TEST_F(TransferManagerTest, TwoPeersConnectAndTransfer) {
  Peer& seeder = add_peer();
  Peer& downloader = add_peer();
  const Bytes content = random_bytes(1, kMiB);
  const ContentId cid = put_file(*seeder.store, content);
  const auto connected = downloader.transfers->connect_to_peer(id(seeder)).get();
  ASSERT_TRUE(connected) << connected.error().message;
  const auto bytes = downloader.transfers->download_from_peer(id(seeder), cid).get();
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_TRUE(*bytes == content);
  loop_.run([&] {
    EXPECT_GE(downloader.transfers->totals().from_peers, content.size());
    EXPECT_GE(seeder.transfers->totals().uploaded, content.size());
    EXPECT_EQ(downloader.transfers->totals().duplicates, 0U);
    EXPECT_EQ(downloader.transfers->peers().size(), 1U);
  });
}

TEST_F(TransferManagerTest, TenMegabytesFromThreePeersAtOnce) {
  const Bytes content = random_bytes(2, 10 * kMiB);
  std::vector<std::string> seeders;
  std::optional<ContentId> cid;
  for (int i = 0; i < 3; ++i) {
    Peer& seeder = add_peer();
    cid = put_file(*seeder.store, content);
    seeders.push_back(id(seeder));
  }
  Peer& downloader = add_peer();
  const auto bytes = downloader.transfers->download_from_multiple_peers(seeders, *cid).get();
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_TRUE(*bytes == content);
  loop_.run([&] {
    for (int i = 0; i < 3; ++i) EXPECT_GT(peers_[static_cast<std::size_t>(i)]->transfers->totals().uploaded, 0U) << i;
  });
}

TEST_F(TransferManagerTest, TheGatewayGivesWhatNoPeerHas) {
  std::ifstream file(std::string(CODIO_FIXTURES_DIR) + "/QmYwAPJz.car", std::ios::binary);
  if (!file) GTEST_SKIP() << "the fixture QmYwAPJz.car is not beside this checkout";
  const Bytes archive{std::istreambuf_iterator<char>(file), {}};
  content_id::CarReader reader;
  reader.append(archive);
  for (auto block = reader.poll_block(); block && *block; block = reader.poll_block()) {
    ASSERT_TRUE(node_store_->put((*block)->cid, *(*block)->bytes));
  }
  Peer& downloader = add_peer({.gateway = gateway_config()});
  std::promise<Result<void>> end;
  Bytes bytes;
  loop_.run([&] {
    transfer::DownloadOptions options;
    options.traversal.path = {"readme"};
    downloader.transfers->download(*ContentId::parse("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"), options,
                                   {.on_data = [&](const auto& segment) { append(bytes, segment.view()); },
                                    .on_end = [&](Result<void> result) { end.set_value(std::move(result)); }});
  });
  const auto result = end.get_future().get();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(bytes.size(), 1091U);
  EXPECT_EQ(std::string(as_text(bytes).substr(0, 5)), "Hello");
}

TEST_F(TransferManagerTest, AnAnnouncedRootIsFoundThroughTheRendezvous) {
  Peer& seeder = add_peer();
  Peer& downloader = add_peer();
  const Bytes content = random_bytes(3, 2 * kMiB);
  const ContentId cid = put_file(*seeder.store, content);
  loop_.run([&] { seeder.transfers->announce_content(cid); });
  // The announcement and the question reach the server on different connections.
  Result<Bytes> bytes = fail(ErrorCode::kNotFound, "");
  for (int i = 0; i < 50 && !bytes && bytes.error().code == ErrorCode::kNotFound; ++i)
    bytes = download(downloader, cid);
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_TRUE(*bytes == content);
}

TEST_F(TransferManagerTest, AWithdrawnRootIsFoundNoMore) {
  Peer& seeder = add_peer();
  const ContentId cid = put_file(*seeder.store, random_bytes(7, kMiB));
  const ContentId other = put_file(*seeder.store, random_bytes(8, kMiB));
  // Each peer asks once: a connection that it has made would outlive the announcement.
  const auto finds = [&](const ContentId& root) { return download(add_peer(), root).has_value(); };
  const auto finds_in_time = [&](const ContentId& root) {
    bool found = false;
    for (int i = 0; i < 50 && !found; ++i) found = finds(root);
    return found;
  };
  loop_.run([&] { seeder.transfers->announce_content(cid); });
  ASSERT_TRUE(finds_in_time(cid));
  loop_.run([&] {
    seeder.transfers->withdraw_content(cid);
    seeder.transfers->announce_content(other);
  });
  ASSERT_TRUE(finds_in_time(other));
  EXPECT_FALSE(finds(cid));
}

TEST_F(TransferManagerTest, ServeContentKeepsItAndConnects) {
  Peer& seeder = add_peer();
  Peer& downloader = add_peer();
  const Bytes content = random_bytes(4, 3 * kMiB);
  content_id::unixfs::FileBuilder builder(content_id::unixfs::kUnixfsV1_2025);
  builder.append(content);
  builder.finish();
  while (const auto block = builder.poll_block()) builder.handle_digest(block->id, sha256(*block->bytes));
  const ContentId cid = builder.root()->cid;
  EXPECT_EQ(seeder.transfers->serve_content(id(downloader), cid, random_bytes(5, 10)).get().error().code,
            ErrorCode::kMismatch);
  const auto served = seeder.transfers->serve_content(id(downloader), cid, content).get();
  ASSERT_TRUE(served) << served.error().message;
  const auto bytes = download(downloader, cid);
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_TRUE(*bytes == content);
}

TEST_F(TransferManagerTest, ADownloadSurvivesALeavingPeer) {
  const Bytes content = random_bytes(6, 16 * kMiB);
  Peer& leaving = add_peer();
  Peer& staying = add_peer();
  Peer& downloader = add_peer();
  const ContentId cid = put_file(*leaving.store, content);
  put_file(*staying.store, content);
  std::promise<Result<void>> end;
  Bytes bytes;
  const std::vector<std::string> seeders{id(leaving), id(staying)};
  auto future = downloader.transfers->download_from_multiple_peers(seeders, cid);
  while (loop_.run([&] { return leaving.transfers->totals().uploaded == 0; })) std::this_thread::yield();
  loop_.run([&] { leaving.transfers.reset(); });
  const auto result = future.get();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(*result == content);
}

TEST_F(TransferManagerTest, ConnectingToNobodySaysSo) {
  Peer& peer = add_peer();
  const auto connected = peer.transfers->connect_to_peer("nobody").get();
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().code, ErrorCode::kUnavailable);
}

/// Knows one provider of everything.
class Rumour : public ProviderFinder {
 public:
  Rumour(boost::asio::any_io_executor executor, Provider provider)
      : executor_(std::move(executor)), provider_(std::move(provider)) {}

  FindId find(const ContentId& /*root*/, Duration /*deadline*/, OnFound on_found, OnEnd on_end) override {
    boost::asio::post(executor_, [on_found, on_end, provider = provider_] {
      on_found(provider);
      on_end({.candidates = 1});
    });
    return FindId{++last_id_};
  }
  void cancel(FindId /*find*/) override {}

 private:
  boost::asio::any_io_executor executor_;
  Provider provider_;
  std::uint64_t last_id_ = 0;
};

TEST_F(TransferManagerTest, NobodyOnTheInternetSendsUsToThisMachine) {
  const Bytes content = random_bytes(7, 100'000);
  const ContentId cid = put_file(*node_store_, content);
  // A name: where it leads shows only when it is looked up.
  const std::string host = "localhost:" + std::to_string(server_->endpoint().port);
  for (const Reach teller : {Reach::kInternet, Reach::kNetwork, Reach::kMachine}) {
    Peer peer;
    peer.store = *store::BlockStore::open(peer.folder.path());
    TransferManagerOptions options;
    options.exchange.missing_timeout = std::chrono::milliseconds(100);
    options.finders = {
        std::make_shared<Rumour>(loop_.io().get_executor(), Provider{.peer = identity::Key::generate().peer_id(),
                                                                     .address = "8.8.8.8:80",
                                                                     .rendezvous = {"ws://" + host + "/rendezvous"},
                                                                     .gateways = {"http://" + host + "/ipfs/"},
                                                                     .teller = teller})};
    loop_.run(
        [&] { peer.transfers = *TransferManager::make(loop_.io().get_executor(), peer.store, std::move(options)); });
    const auto downloaded = download(peer, cid);
    EXPECT_EQ(downloaded.has_value(), teller == Reach::kMachine);
    EXPECT_EQ(server_->connections() > 0, teller == Reach::kMachine);
    loop_.run([&] { peer.transfers.reset(); });
  }
}

TEST_F(TransferManagerTest, AnHttpServerThatWasIdleIsAskedAgain) {
  Peer peer;
  peer.store = *store::BlockStore::open(peer.folder.path());
  TransferManagerOptions options;
  options.exchange.idle_timeout = std::chrono::milliseconds(20);
  options.exchange.missing_timeout = std::chrono::milliseconds(100);
  options.finders = {
      std::make_shared<Rumour>(loop_.io().get_executor(), Provider{.peer = identity::Key::generate().peer_id(),
                                                                   .address = "127.0.0.1:80",
                                                                   .rendezvous = {},
                                                                   .gateways = {server_->endpoint().url() + "/ipfs/"},
                                                                   .teller = Reach::kMachine})};
  loop_.run(
      [&] { peer.transfers = *TransferManager::make(loop_.io().get_executor(), peer.store, std::move(options)); });
  for (const std::uint32_t seed : {8, 9}) {
    const Bytes content = random_bytes(seed, 100'000);
    const auto downloaded = download(peer, put_file(*node_store_, content));
    EXPECT_EQ(downloaded.value_or(Bytes()), content) << (downloaded ? "" : downloaded.error().message);
    while (!loop_.run([&] { return peer.transfers->peers().empty(); })) std::this_thread::yield();
  }
  loop_.run([&] { peer.transfers.reset(); });
}

TEST_F(TransferManagerTest, SaysWhyEachSourceFailed) {
  boost::asio::ip::tcp::acceptor closed(loop_.io(), {boost::asio::ip::address_v4::loopback(), 0});
  const std::string host = "127.0.0.1:" + std::to_string(closed.local_endpoint().port());
  closed.close();
  Peer peer;
  peer.store = *store::BlockStore::open(peer.folder.path());
  TransferManagerOptions options;
  options.rendezvous = {{*rendezvous::ServerUrl::parse("ws://" + host + "/rendezvous")}};
  options.gateway = gateway::GatewayConfig{.primary = "http://" + host + "/ipfs/", .fallbacks = {}};
  loop_.run(
      [&] { peer.transfers = *TransferManager::make(loop_.io().get_executor(), peer.store, std::move(options)); });
  const auto downloaded =
      download(peer, *ContentId::parse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"));
  ASSERT_FALSE(downloaded);
  EXPECT_NE(downloaded.error().message.find("http://" + host + "/ipfs/"), std::string::npos)
      << downloaded.error().message;
  EXPECT_NE(downloaded.error().message.find("rendezvous ws://" + host + "/rendezvous: connect: Connection refused"),
            std::string::npos)
      << downloaded.error().message;
  loop_.run([&] { peer.transfers.reset(); });
}

TEST_F(TransferManagerTest, AnUnknownCidFailsAndSaysSo) {
  Peer& downloader = add_peer();
  const auto bytes =
      download(downloader, *ContentId::parse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"));
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code, ErrorCode::kNotFound);
  EXPECT_NE(bytes.error().message.find("bafkreifzjut"), std::string::npos) << bytes.error().message;
}

}  // namespace
}  // namespace codio::node
