// A DHT in which lying nodes name addresses by the thousand, and a provider that is to be found all the same.
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include "dht/key.h"
#include "dht/testing.h"
#include "node/descriptor.h"
#include "node/dht_finder.h"
#include "node/http_server.h"
#include "node/testing.h"

namespace codio::node {
namespace {

using namespace std::chrono_literals;
using boost::asio::ip::tcp;
using boost::asio::ip::udp;
using boost::system::error_code;
using content_id::ContentId;
using testing::ElementsAre;

boost::asio::ip::address_v4 loopback(std::uint8_t kind, std::size_t number) {
  return boost::asio::ip::address_v4(
      {127, kind, static_cast<std::uint8_t>(number / 250), static_cast<std::uint8_t>(1 + number % 250)});
}

// What stands at 127.KIND.…: what it answers when it is asked who it is.
constexpr std::uint8_t kNobody = 10;  ///< The connection is refused.
constexpr std::uint8_t kSilent = 11;
constexpr std::uint8_t kForged = 12;    ///< The honest one's descriptor, changed.
constexpr std::uint8_t kReplayed = 13;  ///< The honest one's descriptor, signed for somebody else.
constexpr std::uint8_t kExpired = 14;
constexpr std::uint8_t kNonsense = 15;
constexpr std::uint8_t kEndless = 16;

/// An HTTP server that is all of them, on one port of all addresses of this machine.
class Strangers {
 public:
  Strangers(boost::asio::io_context& io, const identity::Key& honest)
      : honest_(honest), acceptor_(io, {boost::asio::ip::address_v4::any(), 0}) {
    accept();
  }

  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  std::size_t asked() const { return asked_; }
  std::size_t open() const { return open_; }
  std::size_t most_at_a_time() const { return most_; }
  std::size_t silent() const { return silent_.size(); }
  /// Whoever waits for a silent one is refused at last, and whoever comes.
  void release() {
    is_released_ = true;
    silent_.clear();
  }

 private:
  struct Visit {
    explicit Visit(tcp::socket connected) : socket(std::move(connected)) {}
    tcp::socket socket;
    std::string request;
    std::string answer;
  };

  void accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
      if (error) return;
      ++asked_;
      if (is_released_ && kind_of(socket) == kSilent) return accept();
      const auto visit = std::shared_ptr<Visit>(new Visit(std::move(socket)), [this](Visit* ended) {
        --open_;
        delete ended;
      });
      most_ = std::max(most_, ++open_);
      boost::asio::async_read_until(visit->socket, boost::asio::dynamic_buffer(visit->request, 10'000), "\r\n\r\n",
                                    [this, visit](error_code failed, std::size_t) {
                                      if (!failed) answer(visit);
                                    });
      accept();
    });
  }

  static std::uint8_t kind_of(const tcp::socket& socket) {
    return socket.local_endpoint().address().to_v4().to_bytes()[1];
  }

  void answer(const std::shared_ptr<Visit>& visit) {
    const std::uint8_t kind = kind_of(visit->socket);
    if (kind == kSilent) {
      if (!is_released_) silent_.push_back(visit);
      return;
    }
    const std::string body = body_of(kind, visit->request);
    visit->answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
                    std::to_string(kind == kEndless ? 1'000'000'000 : body.size()) + "\r\n\r\n" + body;
    boost::asio::async_write(visit->socket, boost::asio::buffer(visit->answer), [visit](error_code, std::size_t) {});
  }

  std::string body_of(std::uint8_t kind, const std::string& request) const {
    if (kind == kNonsense) return "<html>";
    if (kind == kEndless) return std::string(1000, '[');
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    constexpr std::string_view kParameter = "challenge=";
    const std::size_t begin = request.find(kParameter) + kParameter.size();
    const std::string challenge = request.substr(begin, request.find(' ', begin) - begin);
    SignedStatement made =
        sign_statement(honest_, {.peer = {},
                                 .rendezvous = {"/rendezvous"},
                                 .gateways = {kind == kForged ? "/good" : "/evil"},
                                 .versions = {1},
                                 .expires = kind == kExpired ? now - 1s : now + kStatementLifetime,
                                 .challenge = kind == kReplayed ? identity::random_token() : challenge});
    if (kind == kForged) made.statement.replace(made.statement.find("/good"), 5, "/evil");
    return nlohmann::json{{"version", 1}, {"signed", {{"statement", made.statement}, {"signature", made.signature}}}}
        .dump();
  }

  const identity::Key& honest_;
  tcp::acceptor acceptor_;
  std::size_t asked_ = 0;
  std::size_t open_ = 0;
  std::size_t most_ = 0;
  bool is_released_ = false;
  std::vector<std::shared_ptr<Visit>> silent_;
};

/// A node of the DHT that names whom it likes. BEP 5.
class LyingNode {
 public:
  /// `id`: 20 bytes.
  LyingNode(boost::asio::io_context& io, std::string id)
      : id_(std::move(id)), socket_(io, {boost::asio::ip::address_v4::loopback(), 0}) {
    receive();
  }

  void name(const boost::asio::ip::address_v4& address, std::uint16_t port) {
    values_ += "6:" + compact(address, port);
  }
  /// Another one that it knows.
  void know(const LyingNode& other) {
    nodes_ = other.id_ + compact(boost::asio::ip::address_v4::loopback(), other.port());
  }
  std::uint16_t port() const { return socket_.local_endpoint().port(); }
  bool was_asked() const { return was_asked_; }

 private:
  static std::string compact(const boost::asio::ip::address_v4& address, std::uint16_t port) {
    const auto bytes = address.to_bytes();
    std::string text(bytes.begin(), bytes.end());
    text += static_cast<char>(port >> 8);
    text += static_cast<char>(port & 0xff);
    return text;
  }

  void receive() {
    packet_.resize(2000);
    socket_.async_receive_from(boost::asio::buffer(packet_), from_, [this](error_code error, std::size_t size) {
      if (error) return;
      packet_.resize(size);
      if (packet_.ends_with("1:y1:qe")) answer();
      receive();
    });
  }

  void answer() {
    const std::size_t at = packet_.rfind("1:t2:");
    if (at == packet_.npos) return;
    const bool is_asked = packet_.find("9:get_peers") != packet_.npos;
    was_asked_ = was_asked_ || is_asked;
    const std::string text = "d1:rd2:id20:" + id_ + "5:nodes" + std::to_string(nodes_.size()) + ":" + nodes_ +
                             "5:token1:x" + (is_asked ? "6:valuesl" + values_ + "e" : "") + "e" +
                             packet_.substr(at, 7) + "1:y1:re";
    socket_.send_to(boost::asio::buffer(text), from_);
  }

  const std::string id_;
  udp::socket socket_;
  std::string packet_;
  udp::endpoint from_;
  std::string values_;
  std::string nodes_;
  bool was_asked_ = false;
};

class DhtPoisoning : public testing::Test {
 protected:
  static constexpr std::size_t kLyingNodes = 14;
  /// Of each: what one packet holds.
  static constexpr std::size_t kNamed = 150;
  static constexpr std::size_t kSilentOnes = 60;

  DhtPoisoning() {
    for (int i = 0; i < 4; ++i) network_.add();
    HttpServerOptions options;
    options.endpoint = {"127.0.0.1", 0};
    options.key = key_;
    http_ = *HttpServer::listen(network_.io(), store_, rendezvous_, std::move(options));
  }

  ~DhtPoisoning() override {
    http_.reset();
    network_.nodes().clear();
  }

  /// Nobody here is slow: who does not answer is told so.
  static DhtFinderOptions patient() {
    DhtFinderOptions options;
    options.public_only = false;
    options.connect_timeout = options.timeout = options.answer_timeout = 10min;
    return options;
  }

  void announce() {
    bool is_announced = false;
    dht::DhtOptions options;
    options.http_port = http_->endpoint().port;
    options.on_announced = [&](const dht::Key&) { is_announced = true; };
    network_.add(options).announce(cid_);
    ASSERT_TRUE(network_.run_until([&] { return is_announced; }));
  }

  /// Nodes the closer to the key the later, so that the lookup goes on from one to the next.
  void poison(const Strangers& strangers) {
    const dht::Key key = dht::key_of(cid_);
    for (std::size_t i = 0; i < kLyingNodes; ++i) {
      std::string id(key.begin(), key.end());
      id[i + 1] = static_cast<char>(~id[i + 1]);
      liars_.push_back(std::make_unique<LyingNode>(network_.io(), id));
      if (i > 0) liars_[i - 1]->know(*liars_[i]);
    }
    std::size_t number = 0;
    for (std::size_t i = 0; i < kNamed; ++i) {
      for (const auto& liar : liars_) {
        const std::uint8_t kind = number < kSilentOnes ? kSilent : static_cast<std::uint8_t>(10 + number % 7);
        const bool is_nobody = kind == kNobody || (kind == kSilent && number >= kSilentOnes);
        ++kinds_[is_nobody ? kNobody : kind];
        liar->name(loopback(is_nobody ? kNobody : kind, number),
                   is_nobody ? closed_.local_endpoint().port() : strangers.port());
        ++number;
      }
    }
    dht::DhtOptions options;
    options.network = dht::Network::kOwn;
    options.addresses = {"127.0.0.1"};
    options.bootstrap = {{"127.0.0.1", network_.nodes().front()->status().port}, {"127.0.0.1", liars_.front()->port()}};
    seeker_ = &network_.add_as_it_is(options);
    ASSERT_TRUE(network_.run_until([&] { return seeker_->status().nodes > 1; }));
  }

  const TemporaryFolder folder_;
  std::shared_ptr<store::BlockStore> store_ = *store::BlockStore::open(folder_.path());
  dht::TestNetwork network_;
  const identity::Key key_ = identity::Key::generate();
  rendezvous::Server rendezvous_{network_.io().get_executor(), {}};
  std::unique_ptr<HttpServer> http_;
  dht::DhtNode* seeker_ = nullptr;
  std::vector<std::unique_ptr<LyingNode>> liars_;
  std::map<std::uint8_t, std::size_t> kinds_;
  /// Bound, and not listening: whoever connects is refused.
  tcp::socket closed_{network_.io(), {boost::asio::ip::address_v4::any(), 0}};
  const ContentId cid_ = *ContentId::parse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
};

TEST_F(DhtPoisoning, HidesNoProviderAndCostsLittle) {
  announce();
  Strangers strangers(network_.io(), key_);
  poison(strangers);
  const DhtFinderOptions options = patient();
  DhtFinder finder(network_.io().get_executor(), *seeker_, options);
  const auto find = [&](std::vector<Provider>& providers, std::optional<FindSummary>& summary) {
    finder.find(
        cid_, 10min, [&](const Provider& provider) { providers.push_back(provider); },
        [&](const FindSummary& ended) { summary = ended; });
  };

  std::vector<Provider> providers;
  std::optional<FindSummary> summary;
  find(providers, summary);
  ASSERT_TRUE(network_.run_until([&] { return !providers.empty(); }));
  EXPECT_EQ(providers.front().peer, key_.peer_id());
  EXPECT_FALSE(summary) << "thousands are still to be asked";
  // Half of all questions may be stuck at those that never answer; the other half goes on.
  strangers.release();
  ASSERT_TRUE(network_.run_until([&] { return summary.has_value(); }, 120s));
  EXPECT_EQ(providers.size(), 1U) << "nobody else is it";
  EXPECT_THAT(providers.front().gateways, ElementsAre(http_->endpoint().url() + "/ipfs/"));
  for (const auto& liar : liars_) ASSERT_TRUE(liar->was_asked());
  const std::size_t dead = kinds_[kNobody] + kinds_[kSilent];
  EXPECT_EQ(summary->candidates, kLyingNodes * kNamed + 1);
  EXPECT_EQ(summary->dead, dead);
  EXPECT_EQ(summary->liars, kLyingNodes * kNamed - dead);
  EXPECT_EQ(summary->unasked, 0U);
  EXPECT_LE(strangers.most_at_a_time(), options.queue.max_asked + 1) << "sockets";

  // All is remembered, of those that are named this time: the lying nodes may have taken the place of others.
  const std::size_t asked = strangers.asked();
  std::vector<Provider> again;
  std::optional<FindSummary> remembered;
  find(again, remembered);
  ASSERT_TRUE(network_.run_until([&] { return remembered.has_value(); }));
  EXPECT_GT(remembered->candidates, kNamed);
  EXPECT_EQ(remembered->dead + remembered->liars + again.size(), remembered->candidates);
  EXPECT_EQ(strangers.asked(), asked) << "nobody is asked twice";
}

TEST_F(DhtPoisoning, IsAskedAboutNoMoreWhenNobodyWaits) {
  announce();
  Strangers strangers(network_.io(), key_);
  poison(strangers);
  const DhtFinderOptions options = patient();
  DhtFinder finder(network_.io().get_executor(), *seeker_, options);
  bool is_found = false;
  const FindId id = finder.find(cid_, 10min, [&](const Provider&) { is_found = true; }, {});
  ASSERT_TRUE(network_.run_until([&] { return is_found && strangers.silent() > 0; }));
  finder.cancel(id);
  const std::size_t asked = strangers.asked();
  strangers.release();
  ASSERT_TRUE(network_.run_until([&] { return strangers.open() == 0; }));
  EXPECT_LE(strangers.asked(), asked + 2 * options.queue.max_asked) << "over HTTP, and then HTTPS";
}

}  // namespace
}  // namespace codio::node
