// libwebrtc's SCTP, which on a short path sends fewer packets at once.
//
// For each acknowledgement SCTP sends up to Max.Burst packets: RFC 9260 §16 and libwebrtc say four. A native node sends
// faster than a browser reads its socket, which holds 56, and some of so many are lost all the time. Two are as many as
// an acknowledgement stands for. See docs/design/0001-credit-window.md.
#pragma once

#include <api/transport/sctp_transport_factory_interface.h>
#include <memory>
#include <rtc_base/thread.h>

namespace codio::webrtc {

/// For connections on `thread`, their network thread, which outlives them.
std::unique_ptr<::webrtc::SctpTransportFactoryInterface> make_sctp_factory(rtc::Thread& thread);

}  // namespace codio::webrtc
