#include "webrtc/peer_connection.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <random>

namespace codio::webrtc {
namespace {

/// The owner's thread: the test itself, running what is posted.
class Owner {
 public:
  PeerConnectionFactory::Post post() {
    return [this](std::function<void()> task) {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
      changed_.notify_one();
    };
  }

  /// Runs tasks until `done`; false if that takes more than 20 s.
  bool run_until(const std::function<bool()>& done) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
      std::function<void()> task;
      {
        std::unique_lock lock(mutex_);
        if (!changed_.wait_until(lock, limit, [this] { return !tasks_.empty(); })) return false;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      task();
    }
    return true;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
};

/// One end of a pair whose signalling is a function call.
struct End {
  std::unique_ptr<PeerConnection> connection;
  End* other = nullptr;
  bool open = false;
  std::optional<Error> closed;
  std::deque<Bytes> messages;
  std::size_t low_water_events = 0;

  PeerConnectionEvents events() {
    return {
        .on_local_description =
            [this](std::string sdp, bool is_offer) {
              if (other->connection) other->connection->handle_remote_description(is_offer ? "offer" : "answer", sdp);
            },
        .on_local_candidate =
            [this](const IceCandidate& candidate) {
              if (other->connection) other->connection->handle_remote_candidate(candidate);
            },
        .on_open = [this] { open = true; },
        .on_message = [this](Bytes message) { messages.push_back(std::move(message)); },
        .on_buffered_amount = [this](std::size_t) { ++low_water_events; },
        .on_closed = [this](Error reason) { closed = std::move(reason); },
    };
  }
};

class PeerConnectionTest : public testing::Test {
 protected:
  void open_pair() {
    a.other = &b;
    b.other = &a;
    a.connection = factory.create(a.events());
    b.connection = factory.create(b.events());
    a.connection->offer();
    ASSERT_TRUE(owner.run_until([this] { return a.open && b.open; }));
  }

  Owner owner;
  PeerConnectionFactory factory{{.ice_servers = {}, .use_loopback = true}, owner.post()};
  End a, b;
};

TEST_F(PeerConnectionTest, CarriesMessagesInOrderBothWays) {
  open_pair();
  std::mt19937 random(1);
  std::vector<Bytes> sent;
  for (int i = 0; i < 128; ++i) {
    Bytes message(1 + random() % 65536);
    for (auto& byte : message) byte = static_cast<std::uint8_t>(random());
    sent.push_back(std::move(message));
  }
  for (const Bytes& message : sent) a.connection->send(message);
  b.connection->send(sent.front());
  ASSERT_TRUE(owner.run_until([&] { return b.messages.size() == sent.size() && a.messages.size() == 1; }));
  EXPECT_TRUE(std::equal(sent.begin(), sent.end(), b.messages.begin()));
  EXPECT_EQ(a.messages.front(), sent.front());
}

TEST_F(PeerConnectionTest, SaysWhenItsBufferRanLow) {
  open_pair();
  for (int i = 0; i < 8; ++i) a.connection->send(Bytes(65536));
  EXPECT_GT(a.connection->buffered_amount(), kLowWater);
  ASSERT_TRUE(owner.run_until([&] { return a.low_water_events > 0; }));
  EXPECT_LE(a.connection->buffered_amount(), kLowWater);
  ASSERT_TRUE(owner.run_until([&] { return b.messages.size() == 8; }));
}

TEST_F(PeerConnectionTest, CarriesTheLargestMessageAndDropsALargerOne) {
  open_pair();
  a.connection->send(Bytes(kMaxMessage + 1));
  a.connection->send(Bytes(kMaxMessage, 7));
  ASSERT_TRUE(owner.run_until([&] { return !b.messages.empty(); }));
  EXPECT_EQ(b.messages.front(), Bytes(kMaxMessage, 7));
}

TEST_F(PeerConnectionTest, TellsWhenTheOtherSideCloses) {
  open_pair();
  a.connection->close();
  ASSERT_TRUE(owner.run_until([&] { return b.closed.has_value(); }));
  EXPECT_EQ(b.closed->code, ErrorCode::kUnavailable);
  EXPECT_FALSE(a.closed) << "close() is no event for the one who called it";
}

TEST_F(PeerConnectionTest, MayBeDestroyedInTheMiddleOfTraffic) {
  for (int round = 0; round < 3; ++round) {
    open_pair();
    for (int i = 0; i < 50; ++i) {
      a.connection->send(Bytes(65536));
      b.connection->send(Bytes(65536));
    }
    ASSERT_TRUE(owner.run_until([&] { return b.messages.size() > 5; }));
    a = {};
    b.connection.reset();
    b = {};
  }
}

TEST_F(PeerConnectionTest, AGarbledDescriptionClosesIt) {
  a.connection = factory.create(a.events());
  a.connection->handle_remote_description("offer", "v=0\r\nnonsense");
  ASSERT_TRUE(owner.run_until([&] { return a.closed.has_value(); }));
  EXPECT_NE(a.closed->message.find("description"), std::string::npos) << a.closed->message;
}

TEST_F(PeerConnectionTest, AnAnswerWithoutAnOfferClosesIt) {
  a.connection = factory.create(a.events());
  a.connection->handle_remote_description(
      "answer",
      "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
      "c=IN IP4 0.0.0.0\r\na=mid:0\r\na=sctp-port:5000\r\n");
  ASSERT_TRUE(owner.run_until([&] { return a.closed.has_value(); }));
}

TEST_F(PeerConnectionTest, IgnoresCandidatesItCannotUse) {
  a.other = &b;
  b.other = &a;
  a.connection = factory.create(a.events());
  b.connection = factory.create(b.events());
  for (const char* text : {"", "nonsense", "candidate:1 1 udp 2113937151 0a1b2c3d.local 5000 typ host"}) {
    a.connection->handle_remote_candidate({text, "0"});
  }
  a.connection->offer();
  ASSERT_TRUE(owner.run_until([this] { return a.open && b.open; }));
}

}  // namespace
}  // namespace codio::webrtc
