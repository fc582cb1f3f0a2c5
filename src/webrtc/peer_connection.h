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

/// A connection whose buffered amount falls to this tells its owner.
inline constexpr std::size_t kLowWater = 64 * 1024;
/// The largest message, as every browser negotiates it.
inline constexpr std::size_t kMaxMessage = 256 * 1024;

/// What a connection tells its owner, by way of the factory's `post`: never from inside a call into the connection, nor
/// after close() or the destructor began. Any may be empty.
struct PeerConnectionEvents {
  std::function<void(std::string sdp, bool is_offer)> on_local_description;  ///< To be signalled.
  std::function<void(IceCandidate)> on_local_candidate;
  std::function<void()> on_open;
  std::function<void(Bytes message)> on_message;
  std::function<void(std::size_t buffered_amount)> on_buffered_amount;  ///< It fell to kLowWater or below.
  std::function<void(Error reason)> on_closed;  ///< Failed, or closed by the other side; the last event.
};

/// One connection with the one channel of docs/protocol.md §3. No call blocks: libwebrtc works on a thread of its own.
///
/// Threads: call it where the factory's `post` runs things.
class PeerConnection {
 public:
  virtual ~PeerConnection() = default;

  /// Begins as the offering side.
  virtual void offer() = 0;
  /// The other side's description: an offer makes this the answering side, which answers by itself. What cannot be read
  /// or does not fit closes the connection.
  virtual void handle_remote_description(std::string_view type, std::string sdp) = 0;
  /// One that cannot be read is ignored, and so is an mDNS name, which only browsers resolve: the other side's checks
  /// show its address.
  virtual void handle_remote_candidate(const IceCandidate& candidate) = 0;

  /// Queues one message of at most kMaxMessage; dropped if the channel is not open. The caller bounds what is queued.
  virtual void send(Bytes message) = 0;
  /// Bytes queued and not yet handed to the network.
  virtual std::size_t buffered_amount() const = 0;
  virtual void close() = 0;
};

struct FactoryOptions {
  std::vector<IceServer> ice_servers;
  /// Also offer addresses of this machine's loopback interface: for peers on one machine without a network.
  bool use_loopback = false;
};

class Runtime;

/// Makes connections. Owns libwebrtc's thread; outlives its connections' calls: destroy the connections first.
class PeerConnectionFactory {
 public:
  /// Runs a task later on the owner's thread, in order. Called from libwebrtc's thread.
  using Post = std::function<void(std::function<void()> task)>;

  PeerConnectionFactory(FactoryOptions options, Post post);
  ~PeerConnectionFactory();
  PeerConnectionFactory(const PeerConnectionFactory&) = delete;
  PeerConnectionFactory& operator=(const PeerConnectionFactory&) = delete;

  std::unique_ptr<PeerConnection> create(PeerConnectionEvents events);

 private:
  std::shared_ptr<Runtime> runtime_;
};

}  // namespace codio::webrtc
