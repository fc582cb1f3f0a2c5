// A rendezvous that lies: it puts somebody between two peers, with real connections to both. Content would still be
// safe; here it is about noticing.
#include <algorithm>
#include <functional>
#include <future>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>

#include "node/testing.h"
#include "node/transfer_manager.h"
#include "rendezvous/messages.h"
#include "transfer/wire/messages.h"
#include "webrtc/peer_connection.h"

namespace codio::node {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = beast::websocket;
namespace wire = transfer::wire;
using asio::use_awaitable;
using asio::ip::tcp;
using content_id::ContentId;

/// What the impostor does to a frame on its way.
using Tamper = std::function<Bytes(Bytes frame)>;

/// A rendezvous that believes every join. As an impostor it answers each offer itself and offers to the one that it was
/// for, then carries the frames from one connection to the other.
class LyingRendezvous {
 public:
  explicit LyingRendezvous(asio::io_context& io)
      : io_(io),
        acceptor_(io, {asio::ip::address_v4::loopback(), 0}),
        factory_({.use_loopback = true}, [&io](std::function<void()> task) { asio::post(io, std::move(task)); }) {
    asio::co_spawn(io, accept(), asio::detached);
  }

  /// To be called on the loop, before the destructor.
  void stop() {
    acceptor_.close();
    for (const auto& client : clients_) beast::get_lowest_layer(client->socket).close();
    sides_.clear();
  }

  rendezvous::ServerUrl url() const {
    return *rendezvous::ServerUrl::parse("ws://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()) + "/");
  }

  bool is_impostor = false;
  Tamper tamper;            ///< Empty: nothing.
  std::size_t offers = 0;   ///< Of clients.
  std::size_t carried = 0;  ///< Frames that the impostor passed on.

 private:
  struct Client {
    explicit Client(tcp::socket stream) : socket(std::move(stream)) {}
    websocket::stream<beast::tcp_stream, false> socket;
    std::string peer;
  };

  /// The impostor's connection to one of the two, in the other's name.
  struct Side {
    std::unique_ptr<webrtc::PeerConnection> connection;
    bool is_open = false;
    std::vector<Bytes> waiting;
  };

  asio::awaitable<void> accept() {
    for (;;) {
      boost::system::error_code error;
      tcp::socket socket = co_await acceptor_.async_accept(asio::redirect_error(use_awaitable, error));
      if (error) co_return;
      clients_.push_back(std::make_shared<Client>(std::move(socket)));
      asio::co_spawn(io_, converse(clients_.back()), asio::detached);
    }
  }

  asio::awaitable<void> converse(std::shared_ptr<Client> client) {
    boost::system::error_code error;
    client->socket.set_option(websocket::stream_base::decorator([](websocket::response_type& response) {
      response.set(beast::http::field::sec_websocket_protocol, std::string(rendezvous::kSubprotocol));
    }));
    co_await client->socket.async_accept(asio::redirect_error(use_awaitable, error));
    if (error) co_return;
    send(*client, rendezvous::Welcome{"a-name", {}, 100, {}});
    for (;;) {
      beast::flat_buffer buffer;
      co_await client->socket.async_read(buffer, asio::redirect_error(use_awaitable, error));
      if (error) co_return;
      const auto data = buffer.cdata();
      auto message = rendezvous::parse_client_message({static_cast<const char*>(data.data()), data.size()});
      if (message) std::visit([&](auto& one) { handle(*client, one); }, *message);
    }
  }

  /// Messages are few and short: writing them may block.
  static void send(Client& client, const rendezvous::ServerMessage& message) {
    boost::system::error_code gone;
    client.socket.write(asio::buffer(to_json(message)), gone);
  }

  void send_to(const std::string& peer, const rendezvous::ServerMessage& message) {
    for (const auto& client : clients_) {
      if (client->peer == peer) send(*client, message);
    }
  }

  void handle(Client& client, const rendezvous::Join& join) {
    client.peer = join.peer;
    send(client, rendezvous::Joined{join.peer});
  }
  void handle(Client& client, const rendezvous::Announce& /*message*/) { announcer_ = client.peer; }
  void handle(Client& /*client*/, const rendezvous::Withdraw& /*message*/) {}
  void handle(Client& client, const rendezvous::Find& find) {
    send(client, rendezvous::Providers{find.id, find.cid, {announcer_}});
  }

  void handle(Client& client, rendezvous::Offer& offer) {
    ++offers;
    if (!is_impostor) return pass_on(client, offer);
    const std::string other = offer.peer;
    sides_[client.peer] = {};
    sides_[other] = {};
    connect(client.peer, other, offer.session, false);
    connect(other, client.peer, offer.session, true);
    sides_.at(client.peer).connection->handle_remote_description("offer", std::move(offer.sdp));
    sides_.at(other).connection->offer();
  }

  void handle(Client& client, rendezvous::Answer& answer) {
    if (!is_impostor) return pass_on(client, answer);
    sides_.at(client.peer).connection->handle_remote_description("answer", std::move(answer.sdp));
  }

  void handle(Client& client, rendezvous::Candidate& candidate) {
    if (!is_impostor) return pass_on(client, candidate);
    const auto side = sides_.find(client.peer);
    if (side != sides_.end()) side->second.connection->handle_remote_candidate({candidate.candidate, candidate.mid});
  }

  template <class Signal>
  void pass_on(const Client& client, Signal signal) {
    const std::string to = std::exchange(signal.peer, client.peer);
    send_to(to, std::move(signal));
  }

  /// To `to`, as `as`.
  void connect(const std::string& to, const std::string& as, const std::string& session, bool is_offerer) {
    sides_.at(to).connection = factory_.create({
        .on_local_description =
            [this, to, as, session, is_offerer](std::string sdp) {
              if (is_offerer) {
                send_to(to, rendezvous::Offer{as, session, std::move(sdp)});
              } else {
                send_to(to, rendezvous::Answer{as, session, std::move(sdp)});
              }
            },
        .on_local_candidate =
            [this, to, as, session](webrtc::IceCandidate candidate) {
              send_to(to, rendezvous::Candidate{as, session, candidate.candidate, candidate.mid});
            },
        .on_open =
            [this, to] {
              Side& side = sides_.at(to);
              side.is_open = true;
              for (const Bytes& frame : std::exchange(side.waiting, {})) side.connection->send(frame);
            },
        .on_message =
            [this, as](BytesView message) {
              Bytes frame(message.begin(), message.end());
              carry(as, tamper ? tamper(std::move(frame)) : frame);
            },
        .on_buffered_amount = {},
        .on_closed = {},
    });
  }

  void carry(const std::string& to, const Bytes& frame) {
    ++carried;
    Side& side = sides_.at(to);
    if (side.is_open) {
      side.connection->send(frame);
    } else {
      side.waiting.push_back(frame);
    }
  }

  asio::io_context& io_;
  tcp::acceptor acceptor_;
  webrtc::PeerConnectionFactory factory_;
  std::vector<std::shared_ptr<Client>> clients_;
  std::string announcer_;
  std::map<std::string, Side> sides_;  ///< By whom they lead to.
};

class Impostor : public testing::Test {
 protected:
  struct Peer {
    TemporaryFolder folder;
    std::shared_ptr<store::BlockStore> store;
    std::unique_ptr<TransferManager> transfers;
    std::vector<std::string> log;
  };

  Impostor() {
    loop_.run([this] {
      liar_ = std::make_unique<LyingRendezvous>(loop_.io());
      honest_ = std::make_unique<LyingRendezvous>(loop_.io());
    });
  }

  ~Impostor() override {
    loop_.run([this] {
      peers_.clear();
      liar_->stop();
      honest_->stop();
    });
    loop_.run([this] {
      liar_.reset();
      honest_.reset();
    });
  }

  Peer& add_peer(std::vector<rendezvous::ServerUrl> rendezvous) {
    Peer& peer = *peers_.emplace_back(std::make_unique<Peer>());
    peer.store = *store::BlockStore::open(peer.folder.path());
    TransferManagerOptions options;
    for (auto& url : rendezvous) options.rendezvous.push_back({std::move(url)});
    options.use_loopback = true;
    options.on_log = [&peer](const std::string& message) { peer.log.push_back(message); };
    loop_.run(
        [&] { peer.transfers = *TransferManager::make(loop_.io().get_executor(), peer.store, std::move(options)); });
    while (!loop_.run([&] { return peer.transfers->is_connected(); })) std::this_thread::yield();
    return peer;
  }

  Peer& add_seeder(std::vector<rendezvous::ServerUrl> rendezvous) {
    Peer& seeder = add_peer(std::move(rendezvous));
    put_file(*seeder.store, content_);
    loop_.run([&] { seeder.transfers->announce_content(cid_); });
    return seeder;
  }

  Result<Bytes> download(Peer& downloader, const Peer& seeder) {
    return downloader.transfers->download_from_peer(seeder.transfers->id(), cid_).get();
  }

  void set_impostor(Tamper tamper = {}) {
    loop_.run([&] {
      liar_->is_impostor = true;
      liar_->tamper = std::move(tamper);
    });
  }

  /// Waits until it was logged.
  void await_log(const Peer& peer, std::string_view text) {
    const auto has_it = [&] {
      return std::ranges::any_of(peer.log, [&](const std::string& line) { return line.find(text) != line.npos; });
    };
    while (!loop_.run(has_it)) std::this_thread::yield();
  }

  const Bytes content_ = random_bytes(1, 100'000);
  TemporaryFolder scratch_;
  const ContentId cid_ = put_file(**store::BlockStore::open(scratch_.path()), content_);
  Loop loop_;
  std::unique_ptr<LyingRendezvous> liar_;
  std::unique_ptr<LyingRendezvous> honest_;
  std::vector<std::unique_ptr<Peer>> peers_;
};

TEST_F(Impostor, IsNotMissedWhereThereIsNone) {
  Peer& seeder = add_seeder({liar_->url()});
  const auto bytes = download(add_peer({liar_->url()}), seeder);
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_TRUE(*bytes == content_);
}

TEST_F(Impostor, IsNoticedByBothSides) {
  Peer& seeder = add_seeder({liar_->url()});
  Peer& downloader = add_peer({liar_->url()});
  set_impostor();
  EXPECT_FALSE(download(downloader, seeder));
  const std::string why = " of " + liar_->url().text + ": the peer did not prove to be who it was said to be";
  await_log(downloader, seeder.transfers->id() + why);
  await_log(seeder, "closed the connection to peer " + downloader.transfers->id());
  loop_.run([&] {
    EXPECT_GT(liar_->carried, 0U) << "the impostor was connected to both";
    EXPECT_EQ(seeder.transfers->totals().uploaded, 0U);
    EXPECT_TRUE(downloader.transfers->peers().empty());
  });
  const std::size_t offers = loop_.run([this] { return liar_->offers; });
  EXPECT_FALSE(downloader.transfers->connect_to_peer(seeder.transfers->id()).get());
  EXPECT_FALSE(download(downloader, seeder));
  EXPECT_EQ(loop_.run([this] { return liar_->offers; }), offers) << "it is not tried again";
}

TEST_F(Impostor, IsNoticedWhateverItSays) {
  const auto key = identity::Key::generate();
  const wire::Proof own{.key = key.public_key(), .signature = key.sign(identity::Purpose::kHello, Bytes(64))};
  const auto with_hello = [](const std::function<void(wire::Hello&)>& change) -> Tamper {
    return [change](Bytes frame) {
      const auto message = wire::decode(frame);
      if (!message || !*message || !std::holds_alternative<wire::Hello>(**message)) return frame;
      auto hello = std::get<wire::Hello>(**message);
      change(hello);
      return wire::encode(hello);
    };
  };
  Peer& seeder = add_seeder({liar_->url()});
  for (const Tamper& tamper : {with_hello([](wire::Hello& hello) { hello.proof.reset(); }),
                               with_hello([&](wire::Hello& hello) { hello.proof = own; }),
                               with_hello([&](wire::Hello& hello) { hello.proof->signature = own.signature; }),
                               Tamper([](const Bytes&) { return Bytes{2, 0xff}; })}) {
    set_impostor(tamper);
    Peer& downloader = add_peer({liar_->url()});
    EXPECT_FALSE(download(downloader, seeder));
    await_log(downloader, "closed the connection to peer " + seeder.transfers->id());
    loop_.run([&] { EXPECT_EQ(seeder.transfers->totals().uploaded, 0U); });
  }
}

TEST_F(Impostor, IsNotHeldAgainstThePeer) {
  set_impostor([](const Bytes&) { return Bytes{2, 0xff}; });
  Peer& seeder = add_seeder({liar_->url(), honest_->url()});
  Peer& downloader = add_peer({liar_->url(), honest_->url()});
  EXPECT_FALSE(download(downloader, seeder)) << "a peer that is named is asked through the first rendezvous";
  std::promise<Result<void>> end;
  Bytes bytes;
  loop_.run([&] {
    downloader.transfers->download(cid_, {},
                                   {.on_data = [&](const auto& segment) { append(bytes, segment.view()); },
                                    .on_end = [&](Result<void> result) { end.set_value(std::move(result)); }});
  });
  const auto result = end.get_future().get();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_TRUE(bytes == content_);
}

}  // namespace
}  // namespace codio::node
