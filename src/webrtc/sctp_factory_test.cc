#include "webrtc/sctp_factory.h"

#include <algorithm>
#include <api/task_queue/pending_task_safety_flag.h>
#include <cstddef>
#include <gtest/gtest.h>
#include <media/sctp/sctp_transport_internal.h>
#include <memory>
#include <rtc_base/event.h>
#include <rtc_base/logging.h>
#include <rtc_base/time_utils.h>

#include <p2p/base/fake_packet_transport.h>

namespace codio::webrtc {
namespace {

using ::webrtc::TimeDelta;

constexpr std::size_t kMessage = 64 * 1024;
/// Of a packet, where its first chunk begins with its type: RFC 9260 §3.
constexpr std::size_t kChunk = 12;
constexpr char kCookieEcho = 10;

/// One direction of a path, and how many packets its end sent at once: for each that came.
class Path final : public rtc::FakePacketTransport {
 public:
  Path(rtc::Thread& thread, TimeDelta delay) : FakePacketTransport("path"), thread_(thread), delay_(delay) {}

  void join(Path& other) {
    other_ = &other;
    SetDestination(&other, /*asymmetric=*/true);
  }

  int SendPacket(const char* data, size_t size, const rtc::PacketOptions& /*options*/, int /*flags*/) override {
    ++burst_;
    if (size > kChunk && data[kChunk] == kCookieEcho) ++cookies_;
    thread_.PostDelayedTask(
        ::webrtc::SafeTask(other_->safety_.flag(),
                           [other = other_, packet = rtc::CopyOnWriteBuffer(data, size)] { other->receive(packet); }),
        delay_);
    return static_cast<int>(size);
  }

  std::size_t largest_burst() const { return largest_burst_; }
  std::size_t cookies() const { return cookies_; }

 private:
  void receive(const rtc::CopyOnWriteBuffer& packet) {
    burst_ = 0;
    SignalReadPacket(this, packet.data<char>(), packet.size(), rtc::TimeMicros(), 0);
    largest_burst_ = std::max(largest_burst_, burst_);
  }

  rtc::Thread& thread_;
  const TimeDelta delay_;
  Path* other_ = nullptr;
  std::size_t burst_ = 0;
  std::size_t largest_burst_ = 0;
  std::size_t cookies_ = 0;
  ::webrtc::ScopedTaskSafety safety_;
};

class Sink final : public ::webrtc::DataChannelSink {
 public:
  void OnDataReceived(int /*channel*/, ::webrtc::DataMessageType /*type*/,
                      const rtc::CopyOnWriteBuffer& /*buffer*/) override {
    came.Set();
  }
  void OnChannelClosing(int /*channel*/) override {}
  void OnChannelClosed(int /*channel*/) override {}
  void OnReadyToSend() override { ready.Set(); }

  rtc::Event ready;
  rtc::Event came;
};

struct End {
  End(::webrtc::SctpTransportFactoryInterface& factory, rtc::Thread& thread, TimeDelta delay)
      : path(thread, delay), sctp(factory.CreateSctpTransport(&path)) {}

  void start() {
    sctp->SetDataChannelSink(&sink);
    sctp->OpenStream(0);
    sctp->Start(5000, 5000, static_cast<int>(kMessage));
  }

  Path path;
  Sink sink;
  std::unique_ptr<cricket::SctpTransportInternal> sctp;
};

/// The most packets that a sender of one message sends for one that comes, where each takes so long.
std::size_t largest_burst(TimeDelta delay) {
  rtc::LogMessage::LogToDebug(rtc::LS_NONE);
  const auto thread = rtc::Thread::Create();
  thread->Start();
  const auto factory = make_sctp_factory(*thread);
  std::unique_ptr<End> sender;
  std::unique_ptr<End> receiver;
  thread->BlockingCall([&] {
    sender = std::make_unique<End>(*factory, *thread, delay);
    receiver = std::make_unique<End>(*factory, *thread, delay);
    sender->path.join(receiver->path);
    receiver->path.join(sender->path);
    sender->start();
    receiver->start();
  });
  EXPECT_TRUE(sender->sink.ready.Wait(TimeDelta::Seconds(10)));
  thread->BlockingCall([&] {
    ::webrtc::SendDataParams params;
    params.type = ::webrtc::DataMessageType::kBinary;
    params.ordered = true;
    cricket::SendDataResult result{};
    EXPECT_TRUE(sender->sctp->SendData(0, params, rtc::CopyOnWriteBuffer(kMessage), &result));
  });
  EXPECT_TRUE(receiver->sink.came.Wait(TimeDelta::Seconds(10)));
  std::size_t largest = 0;
  thread->BlockingCall([&] {
    largest = sender->path.largest_burst();
    for (const auto* end : {sender.get(), receiver.get()}) EXPECT_LE(end->path.cookies(), 1U);
    // They take leave of each other.
    sender->sctp.reset();
    receiver->sctp.reset();
    sender.reset();
    receiver.reset();
  });
  return largest;
}

TEST(SctpFactory, SendsTwoPacketsAtOnceOnAShortPath) { EXPECT_EQ(largest_burst(TimeDelta::Zero()), 2U); }

TEST(SctpFactory, SendsFourPacketsAtOnceOnALongPath) { EXPECT_EQ(largest_burst(TimeDelta::Millis(20)), 4U); }

}  // namespace
}  // namespace codio::webrtc
