// Providers in a DHT on the loopback interface, and downloads from them.
#include "node/dht_finder.h"

#include <atomic>
#include <fstream>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include "dht/testing.h"
#include "node/http_server.h"
#include "node/router_finder.h"
#include "node/routing_records.h"
#include "node/testing.h"
#include "node/transfer_manager.h"
#include "rendezvous/testing.h"

namespace codio::node {
namespace {

using namespace std::chrono_literals;
using content_id::ContentId;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// A node that serves its store over HTTP, and over WebRTC if it is to.
struct ServingNode {
  TemporaryFolder folder;
  std::shared_ptr<store::BlockStore> store = *store::BlockStore::open(folder.path());
  identity::Key key = identity::Key::generate();
  std::unique_ptr<rendezvous::Server> rendezvous;
  std::unique_ptr<HttpServer> http;
  std::unique_ptr<TransferManager> transfers;
};

class DhtFinderTest : public testing::Test {
 protected:
  DhtFinderTest() {
    network_.add();
    seeker_ = &network_.add();
  }

  ServingNode& serve(bool is_signed = true, std::shared_ptr<TlsFiles> tls = nullptr, Duration routing_deadline = 5s) {
    auto& node = *nodes_.emplace_back(std::make_unique<ServingNode>());
    node.rendezvous = std::make_unique<rendezvous::Server>(network_.io().get_executor(), rendezvous::Server::Options());
    HttpServerOptions options;
    options.endpoint = {"127.0.0.1", 0};
    if (is_signed) options.key = node.key;
    options.tls = std::move(tls);
    options.routing_deadline = routing_deadline;
    node.http = *HttpServer::listen(network_.io(), node.store, *node.rendezvous, std::move(options));
    return node;
  }

  /// Has a node of the DHT say that the port serves the content.
  void announce(const ContentId& cid, std::uint16_t http_port) {
    int announced = 0;
    dht::DhtOptions options;
    options.http_port = http_port;
    options.on_announced = [&](const dht::Key&) { ++announced; };
    network_.add(options).announce(cid);
    ASSERT_TRUE(network_.run_until([&] { return announced == 1; }));
  }

  std::uint16_t closed_port() {
    boost::asio::ip::tcp::acceptor acceptor(network_.io(), {boost::asio::ip::make_address("127.0.0.1"), 0});
    return acceptor.local_endpoint().port();
  }

  std::unique_ptr<DhtFinder> make_finder() {
    DhtFinderOptions options;
    options.public_only = false;
    return std::make_unique<DhtFinder>(network_.io().get_executor(), *seeker_, options);
  }

  struct Found {
    std::vector<Provider> providers;
    std::optional<FindSummary> summary;
  };

  Found find(DhtFinder& finder, const ContentId& cid) {
    Found found;
    finder.find(
        cid, 30s, [&](const Provider& provider) { found.providers.push_back(provider); },
        [&](const FindSummary& summary) { found.summary = summary; });
    EXPECT_TRUE(network_.run_until([&] { return found.summary.has_value(); }));
    return found;
  }

  void TearDown() override {
    nodes_.clear();
    network_.nodes().clear();
  }

  dht::TestNetwork network_;
  dht::DhtNode* seeker_;
  std::vector<std::unique_ptr<ServingNode>> nodes_;
  const ContentId cid_ = *ContentId::parse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
};

TEST_F(DhtFinderTest, SaysWhoProvidesAndHowToReachIt) {
  ServingNode& node = serve();
  announce(cid_, node.http->endpoint().port);
  const auto finder = make_finder();
  const Found found = find(*finder, cid_);
  ASSERT_THAT(found.providers, SizeIs(1));
  const Provider& provider = found.providers.front();
  EXPECT_EQ(provider.peer, node.key.peer_id());
  EXPECT_EQ("http://" + provider.address, node.http->endpoint().url());
  EXPECT_THAT(provider.gateways, ElementsAre(node.http->endpoint().url() + "/ipfs/"));
  EXPECT_THAT(provider.rendezvous, ElementsAre("ws" + node.http->endpoint().url().substr(4) + "/rendezvous"));
  EXPECT_GT(provider.latency, Duration::zero());
  EXPECT_THAT(found.summary->trouble, IsEmpty());
}

TEST_F(DhtFinderTest, CountsTheDeadAndTheLiars) {
  ServingNode& honest = serve();
  ServingNode& liar = serve(false);
  announce(cid_, honest.http->endpoint().port);
  announce(cid_, liar.http->endpoint().port);
  announce(cid_, closed_port());
  const auto finder = make_finder();
  for (int i = 0; i < 2; ++i) {  // The second time from memory.
    const Found found = find(*finder, cid_);
    ASSERT_THAT(found.providers, SizeIs(1));
    EXPECT_EQ(found.providers.front().peer, honest.key.peer_id());
    EXPECT_EQ(found.summary->candidates, 3U);
    EXPECT_EQ(found.summary->dead, 1U);
    EXPECT_EQ(found.summary->liars, 1U);
  }
}

TEST_F(DhtFinderTest, KnowsANodeThatSpeaksHttpsByTheNameOfItsCertificate) {
  const TemporaryFolder folder;
  const rendezvous::Certificate made = rendezvous::make_certificate("node.example.net");
  std::ofstream(folder.path() / "certificate") << made.certificate;
  std::ofstream(folder.path() / "key") << made.key;
  ServingNode& node = serve(true, *TlsFiles::load(folder.path() / "certificate", folder.path() / "key"));
  const std::uint16_t port = node.http->endpoint().port;
  announce(cid_, port);
  const auto finder = make_finder();
  const Found found = find(*finder, cid_);
  ASSERT_THAT(found.providers, SizeIs(1));
  const std::string origin = "node.example.net:" + std::to_string(port);
  EXPECT_EQ(found.providers[0].peer, node.key.peer_id());
  EXPECT_THAT(found.providers[0].gateways, ElementsAre("https://" + origin + "/ipfs/"));
  EXPECT_THAT(found.providers[0].rendezvous, ElementsAre("wss://" + origin + "/rendezvous"));
}

TEST_F(DhtFinderTest, RemembersANodeForAWhile) {
  ServingNode& node = serve();
  announce(cid_, node.http->endpoint().port);
  const auto finder = make_finder();
  ASSERT_THAT(find(*finder, cid_).providers, SizeIs(1));
  node.http.reset();  // It cannot be asked again.
  EXPECT_THAT(find(*finder, cid_).providers, SizeIs(1));
}

TEST_F(DhtFinderTest, AsksNobodyInALocalNetworkForThePublicOne) {
  ServingNode& node = serve();
  announce(cid_, node.http->endpoint().port);
  DhtFinder finder(network_.io().get_executor(), *seeker_);
  const Found found = find(finder, cid_);
  EXPECT_THAT(found.providers, IsEmpty());
  EXPECT_EQ(found.summary->dead, 1U);
}

TEST_F(DhtFinderTest, SaysThatNobodyProvides) {
  const auto finder = make_finder();
  const Found found = find(*finder, cid_);
  EXPECT_THAT(found.providers, IsEmpty());
  EXPECT_EQ(found.summary->candidates, 0U);
  EXPECT_THAT(found.summary->trouble, IsEmpty());
}

TEST_F(DhtFinderTest, SaysThatTheDhtIsUnreachable) {
  network_.nodes().clear();
  dht::DhtOptions options;
  options.network = dht::Network::kOwn;
  options.addresses = {"127.0.0.1"};
  seeker_ = &network_.add_as_it_is(options);
  const auto finder = make_finder();
  EXPECT_THAT(find(*finder, cid_).summary->trouble, HasSubstr("no node of the DHT answers"));
}

class DhtDownloadTest : public DhtFinderTest {
 protected:
  /// Downloads the content, and says how many bytes came from whom.
  std::map<std::string, std::uint64_t> download(const ContentId& cid, BytesView expected) {
    const TemporaryFolder folder;
    TransferManagerOptions options;
    options.use_loopback = true;
    options.finders = {make_finder()};
    auto transfers = *TransferManager::make(network_.io().get_executor(), *store::BlockStore::open(folder.path()),
                                            std::move(options));
    std::map<std::string, std::uint64_t> sources;
    Bytes bytes;
    std::optional<Result<void>> end;
    transfers->download(cid, {},
                        {.on_data = [&](const auto& segment) { append(bytes, segment.view()); },
                         .on_received = [&](transfer::SourceKind, const std::string& peer,
                                            std::uint64_t size) { sources[peer] += size; },
                         .on_end = [&](Result<void> result) { end = std::move(result); }});
    EXPECT_TRUE(network_.run_until([&] { return end.has_value(); }));
    EXPECT_TRUE(end && *end) << (end ? end->error().message : "it did not end");
    EXPECT_TRUE(std::ranges::equal(bytes, expected));
    return sources;
  }
};

TEST_F(DhtDownloadTest, TakesBlocksOverHttp) {
  const Bytes content = random_bytes(1, 5'000'000);
  ServingNode& node = serve();
  const ContentId cid = put_file(*node.store, content);
  announce(cid, node.http->endpoint().port);
  const auto sources = download(cid, content);
  ASSERT_THAT(sources, SizeIs(1));
  EXPECT_EQ(sources.begin()->first, node.http->endpoint().url() + "/ipfs/");
}

TEST_F(DhtDownloadTest, TakesBlocksOverWebRtcThroughTheProvidersRendezvous) {
  const Bytes content = random_bytes(2, 40'000'000);
  ServingNode& node = serve();
  const ContentId cid = put_file(*node.store, content);
  TransferManagerOptions options;
  options.key = node.key;
  options.use_loopback = true;
  options.rendezvous = {{*rendezvous::ServerUrl::parse("ws" + node.http->endpoint().url().substr(4) + "/rendezvous")}};
  node.transfers = *TransferManager::make(network_.io().get_executor(), node.store, std::move(options));
  node.transfers->announce_content(cid);
  ASSERT_TRUE(network_.run_until([&] { return node.rendezvous->directory().announced() == 1; }));
  announce(cid, node.http->endpoint().port);
  const auto sources = download(cid, content);
  EXPECT_TRUE(sources.contains(node.key.peer_id())) << "both ways are sources of one download";
  EXPECT_TRUE(network_.run_until([&] { return node.rendezvous->directory().connections() == 1; }))
      << "the visitor leaves the rendezvous";
}

TEST_F(DhtDownloadTest, SurvivesAProviderThatGivesNothing) {
  const Bytes content = random_bytes(3, 3'000'000);
  ServingNode& empty = serve();
  ServingNode& node = serve();
  const ContentId cid = put_file(*node.store, content);
  announce(cid, empty.http->endpoint().port);
  announce(cid, node.http->endpoint().port);
  const auto sources = download(cid, content);
  EXPECT_FALSE(sources.contains(empty.http->endpoint().url() + "/ipfs/"));
}

TEST_F(DhtDownloadTest, FindsALiarOutAndAsksAnother) {
  const Bytes content = random_bytes(4, 200'000);
  ServingNode& liar = serve();
  ServingNode& node = serve();
  const ContentId cid = put_file(*node.store, content);
  ASSERT_TRUE(liar.store->put(cid, random_bytes(5, 200'000)));
  announce(cid, liar.http->endpoint().port);
  announce(cid, node.http->endpoint().port);
  const auto sources = download(cid, content);
  EXPECT_FALSE(sources.contains(liar.http->endpoint().url() + "/ipfs/"));
}

class RouterTest : public DhtFinderTest {
 protected:
  gateway::HttpAnswer get(ServingNode& node, const std::string& target, const std::string& accept) {
    std::promise<Result<gateway::HttpAnswer>> promise;
    auto answer = promise.get_future();
    http_.get({.url = node.http->endpoint().url() + target, .accept = accept},
              [&](Result<gateway::HttpAnswer> result) { promise.set_value(std::move(result)); });
    EXPECT_TRUE(network_.run_until([&] { return answer.wait_for(0s) == std::future_status::ready; }));
    auto result = answer.get();
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    return result.value_or(gateway::HttpAnswer());
  }

  Found ask(const std::string& router, const ContentId& cid) {
    RouterFinder finder(network_.io().get_executor(), *parse_router_url(router));
    Found found;
    finder.find(
        cid, 30s, [&](const Provider& provider) { found.providers.push_back(provider); },
        [&](const FindSummary& summary) { found.summary = summary; });
    EXPECT_TRUE(network_.run_until([&] { return found.summary.has_value(); }));
    return found;
  }

  gateway::HttpClient http_;
};

TEST_F(RouterTest, ANodeNamesItselfAndWhatItsDhtNames) {
  ServingNode& node = serve();
  ServingNode& other = serve();
  const ContentId cid = put_file(*node.store, random_bytes(1, 1000));
  announce(cid, other.http->endpoint().port);
  const auto finder = make_finder();
  node.http->set_finder(finder.get());
  const Found found = ask(node.http->endpoint().url(), cid);
  ASSERT_THAT(found.providers, SizeIs(2));
  EXPECT_THAT(found.providers[0].gateways, ElementsAre(node.http->endpoint().url() + "/ipfs/"));
  EXPECT_THAT(found.providers[1].gateways, ElementsAre(other.http->endpoint().url() + "/ipfs/"));
  EXPECT_EQ(found.providers[1].peer, other.key.peer_id());
  EXPECT_THAT(found.providers[1].rendezvous,
              ElementsAre("ws" + other.http->endpoint().url().substr(4) + "/rendezvous"));
  node.http.reset();
}

TEST_F(RouterTest, ANodeNamesThoseWhoAnnouncedAtItsRendezvous) {
  ServingNode& node = serve();
  const std::string url = "ws" + node.http->endpoint().url().substr(4) + "/rendezvous";
  const auto key = identity::Key::generate();
  rendezvous::Client peer(network_.io().get_executor(), *rendezvous::ServerUrl::parse(url), {}, {.key = key});
  rendezvous::Client nameless(network_.io().get_executor(), *rendezvous::ServerUrl::parse(url), {});
  peer.announce(cid_);
  nameless.announce(cid_);
  ASSERT_TRUE(network_.run_until([&] { return node.rendezvous->providers(cid_).size() == 2; }));
  const Found found = ask(node.http->endpoint().url(), cid_);
  ASSERT_THAT(found.providers, SizeIs(1)) << "who has no key is nobody to others";
  EXPECT_EQ(found.providers[0].peer, key.peer_id());
  EXPECT_THAT(found.providers[0].rendezvous, ElementsAre(url));
  EXPECT_THAT(found.providers[0].gateways, IsEmpty());
  const std::string target = "/routing/v1/providers/" + cid_.to_string();
  const auto document =
      get(node, target + "?filter-protocols=Transport-Codio-WebRTC%2Ctransport-bitswap", "application/json");
  EXPECT_THAT(*parse_routing_answer(document.content_type, as_text(document.body)), SizeIs(1));
  const auto filtered = get(node, target + "?filter-addrs=tcp", "application/json");
  EXPECT_EQ(as_text(filtered.body), R"({"Providers":[]})") << "where it is is not known";
}

/// Finds one provider, and then nothing until it is told to end.
class SlowFinder : public ProviderFinder {
 public:
  SlowFinder(boost::asio::any_io_executor executor, Provider provider)
      : executor_(std::move(executor)), provider_(std::move(provider)) {}

  FindId find(const ContentId& /*root*/, Duration /*deadline*/, OnFound on_found, OnEnd on_end) override {
    boost::asio::post(executor_, [on_found, provider = provider_] { on_found(provider); });
    on_end_ = std::move(on_end);
    return FindId{1};
  }
  void cancel(FindId /*find*/) override { cancelled = true; }
  void end() { on_end_({}); }

  bool cancelled = false;

 private:
  boost::asio::any_io_executor executor_;
  Provider provider_;
  OnEnd on_end_;
};

TEST_F(RouterTest, TellsWhatIsFoundBeforeTheSearchIsOver) {
  ServingNode& node = serve();
  SlowFinder finder(
      network_.io().get_executor(),
      {.peer = identity::Key::generate().peer_id(), .address = {}, .gateways = {"http://1.1.1.1:80/ipfs/"}});
  node.http->set_finder(&finder);
  std::atomic<bool> has_line = false;
  std::promise<Result<gateway::HttpAnswer>> promise;
  auto answer = promise.get_future();
  http_.get({.url = node.http->endpoint().url() + "/routing/v1/providers/" + cid_.to_string(),
             .accept = "application/x-ndjson",
             .on_part = [&](const gateway::HttpAnswer&, BytesView part) { has_line = as_text(part).ends_with("\n"); }},
            [&](Result<gateway::HttpAnswer> result) { promise.set_value(std::move(result)); });
  ASSERT_TRUE(network_.run_until([&] { return has_line.load(); }));
  EXPECT_EQ(answer.wait_for(0s), std::future_status::timeout) << "the answer goes on";
  finder.end();
  ASSERT_TRUE(network_.run_until([&] { return answer.wait_for(0s) == std::future_status::ready; }));
  EXPECT_TRUE(answer.get().has_value());
  node.http.reset();
}

TEST_F(RouterTest, IsHeardWhileItSearches) {
  ServingNode& node = serve(true, nullptr, 60s);
  const Provider named{
      .peer = identity::Key::generate().peer_id(), .address = {}, .gateways = {node.http->endpoint().url() + "/ipfs/"}};
  SlowFinder slow(network_.io().get_executor(), named);
  node.http->set_finder(&slow);
  RouterFinder finder(network_.io().get_executor(), *parse_router_url(node.http->endpoint().url()));
  Found found;
  finder.find(
      cid_, 60s, [&](const Provider& provider) { found.providers.push_back(provider); },
      [&](const FindSummary& summary) { found.summary = summary; });
  ASSERT_TRUE(network_.run_until([&] { return !found.providers.empty(); }));
  EXPECT_EQ(found.providers[0].gateways, named.gateways);
  EXPECT_FALSE(found.summary);
  slow.end();
  ASSERT_TRUE(network_.run_until([&] { return found.summary.has_value(); }));
  EXPECT_EQ(found.summary->candidates, 1U);
  EXPECT_THAT(found.summary->trouble, IsEmpty());
  node.http.reset();
}

TEST_F(RouterTest, EndsASearchThatTakesTooLong) {
  ServingNode& node = serve(true, nullptr, 100ms);
  SlowFinder finder(network_.io().get_executor(), {.peer = identity::Key::generate().peer_id(), .address = {}});
  node.http->set_finder(&finder);
  const auto answer = get(node, "/routing/v1/providers/" + cid_.to_string(), "application/json");
  EXPECT_EQ(as_text(answer.body), R"({"Providers":[]})");
  EXPECT_TRUE(network_.run_until([&] { return finder.cancelled; }));
  node.http.reset();
}

TEST_F(RouterTest, AnswersInTheFormThatIsAccepted) {
  ServingNode& node = serve();
  const std::string target = "/routing/v1/providers/" + put_file(*node.store, random_bytes(1, 1000)).to_string();
  const auto document = get(node, target, "application/json");
  EXPECT_EQ(document.content_type, "application/json");
  EXPECT_THAT(*parse_routing_answer(document.content_type, as_text(document.body)), SizeIs(1));
  const auto lines = get(node, target, "application/x-ndjson, application/json");
  EXPECT_EQ(lines.content_type, "application/x-ndjson");
  EXPECT_THAT(*parse_routing_answer(lines.content_type, as_text(lines.body)), SizeIs(1));
  const auto filtered = get(node, target + "?filter-protocols=transport-bitswap", "application/json");
  EXPECT_EQ(as_text(filtered.body), R"({"Providers":[]})");
}

TEST_F(RouterTest, AnswersThatNobodyProvidesAndRefusesWhatIsNoCid) {
  ServingNode& node = serve();
  const auto none = get(node, "/routing/v1/providers/" + cid_.to_string(), "application/json");
  EXPECT_EQ(none.status, 200);
  EXPECT_EQ(as_text(none.body), R"({"Providers":[]})");
  EXPECT_EQ(get(node, "/routing/v1/providers/nonsense", "application/json").status, 422);
}

TEST_F(RouterTest, SaysWhichRouterIsNoHelp) {
  const std::string url = "http://127.0.0.1:" + std::to_string(closed_port());
  const Found found = ask(url, cid_);
  EXPECT_THAT(found.providers, IsEmpty());
  EXPECT_THAT(found.summary->trouble, HasSubstr(url));
}

/// An HTTP server that never comes to an end.
class Trickler {
 public:
  explicit Trickler(boost::asio::io_context& io) : acceptor_(io, {boost::asio::ip::make_address("127.0.0.1"), 0}) {
    acceptor_.async_accept(socket_, [this](const boost::system::error_code& error) {
      if (!error) write("HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n");
    });
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }

 private:
  void write(std::string text) {
    text_ = std::move(text);
    boost::asio::async_write(socket_, boost::asio::buffer(text_),
                             [this](const boost::system::error_code& failed, auto) {
                               if (failed) return;
                               timer_.expires_after(10ms);
                               timer_.async_wait([this](const boost::system::error_code& error) {
                                 if (!error) write(" ");
                               });
                             });
  }

  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::ip::tcp::socket socket_{acceptor_.get_executor()};
  boost::asio::steady_timer timer_{acceptor_.get_executor()};
  std::string text_;
};

TEST_F(RouterTest, LeavesARouterThatNeverComesToAnEnd) {
  Trickler trickler(network_.io());
  RouterFinder finder(network_.io().get_executor(), *parse_router_url(trickler.url()));
  std::optional<FindSummary> summary;
  finder.find(cid_, 500ms, {}, [&](const FindSummary& ended) { summary = ended; });
  ASSERT_TRUE(network_.run_until([&] { return summary.has_value(); }));
  EXPECT_THAT(summary->trouble, HasSubstr(trickler.url()));
}

TEST_F(DhtFinderTest, LeavesAnAddressThatNeverComesToAnEnd) {
  Trickler trickler(network_.io());
  ServingNode& honest = serve();
  announce(cid_, honest.http->endpoint().port);
  announce(cid_, static_cast<std::uint16_t>(std::stoi(trickler.url().substr(trickler.url().rfind(':') + 1))));
  DhtFinderOptions options;
  options.public_only = false;
  options.answer_timeout = 3s;
  DhtFinder finder(network_.io().get_executor(), *seeker_, options);
  const Found found = find(finder, cid_);
  EXPECT_THAT(found.providers, SizeIs(1));
  EXPECT_EQ(found.summary->dead, 1U);
  EXPECT_EQ(found.summary->unasked, 0U);
}

TEST_F(DhtFinderTest, EndsWhenItHasFoundEnough) {
  for (int i = 0; i < 3; ++i) announce(cid_, serve().http->endpoint().port);
  DhtFinderOptions options;
  options.public_only = false;
  options.max_providers = 2;
  DhtFinder finder(network_.io().get_executor(), *seeker_, options);
  EXPECT_THAT(find(finder, cid_).providers, SizeIs(2));
}

TEST(RouterUrl, IsReadWithOrWithoutASlash) {
  EXPECT_EQ(parse_router_url("https://delegated-ipfs.dev/"), "https://delegated-ipfs.dev");
  EXPECT_EQ(parse_router_url("http://127.0.0.1:8080/base"), "http://127.0.0.1:8080/base");
  for (const char* text : {"", "delegated-ipfs.dev/x y", "ftp://host", "https://host/?a=b", "https://user@host"}) {
    EXPECT_FALSE(parse_router_url(text)) << text;
  }
}

}  // namespace
}  // namespace codio::node
