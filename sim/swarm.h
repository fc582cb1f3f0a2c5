// Peers with an engine each, joined by links, on one virtual clock: what a host does, without an operating system.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "sim/clock.h"
#include "sim/content.h"
#include "sim/link.h"
#include "transfer/exchange.h"

namespace codio::sim {

/// How a peer treats those who download from it.
enum class Conduct : std::uint8_t {
  kHonest,
  kLying,   ///< Sends other bytes than the block's.
  kSilent,  ///< Opens the channel and says nothing but HELLO.
  kPoor,    ///< Has the root only.
};

struct PeerOptions {
  transfer::ExchangeOptions exchange;
  Conduct conduct = Conduct::kHonest;
  Duration store_delay = std::chrono::milliseconds(1);
  Duration hash_delay = std::chrono::microseconds(500);
};

struct GatewayOptions {
  bool exists = false;
  Duration delay = std::chrono::milliseconds(50);  ///< Until a block came whole.
  Blocks blocks;
};

/// What came of one download.
struct Outcome {
  std::optional<Time> first_byte;
  std::optional<Time> finished;
  std::optional<Error> error;
  Bytes bytes;
  std::map<std::uint32_t, std::uint64_t> from_peer;  ///< Bytes, by index in the swarm.
  std::uint64_t from_gateway = 0;
  std::uint64_t from_store = 0;
};

class Swarm {
 public:
  explicit Swarm(std::uint64_t seed) : random_(seed) {}

  /// Returns the peer's index, from 0.
  std::uint32_t add_peer(const PeerOptions& options = {}, Blocks blocks = {});
  void set_gateway(GatewayOptions gateway) { gateway_ = std::move(gateway); }
  /// FindProviders for the root is answered with these peers, each over a link of its own.
  void set_provider(std::uint32_t provider, const content_id::ContentId& root, const LinkOptions& link = {});
  void disconnect(std::uint32_t peer);

  /// Starts a download whose reader takes everything at once.
  Outcome& download(std::uint32_t peer, const content_id::ContentId& root, transfer::DownloadOptions options = {});
  /// The peer's readers take nothing until resume().
  void pause(std::uint32_t peer);
  void resume(std::uint32_t peer);
  transfer::Exchange& exchange(std::uint32_t peer);
  const Blocks& blocks(std::uint32_t peer) const;

  Clock clock;
  /// Every message sent, as text: the same seed must give the same trace.
  std::string trace;

 private:
  struct Channel {
    std::uint32_t remote;
    transfer::PeerId remote_id;  ///< Our id over there.
    std::unique_ptr<Link> link;  ///< To the remote.
  };

  struct Peer {
    explicit Peer(const PeerOptions& peer_options) : options(peer_options), exchange(peer_options.exchange) {}
    PeerOptions options;
    transfer::Exchange exchange;
    Blocks blocks;
    std::map<transfer::PeerId, Channel> channels;
    std::map<transfer::TransferId, Outcome> outcomes;
    std::optional<Clock::Event> wakeup;
    bool draining = false;
    bool gone = false;
    bool paused = false;
    std::vector<transfer::Data> unread;
  };

  struct Provider {
    std::uint32_t peer;
    content_id::ContentId root;
    LinkOptions link;
  };

  void drain(std::uint32_t index);
  void carry_out(std::uint32_t index, transfer::SendMessage& output);
  void carry_out(std::uint32_t index, transfer::ClosePeer& output);
  void carry_out(std::uint32_t index, transfer::LoadBlock& output);
  void carry_out(std::uint32_t index, transfer::StoreBlock& output);
  void carry_out(std::uint32_t index, transfer::HashBytes& output);
  void carry_out(std::uint32_t index, transfer::AskGateway& output);
  void carry_out(std::uint32_t, transfer::CancelGateway&) {}
  void carry_out(std::uint32_t index, transfer::SetWakeup& output);
  void carry_out(std::uint32_t index, transfer::FindProviders& output);
  void carry_out(std::uint32_t, transfer::EntityFound&) {}
  void carry_out(std::uint32_t index, transfer::Data& output);
  void carry_out(std::uint32_t, transfer::EntryFound&) {}
  void carry_out(std::uint32_t index, transfer::BlockReceived& output);
  void carry_out(std::uint32_t, transfer::ProgressMade&) {}
  void carry_out(std::uint32_t index, transfer::Finished& output);
  void carry_out(std::uint32_t index, transfer::Failed& output);

  void connect(std::uint32_t from, const Provider& provider, transfer::TransferId transfer);
  void close(std::uint32_t index, transfer::PeerId id);
  /// Calls `action(peer)` after `delay` unless the peer has gone, and drains it.
  template <class Action>
  Clock::Event later(std::uint32_t index, Duration delay, Action action);

  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<Provider> providers_;
  GatewayOptions gateway_;
  std::uint32_t last_channel_ = 0;
};

}  // namespace codio::sim
