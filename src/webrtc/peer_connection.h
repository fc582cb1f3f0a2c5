// WebRTC data channels on libwebrtc, behind the little that an exchange needs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"

namespace codio::webrtc {

/// A STUN or TURN server, as WebRTC's RTCIceServer.
struct IceServer {
  std::vector<std::string> urls;
  std::string username;
  std::string credential;
};

struct IceCandidate {
  std::string candidate;  ///< SDP attribute value; empty is the end of candidates.
  std::string mid;
};

/// What a connection tells its owner. Called on the executor given to the factory, never from inside a call into the
/// connection; not after close() returned or the connection was destroyed.
struct PeerConnectionEvents {
  std::function<void(std::string sdp)> on_local_description;  ///< The offer or the answer, to be signalled.
  std::function<void(IceCandidate)> on_local_candidate;
  std::function<void()> on_open;
  std::function<void(Bytes message)> on_message;
  std::function<void(std::size_t buffered_amount)> on_buffered_amount;  ///< It fell, and is at most kLowWater.
  std::function<void(Error reason)> on_closed;  ///< Failed or closed by the other side; the last event.
};

/// One connection with the one channel of docs/protocol.md §3.
class PeerConnection {
 public:
  virtual ~PeerConnection() = default;

  /// Begins as the offering side.
  virtual void offer() = 0;
  /// The other side's description: an offer makes this the answering side, which answers by itself.
  virtual void handle_remote_description(std::string_view type, std::string sdp) = 0;
  virtual void handle_remote_candidate(const IceCandidate& candidate) = 0;

  /// Queues one message; dropped if the channel is not open. At most 262,144 bytes; the caller bounds what is queued.
  virtual void send(BytesView message) = 0;
  virtual std::size_t buffered_amount() const = 0;
  virtual void close() = 0;
};

}  // namespace codio::webrtc
