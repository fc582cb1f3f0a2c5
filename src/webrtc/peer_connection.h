// WebRTC data channels on libwebrtc, behind the little that an exchange needs.
//
// An offerer:  create() → offer() → on_local_description, on_local_candidate… → handle_remote_description("answer"),
// handle_remote_candidate()… → on_open → send() / on_message… → on_closed or close(). An answerer begins with
// handle_remote_description("offer") instead.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"

namespace codio::webrtc {

/// The longest message that browsers take.
inline constexpr std::size_t kMaxMessage = 262'144;
/// Below this much to send, a sender should send more.
inline constexpr std::size_t kLowWater = 64 * 1024;
/// The most that may wait to be sent: far more than any credit window, half of what makes libwebrtc close the channel.
inline constexpr std::size_t kMaxBuffered = 8 << 20;

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

/// A STUN or TURN server that gave no candidate to one of our addresses: it did not answer, is of another IP version,
/// or refused.
struct IceServerFailure {
  std::string url;
  int code;  ///< As STUN and TURN have them: 401 is a wrong credential; 701: it was not reached.
  std::string text;
};

/// What a connection tells its owner. Called on the executor given to the factory, never from inside a call into the
/// connection; not after close() returned or the connection was destroyed, which an event may do. Any may be empty.
struct PeerConnectionEvents {
  std::function<void(std::string sdp)> on_local_description;  ///< The offer or the answer, to be signalled.
  std::function<void(IceCandidate)> on_local_candidate;       ///< After the description that it belongs to.
  std::function<void(IceServerFailure)> on_server_failure;    ///< Before the end of candidates.
  std::function<void()> on_open;
  std::function<void(BytesView message)> on_message;  ///< Valid during the call.
  /// It fell from above kLowWater to kLowWater or below.
  std::function<void(std::size_t buffered_amount)> on_buffered_amount;
  /// Failed, not open in time, or closed by the other side; the last event.
  std::function<void(Error reason)> on_closed;
};

/// One connection with the one channel of docs/protocol.md §3. No call blocks. Must be used on the owner's executor
/// only.
class PeerConnection {
 public:
  virtual ~PeerConnection() = default;

  /// Begins as the offering side.
  virtual void offer() = 0;
  /// The other side's description: an offer makes this the answering side, which answers by itself. A description that
  /// is not acceptable closes the connection.
  virtual void handle_remote_description(std::string_view type, std::string sdp) = 0;
  /// May come before the description. One that is malformed, or has a name where an address should be (as browsers hide
  /// theirs), is ignored: such a peer is reached when it checks our addresses.
  virtual void handle_remote_candidate(const IceCandidate& candidate) = 0;

  /// Queues one message. False, and nothing is queued, if the channel is not open, the message is over kMaxMessage, or
  /// kMaxBuffered would be exceeded.
  virtual bool send(BytesView message) = 0;
  /// Bytes queued here and in libwebrtc; what its SCTP took (at most 2 MB) is not in it.
  virtual std::size_t buffered_amount() const = 0;
  /// What was sent before is still handed to the network, but not sent again if it is lost there.
  virtual void close() = 0;
};

/// Makes connections, and has the thread on which libwebrtc does everything for them: some 100 MB/s. Several factories
/// use several cores.
class PeerConnectionFactory {
 public:
  /// Runs the function on the owner's executor, soon, in order. Called on libwebrtc's thread, until the factory is
  /// destroyed.
  using Post = std::function<void(std::function<void()>)>;

  struct Options {
    std::vector<IceServer> ice_servers;
    bool use_loopback = false;  ///< Offers loopback addresses too: for tests, and for machines without a network.
    bool relay_only = false;    ///< Uses candidates of TURN servers only.
    std::chrono::milliseconds open_timeout{15'000};  ///< From offer() or the remote offer to on_open. Protocol §3.
  };

  PeerConnectionFactory(Options options, Post post);
  PeerConnectionFactory(const PeerConnectionFactory&) = delete;
  PeerConnectionFactory& operator=(const PeerConnectionFactory&) = delete;
  /// Blocks until libwebrtc has ended. All connections must have been destroyed before.
  ~PeerConnectionFactory();

  std::unique_ptr<PeerConnection> create(PeerConnectionEvents events);

  /// For connections created from now on, as a rendezvous may name others.
  void set_ice_servers(std::vector<IceServer> servers);

 private:
  class Runtime;
  std::unique_ptr<Runtime> runtime_;
};

}  // namespace codio::webrtc
