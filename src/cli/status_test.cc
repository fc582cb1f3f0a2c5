// `codio status`, and its doctor before servers that work, lie, refuse or are not there. All are on this machine.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include "cli/testing.h"
#include "cli/testing_node.h"
#include "dht/testing.h"

namespace codio::cli {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::ip::udp;
using testing::AllOf;
using testing::Each;
using testing::HasSubstr;

const auto kLoopback = asio::ip::address_v4::loopback();

/// Tells whoever asks the address that it sees, or the one that a NAT would show.
class StunServer {
 public:
  explicit StunServer(std::optional<udp::endpoint> shown = std::nullopt) : shown_(std::move(shown)) {
    receive();
    thread_ = std::jthread([this] { io_.run(); });
  }
  ~StunServer() { io_.stop(); }
  StunServer(const StunServer&) = delete;
  StunServer& operator=(const StunServer&) = delete;

  std::string url() const { return "stun:127.0.0.1:" + std::to_string(socket_.local_endpoint().port()); }

 private:
  void receive() {
    socket_.async_receive_from(asio::buffer(request_), from_, [this](const auto& error, std::size_t size) {
      if (error) return;
      answer(size);
      receive();
    });
  }

  /// RFC 8489: a binding request's success, with an XOR-MAPPED-ADDRESS.
  void answer(std::size_t size) {
    if (size < 20 || request_[0] != 0x00 || request_[1] != 0x01) return;
    const udp::endpoint seen = shown_.value_or(from_);
    std::vector<std::uint8_t> answer{0x01, 0x01, 0x00, 0x0C};
    answer.insert(answer.end(), request_.begin() + 4, request_.begin() + 20);
    const auto address = seen.address().to_v4().to_bytes();
    const auto port = seen.port();
    answer.insert(answer.end(), {0x00, 0x20, 0x00, 0x08, 0x00, 0x01, static_cast<std::uint8_t>(port >> 8 ^ request_[4]),
                                 static_cast<std::uint8_t>((port & 0xFF) ^ request_[5])});
    for (std::size_t i = 0; i < address.size(); ++i) {
      answer.push_back(static_cast<std::uint8_t>(address[i] ^ request_[4 + i]));
    }
    boost::system::error_code ignored;
    socket_.send_to(asio::buffer(answer), from_, 0, ignored);
  }

  const std::optional<udp::endpoint> shown_;
  asio::io_context io_{1};
  udp::socket socket_{io_, udp::endpoint(kLoopback, 0)};
  std::array<std::uint8_t, 1500> request_{};
  udp::endpoint from_;
  std::jthread thread_;
};

/// Answers every request alike.
class HttpServer {
 public:
  explicit HttpServer(std::string answer) : answer_(std::move(answer)) {
    thread_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) serve();
    });
  }
  ~HttpServer() {
    thread_.request_stop();
    asio::io_context io;
    tcp::socket last(io);
    boost::system::error_code ignored;
    last.connect(acceptor_.local_endpoint(), ignored);
  }
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }

 private:
  void serve() {
    boost::system::error_code error;
    tcp::socket socket(io_);
    acceptor_.accept(socket, error);
    std::string request;
    if (!error) asio::read_until(socket, asio::dynamic_buffer(request), "\r\n\r\n", error);
    if (!error) asio::write(socket, asio::buffer(answer_), error);
  }

  const std::string answer_;
  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_, tcp::endpoint(kLoopback, 0)};
  std::jthread thread_;
};

/// A port where nobody answers, nor anybody can come to.
class DeadPort {
 public:
  DeadPort() : tcp_(io_, tcp::v4()) { tcp_.bind(tcp::endpoint(kLoopback, udp_.local_endpoint().port())); }
  std::string address() const { return "127.0.0.1:" + std::to_string(udp_.local_endpoint().port()); }

 private:
  asio::io_context io_;
  udp::socket udp_{io_, udp::endpoint(kLoopback, 0)};
  tcp::socket tcp_;
};

class Status : public Cli {
 protected:
  std::string print(bool doctor) {
    return run([&]() -> Result<void> {
      const auto well = cli::status(common_, {.version = "1.2.3", .doctor = doctor});
      is_well_ = well.value_or(false);
      return well ? Result<void>() : std::unexpected(well.error());
    });
  }

  /// What the doctor finds, of each check, in the order of their ends.
  void examine() {
    const std::string printed = print(true);
    ASSERT_TRUE(last_) << last_.error().message;
    findings_ = json::parse(printed);
    for (const json& finding : findings_) {
      for (const char* name : {"check", "state", "seen", "advice"}) ASSERT_TRUE(finding.at(name).is_string());
      EXPECT_EQ(finding.at("state") == "ok", finding.at("advice") == "") << finding;
    }
  }

  std::vector<json> findings(const std::string& check) const {
    std::vector<json> found;
    std::ranges::copy_if(findings_, std::back_inserter(found),
                         [&check](const json& finding) { return finding.at("check") == check; });
    return found;
  }
  /// "state: seen" of the only one.
  std::string finding(const std::string& check) const {
    const auto found = findings(check);
    if (found.size() != 1) return "there are " + std::to_string(found.size());
    return found[0].at("state").get<std::string>() + ": " + found[0].at("seen").get<std::string>();
  }

  json findings_;
  bool is_well_ = false;
};

TEST_F(Status, OfNoRepoMakesNone) {
  const json status = json::parse(print(false));
  EXPECT_EQ(status.at("version"), "1.2.3");
  EXPECT_EQ(status.at("repo").at("path"), common_.repo.string());
  EXPECT_EQ(status.at("repo").at("blocks"), 0);
  EXPECT_GT(status.at("repo").at("diskFree"), 0);
  EXPECT_TRUE(status.at("node").is_null());
  EXPECT_FALSE(fs::exists(common_.repo));
  EXPECT_TRUE(is_well_);
}

TEST_F(Status, TellsOfTheRepoAndItsNode) {
  add(make_site());
  const json alone = json::parse(print(false));
  EXPECT_GT(alone.at("repo").at("blocks"), 0);
  EXPECT_EQ(alone.at("repo").at("pins"), 1);
  EXPECT_TRUE(alone.at("node").is_null());

  const Node node(common_);
  const json beside = json::parse(print(false));
  EXPECT_EQ(beside.at("repo").at("blocks"), alone.at("repo").at("blocks"));
  EXPECT_EQ(beside.at("repo").at("bytes"), alone.at("repo").at("bytes"));
  EXPECT_EQ(beside.at("node").at("http"), node.url());
  EXPECT_EQ(beside.at("node").at("connections"), 0);
  EXPECT_TRUE(beside.at("node").at("dht").is_null());

  common_.json = false;
  EXPECT_THAT(print(false), AllOf(HasSubstr("1.2.3\n"), HasSubstr(common_.repo.string()), HasSubstr("1 pins"),
                                  HasSubstr(node.url()), HasSubstr("dht      not joined")));
}

TEST_F(Status, DoctorFindsNothingWrongWhereEverythingAnswers) {
  const Node node(common_);
  dht::TestNetwork network;
  const StunServer stun;
  const StunServer another_stun;
  common_.no_gateway = false;
  common_.gateways = {node.gateway()};
  common_.ice_servers = {stun.url(), another_stun.url()};
  common_.no_dht = false;
  common_.dht_bootstrap = {"127.0.0.1:" + std::to_string(network.add().status().port)};
  examine();
  EXPECT_TRUE(is_well_);
  EXPECT_THAT(finding("node"), HasSubstr("ok: " + node.url()));
  EXPECT_THAT(finding("gateway"), HasSubstr("ok: " + node.gateway()));
  EXPECT_THAT(finding("rendezvous"), HasSubstr("ok: " + node.rendezvous()));
  EXPECT_THAT(finding("clock"), HasSubstr("ok: "));
  EXPECT_THAT(finding("dht"), HasSubstr("ok: this machine reaches the DHT"));
  EXPECT_THAT(finding("disk"), HasSubstr(common_.repo.string() + " can be written"));
  EXPECT_THAT(finding("nat"), HasSubstr("ok: no NAT"));
  ASSERT_EQ(findings("stun").size(), 2U);
  for (const json& found : findings("stun")) EXPECT_EQ(found.at("state"), "ok") << found;
  EXPECT_TRUE(std::ranges::none_of(fs::directory_iterator(common_.repo), [](const fs::directory_entry& entry) {
    return entry.path().filename().string().find("doctor") != std::string::npos;
  }));
}

TEST_F(Status, DoctorNamesWhatDoesNotAnswer) {
  const DeadPort dead;
  common_.no_gateway = false;
  common_.gateways = {"http://" + dead.address() + "/ipfs/"};
  common_.rendezvous = {"ws://" + dead.address() + "/rendezvous"};
  common_.ice_servers = {"stun:" + dead.address(), "turn:" + dead.address() + ",user,credential"};
  common_.no_dht = false;
  common_.dht_bootstrap = {dead.address()};
  examine();
  EXPECT_FALSE(is_well_);
  for (const char* check : {"gateway", "rendezvous", "stun", "turn", "dht"}) {
    EXPECT_THAT(finding(check), AllOf(HasSubstr("problem: "), HasSubstr(dead.address()))) << check;
  }
  EXPECT_THAT(finding("nat"), HasSubstr("warning: "));
  EXPECT_THAT(finding("clock"), HasSubstr("warning: the clock was not compared"));
}

TEST_F(Status, DoctorTellsWhatIsNotConfigured) {
  examine();
  EXPECT_THAT(finding("gateway"), HasSubstr("ok: not tested"));
  EXPECT_THAT(finding("dht"), HasSubstr("ok: not tested"));
  EXPECT_THAT(finding("rendezvous"), HasSubstr("warning: no rendezvous is named"));
  EXPECT_THAT(findings("nat").at(0).at("advice"), HasSubstr("--ice-server"));
  EXPECT_TRUE(findings("stun").empty());
  EXPECT_THAT(finding("node"), HasSubstr("codio serve"));
  EXPECT_FALSE(fs::exists(common_.repo));
}

TEST_F(Status, DoctorAsksTheRunningNodeOfItsDht) {
  json dht{{"nodes", 7}, {"ready", true}, {"reachable", true}, {"public", true}, {"port", 4321}};
  const auto look = [&] {
    const Node node(common_, dht);
    examine();
  };
  look();
  EXPECT_THAT(finding("dht"), AllOf(HasSubstr("ok: the running node"), HasSubstr("7 nodes"), HasSubstr("4321")));
  dht["nodes"] = 0;
  dht["reachable"] = false;
  look();
  EXPECT_FALSE(is_well_);
  EXPECT_THAT(finding("dht"), HasSubstr("problem: the running node reaches no node"));
  dht["public"] = false;
  look();
  EXPECT_TRUE(is_well_);
  EXPECT_THAT(finding("dht"), HasSubstr("warning: the running node is alone"));
  EXPECT_THAT(findings("dht").at(0).at("advice"), HasSubstr("--dht-bootstrap HOST:4321"));
  dht["ready"] = false;
  look();
  EXPECT_THAT(finding("dht"), HasSubstr("warning: the running node has not joined"));
}

TEST_F(Status, DoctorTellsNatsApart) {
  const auto address = asio::ip::make_address("203.0.113.7");
  const StunServer first(udp::endpoint(address, 40001));
  common_.ice_servers = {first.url()};
  examine();
  EXPECT_THAT(finding("nat"), AllOf(HasSubstr("warning: a NAT, "), HasSubstr("203.0.113.7:40001")));
  EXPECT_THAT(findings("nat").at(0).at("advice"), HasSubstr("second STUN server"));

  const StunServer same(udp::endpoint(address, 40001));
  common_.ice_servers = {first.url(), same.url()};
  examine();
  EXPECT_THAT(finding("nat"),
              AllOf(HasSubstr("ok: a NAT that shows the same address"), HasSubstr("203.0.113.7:40001")));

  const StunServer different(udp::endpoint(address, 40002));
  common_.ice_servers = {first.url(), different.url()};
  examine();
  EXPECT_THAT(finding("nat"), AllOf(HasSubstr("warning: a symmetric NAT"), HasSubstr("203.0.113.7:40001"),
                                    HasSubstr("203.0.113.7:40002")));
  EXPECT_THAT(findings("nat").at(0).at("advice"), HasSubstr("TURN"));
}

TEST_F(Status, DoctorKnowsAGatewayThatLies) {
  const HttpServer server(
      "HTTP/1.1 200 OK\r\nDate: Tue, 01 Jan 2019 00:00:00 GMT\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlogin");
  common_.no_gateway = false;
  common_.gateways = {server.url()};
  examine();
  EXPECT_FALSE(is_well_);
  EXPECT_THAT(finding("gateway"), AllOf(HasSubstr("problem: " + server.url()), HasSubstr("the bytes are not those")));
  EXPECT_THAT(finding("clock"), AllOf(HasSubstr("problem: "), HasSubstr("s ahead of that of " + server.url())));
}

TEST_F(Status, DoctorReckonsWithTheAgeOfAnAnswer) {
  const std::time_t hour_ago = std::time(nullptr) - 3600;
  char date[64];
  ASSERT_GT(std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", std::gmtime(&hour_ago)), 0U);
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\nDate: " + std::string(date);
  common_.no_gateway = false;
  const HttpServer cache(head + "\r\nAge: 3600\r\n\r\n");
  common_.gateways = {cache.url()};
  examine();
  EXPECT_THAT(finding("clock"), HasSubstr("ok: "));
  const HttpServer slow(head + "\r\nAge: -3600\r\n\r\n");
  common_.gateways = {slow.url()};
  examine();
  EXPECT_THAT(finding("clock"), HasSubstr("problem: "));
}

TEST_F(Status, DoctorBelievesTheServerWhoseClockAgrees) {
  const HttpServer wrong(
      "HTTP/1.1 200 OK\r\nDate: Tue, 01 Jan 2019 00:00:00 GMT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  const Node node(common_);
  common_.no_gateway = false;
  common_.gateways = {wrong.url(), node.gateway()};
  examine();
  EXPECT_TRUE(is_well_);
  EXPECT_THAT(finding("clock"), HasSubstr("ok: "));
}

TEST_F(Status, DoctorFollowsAGatewayThatSendsElsewhere) {
  const Node node(common_);
  const HttpServer server("HTTP/1.1 301 Moved\r\nLocation: " + node.gateway() +
                          "bafkqaaa?format=raw\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  common_.no_gateway = false;
  common_.gateways = {server.url()};
  examine();
  EXPECT_THAT(finding("gateway"), HasSubstr("ok: " + server.url()));
  EXPECT_THAT(finding("clock"), HasSubstr("ok: "));
}

TEST_F(Status, DoctorSaysThatTheRepoCannotBeWritten) {
  write_file(folder_ / "file", "");
  common_.repo = folder_ / "file" / "repo";
  examine();
  EXPECT_FALSE(is_well_);
  EXPECT_THAT(finding("disk"), AllOf(HasSubstr("problem: cannot write to "), HasSubstr((folder_ / "file").string())));
  EXPECT_THAT(findings("disk").at(0).at("advice"), HasSubstr("--repo"));
}

TEST_F(Status, DoctorPrintsLinesForAPerson) {
  common_.json = false;
  const std::string printed = print(true);
  EXPECT_THAT(printed, AllOf(HasSubstr("codio 1.2.3\n"), HasSubstr("ok       repo        "),
                             HasSubstr("warning  nat         "), HasSubstr("problems: 0, warnings: ")));
}

/// coturn, if the machine has it.
class TurnServer {
 public:
  explicit TurnServer(const fs::path& folder) {
    const std::string port = std::to_string(free_port());
    address_ = "127.0.0.1:" + port;
    std::vector<std::string> words{"turnserver",
                                   "-n",
                                   "--verbose",
                                   "--listening-ip=127.0.0.1",
                                   "--listening-port=" + port,
                                   "--relay-ip=127.0.0.1",
                                   "--lt-cred-mech",
                                   "--user=user:right",
                                   "--realm=codio",
                                   "--no-tls",
                                   "--no-dtls",
                                   "--no-cli",
                                   "--log-file=stdout",
                                   "--pidfile=" + (folder / "turn.pid").string(),
                                   "--userdb=" + (folder / "turn.db").string()};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    std::array<int, 2> ends{};
    check(::pipe2(ends.data(), O_CLOEXEC) == 0);
    log_ = ends[0];
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (::posix_spawnp(&process_, words[0].c_str(), &actions, nullptr, arguments.data(), environ) != 0) process_ = 0;
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
  }
  ~TurnServer() {
    ::close(log_);
    if (process_ == 0) return;
    ::kill(process_, SIGTERM);
    ::waitpid(process_, nullptr, 0);
  }
  TurnServer(const TurnServer&) = delete;
  TurnServer& operator=(const TurnServer&) = delete;

  const std::string& address() const { return address_; }

  /// Waits for it to listen; false if it cannot run here. It says so itself, because who tries to connect to a port
  /// that nobody listens on yet may be given that very port as its own, and connect to itself.
  bool listens() {
    std::string said;
    std::array<char, 4096> piece{};
    while (said.find("UDP listener opened") == said.npos) {
      const ssize_t size = ::read(log_, piece.data(), piece.size());
      if (size <= 0) return false;
      said.append(piece.data(), static_cast<std::size_t>(size));
    }
    return true;
  }

 private:
  static std::uint16_t free_port() {
    asio::io_context io;
    return udp::socket(io, udp::endpoint(kLoopback, 0)).local_endpoint().port();
  }

  std::string address_;
  int log_ = -1;
  pid_t process_ = 0;
};

TEST_F(Status, DoctorTriesARelay) {
  TurnServer turn(folder_);
  if (!turn.listens()) GTEST_SKIP() << "there is no turnserver (coturn) to try";
  common_.ice_servers = {"turn:" + turn.address() + ",user,right"};
  examine();
  EXPECT_THAT(finding("turn"), AllOf(HasSubstr("ok: "), HasSubstr("relays at 127.0.0.1:")));
  common_.ice_servers = {"turn:" + turn.address() + ",user,wrong"};
  examine();
  EXPECT_FALSE(is_well_);
  EXPECT_THAT(finding("turn"), AllOf(HasSubstr("problem: "), HasSubstr("401")));
  EXPECT_THAT(findings("turn").at(0).at("advice"), HasSubstr("credential"));
}

}  // namespace
}  // namespace codio::cli
