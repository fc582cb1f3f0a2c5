// Peers with an engine each, joined by links, on one virtual clock: what a host does, without an operating system.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/clock.h"
#include "sim/content.h"
#include "sim/gateway.h"
#include "sim/link.h"
#include "sim/rogue.h"
#include "sim/uplink.h"
#include "transfer/exchange.h"

namespace codio::sim {

struct PeerOptions {
  transfer::ExchangeOptions exchange;
  Conduct conduct = Conduct::kHonest;
  Duration store_delay = std::chrono::milliseconds(1);
  Duration hash_delay = std::chrono::microseconds(500);
  /// The engine is woken at whole multiples of this only, as a browser does with a tab in the background.
  Duration wakeup_step{};
  /// Bytes a second that all its links share; 0: they share nothing.
  double uplink = 0;
};

/// What came of one download.
struct Outcome {
  std::optional<Time> connected;  ///< When the first provider's channel opened.
  std::optional<Time> first_byte;
  std::optional<Time> finished;
  std::optional<Error> error;
  std::uint64_t size = 0;  ///< Of the whole file, once it is known.
  Bytes bytes;
  std::vector<std::pair<Time, std::uint64_t>> arrivals;  ///< When the bytes from that offset on were given out.
  std::map<std::uint32_t, std::uint64_t> from_peer;      ///< Bytes, by index in the swarm.
  std::uint64_t from_gateway = 0;
  std::uint64_t from_store = 0;
  /// Totals::duplicates when four fifths of the file had come: what is not the end-game's.
  std::optional<std::uint64_t> duplicates_before_end;

  bool over() const { return finished || error; }
  std::uint64_t from_peers() const;
};

class Swarm {
 public:
  explicit Swarm(std::uint64_t seed) : random_(seed) { set_gateway({}); }

  /// Returns the peer's index, from 0. One that is not honest has no engine.
  std::uint32_t add_peer(const PeerOptions& options = {}, Blocks blocks = {});
  void set_gateway(GatewayOptions gateway);
  Gateway& gateway() { return *gateway_; }

  /// FindProviders for the root is answered with these peers, each over a link of its own.
  void set_provider(std::uint32_t provider, const content_id::ContentId& root, const LinkOptions& link = {});
  /// The same, and those who download the root already hear of it.
  void introduce(std::uint32_t provider, const content_id::ContentId& root, const LinkOptions& link = {});
  /// Joins two peers of which neither looked for the other.
  void join(std::uint32_t from, std::uint32_t to, const LinkOptions& link = {});
  /// The rate at which the provider sends on every link that it has and will have.
  void set_rate(std::uint32_t provider, double rate);
  /// It leaves. The others hear of it after `notice`; what they have not received by now they never do.
  void disconnect(std::uint32_t peer, Duration notice = std::chrono::seconds(1));

  /// Starts a download whose reader takes everything at once.
  Outcome& download(std::uint32_t peer, const content_id::ContentId& root, transfer::DownloadOptions options = {});
  /// The peer's readers take nothing until resume().
  void pause(std::uint32_t peer);
  void resume(std::uint32_t peer);

  transfer::Exchange& exchange(std::uint32_t peer) { return *peers_[peer]->exchange; }
  const Blocks& blocks(std::uint32_t peer) const { return peers_[peer]->blocks; }
  std::size_t size() const { return peers_.size(); }
  bool gone(std::uint32_t peer) const { return peers_[peer]->gone; }
  bool are_connected(std::uint32_t peer, std::uint32_t other) const { return channel_to(peer, other).has_value(); }
  bool is_honest(std::uint32_t peer) const { return peers_[peer]->options.conduct == Conduct::kHonest; }

  // Measures.
  /// Bytes that honest providers could have sent to it since each connected.
  double capacity(std::uint32_t peer) const;
  /// Bytes of blocks that honest peers sent to it, needed or not.
  std::uint64_t received(std::uint32_t peer) const { return peers_[peer]->received; }
  /// Whether it dropped the other for a breach or a lie.
  bool convicted(std::uint32_t peer, std::uint32_t other) const { return peers_[peer]->convicted.contains(other); }
  /// The most that its engine held for downloads.
  std::uint64_t peak_memory(std::uint32_t peer) const { return peers_[peer]->peak_memory; }
  /// The most that lay at its readers, given out and not taken.
  std::uint64_t peak_unread(std::uint32_t peer) const { return peers_[peer]->peak_unread; }

  Clock clock;
  /// Every message sent and all that is asked of the gateway, as text: the same seed must give the same trace.
  std::string trace;

 private:
  struct Channel {
    std::uint32_t remote;
    transfer::PeerId remote_id;  ///< Our id over there.
    std::unique_ptr<Link> link;  ///< To the remote.
    std::size_t buffered = 0;    ///< As last seen.
  };

  struct Peer {
    Peer(Clock& clock, const PeerOptions& peer_options);
    PeerOptions options;
    std::unique_ptr<transfer::Exchange> exchange;
    std::unique_ptr<Rogue> rogue;
    Blocks blocks;
    std::map<transfer::PeerId, Channel> channels;
    std::map<transfer::PeerId, std::uint32_t> remotes;  ///< Of channels gone too.
    std::map<transfer::TransferId, Outcome> outcomes;
    std::map<transfer::TransferId, content_id::ContentId> roots;
    std::map<transfer::RequestId, Gateway::Ticket> asked;
    std::optional<Clock::Event> wakeup;
    Uplink uplink;
    std::set<transfer::PeerId> sent_to;  ///< Since the last drain.
    std::set<std::uint32_t> convicted;
    bool draining = false;
    bool gone = false;
    bool paused = false;
    std::vector<transfer::Data> unread;
    std::uint64_t unread_bytes = 0;
    std::uint64_t peak_unread = 0;
    std::uint64_t peak_memory = 0;
    std::uint64_t received = 0;
  };

  struct Provider {
    std::uint32_t peer;
    content_id::ContentId root;
    LinkOptions link;
  };

  /// A provider's rate towards a downloader, over time.
  struct Supply {
    std::uint32_t provider;
    std::uint32_t downloader;
    double rate;
    Time since;
    double bytes = 0;  ///< Until `since`.
    bool ended = false;
  };

  void drain(std::uint32_t index);
  void carry_out(std::uint32_t index, transfer::SendMessage& output);
  void carry_out(std::uint32_t index, transfer::ClosePeer& output);
  void carry_out(std::uint32_t, transfer::VerifyPeer&) {}  // Nobody here has a key.
  void carry_out(std::uint32_t index, transfer::LoadBlock& output);
  void carry_out(std::uint32_t index, transfer::StoreBlock& output);
  void carry_out(std::uint32_t index, transfer::HashBytes& output);
  void carry_out(std::uint32_t index, transfer::AskGateway& output);
  void carry_out(std::uint32_t index, transfer::CancelGateway& output);
  void carry_out(std::uint32_t index, transfer::SetWakeup& output);
  void carry_out(std::uint32_t index, transfer::FindProviders& output);
  void carry_out(std::uint32_t index, transfer::EntityFound& output);
  void carry_out(std::uint32_t index, transfer::Data& output);
  void carry_out(std::uint32_t, transfer::EntryFound&) {}
  void carry_out(std::uint32_t index, transfer::BlockReceived& output);
  void carry_out(std::uint32_t, transfer::ProgressMade&) {}
  void carry_out(std::uint32_t index, transfer::Finished& output);
  void carry_out(std::uint32_t index, transfer::Failed& output);

  void connect(std::uint32_t from, std::uint32_t to, const LinkOptions& options,
               std::optional<transfer::TransferId> transfer);
  void open(std::uint32_t local, transfer::PeerId local_id, std::uint32_t remote, transfer::PeerId remote_id,
            const LinkOptions& options);
  void note(const std::string& what);
  void send(std::uint32_t index, transfer::PeerId id, Bytes message);
  void handle_message(std::uint32_t index, transfer::PeerId id, const Bytes& message);
  void tick(std::uint32_t index, transfer::PeerId id);
  void close(std::uint32_t index, transfer::PeerId id);
  /// The other side's half of it.
  void close_far(std::uint32_t index, transfer::PeerId id);
  /// Accounts for what the provider could have sent, to all or to one.
  void settle_supplies(std::uint32_t provider, std::optional<std::uint32_t> downloader, double rate, bool ended);
  std::optional<transfer::PeerId> channel_to(std::uint32_t index, std::uint32_t remote) const;
  std::size_t buffered(const Peer& peer, transfer::PeerId id) const;
  /// Calls `action(peer)` after `delay` unless the peer has gone, and drains it.
  template <class Action>
  Clock::Event later(std::uint32_t index, Duration delay, Action action);

  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<Provider> providers_;
  std::vector<Supply> supplies_;
  std::unique_ptr<Gateway> gateway_;
  std::uint32_t last_channel_ = 0;
};

}  // namespace codio::sim
