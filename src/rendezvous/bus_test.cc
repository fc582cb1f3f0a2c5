// Servers on a real NATS server, over loopback.
#include "rendezvous/bus.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "rendezvous/testing.h"

extern char** environ;

namespace codio::rendezvous {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using content_id::Codec;
using content_id::ContentId;
using content_id::Digest256;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;
using namespace std::chrono_literals;

ContentId numbered_cid(std::uint8_t number) { return ContentId::v1(Codec::kRaw, Digest256{number}); }

bool has_nats_server() { return std::system("command -v nats-server >/dev/null 2>&1") == 0; }

std::uint16_t free_port() {
  asio::io_context io;
  return tcp::acceptor(io, {asio::ip::address_v4::loopback(), 0}).local_endpoint().port();
}

class NatsServer {
 public:
  explicit NatsServer(std::uint16_t port, std::vector<std::string> options = {}) : port_(port) {
    std::vector<std::string> words{"nats-server", "-a", "127.0.0.1", "-p", std::to_string(port), "-l", "/dev/null"};
    words.insert(words.end(), options.begin(), options.end());
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    EXPECT_EQ(posix_spawnp(&process_, "nats-server", nullptr, nullptr, arguments.data(), environ), 0);
  }
  NatsServer(const NatsServer&) = delete;
  NatsServer& operator=(const NatsServer&) = delete;
  ~NatsServer() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

  std::string url(const std::string& user = "") const {
    return "nats://" + user + "127.0.0.1:" + std::to_string(port_);
  }
  std::string tls_url(const std::string& host) const { return "tls://" + host + ":" + std::to_string(port_); }

 private:
  std::uint16_t port_;
  pid_t process_ = 0;
};

struct Node {
  Node(asio::io_context& io, const std::string& bus)
      : host(io, 0, {.bus = bus, .on_log = [this](const std::string& line) { log.push_back(line); }}) {}

  Server& server() { return host.server(); }

  std::vector<std::string> log;
  Host host;
};

class BusTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_nats_server()) GTEST_SKIP() << "nats-server is not installed";
  }
  ~BusTest() override { io_.stop(); }

  [[nodiscard]] bool run_until(const std::function<bool()>& done) { return rendezvous::run_until(io_, done); }

  [[nodiscard]] bool knows(Node& node, std::size_t sisters) {
    return run_until([&] { return node.server().sisters() == sisters; });
  }

  std::vector<std::string> find(Peer& peer, const ContentId& cid) {
    std::vector<std::string> found;
    bool is_over = false;
    peer.client.find(cid, [&](Result<Found> answer) {
      ASSERT_TRUE(answer.has_value()) << answer.error().message;
      found.insert(found.end(), answer->peers.begin(), answer->peers.end());
      is_over = !answer->more;
    });
    EXPECT_TRUE(run_until([&] { return is_over; }));
    return found;
  }

  asio::io_context io_;
};

TEST_F(BusTest, LetsPeersOfThreeNodesFindEachOtherAndTalk) {
  const NatsServer nats(free_port());
  Node a(io_, nats.url());
  Node b(io_, nats.url());
  Node c(io_, nats.url());
  for (Node* node : {&a, &b, &c}) ASSERT_TRUE(knows(*node, 2));
  Peer alice(io_, a.host.url());
  Peer bob(io_, b.host.url());
  Peer carol(io_, c.host.url());
  bob.client.announce(numbered_cid(1));
  carol.client.announce(numbered_cid(1));
  ASSERT_TRUE(run_until([&] {
    return alice.client.is_connected() && bob.client.is_connected() && carol.client.is_connected() &&
           b.server().directory().announced() + c.server().directory().announced() == 2;
  }));
  EXPECT_THAT(find(alice, numbered_cid(1)), UnorderedElementsAre(bob.id(), carol.id()));

  alice.client.send(Offer{bob.id(), "s1", "the offer"});
  alice.client.send(Candidate{bob.id(), "s1", "candidate:1", "0"});
  ASSERT_TRUE(run_until([&] { return !bob.candidates.empty(); }));
  EXPECT_THAT(bob.offers, ElementsAre(Offer{alice.id(), "s1", "the offer"}));
  bob.client.send(Answer{alice.id(), "s1", "the answer"});
  bob.client.send(Candidate{alice.id(), "s1", "candidate:2", "0"});
  ASSERT_TRUE(run_until([&] { return !alice.candidates.empty(); }));
  EXPECT_THAT(alice.answers, ElementsAre(Answer{bob.id(), "s1", "the answer"}));
}

TEST_F(BusTest, SurvivesTheDeathOfTheNatsServer) {
  const std::uint16_t port = free_port();
  auto nats = std::make_unique<NatsServer>(port);
  Node a(io_, nats->url());
  Node b(io_, nats->url());
  ASSERT_TRUE(knows(a, 1) && knows(b, 1));
  Peer alice(io_, a.host.url());
  Peer local(io_, a.host.url());
  Peer bob(io_, b.host.url());
  local.client.announce(numbered_cid(1));
  bob.client.announce(numbered_cid(1));
  ASSERT_TRUE(run_until([&] {
    return b.server().directory().announced() == 1 && local.client.is_connected() && bob.client.is_connected() &&
           alice.client.is_connected();
  }));
  EXPECT_THAT(find(alice, numbered_cid(1)), UnorderedElementsAre(local.id(), bob.id()));
  const std::string id = alice.id();

  nats.reset();
  ASSERT_TRUE(knows(a, 0) && knows(b, 0));
  EXPECT_THAT(a.log.back(), HasSubstr("127.0.0.1"));
  EXPECT_THAT(find(alice, numbered_cid(1)), ElementsAre(local.id()));
  alice.client.send(Offer{local.id(), "s1", "the offer"});
  ASSERT_TRUE(run_until([&] { return !local.offers.empty(); }));

  nats = std::make_unique<NatsServer>(port);
  ASSERT_TRUE(knows(a, 1) && knows(b, 1));
  EXPECT_THAT(find(alice, numbered_cid(1)), UnorderedElementsAre(local.id(), bob.id()));
  EXPECT_EQ(alice.id(), id) << "the clients noticed nothing";
}

TEST_F(BusTest, StartsWithoutTheNatsServerAndJoinsItLater) {
  const std::uint16_t port = free_port();
  const std::string url = "nats://127.0.0.1:" + std::to_string(port);
  Node a(io_, url);
  ASSERT_TRUE(run_until([&] { return !a.log.empty(); }));
  EXPECT_THAT(a.log[0], HasSubstr("cannot be reached"));
  Peer alice(io_, a.host.url());
  ASSERT_TRUE(run_until([&] { return alice.client.is_connected(); }));
  EXPECT_THAT(find(alice, numbered_cid(1)), IsEmpty());
  const NatsServer nats(port);
  Node b(io_, url);
  ASSERT_TRUE(knows(a, 1) && knows(b, 1));
}

TEST_F(BusTest, TellsTheOthersWhenItGoes) {
  const NatsServer nats(free_port());
  Node a(io_, nats.url());
  Node b(io_, nats.url());
  ASSERT_TRUE(knows(a, 1) && knows(b, 1));
  b.server().close();
  ASSERT_TRUE(knows(a, 0));
}

TEST_F(BusTest, ProvesItselfWithPasswordOrToken) {
  const NatsServer with_password(free_port(), {"--user", "codio", "--pass", "secret"});
  Node a(io_, with_password.url("codio:secret@"));
  Node b(io_, with_password.url("codio:secret@"));
  ASSERT_TRUE(knows(a, 1) && knows(b, 1));
  Node wrong(io_, with_password.url("codio:wrong@"));
  ASSERT_TRUE(run_until([&] { return !wrong.log.empty(); }));
  EXPECT_THAT(wrong.log[0], Not(HasSubstr("wrong@")));
  EXPECT_EQ(wrong.server().sisters(), 0U);
  const NatsServer with_token(free_port(), {"--auth", "t0ken"});
  Node c(io_, with_token.url("t0ken@"));
  Node d(io_, with_token.url("t0ken@"));
  ASSERT_TRUE(knows(c, 1) && knows(d, 1));
  EXPECT_EQ(a.server().sisters(), 1U);
}

class BusTlsTest : public BusTest {
 protected:
  void SetUp() override {
    BusTest::SetUp();
    std::string folder = (std::filesystem::temp_directory_path() / "codio-bus-XXXXXX").string();
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    const Certificate made = make_certificate();
    std::ofstream(folder_ / "certificate") << made.certificate;
    std::ofstream(folder_ / "key") << made.key;
  }
  void TearDown() override {
    ::unsetenv("SSL_CERT_FILE");
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  void trust_it() const { ::setenv("SSL_CERT_FILE", (folder_ / "certificate").c_str(), 1); }

  std::vector<std::string> options() const {
    return {"--tls", "--tlscert", folder_ / "certificate", "--tlskey", folder_ / "key"};
  }

  /// What a node says first.
  /// Why it does not connect. The library may tell before that the connection was closed.
  std::string trouble(const std::string& url) {
    Node node(io_, url);
    const auto told = [&] {
      return std::ranges::find_if(node.log, [](const std::string& line) { return line.contains("cannot be reached"); });
    };
    EXPECT_TRUE(run_until([&] { return told() != node.log.end(); }));
    return told() == node.log.end() ? "" : *told();
  }

  /// Until it takes connections.
  void await_port(std::uint16_t port) {
    EXPECT_TRUE(run_until([&] {
      asio::io_context io;
      tcp::socket socket(io);
      boost::system::error_code error;
      return !socket.connect({asio::ip::address_v4::loopback(), port}, error);
    }));
  }

  std::filesystem::path folder_;
};

TEST_F(BusTlsTest, JoinsNodesOverTls) {
  trust_it();
  const NatsServer nats(free_port(), options());
  Node a(io_, nats.tls_url("localhost"));
  Node b(io_, nats.tls_url("localhost"));
  ASSERT_TRUE(knows(a, 1) && knows(b, 1));
}

TEST_F(BusTlsTest, SaysThatACertificateIsNotTrusted) {
  const std::uint16_t port = free_port();
  const NatsServer nats(port, options());
  await_port(port);
  const std::string line = trouble(nats.tls_url("localhost"));
  EXPECT_THAT(line, HasSubstr("the bus at localhost cannot be reached"));
  EXPECT_THAT(line, HasSubstr("self-signed certificate"));
  EXPECT_THAT(line, HasSubstr("an authority that this machine trusts"));
}

TEST_F(BusTlsTest, SaysThatACertificateIsOfAnotherHost) {
  trust_it();
  const std::uint16_t port = free_port();
  const NatsServer nats(port, options());
  await_port(port);
  EXPECT_THAT(trouble(nats.tls_url("127.0.0.1")), HasSubstr("IP address mismatch"));
}

TEST_F(BusTlsTest, SaysThatAServerSpeaksNoTls) {
  const std::uint16_t port = free_port();
  const NatsServer nats(port);
  await_port(port);
  EXPECT_THAT(trouble(nats.tls_url("localhost")), HasSubstr("the server speaks no TLS"));
}

TEST(BusUrls, AreChecked) {
  for (const auto* text : {"nats://localhost", "nats://u:p@h:4222", "tls://token@[::1]:1", "nats://a,nats://b:2"}) {
    EXPECT_TRUE(check_bus_urls(text).has_value()) << text;
  }
  for (const auto* text : {"", "localhost", "http://x", "nats://", "nats://u:p@", "nats://x:0", "nats://x:65536",
                           "nats://x/y", "nats://[::1", "nats://x,", "nats://x y"}) {
    EXPECT_FALSE(check_bus_urls(text).has_value()) << text;
  }
  EXPECT_THAT(check_bus_urls("nats://me:secret@x:0").error().message, Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace codio::rendezvous
