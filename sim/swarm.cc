#include "sim/swarm.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace codio::sim {

using transfer::PeerId;
using transfer::TransferId;

namespace {

constexpr std::uint8_t kBlockFrame = 5;
constexpr Duration kRendezvous = std::chrono::milliseconds(20);
/// After which a host gives up on a connection that does not open: docs/protocol.md §3.
constexpr Duration kSetUpTimeout = std::chrono::seconds(15);
constexpr std::size_t kLowWater = transfer::kSendBuffer / 4;

bool ticks(Conduct conduct) {
  return conduct == Conduct::kDripping || conduct == Conduct::kFlooding || conduct == Conduct::kGreedy;
}

/// The end of its text tells a block from all others.
std::string name(const content_id::ContentId& cid) {
  const std::string text = cid.to_string();
  return text.substr(text.size() - 5);
}

template <class Ids>
std::string list(const Ids& ids) {
  std::string text;
  for (const auto id : ids) text += ' ' + std::to_string(id.value);
  return text;
}

/// One line for a frame.
std::string describe(BytesView message) {
  const std::string size = std::to_string(message.size());
  const auto decoded = transfer::wire::decode(message);
  if (!decoded || !*decoded) return "unknown " + size;
  struct Describe {
    std::string operator()(const transfer::wire::Hello& hello) { return "HELLO " + std::to_string(hello.credit); }
    std::string operator()(const transfer::wire::Want& want) {
      std::string text = "WANT";
      for (const auto& entry : want.entries) {
        text += ' ' + std::to_string(entry.id.value) + (entry.kind == transfer::wire::WantKind::kHave ? "?" : "=") +
                name(entry.cid);
      }
      return text;
    }
    std::string operator()(const transfer::wire::Have& have) { return "HAVE" + list(have.ids); }
    std::string operator()(const transfer::wire::DontHave& dont_have) { return "DONT_HAVE" + list(dont_have.ids); }
    std::string operator()(const transfer::wire::BlockChunk& chunk) {
      return "BLOCK " + std::to_string(chunk.id.value) + ' ' + std::to_string(chunk.offset) + '+' +
             std::to_string(chunk.bytes.size());
    }
    std::string operator()(const transfer::wire::Cancel& cancel) { return "CANCEL" + list(cancel.ids); }
    std::string operator()(const transfer::wire::Credit& credit) { return "CREDIT " + std::to_string(credit.limit); }
    std::string operator()(const transfer::wire::Goodbye& goodbye) { return "GOODBYE " + goodbye.reason; }
  };
  return std::visit(Describe{}, **decoded);
}

double carried(double rate, Duration time) { return rate * std::chrono::duration<double>(time).count(); }

}  // namespace

std::uint64_t Outcome::from_peers() const {
  return std::accumulate(from_peer.begin(), from_peer.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const auto& entry) { return sum + entry.second; });
}

Swarm::Peer::Peer(Clock& clock, const PeerOptions& peer_options)
    : options(peer_options), uplink(clock, peer_options.uplink) {}

std::uint32_t Swarm::add_peer(const PeerOptions& options, Blocks blocks) {
  Peer& peer = *peers_.emplace_back(std::make_unique<Peer>(clock, options));
  if (options.conduct == Conduct::kHonest) {
    peer.exchange = std::make_unique<transfer::Exchange>(options.exchange);
  } else {
    peer.rogue = std::make_unique<Rogue>(options.conduct, random_());
  }
  peer.blocks = std::move(blocks);
  return static_cast<std::uint32_t>(peers_.size() - 1);
}

void Swarm::set_gateway(GatewayOptions gateway) {
  gateway_ = std::make_unique<Gateway>(clock, std::move(gateway), random_());
}

void Swarm::set_provider(std::uint32_t provider, const content_id::ContentId& root, const LinkOptions& link) {
  providers_.push_back({provider, root, link});
}

void Swarm::introduce(std::uint32_t provider, const content_id::ContentId& root, const LinkOptions& link) {
  set_provider(provider, root, link);
  for (std::uint32_t index = 0; index < peers_.size(); ++index) {
    if (index == provider) continue;
    for (const auto& [transfer, wanted] : peers_[index]->roots) {
      if (wanted != root || peers_[index]->outcomes[transfer].over()) continue;
      later(index, 4 * link.delay, [this, index, provider, link, id = transfer](Peer&) {
        if (!peers_[provider]->gone) connect(index, provider, link, id);
      });
    }
  }
}

void Swarm::join(std::uint32_t from, std::uint32_t to, const LinkOptions& link) {
  connect(from, to, link, std::nullopt);
  drain(from);
}

void Swarm::set_rate(std::uint32_t provider, double rate) {
  for (Provider& known : providers_) {
    if (known.peer == provider) known.link.rate = rate;
  }
  for (auto& [id, channel] : peers_[provider]->channels) channel.link->set_rate(rate);
  settle_supplies(provider, std::nullopt, rate, false);
}

Outcome& Swarm::download(std::uint32_t index, const content_id::ContentId& root, transfer::DownloadOptions options) {
  Peer& peer = *peers_[index];
  const TransferId id = peer.exchange->download(clock.now(), root, options);
  Outcome& outcome = peer.outcomes[id];
  peer.roots.emplace(id, root);
  drain(index);
  return outcome;
}

template <class Action>
Clock::Event Swarm::later(std::uint32_t index, Duration delay, Action action) {
  return clock.after(delay, [this, index, action = std::move(action)]() mutable {
    Peer& peer = *peers_[index];
    if (peer.gone) return;
    action(peer);
    drain(index);
  });
}

void Swarm::drain(std::uint32_t index) {
  Peer& peer = *peers_[index];
  if (!peer.exchange || std::exchange(peer.draining, true)) return;
  do {
    while (auto output = peer.exchange->poll_output()) {
      std::visit([&](auto& body) { carry_out(index, body); }, *output);
    }
    for (const PeerId id : std::exchange(peer.sent_to, {})) {
      const auto channel = peer.channels.find(id);
      if (channel == peer.channels.end()) continue;
      channel->second.buffered = buffered(peer, id);
      peer.exchange->handle_buffered_amount(clock.now(), id, channel->second.buffered);
    }
    while (auto output = peer.exchange->poll_output()) {
      std::visit([&](auto& body) { carry_out(index, body); }, *output);
    }
  } while (!peer.sent_to.empty());
  peer.draining = false;
  if (!peer.outcomes.empty()) peer.peak_memory = std::max(peer.peak_memory, peer.exchange->memory());
}

void Swarm::carry_out(std::uint32_t index, transfer::SendMessage& output) {
  if (!peers_[index]->channels.contains(output.peer)) return;
  peers_[index]->sent_to.insert(output.peer);
  send(index, output.peer, std::move(output.message));
}

void Swarm::send(std::uint32_t index, PeerId id, Bytes message) {
  Peer& peer = *peers_[index];
  note(std::to_string(index) + '>' + std::to_string(peer.channels.at(id).remote) + ' ' + describe(message));
  peer.uplink.send(id.value, std::move(message), [this, index, id](Bytes left) {
    const auto found = peers_[index]->channels.find(id);
    if (found != peers_[index]->channels.end()) found->second.link->send(std::move(left));
  });
}

void Swarm::note(const std::string& what) {
  trace += std::to_string(clock.now().time_since_epoch().count());
  trace += ' ';
  trace += what;
  trace += '\n';
}

std::size_t Swarm::buffered(const Peer& peer, PeerId id) const {
  return peer.uplink.buffered(id.value) + peer.channels.at(id).link->buffered();
}

void Swarm::carry_out(std::uint32_t index, transfer::ClosePeer& output) {
  const bool guilty = output.reason.code == ErrorCode::kMalformed || output.reason.code == ErrorCode::kMismatch;
  if (guilty) peers_[index]->convicted.insert(peers_[index]->remotes.at(output.peer));
  close(index, output.peer);
}

void Swarm::carry_out(std::uint32_t index, transfer::LoadBlock& output) {
  later(index, peers_[index]->options.store_delay, [this, output](Peer& peer) {
    const auto found = peer.blocks.find(output.cid);
    const bool here = found != peer.blocks.end();
    peer.exchange->handle_loaded(clock.now(), output.request, here ? found->second : nullptr);
  });
}

void Swarm::carry_out(std::uint32_t index, transfer::StoreBlock& output) {
  peers_[index]->blocks.emplace(output.cid, output.block);
}

void Swarm::carry_out(std::uint32_t index, transfer::HashBytes& output) {
  later(index, peers_[index]->options.hash_delay, [this, output](Peer& peer) {
    peer.exchange->handle_hashed(clock.now(), output.request, sha256(*output.bytes));
  });
}

void Swarm::carry_out(std::uint32_t index, transfer::AskGateway& output) {
  const auto answer = [this, index, request = output.request](SharedBytes block) {
    Peer& peer = *peers_[index];
    note(std::to_string(index) + (block ? " has from the gateway " : " was refused by the gateway ") +
         std::to_string(request.value));
    peer.asked.erase(request);
    if (peer.gone) return;
    if (block) {
      peer.exchange->handle_gateway_block(clock.now(), request, std::move(block));
    } else {
      peer.exchange->handle_gateway_failed(clock.now(), request, {ErrorCode::kUnavailable, "all gateways failed"});
    }
    drain(index);
  };
  note(std::to_string(index) + " asks the gateway " + std::to_string(output.request.value) + ' ' + name(output.cid));
  peers_[index]->asked[output.request] = gateway_->ask(output.cid, answer);
}

void Swarm::carry_out(std::uint32_t index, transfer::CancelGateway& output) {
  note(std::to_string(index) + " asks the gateway no more " + std::to_string(output.request.value));
  const auto node = peers_[index]->asked.extract(output.request);
  if (!node.empty()) gateway_->cancel(node.mapped());
}

void Swarm::carry_out(std::uint32_t index, transfer::SetWakeup& output) {
  Peer& peer = *peers_[index];
  if (peer.wakeup) clock.cancel(*peer.wakeup);
  peer.wakeup.reset();
  if (!output.at) return;
  Time at = std::max(*output.at, clock.now());
  if (const Duration step = peer.options.wakeup_step; step > Duration(0)) {
    at = Time((at.time_since_epoch() + step - Duration(1)) / step * step);
  }
  peer.wakeup = later(index, at - clock.now(), [this](Peer& woken) {
    woken.wakeup.reset();
    woken.exchange->handle_wakeup(clock.now());
  });
}

void Swarm::carry_out(std::uint32_t index, transfer::FindProviders& output) {
  later(index, kRendezvous, [this, index, output](Peer& peer) {
    std::vector<Provider> found;
    for (const Provider& provider : providers_) {
      if (provider.root == output.root && provider.peer != index && !peers_[provider.peer]->gone &&
          !peer.convicted.contains(provider.peer)) {
        found.push_back(provider);
      }
    }
    peer.exchange->handle_providers(clock.now(), output.transfer, static_cast<std::uint32_t>(found.size()));
    auto pending = std::make_shared<std::uint32_t>(static_cast<std::uint32_t>(found.size()));
    for (const Provider& provider : found) {
      const bool reachable = peers_[provider.peer]->options.conduct != Conduct::kUnreachable;
      later(index, reachable ? 4 * provider.link.delay : kSetUpTimeout,
            [this, index, provider, pending, reachable, transfer = output.transfer](Peer& finder) {
              if (reachable && !peers_[provider.peer]->gone) connect(index, provider.peer, provider.link, transfer);
              finder.exchange->handle_providers(clock.now(), transfer, --*pending);
            });
    }
  });
}

void Swarm::carry_out(std::uint32_t index, transfer::EntityFound& output) {
  peers_[index]->outcomes[output.transfer].size = output.entity.size;
}

void Swarm::carry_out(std::uint32_t index, transfer::Data& output) {
  Peer& peer = *peers_[index];
  if (peer.paused) {
    peer.unread_bytes += output.segment.size;
    peer.peak_unread = std::max(peer.peak_unread, peer.unread_bytes);
    return peer.unread.push_back(std::move(output));
  }
  Outcome& outcome = peer.outcomes[output.transfer];
  if (!outcome.first_byte) outcome.first_byte = clock.now();
  outcome.arrivals.emplace_back(clock.now(), outcome.bytes.size());
  append(outcome.bytes, output.segment.view());
  peer.exchange->consume(clock.now(), output.transfer, output.segment.size);
}

void Swarm::carry_out(std::uint32_t index, transfer::BlockReceived& output) {
  Peer& peer = *peers_[index];
  Outcome& outcome = peer.outcomes[output.transfer];
  switch (output.source) {
    case transfer::SourceKind::kStore: outcome.from_store += output.size; break;
    case transfer::SourceKind::kGateway: outcome.from_gateway += output.size; break;
    case transfer::SourceKind::kPeer: outcome.from_peer[peer.remotes.at(output.peer)] += output.size;
  }
  const std::uint64_t came = outcome.from_store + outcome.from_gateway + outcome.from_peers();
  if (!outcome.duplicates_before_end && outcome.size != 0 && came >= outcome.size / 5 * 4) {
    outcome.duplicates_before_end = peer.exchange->totals().duplicates;
  }
}

void Swarm::carry_out(std::uint32_t index, transfer::Finished& output) {
  peers_[index]->outcomes[output.transfer].finished = clock.now();
}

void Swarm::carry_out(std::uint32_t index, transfer::Failed& output) {
  peers_[index]->outcomes[output.transfer].error = output.error;
}

std::optional<PeerId> Swarm::channel_to(std::uint32_t index, std::uint32_t remote) const {
  for (const auto& [id, channel] : peers_[index]->channels) {
    if (channel.remote == remote) return id;
  }
  return std::nullopt;
}

void Swarm::connect(std::uint32_t from, std::uint32_t to, const LinkOptions& options,
                    std::optional<TransferId> transfer) {
  Peer& finder = *peers_[from];
  if (transfer) {
    Outcome& outcome = finder.outcomes[*transfer];
    if (!outcome.connected) outcome.connected = clock.now();
  }
  if (const auto known = channel_to(from, to)) {
    if (transfer) finder.exchange->handle_peer_provides(clock.now(), *known, *transfer);
    return;
  }
  const PeerId near{++last_channel_};
  const PeerId far{++last_channel_};
  open(from, near, to, far, options);
  open(to, far, from, near, options);
  if (transfer && is_honest(to)) {
    supplies_.push_back({.provider = to, .downloader = from, .rate = options.rate, .since = clock.now()});
  }
  finder.exchange->handle_peer_connected(clock.now(), near, transfer);
  if (peers_[to]->exchange) {
    peers_[to]->exchange->handle_peer_connected(clock.now(), far, std::nullopt);
    return drain(to);
  }
  for (Bytes& message : peers_[to]->rogue->handle_connected(far)) send(to, far, std::move(message));
  if (ticks(peers_[to]->options.conduct)) later(to, Rogue::kTick, [this, to, far](Peer&) { tick(to, far); });
}

void Swarm::open(std::uint32_t local, PeerId local_id, std::uint32_t remote, PeerId remote_id,
                 const LinkOptions& options) {
  auto link = std::make_unique<Link>(clock, options, random_());
  link->on_message = [this, remote, remote_id](const Bytes& message) { handle_message(remote, remote_id, message); };
  link->on_sent = [this, local, local_id](std::size_t) {
    Peer& peer = *peers_[local];
    const auto channel = peer.channels.find(local_id);
    if (channel == peer.channels.end() || !peer.exchange) return;
    const std::size_t before = std::exchange(channel->second.buffered, buffered(peer, local_id));
    if (before <= kLowWater || channel->second.buffered > kLowWater) return;
    peer.exchange->handle_buffered_amount(clock.now(), local_id, channel->second.buffered);
    drain(local);
  };
  peers_[local]->channels[local_id] = {remote, remote_id, std::move(link)};
  peers_[local]->remotes.emplace(local_id, remote);
}

void Swarm::handle_message(std::uint32_t index, PeerId id, const Bytes& message) {
  Peer& peer = *peers_[index];
  const auto channel = peer.channels.find(id);
  if (peer.gone || channel == peer.channels.end()) return;
  if (!peer.exchange) {
    for (Bytes& answer : peer.rogue->handle_message(id, message, peer.blocks)) send(index, id, std::move(answer));
    return;
  }
  if (message[0] == kBlockFrame && is_honest(channel->second.remote)) {
    peer.received += std::get<transfer::wire::BlockChunk>(**transfer::wire::decode(message)).bytes.size();
  }
  peer.exchange->handle_message(clock.now(), id, message);
  drain(index);
}

void Swarm::tick(std::uint32_t index, PeerId id) {
  Peer& peer = *peers_[index];
  if (!peer.channels.contains(id)) return;
  for (Bytes& message : peer.rogue->tick(id, peer.blocks)) send(index, id, std::move(message));
  later(index, Rogue::kTick, [this, index, id](Peer&) { tick(index, id); });
}

/// The channel is gone here at once; what was sent still arrives, and then the other side hears of it.
void Swarm::close(std::uint32_t index, PeerId id) {
  auto node = peers_[index]->channels.extract(id);
  if (node.empty()) return;
  Channel& channel = node.mapped();
  peers_[index]->uplink.close(id.value);
  if (peers_[index]->rogue) peers_[index]->rogue->handle_disconnected(id);
  settle_supplies(channel.remote, index, 0, true);
  const std::shared_ptr<Link> link = std::move(channel.link);
  later(channel.remote, std::chrono::seconds(1),
        [this, link, remote = channel.remote, id = channel.remote_id](Peer&) { close_far(remote, id); });
}

void Swarm::close_far(std::uint32_t index, PeerId id) {
  Peer& peer = *peers_[index];
  if (peer.channels.erase(id) == 0) return;
  peer.uplink.close(id.value);
  if (peer.exchange) {
    peer.exchange->handle_peer_disconnected(clock.now(), id);
  } else {
    peer.rogue->handle_disconnected(id);
  }
}

void Swarm::disconnect(std::uint32_t index, Duration notice) {
  Peer& peer = *peers_[index];
  peer.gone = true;
  for (auto& [id, channel] : peer.channels) {
    settle_supplies(index, channel.remote, 0, true);
    later(channel.remote, notice,
          [this, remote = channel.remote, far = channel.remote_id](Peer&) { close_far(remote, far); });
  }
  peer.channels.clear();
  for (const auto& [request, ticket] : peer.asked) gateway_->cancel(ticket);
  peer.asked.clear();
}

void Swarm::settle_supplies(std::uint32_t provider, std::optional<std::uint32_t> downloader, double rate, bool ended) {
  for (Supply& supply : supplies_) {
    if (supply.ended || supply.provider != provider || (downloader && supply.downloader != *downloader)) continue;
    supply.bytes += carried(supply.rate, clock.now() - supply.since);
    supply.since = clock.now();
    supply.rate = rate;
    supply.ended = ended;
  }
}

double Swarm::capacity(std::uint32_t index) const {
  double bytes = 0;
  for (const Supply& supply : supplies_) {
    if (supply.downloader != index) continue;
    bytes += supply.bytes + (supply.ended ? 0 : carried(supply.rate, clock.now() - supply.since));
  }
  return bytes;
}

void Swarm::pause(std::uint32_t index) { peers_[index]->paused = true; }

void Swarm::resume(std::uint32_t index) {
  peers_[index]->paused = false;
  peers_[index]->unread_bytes = 0;
  for (transfer::Data& data : std::exchange(peers_[index]->unread, {})) carry_out(index, data);
  drain(index);
}

}  // namespace codio::sim
