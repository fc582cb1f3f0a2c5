// Nodes over real sockets on the loopback interface.
#include "dht/dht_node.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <set>
#include <stdlib.h>
#include <boost/asio/ip/udp.hpp>

#include "dht/testing.h"

namespace codio::dht {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using boost::asio::ip::udp;
using content_id::ContentId;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ContentId content(std::uint8_t number) {
  content_id::Digest256 digest{};
  digest.fill(number);
  return ContentId::v1(content_id::Codec::kRaw, digest);
}

Endpoint loopback(std::uint16_t port) { return {boost::asio::ip::make_address("127.0.0.1"), port}; }

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "codio-dht-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

struct Search {
  std::vector<Endpoint> found;
  std::optional<SearchEnd> end;
};

/// Runs a search to its end.
Search find(TestNetwork& network, DhtNode& node, const ContentId& cid, Duration deadline = 30s) {
  Search search;
  node.find_providers(
      cid, deadline, [&](const Endpoint& endpoint, std::size_t) { search.found.push_back(endpoint); },
      [&](SearchEnd end) { search.end = end; });
  EXPECT_TRUE(network.run_until([&] { return search.end.has_value(); }));
  return search;
}

/// Lets every node ask around, so that they know each other.
void meet(TestNetwork& network) {
  ASSERT_TRUE(network.join());
  for (std::size_t i = 0; i < network.nodes().size(); ++i) find(network, *network.nodes()[i], content(99));
}

/// A node that tells when it has announced something.
DhtOptions announcing(std::uint16_t http_port, int& announced) {
  DhtOptions options;
  options.http_port = http_port;
  options.on_announced = [&announced](const Key&) { ++announced; };
  return options;
}

TEST(DhtNode, FindsWhatAnotherAnnounced) {
  TestNetwork network;
  for (int i = 0; i < 14; ++i) network.add();
  int announced = 0;
  DhtNode& provider = network.add(announcing(8080, announced));
  DhtNode& seeker = network.add();
  ASSERT_TRUE(network.join());
  ASSERT_TRUE(provider.announce(content(1)));
  ASSERT_TRUE(network.run_until([&] { return announced == 1; }));
  const Search search = find(network, seeker, content(1));
  EXPECT_THAT(search.found, ElementsAre(loopback(8080)));
  EXPECT_EQ(search.end, SearchEnd::kExhausted);
}

TEST(DhtNode, FindsEveryProvider) {
  TestNetwork network;
  for (int i = 0; i < 6; ++i) network.add();
  int announced = 0;
  for (std::uint16_t port = 8001; port <= 8004; ++port) network.add(announcing(port, announced)).announce(content(1));
  ASSERT_TRUE(network.run_until([&] { return announced == 4; }));
  DhtNode& seeker = network.add();
  const Search search = find(network, seeker, content(1));
  EXPECT_EQ(std::set(search.found.begin(), search.found.end()),
            (std::set{loopback(8001), loopback(8002), loopback(8003), loopback(8004)}));
  EXPECT_EQ(search.found.size(), 4U) << "each once";
}

TEST(DhtNode, SaysThatNobodyProvides) {
  TestNetwork network;
  for (int i = 0; i < 8; ++i) network.add();
  ASSERT_TRUE(network.join());
  const Search search = find(network, *network.nodes().back(), content(1));
  EXPECT_THAT(search.found, IsEmpty());
  EXPECT_EQ(search.end, SearchEnd::kExhausted);
}

TEST(DhtNode, FindsContentInANetworkOfTwo) {
  TestNetwork network;
  DhtOptions options;
  options.http_port = 8080;
  network.add(options).announce(content(1));
  const Search search = find(network, network.add(), content(1));
  EXPECT_THAT(search.found, ElementsAre(loopback(8080)));
  network.nodes().front()->withdraw(content(1));
  EXPECT_THAT(find(network, *network.nodes().back(), content(1)).found, IsEmpty());
}

TEST(DhtNode, AnnouncesWhatWaitedForOtherNodes) {
  TestNetwork network;
  int announced = 0;
  DhtNode& first = network.add(announcing(8080, announced));
  first.announce(content(1));
  ASSERT_TRUE(network.run_until([&] { return first.status().is_ready; }));
  EXPECT_EQ(first.status().waiting, 1U);
  network.add();
  ASSERT_TRUE(network.run_until([&] { return announced == 1; }));
  EXPECT_EQ(first.status().waiting, 0U);
  EXPECT_EQ(first.status().announced, 1U);
}

TEST(DhtNode, AsksWithoutAnsweringOthers) {
  TestNetwork network;
  int announced = 0;
  for (int i = 0; i < 4; ++i) network.add();
  network.add(announcing(8080, announced)).announce(content(1));
  ASSERT_TRUE(network.run_until([&] { return announced == 1; }));
  DhtOptions options;
  options.read_only = true;
  std::vector<Endpoint> found;
  network.add(options).find_providers(content(1), 30s,
                                      [&](const Endpoint& endpoint, std::size_t) { found.push_back(endpoint); }, {});
  EXPECT_TRUE(network.run_until([&] { return !found.empty(); }));
  EXPECT_THAT(found, ElementsAre(loopback(8080)));
}

TEST(DhtNode, AnnouncesWithoutWaitingForANodeThatIsGone) {
  TestNetwork network;
  for (int i = 0; i < 4; ++i) network.add();
  meet(network);
  network.nodes().erase(network.nodes().begin() + 1);
  int announced = 0;
  network.add(announcing(8080, announced)).announce(content(1));
  // libtorrent waits for 15 seconds.
  ASSERT_TRUE(network.run_until([&] { return announced == 1; }, 12s));
  EXPECT_THAT(find(network, *network.nodes().front(), content(1), 12s).found, ElementsAre(loopback(8080)));
  network.nodes().pop_back();
  EXPECT_THAT(find(network, *network.nodes()[1], content(1), 12s).found, ElementsAre(loopback(8080)))
      << "the others were told";
}

TEST(DhtNode, EndsASearchThatWaitsForNobodyButANodeThatIsGone) {
  TestNetwork network;
  for (int i = 0; i < 4; ++i) network.add();
  meet(network);
  network.nodes().erase(network.nodes().begin() + 1);
  // libtorrent waits for 15 seconds.
  const Search search = find(network, *network.nodes().back(), content(1), 12s);
  EXPECT_EQ(search.end, SearchEnd::kExhausted);
}

TEST(DhtNode, FindsWhatWasAnnouncedWhenHalfOfTheNodesAreGone) {
  TestNetwork network;
  int announced = 0;
  for (int i = 0; i < 15; ++i) network.add();
  network.add(announcing(8080, announced));
  meet(network);
  network.nodes().back()->announce(content(1));
  ASSERT_TRUE(network.run_until([&] { return announced == 1; }));
  // Eight have it: whichever of them are gone, one is left.
  for (int i = 0; i < 7; ++i) network.nodes().pop_back();
  EXPECT_THAT(find(network, *network.nodes().front(), content(1)).found, ElementsAre(loopback(8080)));
}

TEST(DhtNode, StartsFromTheNodesThatItKnewBefore) {
  const TemporaryFolder folder;
  TestNetwork network;
  int announced = 0;
  for (int i = 0; i < 8; ++i) network.add();
  network.add(announcing(8080, announced)).announce(content(1));
  ASSERT_TRUE(network.run_until([&] { return announced == 1; }));
  DhtOptions options;
  options.state_file = folder.path() / "dht.state";
  DhtNode& node = network.add(options);
  ASSERT_TRUE(network.run_until([&] { return node.status().nodes > 0; }));
  network.nodes().pop_back();
  ASSERT_TRUE(fs::exists(options.state_file));

  options.network = Network::kOwn;
  options.addresses = {"127.0.0.1"};
  DhtNode& again = network.add_as_it_is(options);  // Knows no node to join at.
  EXPECT_THAT(find(network, again, content(1)).found, ElementsAre(loopback(8080)));
}

TEST(DhtNode, StartsWithAStateThatIsNone) {
  const TemporaryFolder folder;
  DhtOptions options;
  options.state_file = folder.path() / "dht.state";
  std::string logged;
  options.on_log = [&](const std::string& message) { logged += message; };
  for (const std::string& text :
       {std::string("nonsense"), std::string("d9:dht stated4:nodesi1ee"), std::string(5'000'000, 'd')}) {
    std::ofstream(options.state_file, std::ios::binary) << text;
    TestNetwork network;
    network.add();
    DhtNode& node = network.add(options);
    EXPECT_TRUE(network.run_until([&] { return node.status().nodes > 0; }));
  }
  EXPECT_THAT(logged, HasSubstr("dht.state"));
}

bool has_ipv6() {
  boost::asio::io_context io;
  udp::socket probe(io);
  boost::system::error_code error;
  probe.open(udp::v6(), error);
  if (!error) probe.bind({boost::asio::ip::address_v6::loopback(), 0}, error);
  return !error;
}

TEST(DhtNode, FindsOverIpv6) {
  if (!has_ipv6()) GTEST_SKIP() << "this machine has no IPv6";
  TestNetwork network("::1");
  int announced = 0;
  for (int i = 0; i < 4; ++i) network.add();
  network.add(announcing(8080, announced)).announce(content(1));
  ASSERT_TRUE(network.run_until([&] { return announced == 1; }));
  const Search search = find(network, network.add(), content(1));
  EXPECT_THAT(search.found, ElementsAre(Endpoint(boost::asio::ip::make_address("::1"), 8080)));
}

TEST(DhtNode, HasOnePortAtAllOfItsAddresses) {
  if (!has_ipv6()) GTEST_SKIP() << "this machine has no IPv6";
  TestNetwork network;
  DhtOptions options;
  options.network = Network::kOwn;
  options.addresses = {"127.0.0.1", "::1"};
  const std::uint16_t port = network.add_as_it_is(options).status().port;
  for (const char* const address : {"127.0.0.1", "::1"}) {
    options.addresses = {address};
    options.bootstrap = {{address, port}};
    DhtNode& node = network.add_as_it_is(options);
    EXPECT_TRUE(network.run_until([&] { return node.status().nodes > 0; })) << address;
  }
}

TEST(DhtNode, SaysThatTheDhtIsUnreachable) {
  TestNetwork network;
  // A port that nobody has: it was ours.
  const std::uint16_t port = network.add().status().port;
  network.nodes().clear();
  DhtOptions options;
  options.network = Network::kOwn;
  options.addresses = {"127.0.0.1"};
  options.bootstrap = {{"127.0.0.1", port}};
  DhtNode& node = network.add_as_it_is(options);
  const Search search = find(network, node, content(1), 2s);
  EXPECT_EQ(search.end, SearchEnd::kUnreachable);
  EXPECT_EQ(node.status().nodes, 0U);
}

TEST(DhtNode, JoinsWhenTheNodeToJoinAtComesLater) {
  TestNetwork network;
  DhtOptions first;
  first.network = Network::kOwn;
  first.addresses = {"127.0.0.1"};
  first.port = network.add().status().port;
  network.nodes().clear();
  DhtOptions options = first;
  options.port = 0;
  options.bootstrap = {{"127.0.0.1", first.port}};
  DhtNode& node = network.add_as_it_is(options);
  ASSERT_TRUE(network.run_until([&] { return node.status().is_ready; }));
  network.add_as_it_is(first);
  EXPECT_TRUE(network.run_until([&] { return node.status().nodes > 0; }));
}

TEST(DhtNode, JoinsAtANodeWithAName) {
  TestNetwork network;
  int announced = 0;
  DhtNode& first = network.add(announcing(8080, announced));
  DhtOptions options;
  options.network = Network::kOwn;
  options.addresses = {"127.0.0.1"};
  options.bootstrap = {{"localhost", first.status().port}};
  DhtNode& second = network.add_as_it_is(options);
  ASSERT_TRUE(network.run_until([&] { return second.status().nodes > 0; }));
}

TEST(DhtNode, SaysSoonThatItsNamesLeadNowhere) {
  TestNetwork network;
  DhtOptions options;
  options.addresses = {"127.0.0.1"};
  options.bootstrap = {{"nowhere.invalid", 6881}};
  std::string log;
  options.on_log = [&](const std::string& line) { log += line; };
  DhtNode& node = network.add_as_it_is(options);
  EXPECT_EQ(find(network, node, content(1), std::chrono::hours(1)).end, SearchEnd::kUnreachable);
  ASSERT_TRUE(network.run_until([&] { return !log.empty(); })) << "when the name server has answered";
  EXPECT_THAT(log, HasSubstr("nowhere.invalid"));
}

TEST(DhtNode, SaysWhenItsPortIsTaken) {
  TestNetwork network;
  DhtOptions options;
  options.network = Network::kOwn;
  options.addresses = {"127.0.0.1"};
  options.port = network.add().status().port;
  const auto second = DhtNode::start(network.io().get_executor(), options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kIo);
  EXPECT_THAT(second.error().message, HasSubstr(std::to_string(options.port)));
  EXPECT_THAT(second.error().message, HasSubstr("--dht-port"));
}

TEST(DhtNode, SaysNothingAfterItsEnd) {
  TestNetwork network;
  network.add();
  DhtNode& node = network.add();
  bool told = false;
  node.find_providers(
      content(1), 30s, [&](const Endpoint&, std::size_t) { told = true; }, [&](SearchEnd) { told = true; });
  const SearchId cancelled =
      network.nodes().front()->find_providers(content(1), 30s, {}, [&](SearchEnd) { told = true; });
  network.nodes().front()->cancel(cancelled);
  network.nodes().pop_back();
  EXPECT_THAT(find(network, *network.nodes().front(), content(2)).found, IsEmpty());
  EXPECT_FALSE(told);
}

TEST(DhtNode, MayBeEndedByItsOwnCallback) {
  TestNetwork network;
  network.add();
  DhtNode& node = network.add();
  bool ended = false;
  node.find_providers(content(1), 30s, {}, [&](SearchEnd) {
    network.nodes().pop_back();
    ended = true;
  });
  EXPECT_TRUE(network.run_until([&] { return ended; }));
}

/// Speaks to DHT nodes as anybody may. BEP 5.
class Stranger {
 public:
  explicit Stranger(std::uint16_t port) : to_(boost::asio::ip::make_address("127.0.0.1"), port) {
    socket_.open(udp::v4());
    socket_.bind({boost::asio::ip::make_address("127.0.0.1"), 0});
  }

  /// `arguments` is bencoded, between the id and the end.
  std::string ask(const std::string& method, const std::string& arguments) {
    send("d1:ad2:id20:strangerstrangerstra" + arguments + "e1:q" + std::to_string(method.size()) + ":" + method +
         "1:t2:aa1:y1:qe");
    std::string answer(2000, '\0');
    answer.resize(socket_.receive(boost::asio::buffer(answer)));
    return answer;
  }
  void send(const std::string& packet) { socket_.send_to(boost::asio::buffer(packet), to_); }

 private:
  boost::asio::io_context io_;
  udp::socket socket_{io_};
  udp::endpoint to_;
};

TEST(DhtNode, IsNotDrownedByDeadEndpoints) {
  TestNetwork network;
  for (int i = 0; i < 3; ++i) network.add();
  ASSERT_TRUE(network.join());
  const Key key = key_of(content(1));
  const std::string hash = "9:info_hash20:" + std::string(key.begin(), key.end());
  for (const auto& node : network.nodes()) {
    Stranger stranger(node->status().port);
    const std::string answer = stranger.ask("get_peers", hash);
    const std::size_t token = answer.find("5:token");
    ASSERT_NE(token, answer.npos);
    const std::size_t length = std::stoul(answer.substr(token + 7));
    const std::size_t colon = answer.find(':', token + 7);
    const std::string token_text = answer.substr(token + 7, colon + 1 + length - token - 7);
    for (int port = 20'000; port < 21'000; ++port) {
      const std::string told = stranger.ask(
          "announce_peer", "12:implied_porti0e" + hash + "4:porti" + std::to_string(port) + "e5:token" + token_text);
      ASSERT_THAT(told, HasSubstr("1:y1:r")) << told;
    }
  }
  DhtOptions options;
  options.search.max_endpoints = 50;
  const Search search = find(network, network.add(options), content(1));
  EXPECT_EQ(search.found.size(), 50U);
  EXPECT_EQ(search.end, SearchEnd::kLimit);
}

TEST(DhtNode, SurvivesNonsense) {
  TestNetwork network;
  network.add();
  const std::uint16_t port = network.nodes().front()->status().port;
  Stranger stranger(port);
  for (const std::string& packet :
       {std::string("nonsense"), std::string("d1:y1:qe"), std::string("d1:rd2:id20:strangerstrangerstra6:values"),
        std::string(1400, 'l'), std::string("d1:ade1:q9:get_peers1:t2:aa1:y1:qe"), std::string()}) {
    stranger.send(packet);
  }
  EXPECT_THAT(Stranger(port).ask("ping", ""), HasSubstr("1:y1:r"));
}

}  // namespace
}  // namespace codio::dht
