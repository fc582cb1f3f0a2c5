#include "webrtc/sctp_factory.h"

#include <cstddef>
#include <media/sctp/dcsctp_transport.h>
#include <net/dcsctp/public/dcsctp_options.h>
#include <net/dcsctp/public/dcsctp_socket_factory.h>
#include <net/dcsctp/socket/transmission_control_block.h>
#include <system_wrappers/include/clock.h>
#include <utility>

using dcsctp::SctpPacket;
using dcsctp::TimeMs;
using dcsctp::TransmissionControlBlock;

namespace codio::webrtc {
namespace {

constexpr int kBurst = 2;
/// From here on SCTP's own four: a slow start with two does not grow, and long paths need it.
constexpr dcsctp::DurationMs kLongPath{10};
/// Where the congestion window has become larger, nothing is lost.
constexpr std::size_t kSafeWindow = 128 * 1024;

class Sockets final : public dcsctp::DcSctpSocketFactory {
 public:
  std::unique_ptr<dcsctp::DcSctpSocketInterface> Create(absl::string_view name,
                                                        dcsctp::DcSctpSocketCallbacks& callbacks,
                                                        std::unique_ptr<dcsctp::PacketObserver> observer,
                                                        const dcsctp::DcSctpOptions& options) override {
    dcsctp::DcSctpOptions ours = options;
    ours.max_burst = kBurst;
    return DcSctpSocketFactory::Create(name, callbacks, std::move(observer), ours);
  }
};

class Factory final : public ::webrtc::SctpTransportFactoryInterface {
 public:
  explicit Factory(rtc::Thread& thread) : thread_(thread) {}

  std::unique_ptr<cricket::SctpTransportInternal> CreateSctpTransport(
      rtc::PacketTransportInternal* transport) override {
    return std::make_unique<::webrtc::DcSctpTransport>(&thread_, transport, ::webrtc::Clock::GetRealTimeClock(),
                                                       std::make_unique<Sockets>());
  }

 private:
  rtc::Thread& thread_;
};

}  // namespace

std::unique_ptr<::webrtc::SctpTransportFactoryInterface> make_sctp_factory(rtc::Thread& thread) {
  return std::make_unique<Factory>(thread);
}

}  // namespace codio::webrtc

// libwebrtc's function that sends at most kBurst packets, and what the linker lets its callers call instead
// (CMakeLists.txt).
#define CODIO_SEND "_ZN6dcsctp24TransmissionControlBlock19SendBufferedPacketsERNS_10SctpPacket7BuilderENS_6TimeMsE"
extern "C" void codio_sctp_burst(TransmissionControlBlock* self, SctpPacket::Builder& first,
                                 TimeMs now) asm("__real_" CODIO_SEND);
extern "C" void codio_sctp_send(TransmissionControlBlock* self, SctpPacket::Builder& first,
                                TimeMs now) asm("__wrap_" CODIO_SEND);

extern "C" void codio_sctp_send(TransmissionControlBlock* self, SctpPacket::Builder& first, TimeMs now) {
  using namespace codio::webrtc;
  codio_sctp_burst(self, first, now);
  if (self->has_cookie_echo_chunk()) return;  // A single packet may be under way: RFC 9260 §5.1, C.
  if (self->current_srtt() >= kLongPath || self->cwnd() >= kSafeWindow) codio_sctp_burst(self, first, now);
}
