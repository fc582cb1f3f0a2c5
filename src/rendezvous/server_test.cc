// Server and Client over real sockets on loopback.
#include "rendezvous/server.h"

#include <atomic>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/websocket.hpp>

#include "rendezvous/testing.h"

namespace codio::rendezvous {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using asio::ip::tcp;
using boost::system::error_code;
using content_id::Codec;
using content_id::ContentId;
using content_id::Digest256;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace std::chrono_literals;

ContentId numbered_cid(std::uint32_t number) {
  Digest256 digest{};
  for (int i = 0; i < 4; ++i) digest[i] = static_cast<std::uint8_t>(number >> (8 * i));
  return ContentId::v1(Codec::kRaw, digest);
}

class ServerTest : public testing::Test {
 protected:
  ~ServerTest() override { io_.stop(); }

  std::string url(std::uint16_t port) const { return "ws://127.0.0.1:" + std::to_string(port) + "/rendezvous"; }

  [[nodiscard]] bool run_until(const std::function<bool()>& done, std::chrono::seconds limit = 60s) {
    return rendezvous::run_until(io_, done, limit);
  }

  // Peer ids that serve the CID, as soon as there are any.
  std::vector<std::string> find(Peer& peer, const ContentId& cid) {
    std::vector<std::string> found;
    EXPECT_TRUE(run_until([&] {
      bool answered = false;
      peer.client.find(cid, [&](Result<Found> answer) {
        answered = true;
        if (answer) found = answer->peers;
      });
      return run_until([&] { return answered; }) && !found.empty();
    }));
    return found;
  }

  asio::io_context io_;
};

TEST_F(ServerTest, LetsTwoClientsFindEachOtherAndTalk) {
  Host host(io_, 0, {.directory = {.ice_servers = {{{"stun:stun.example.net"}, "", ""}}}});
  Peer alice(io_, url(host.port()));
  Peer bob(io_, url(host.port()));
  alice.client.announce(numbered_cid(1));
  EXPECT_FALSE(alice.client.is_connected());
  ASSERT_TRUE(run_until([&] { return alice.client.is_connected() && bob.client.is_connected(); }));
  EXPECT_EQ(alice.welcomes[0].ice_servers, (std::vector<IceServer>{{{"stun:stun.example.net"}, "", ""}}));
  EXPECT_EQ(alice.welcomes[0].max_announced, 16'384U);

  EXPECT_THAT(find(bob, numbered_cid(1)), ElementsAre(alice.id()));
  bob.client.send(Offer{alice.id(), "s1", "the offer"});
  bob.client.send(Candidate{alice.id(), "s1", "candidate:1", "0"});
  ASSERT_TRUE(run_until([&] { return !alice.candidates.empty(); }));
  EXPECT_THAT(alice.offers, ElementsAre(Offer{bob.id(), "s1", "the offer"}));
  EXPECT_THAT(alice.candidates, ElementsAre(Candidate{bob.id(), "s1", "candidate:1", "0"}));
  alice.client.send(Answer{bob.id(), "s1", "the answer"});
  alice.client.send(Candidate{bob.id(), "s1", "", ""});
  ASSERT_TRUE(run_until([&] { return !bob.candidates.empty(); }));
  EXPECT_THAT(bob.answers, ElementsAre(Answer{alice.id(), "s1", "the answer"}));

  bob.client.send(Offer{"nobody", "s2", "the offer"});
  ASSERT_TRUE(run_until([&] { return !bob.unreachable.empty(); }));
  EXPECT_THAT(bob.unreachable, ElementsAre(Unreachable{"nobody", "s2"}));
}

TEST_F(ServerTest, SaysWhoIsElsewhereWhenThatIsKnown) {
  std::vector<Server::OnElsewhere> asked;
  Host host(io_, 0, {.find_elsewhere = [&](const ContentId& cid, Server::OnElsewhere answer) {
              EXPECT_EQ(cid, numbered_cid(1));
              asked.push_back(std::move(answer));
            }});
  Peer alice(io_, url(host.port()));
  Peer bob(io_, url(host.port()));
  alice.client.announce(numbered_cid(1));
  ASSERT_TRUE(run_until([&] { return host.server().directory().announced() == 1; }));
  std::vector<Found> answers;
  bob.client.find(numbered_cid(1), [&](auto found) { answers.push_back(found.value()); });
  ASSERT_TRUE(run_until([&] { return asked.size() == 1 && answers.size() == 1; }));
  EXPECT_THAT(answers[0].peers, ElementsAre(alice.id()));
  EXPECT_TRUE(answers[0].more);
  const std::vector<Elsewhere> elsewhere{{"carol", "wss://example.net/rendezvous"}};
  asked[0](elsewhere);
  asked[0]({{"again", "wss://example.net/rendezvous"}});
  ASSERT_TRUE(run_until([&] { return answers.size() == 2; }));
  EXPECT_THAT(answers[1].peers, IsEmpty());
  EXPECT_EQ(answers[1].elsewhere, elsewhere);
  EXPECT_FALSE(answers[1].more);
}

TEST_F(ServerTest, TakesAnAnswerAboutElsewhereAtOnceAndAfterItsEnd) {
  Server::OnElsewhere late;
  {
    Host host(io_, 0, {.find_elsewhere = [&](const ContentId& cid, Server::OnElsewhere answer) {
                if (cid == numbered_cid(1))
                  answer({{"carol", "wss://example.net/rendezvous"}});
                else
                  late = std::move(answer);
              }});
    Peer alice(io_, url(host.port()));
    std::vector<Found> answers;
    alice.client.find(numbered_cid(1), [&](auto found) { answers.push_back(found.value()); });
    alice.client.find(numbered_cid(2), [](auto) {});
    ASSERT_TRUE(run_until([&] { return answers.size() == 2 && late; }));
    EXPECT_TRUE(answers[0].more);
    EXPECT_EQ(answers[1].elsewhere.at(0).peer, "carol");
    host.stop_accepting();
  }
  late({{"dave", "wss://example.net/rendezvous"}});
}

TEST_F(ServerTest, KnowsAClientByItsKeyWhenItComesBack) {
  const auto key = identity::Key::generate();
  Host host(io_, 0);
  Peer bob(io_, url(host.port()));
  for (int i = 0; i < 2; ++i) {
    Peer alice(io_, url(host.port()), {.key = key});
    alice.client.announce(numbered_cid(1));
    EXPECT_THAT(find(bob, numbered_cid(1)), ElementsAre(key.peer_id()));
    bob.client.send(Offer{key.peer_id(), "s1", "the offer"});
    ASSERT_TRUE(run_until([&] { return !alice.offers.empty(); }));
  }
}

TEST_F(ServerTest, TheLaterOfTwoClientsWithOneKeyStays) {
  const auto key = identity::Key::generate();
  Host host(io_, 0);
  Peer bob(io_, url(host.port()));
  Peer older(io_, url(host.port()), {.key = key, .first_delay = 1ms, .last_delay = std::chrono::hours(1)});
  older.client.announce(numbered_cid(1));
  find(bob, numbered_cid(1));
  Peer later(io_, url(host.port()), {.key = key});
  later.client.announce(numbered_cid(2));
  ASSERT_TRUE(run_until([&] { return !older.disconnections.empty(); }));
  EXPECT_THAT(older.disconnections[0].message, HasSubstr("4001: another connection joined as this peer"));
  EXPECT_THAT(find(bob, numbered_cid(2)), ElementsAre(key.peer_id()));
  EXPECT_TRUE(later.client.is_connected());
  EXPECT_TRUE(later.disconnections.empty());
  EXPECT_EQ(older.welcomes.size(), 1U) << "it waits before it comes back";
}

TEST_F(ServerTest, DoesNotPassAnAnswerWithoutAnOffer) {
  Host host(io_, 0);
  Peer alice(io_, url(host.port()));
  Peer bob(io_, url(host.port()));
  ASSERT_TRUE(run_until([&] { return alice.client.is_connected() && bob.client.is_connected(); }));
  alice.client.send(Answer{bob.id(), "s1", "the answer"});
  ASSERT_TRUE(run_until([&] { return !alice.warnings.empty(); }));
  EXPECT_THAT(alice.warnings[0].message, HasSubstr("no-session"));
  EXPECT_THAT(bob.answers, IsEmpty());
}

TEST_F(ServerTest, AnnouncesInBatchesAndTakesBack) {
  Host host(io_, 0);
  Peer alice(io_, url(host.port()));
  for (std::uint32_t i = 0; i < 1000; ++i) alice.client.announce(numbered_cid(i));
  const auto announced = [&](std::size_t count) { return host.server().directory().announced() == count; };
  ASSERT_TRUE(run_until([&] { return announced(1000); }));
  for (std::uint32_t i = 0; i < 999; ++i) alice.client.withdraw(numbered_cid(i));
  alice.client.announce(numbered_cid(0));
  ASSERT_TRUE(run_until([&] { return announced(2); }));
  EXPECT_THAT(alice.warnings, IsEmpty());
}

TEST_F(ServerTest, AnnouncesAgainAfterTheServerCameBackOnTheSamePort) {
  std::optional<Host> host(std::in_place, io_, 0);
  const std::uint16_t port = host->port();
  Peer alice(io_, url(port));
  for (std::uint32_t i = 0; i < 300; ++i) alice.client.announce(numbered_cid(i));
  ASSERT_TRUE(run_until([&] { return host->server().directory().announced() == 300; }));
  alice.client.withdraw(numbered_cid(0));

  host->server().close();
  host->stop_accepting();
  ASSERT_TRUE(run_until([&] { return !alice.disconnections.empty(); }));
  EXPECT_THAT(alice.disconnections[0].message, HasSubstr("1001"));
  EXPECT_THAT(alice.disconnections[0].message, HasSubstr(url(port)));
  ASSERT_TRUE(run_until([&] { return alice.disconnections.size() >= 2; }));
  EXPECT_THAT(alice.disconnections[1].message, HasSubstr("Connection refused"));
  alice.client.announce(numbered_cid(1000));

  std::optional<std::vector<std::string>> found;
  alice.client.find(numbered_cid(5), [&](auto answer) { found = answer.value().peers; });
  host.emplace(io_, port);
  ASSERT_TRUE(run_until([&] { return host->server().directory().announced() == 300 && found; }));
  EXPECT_EQ(alice.welcomes.size(), 2U);
  EXPECT_NE(alice.welcomes[0].peer, alice.welcomes[1].peer);
}

TEST_F(ServerTest, SendsItsClientsElsewhereWhenItLeaves) {
  Host leaving(io_, 0);
  Host staying(io_, 0);
  const std::vector urls{*ServerUrl::parse(url(leaving.port())), *ServerUrl::parse(url(staying.port()))};
  std::vector<std::unique_ptr<Client>> clients;
  for (std::uint32_t i = 0; i < 5; ++i) {
    clients.push_back(std::make_unique<Client>(io_.get_executor(), urls, ClientEvents{}));
    clients.back()->announce(numbered_cid(i));
  }
  ASSERT_TRUE(run_until([&] { return leaving.server().directory().announced() == 5; }));
  bool has_left = false;
  leaving.server().leave(std::chrono::seconds(10), [&] { has_left = true; });
  Peer late(io_, url(leaving.port()));
  ASSERT_TRUE(run_until([&] { return has_left && staying.server().directory().announced() == 5; }));
  EXPECT_EQ(leaving.server().directory().connections(), 0U);
  ASSERT_TRUE(run_until([&] { return !late.disconnections.empty(); }));
  EXPECT_THAT(late.disconnections[0].message, HasSubstr("503"));
}

TEST_F(ServerTest, LeavesAtOnceWithoutClients) {
  Host host(io_, 0);
  bool has_left = false;
  host.server().leave(std::chrono::seconds(10), [&] { has_left = true; });
  EXPECT_FALSE(has_left);
  ASSERT_TRUE(run_until([&] { return has_left; }, 1s));
}

TEST_F(ServerTest, ClientTriesTheNextServerWhenOneIsDown) {
  tcp::acceptor unused(io_, {asio::ip::address_v4::loopback(), 0});
  const auto down = *ServerUrl::parse(url(unused.local_endpoint().port()));
  unused.close();
  Host host(io_, 0);
  Client client(io_.get_executor(), {down, *ServerUrl::parse(url(host.port()))}, {}, {.first_delay = 20ms});
  ASSERT_TRUE(run_until([&] { return client.is_connected(); }));
  EXPECT_EQ(client.url().text, url(host.port()));
}

TEST_F(ServerTest, ClientRepeatsItsAnnouncementsInTime) {
  Host host(io_, 0, {.directory = {.announce_lifetime = 1s}});
  Peer alice(io_, url(host.port()));
  for (std::uint32_t i = 0; i < 300; ++i) alice.client.announce(numbered_cid(i));
  const auto& directory = host.server().directory();
  ASSERT_TRUE(run_until([&] { return directory.announced() == 300; }));
  bool was_forgotten = false;
  const auto end = std::chrono::steady_clock::now() + 2500ms;
  ASSERT_TRUE(run_until([&] {
    was_forgotten |= directory.announced() != 300;
    return std::chrono::steady_clock::now() > end;
  }));
  EXPECT_FALSE(was_forgotten);
}

TEST_F(ServerTest, ClientHearsOfNewIceServers) {
  Host host(io_, 0);
  std::vector<IceServer> heard;
  Client client(io_.get_executor(), *ServerUrl::parse(url(host.port())),
                {.on_ice_servers = [&](const std::vector<IceServer>& servers) { heard = servers; }});
  ASSERT_TRUE(run_until([&] { return client.is_connected(); }));
  host.server().set_ice_servers({{{"turn:turn.example.net"}, "u", "c"}});
  ASSERT_TRUE(run_until([&] { return !heard.empty(); }));
  EXPECT_EQ(heard, (std::vector<IceServer>{{{"turn:turn.example.net"}, "u", "c"}}));
}

TEST_F(ServerTest, ClientNamesTheServerAndTheCauseWhenItIsUnreachable) {
  tcp::acceptor unused(io_, {asio::ip::address_v4::loopback(), 0});
  const std::uint16_t port = unused.local_endpoint().port();
  unused.close();
  Peer alice(io_, url(port), {.first_delay = 20ms});
  ASSERT_TRUE(run_until([&] { return alice.disconnections.size() >= 3; }));
  EXPECT_EQ(alice.disconnections[0].code, ErrorCode::kUnavailable);
  EXPECT_EQ(alice.disconnections[0].message, "rendezvous " + url(port) + ": connect: Connection refused");
}

TEST_F(ServerTest, ClientEndsASearchWhenNoServerCouldBeReached) {
  tcp::acceptor first(io_, {asio::ip::address_v4::loopback(), 0});
  tcp::acceptor second(io_, {asio::ip::address_v4::loopback(), 0});
  const std::string one = url(first.local_endpoint().port());
  const std::string other = url(second.local_endpoint().port());
  first.close();
  second.close();
  // Far longer than the test: what ends the search is not the time.
  Client client(io_.get_executor(), {*ServerUrl::parse(one), *ServerUrl::parse(other)}, {},
                {.find_timeout = std::chrono::hours(1), .first_delay = 20ms});
  std::optional<Error> failure;
  client.find(numbered_cid(1), [&](auto peers) { failure = peers.error(); });
  ASSERT_TRUE(run_until([&] { return failure.has_value(); }));
  EXPECT_EQ(failure->code, ErrorCode::kUnavailable);
  EXPECT_EQ(failure->message, "rendezvous " + one + ": connect: Connection refused; rendezvous " + other +
                                  ": connect: Connection refused");
}

TEST_F(ServerTest, ClientConnectsToNoAddressThatItMustNot) {
  Host host(io_, 0);
  const ServerUrl server = *ServerUrl::parse(url(host.port()));
  std::optional<Error> failure;
  Client client(io_.get_executor(), server, {.on_disconnected = [&](const Error& error) { failure = error; }},
                {.first_delay = 20ms, .may_connect = [](const auto& address) { return !address.is_loopback(); }});
  ASSERT_TRUE(run_until([&] { return failure.has_value(); }));
  EXPECT_THAT(failure->message, HasSubstr("local network"));
  EXPECT_EQ(host.server().directory().connections(), 0U);
}

TEST_F(ServerTest, ClientGivesUpOnAServerThatDoesNotSpeak) {
  tcp::acceptor silent(io_, {asio::ip::address_v4::loopback(), 0});
  const std::string text = url(silent.local_endpoint().port());
  Peer alice(io_, text, {.connect_timeout = 100ms, .first_delay = 20ms});
  ASSERT_TRUE(run_until([&] { return !alice.disconnections.empty(); }));
  EXPECT_EQ(alice.disconnections[0].code, ErrorCode::kTimeout);
  EXPECT_THAT(alice.disconnections[0].message, HasSubstr(text + ": no welcome in 100 ms"));
}

TEST_F(ServerTest, ClientSaysWhyItWasTurnedAway) {
  Host host(io_, 0, {.directory = {.max_per_loopback = 1}});
  Peer alice(io_, url(host.port()));
  ASSERT_TRUE(run_until([&] { return alice.client.is_connected(); }));
  Peer bob(io_, url(host.port()));
  ASSERT_TRUE(run_until([&] { return !bob.disconnections.empty(); }));
  EXPECT_THAT(bob.disconnections[0].message, HasSubstr("429 Too Many Requests"));
}

TEST_F(ServerTest, ClientMayBeDestroyedInItsOwnEvent) {
  Host host(io_, 0);
  std::optional<Client> client;
  int events = 0;
  client.emplace(io_.get_executor(), *ServerUrl::parse(url(host.port())),
                 ClientEvents{.on_connected =
                                  [&](const Welcome&) {
                                    ++events;
                                    client.reset();
                                  },
                              .on_disconnected = [&](const Error&) { ++events; }});
  ASSERT_TRUE(run_until([&] { return !client; }));
  ASSERT_TRUE(run_until([&] { return host.server().directory().connections() == 0; }));
  EXPECT_EQ(events, 1);
}

// The other end as a program that does not keep to the rules: blocking, in a thread of its own.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port) : socket_(io_) {
    socket_.next_layer().connect({asio::ip::address_v4::loopback(), port});
  }

  void open() {
    socket_.set_option(websocket::stream_base::decorator([](websocket::request_type& request) {
      request.set(http::field::sec_websocket_protocol, "other, codio-rendezvous.1");
    }));
    socket_.handshake("localhost", "/rendezvous");
  }

  void write(const std::string& text) {
    error_code ignored;
    socket_.write(asio::buffer(text), ignored);
  }

  std::string read() {
    beast::flat_buffer buffer;
    error_code error;
    socket_.read(buffer, error);
    return error ? error.message() : beast::buffers_to_string(buffer.data());
  }

  int read_close_code() {
    beast::flat_buffer buffer;
    error_code error;
    while (!error) socket_.read(buffer, error);
    return socket_.reason().code;
  }

  http::response<http::string_body> request(const http::request<http::empty_body>& request) {
    http::write(socket_.next_layer(), request);
    beast::flat_buffer buffer;
    http::response<http::string_body> response;
    http::read(socket_.next_layer(), buffer, response);
    return response;
  }

  websocket::stream<tcp::socket>& socket() { return socket_; }

 private:
  asio::io_context io_;
  websocket::stream<tcp::socket> socket_;
};

class HostileClient : public ServerTest {
 protected:
  void against(Host& host, const std::function<void(RawClient&)>& play) {
    std::atomic<bool> is_over = false;
    std::jthread thread([&] {
      RawClient client(host.port());
      play(client);
      is_over = true;
    });
    EXPECT_TRUE(run_until([&] { return is_over.load(); }));
    EXPECT_TRUE(run_until([&] { return host.server().directory().connections() == 0; }));
  }
};

TEST_F(HostileClient, IsClosedWith1009ForAMessageOver64KiB) {
  Host host(io_, 0);
  against(host, [](RawClient& client) {
    client.open();
    EXPECT_THAT(client.read(), HasSubstr("welcome"));
    client.write(std::string(kMaxMessage + 1, ' '));
    EXPECT_EQ(client.read_close_code(), 1009);
  });
}

TEST_F(HostileClient, IsClosedWith1003ForABinaryMessage) {
  Host host(io_, 0);
  against(host, [](RawClient& client) {
    client.open();
    client.socket().binary(true);
    client.write("{}");
    EXPECT_EQ(client.read_close_code(), 1003);
  });
}

TEST_F(HostileClient, IsToldWhatIsMalformed) {
  Host host(io_, 0);
  against(host, [](RawClient& client) {
    client.open();
    client.read();
    client.write("nonsense");
    EXPECT_THAT(client.read(), HasSubstr("malformed"));
    client.write(R"({"type":"dance"})");
    EXPECT_THAT(client.read(), HasSubstr("unknown-type"));
  });
}

TEST_F(HostileClient, IsClosedWhenItFloods) {
  Host host(io_, 0);
  against(host, [](RawClient& client) {
    client.open();
    for (int i = 0; i < 2000; ++i) client.write("{}");
    EXPECT_EQ(client.read_close_code(), 1008);
  });
}

TEST_F(HostileClient, IsClosedWhenItDoesNotRead) {
  Host host(io_, 0);
  against(host, [](RawClient& client) {
    client.open();
    const auto welcome = parse_server_message(client.read());
    const std::string to_itself = std::get<Welcome>(welcome.value()).peer;
    client.write(to_json(ClientMessage{Join{}}));
    const std::string offer = to_json(ClientMessage{Offer{to_itself, "s1", std::string(60'000, 'x')}});
    error_code error;
    for (int i = 0; i < 500 && !error; ++i) {
      client.socket().write(asio::buffer(offer), error);
      if (i > 150) std::this_thread::sleep_for(50ms);
    }
    EXPECT_TRUE(error);
  });
}

TEST_F(HostileClient, IsRefusedWithoutWebSocketOrSubprotocol) {
  Host host(io_, 0);
  http::request<http::empty_body> request(http::verb::get, "/rendezvous", 11);
  request.set(http::field::sec_websocket_protocol, "codio-rendezvous.1");
  const auto is_refused = [&](RawClient& client) {
    const auto response = client.request(request);
    EXPECT_EQ(response.result_int(), 400U);
    EXPECT_THAT(response.body(), HasSubstr("codio-rendezvous.1"));
  };
  against(host, is_refused);
  request.set(http::field::connection, "Upgrade");
  request.set(http::field::upgrade, "websocket");
  request.set(http::field::sec_websocket_version, "13");
  request.set(http::field::sec_websocket_key, "dGhlIHNhbXBsZSBub25jZQ==");
  request.set(http::field::sec_websocket_protocol, "codio-rendezvous.2, chat");
  against(host, is_refused);
}

TEST_F(HostileClient, IsClosedWhenAMessageTrickles) {
  Host host(io_, 0, {.message_timeout = 1s});
  against(host, [](RawClient& client) {
    client.open();
    client.read();
    // A frame of 1,000 bytes, masked with zeros, a byte at a time.
    tcp::socket& socket = client.socket().next_layer();
    error_code error;
    asio::write(socket, asio::buffer("\x81\xfe\x03\xe8\0\0\0\0", 8), error);
    int bytes = 0;
    for (; bytes < 200 && !error; ++bytes) {
      asio::write(socket, asio::buffer(" ", 1), error);
      std::this_thread::sleep_for(50ms);
    }
    EXPECT_LT(bytes, 200);
  });
}

TEST_F(HostileClient, IsForgottenWhenItNeverUpgrades) {
  Host host(io_, 0);
  against(host, [](RawClient& client) {
    asio::write(client.socket().next_layer(), asio::buffer(std::string("GET /rendezvous HTTP/1.1\r\n")));
  });
}

TEST_F(HostileClient, CannotFillTheDirectoryWithAnnouncements) {
  Host host(io_, 0, {.directory = {.max_announced_all = 1000}});
  against(host, [](RawClient& client) {
    client.open();
    client.read();
    client.write(to_json(ClientMessage{Join{}}));
    EXPECT_THAT(client.read(), HasSubstr("joined"));
    for (std::uint32_t i = 0; i < 10; ++i) {
      Announce flood;
      for (std::uint32_t k = 0; k < 256; ++k) flood.cids.push_back(numbered_cid(i * 256 + k));
      client.write(to_json(ClientMessage{flood}));
    }
    for (int i = 0; i < 7; ++i) EXPECT_THAT(client.read(), HasSubstr("too-many"));
  });
  EXPECT_EQ(host.server().directory().announced(), 0U);
}

TEST_F(HostileClient, IsForgottenWhenItVanishesOrIsSilent) {
  Host host(io_, 0, {.idle_timeout = 1s});
  against(host, [](RawClient& client) { client.open(); });
  against(host, [](RawClient& client) {
    client.open();
    std::this_thread::sleep_for(2s);  // It does not read, so it does not answer pings.
    while (client.read().find("welcome") != std::string::npos) continue;
  });
}

}  // namespace
}  // namespace codio::rendezvous
