#include "webrtc/peer_connection.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>

namespace codio::webrtc {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

// The owner's executor: functions wait here until the test's thread runs them.
class Executor {
 public:
  PeerConnectionFactory::Post post() {
    return [this](std::function<void()> function) {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(function));
      has_work_.notify_one();
    };
  }

  [[nodiscard]] bool run_until(const std::function<bool()>& done, std::chrono::milliseconds limit = 20s) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!done()) {
      std::function<void()> next;
      {
        std::unique_lock lock(mutex_);
        if (!has_work_.wait_until(lock, deadline, [&] { return !waiting_.empty(); })) return false;
        next = std::move(waiting_.front());
        waiting_.pop_front();
      }
      next();
    }
    return true;
  }

  void run_for(std::chrono::milliseconds time) {
    EXPECT_FALSE(run_until([] { return false; }, time));
  }

 private:
  std::mutex mutex_;
  std::condition_variable has_work_;
  std::deque<std::function<void()>> waiting_;
};

// A connection and what it told.
struct Side {
  std::unique_ptr<PeerConnection> connection;
  std::vector<std::string> sdps;
  std::vector<IceCandidate> candidates;
  std::vector<Bytes> messages;
  std::size_t received = 0;
  bool is_open = false;
  std::optional<Error> closed;
  std::vector<std::size_t> low_water;
  int events = 0;
};

class PeerConnectionTest : public testing::Test {
 protected:
  explicit PeerConnectionTest(std::chrono::milliseconds open_timeout = 15s)
      : factory_({.use_loopback = true, .open_timeout = open_timeout}, executor_.post()) {}

  // A side whose signals go to `other`, if there is one.
  void create(Side& side, Side* other, const std::string& type) {
    side.connection = factory_.create({
        .on_local_description =
            [&side, other, type](std::string sdp) {
              ++side.events;
              side.sdps.push_back(sdp);
              if (other != nullptr && other->connection) other->connection->handle_remote_description(type, sdp);
            },
        .on_local_candidate =
            [&side, other](IceCandidate candidate) {
              ++side.events;
              side.candidates.push_back(candidate);
              if (other != nullptr && other->connection) other->connection->handle_remote_candidate(candidate);
            },
        .on_open = [&side] { ++side.events, side.is_open = true; },
        .on_message =
            [&side](BytesView message) {
              ++side.events;
              side.received += message.size();
              side.messages.emplace_back(message.begin(), message.end());
            },
        .on_buffered_amount = [&side](std::size_t amount) { ++side.events, side.low_water.push_back(amount); },
        .on_closed = [&side](Error reason) { ++side.events, side.closed = std::move(reason); },
    });
  }

  void create_both() {
    create(alice_, &bob_, "offer");
    create(bob_, &alice_, "answer");
  }

  void open() {
    create_both();
    alice_.connection->offer();
    ASSERT_TRUE(executor_.run_until([&] { return alice_.is_open && bob_.is_open; }));
  }

  Executor executor_;
  PeerConnectionFactory factory_;
  Side alice_;
  Side bob_;
};

Bytes numbered_message(std::uint32_t number, std::size_t size) {
  Bytes message(size);
  std::mt19937 random(number);
  std::ranges::generate(message, [&] { return static_cast<std::uint8_t>(random()); });
  return message;
}

TEST_F(PeerConnectionTest, OpensWithOneChannelEachWay) {
  open();
  EXPECT_THAT(alice_.sdps, testing::SizeIs(1));
  EXPECT_THAT(alice_.sdps[0], HasSubstr("m=application"));
  EXPECT_FALSE(alice_.candidates.empty());
  EXPECT_TRUE(alice_.connection->send(as_bytes("hello")));
  EXPECT_TRUE(bob_.connection->send(Bytes{}));
  ASSERT_TRUE(executor_.run_until([&] { return !alice_.messages.empty() && !bob_.messages.empty(); }));
  EXPECT_EQ(as_text(bob_.messages[0]), "hello");
  EXPECT_EQ(alice_.messages[0], Bytes{});
}

TEST_F(PeerConnectionTest, SaysWhenItsCandidatesEnd) {
  open();
  ASSERT_TRUE(executor_.run_until([&] { return alice_.candidates.back().candidate.empty(); }));
  EXPECT_EQ(alice_.candidates.back().mid, alice_.candidates.front().mid);
}

TEST_F(PeerConnectionTest, Moves8MiBInOrderBothWays) {
  open();
  constexpr std::uint32_t kMessages = 128;
  constexpr std::size_t kSize = 64 * 1024;
  // As an exchange does: more is sent only when the other side has taken what was sent.
  const auto send_more = [&](Side& from, const Side& to, std::uint32_t& next) {
    while (next < kMessages && next < to.messages.size() + 8) {
      ASSERT_TRUE(from.connection->send(numbered_message(next++, kSize)));
    }
  };
  std::uint32_t from_alice = 0;
  std::uint32_t from_bob = 0;
  ASSERT_TRUE(executor_.run_until([&] {
    send_more(alice_, bob_, from_alice);
    send_more(bob_, alice_, from_bob);
    return alice_.messages.size() == kMessages && bob_.messages.size() == kMessages;
  }));
  for (std::uint32_t i = 0; i < kMessages; ++i) {
    ASSERT_EQ(alice_.messages[i], numbered_message(i, kSize));
    ASSERT_EQ(bob_.messages[i], numbered_message(i, kSize));
  }
}

TEST_F(PeerConnectionTest, SaysWhenTheSendBufferRunsLow) {
  open();
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(alice_.connection->send(numbered_message(0, kMaxMessage)));
  ASSERT_TRUE(executor_.run_until([&] { return !alice_.low_water.empty() && bob_.received == 16 * kMaxMessage; }));
  EXPECT_THAT(alice_.low_water, testing::Each(testing::Le(kLowWater)));
  EXPECT_EQ(alice_.connection->buffered_amount(), 0U);
  // What never was above is not told.
  const std::size_t told = alice_.low_water.size();
  EXPECT_TRUE(alice_.connection->send(Bytes(kLowWater)));
  ASSERT_TRUE(executor_.run_until([&] { return bob_.received == 16 * kMaxMessage + kLowWater; }));
  EXPECT_THAT(alice_.low_water, testing::SizeIs(told));
}

TEST_F(PeerConnectionTest, RefusesWhatItCannotSend) {
  create_both();
  EXPECT_FALSE(alice_.connection->send(Bytes(1)));
  alice_.connection->offer();
  ASSERT_TRUE(executor_.run_until([&] { return alice_.is_open && bob_.is_open; }));
  EXPECT_FALSE(alice_.connection->send(Bytes(kMaxMessage + 1)));
  EXPECT_TRUE(alice_.connection->send(Bytes(kMaxMessage)));
  std::size_t queued = kMaxMessage;
  while (alice_.connection->send(Bytes(kMaxMessage))) queued += kMaxMessage;
  EXPECT_LE(alice_.connection->buffered_amount(), kMaxBuffered);
  ASSERT_TRUE(executor_.run_until([&] { return bob_.received == queued; }));
  alice_.connection->close();
  EXPECT_FALSE(alice_.connection->send(Bytes(1)));
}

TEST_F(PeerConnectionTest, SaysWhenTheOtherSideCloses) {
  open();
  EXPECT_TRUE(alice_.connection->send(as_bytes("the last words")));
  alice_.connection->close();
  ASSERT_TRUE(executor_.run_until([&] { return bob_.closed.has_value(); }));
  EXPECT_EQ(bob_.closed->code, ErrorCode::kUnavailable);
  EXPECT_THAT(bob_.closed->message, HasSubstr("closed"));
  ASSERT_THAT(bob_.messages, testing::SizeIs(1));
  EXPECT_EQ(as_text(bob_.messages[0]), "the last words");
  EXPECT_FALSE(alice_.closed.has_value());
  EXPECT_FALSE(bob_.connection->send(Bytes(1)));
}

TEST_F(PeerConnectionTest, TellsNothingAfterCloseOrDestruction) {
  open();
  for (int i = 0; i < 16; ++i) {
    EXPECT_TRUE(alice_.connection->send(Bytes(kLowWater)));
    EXPECT_TRUE(bob_.connection->send(Bytes(kLowWater)));
  }
  ASSERT_TRUE(executor_.run_until([&] { return bob_.received > 0 && alice_.received > 0; }));
  alice_.connection->close();
  bob_.connection.reset();
  const int events = alice_.events + bob_.events;
  executor_.run_for(200ms);
  EXPECT_EQ(alice_.events + bob_.events, events);
}

TEST_F(PeerConnectionTest, MayBeDestroyedInItsOwnEvent) {
  std::unique_ptr<PeerConnection> connection;
  connection = factory_.create({.on_local_description = [&](const std::string&) { connection.reset(); }});
  connection->offer();
  ASSERT_TRUE(executor_.run_until([&] { return connection == nullptr; }));
}

TEST_F(PeerConnectionTest, MayBeDestroyedAtAnyTime) {
  for (int wait = 0; wait < 30; ++wait) {
    alice_ = {};
    bob_ = {};
    create_both();
    alice_.connection->offer();
    int left = wait;
    EXPECT_TRUE(executor_.run_until([&] { return left-- == 0 || bob_.is_open; }));
    if (bob_.is_open) bob_.connection->send(Bytes(1000));
  }
}

TEST_F(PeerConnectionTest, ClosesOnAMalformedDescription) {
  for (const auto& [type, sdp] : std::vector<std::pair<std::string, std::string>>{
           {"offer", ""},
           {"offer", "nonsense"},
           {"offer", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"},
           {"offer", std::string(100'000, 'a')},
           {"offer",
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"},
           {"answer", "v=0\r\n"},
           {"pranswer", "v=0\r\n"},
           {"rollback", ""},
       }) {
    create(alice_, nullptr, "");
    alice_.closed.reset();
    alice_.connection->handle_remote_description(type, sdp);
    ASSERT_TRUE(executor_.run_until([&] { return alice_.closed.has_value(); })) << sdp;
    EXPECT_EQ(alice_.closed->code, ErrorCode::kMalformed);
    EXPECT_FALSE(alice_.closed->message.empty());
  }
}

TEST_F(PeerConnectionTest, SurvivesMutatedDescriptions) {
  create(alice_, nullptr, "");
  alice_.connection->offer();
  ASSERT_TRUE(executor_.run_until([&] { return !alice_.sdps.empty(); }));
  const std::string valid = alice_.sdps[0];
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < valid.size();) {
    const std::size_t end = valid.find("\r\n", at) + 2;
    lines.push_back(valid.substr(at, end - at));
    at = end;
  }
  std::mt19937 random(4);
  const auto pick = [&](std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random); };
  constexpr const char* kWords[] = {"0", "-1", "99999999999", "", "passive", "actpass", "sha-1", "audio", "*", "\t"};
  for (int round = 0; round < 300; ++round) {
    auto mutated = lines;
    for (std::size_t change = 1 + pick(3); change > 0; --change) {
      std::string& line = mutated[pick(mutated.size())];
      switch (pick(4)) {
        case 0: line.clear(); break;
        case 1: line += mutated[pick(mutated.size())]; break;
        case 2: line.insert(pick(line.size() + 1), kWords[pick(std::size(kWords))]); break;
        default:
          if (!line.empty()) line[pick(line.size())] = static_cast<char>(32 + pick(95));
          break;
      }
    }
    const std::string sdp = std::accumulate(mutated.begin(), mutated.end(), std::string());
    Side side;
    create(side, nullptr, "");
    if (pick(2) == 0) side.connection->offer();
    side.connection->handle_remote_description(pick(2) == 0 ? "offer" : "answer", sdp);
    side.connection->handle_remote_candidate({"candidate:1 1 udp 1 127.0.0.1 9 typ host", "0"});
    EXPECT_TRUE(executor_.run_until([&] { return side.closed || !side.sdps.empty(); })) << sdp;
  }
}

TEST_F(PeerConnectionTest, IgnoresCandidatesThatItCannotUse) {
  create_both();
  for (const auto* candidate : {"nonsense", "candidate:", "candidate:1 1 udp 2122260223 192.0.2.1 99999 typ host",
                                "candidate:1 1 udp 2122260223 0b1c2d3e-0000-4000-8000-000000000000.local 5000 typ host",
                                "candidate:1 1 tcp 1 127.0.0.1 9 typ host tcptype active"}) {
    alice_.connection->handle_remote_candidate({candidate, "0"});
    alice_.connection->handle_remote_candidate({candidate, "no such section"});
  }
  for (int i = 0; i < 1000; ++i) bob_.connection->handle_remote_candidate({"candidate:x", "0"});
  alice_.connection->offer();
  ASSERT_TRUE(executor_.run_until([&] { return alice_.is_open; }));
  EXPECT_FALSE(alice_.closed.has_value());
}

// A browser hides its addresses behind mDNS names; here the answerer does.
TEST_F(PeerConnectionTest, ReachesAPeerWhoseCandidatesAreOnlyNames) {
  create(alice_, &bob_, "offer");
  bob_.connection = factory_.create({
      .on_local_description = [&](std::string sdp) { alice_.connection->handle_remote_description("answer", sdp); },
      .on_local_candidate =
          [&](const IceCandidate& candidate) {
            alice_.connection->handle_remote_candidate(
                {"candidate:1 1 udp 2122260223 0b1c2d3e-0000-4000-8000-000000000000.local 5000 typ host",
                 candidate.mid});
          },
      .on_open = [&] { bob_.is_open = true; },
  });
  const auto began = std::chrono::steady_clock::now();
  alice_.connection->offer();
  ASSERT_TRUE(executor_.run_until([&] { return alice_.is_open && bob_.is_open; }));
  EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
}

class ImpatientPeerConnectionTest : public PeerConnectionTest {
 protected:
  ImpatientPeerConnectionTest() : PeerConnectionTest(100ms) {}
};

TEST_F(ImpatientPeerConnectionTest, GivesUpOnAPeerThatDoesNotAnswer) {
  create(alice_, nullptr, "");
  alice_.connection->offer();
  ASSERT_TRUE(executor_.run_until([&] { return alice_.closed.has_value(); }));
  EXPECT_EQ(alice_.closed->code, ErrorCode::kTimeout);
}

TEST(PeerConnectionFactory, SaysWhenAnIceServerIsNotReached) {
  Executor executor;
  PeerConnectionFactory factory({.ice_servers = {{{"stun:[::1]:9"}, "", ""}}, .use_loopback = true}, executor.post());
  std::optional<IceServerFailure> failed;
  const auto connection =
      factory.create({.on_server_failure = [&](IceServerFailure failure) { failed = std::move(failure); }});
  connection->offer();
  ASSERT_TRUE(executor.run_until([&] { return failed.has_value(); }));
  EXPECT_THAT(failed->url, HasSubstr("[::1]:9"));
  EXPECT_EQ(failed->code, 701);
  EXPECT_FALSE(failed->text.empty());
}

TEST(PeerConnectionFactory, SaysWhenAnIceServerIsMalformed) {
  Executor executor;
  PeerConnectionFactory factory({.ice_servers = {{{"nonsense"}, "", ""}}}, executor.post());
  std::optional<Error> closed;
  const auto connection = factory.create({.on_closed = [&](Error reason) { closed = std::move(reason); }});
  connection->offer();
  ASSERT_TRUE(executor.run_until([&] { return closed.has_value(); }));
  EXPECT_EQ(closed->code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace codio::webrtc
