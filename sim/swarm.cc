#include "sim/swarm.h"

#include <algorithm>
#include <utility>

namespace codio::sim {

using transfer::PeerId;
using transfer::TransferId;

std::uint32_t Swarm::add_peer(const PeerOptions& options, Blocks blocks) {
  peers_.push_back(std::make_unique<Peer>(options));
  peers_.back()->blocks = std::move(blocks);
  return static_cast<std::uint32_t>(peers_.size() - 1);
}

void Swarm::set_provider(std::uint32_t provider, const content_id::ContentId& root, const LinkOptions& link) {
  providers_.push_back({provider, root, link});
}

transfer::Exchange& Swarm::exchange(std::uint32_t peer) { return peers_[peer]->exchange; }
const Blocks& Swarm::blocks(std::uint32_t peer) const { return peers_[peer]->blocks; }

Outcome& Swarm::download(std::uint32_t index, const content_id::ContentId& root, transfer::DownloadOptions options) {
  Peer& peer = *peers_[index];
  const TransferId id = peer.exchange.download(clock.now(), root, std::move(options));
  Outcome& outcome = peer.outcomes[id];
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
  if (std::exchange(peer.draining, true)) return;
  for (bool more = true; more;) {
    more = false;
    while (auto output = peer.exchange.poll_output()) {
      std::visit([&](auto& body) { carry_out(index, body); }, *output);
      more = true;
    }
    if (!more) break;
    for (auto& [id, channel] : peer.channels) {
      peer.exchange.handle_buffered_amount(clock.now(), id, channel.link->buffered());
    }
  }
  peer.draining = false;
}

void Swarm::carry_out(std::uint32_t index, transfer::SendMessage& output) {
  const auto channel = peers_[index]->channels.find(output.peer);
  if (channel == peers_[index]->channels.end()) return;
  constexpr std::uint8_t kHello = 1;
  constexpr std::uint8_t kBlock = 5;
  if (peers_[index]->options.conduct == Conduct::kSilent && output.message[0] != kHello) return;
  if (peers_[index]->options.conduct == Conduct::kLying && output.message[0] == kBlock) output.message.back() ^= 1;
  trace += std::to_string(clock.now().time_since_epoch().count()) + " " + std::to_string(index) + ">" +
           std::to_string(channel->second.remote) + " " + std::to_string(output.message[0]) + " " +
           std::to_string(output.message.size()) + "\n";
  channel->second.link->send(std::move(output.message));
}

void Swarm::carry_out(std::uint32_t index, transfer::ClosePeer& output) { close(index, output.peer); }

void Swarm::carry_out(std::uint32_t index, transfer::LoadBlock& output) {
  later(index, peers_[index]->options.store_delay, [this, output](Peer& peer) {
    const auto found = peer.blocks.find(output.cid);
    const bool here = found != peer.blocks.end();
    peer.exchange.handle_loaded(clock.now(), output.request, here ? found->second : nullptr);
  });
}

void Swarm::carry_out(std::uint32_t index, transfer::StoreBlock& output) {
  peers_[index]->blocks.emplace(output.cid, output.block);
}

void Swarm::carry_out(std::uint32_t index, transfer::HashBytes& output) {
  later(index, peers_[index]->options.hash_delay, [this, output](Peer& peer) {
    peer.exchange.handle_hashed(clock.now(), output.request, sha256(*output.bytes));
  });
}

void Swarm::carry_out(std::uint32_t index, transfer::AskGateway& output) {
  later(index, gateway_.delay, [this, output](Peer& peer) {
    const auto found = gateway_.blocks.find(output.cid);
    if (gateway_.exists && found != gateway_.blocks.end()) {
      peer.exchange.handle_gateway_block(clock.now(), output.request, found->second);
    } else {
      peer.exchange.handle_gateway_failed(clock.now(), output.request,
                                          {ErrorCode::kUnavailable, "all gateways failed"});
    }
  });
}

void Swarm::carry_out(std::uint32_t index, transfer::SetWakeup& output) {
  Peer& peer = *peers_[index];
  if (peer.wakeup) clock.cancel(*peer.wakeup);
  peer.wakeup.reset();
  if (!output.at) return;
  peer.wakeup = later(index, std::max(*output.at - clock.now(), Duration(0)), [this](Peer& woken) {
    woken.wakeup.reset();
    woken.exchange.handle_wakeup(clock.now());
  });
}

void Swarm::carry_out(std::uint32_t index, transfer::FindProviders& output) {
  constexpr Duration kRendezvous = std::chrono::milliseconds(20);
  later(index, kRendezvous, [this, index, output](Peer& peer) {
    std::vector<Provider> found;
    for (const Provider& provider : providers_) {
      if (provider.root == output.root && provider.peer != index && !peers_[provider.peer]->gone) {
        found.push_back(provider);
      }
    }
    peer.exchange.handle_providers(clock.now(), output.transfer, static_cast<std::uint32_t>(found.size()));
    auto pending = std::make_shared<std::uint32_t>(static_cast<std::uint32_t>(found.size()));
    for (const Provider& provider : found) {
      later(index, 4 * provider.link.delay, [this, index, provider, pending, transfer = output.transfer](Peer& finder) {
        if (!peers_[provider.peer]->gone) connect(index, provider, transfer);
        finder.exchange.handle_providers(clock.now(), transfer, --*pending);
      });
    }
  });
}

void Swarm::carry_out(std::uint32_t index, transfer::Data& output) {
  Peer& peer = *peers_[index];
  if (peer.paused) return peer.unread.push_back(std::move(output));
  Outcome& outcome = peer.outcomes[output.transfer];
  if (!outcome.first_byte) outcome.first_byte = clock.now();
  append(outcome.bytes, output.segment.view());
  peer.exchange.consume(clock.now(), output.transfer, output.segment.size);
}

void Swarm::carry_out(std::uint32_t index, transfer::BlockReceived& output) {
  Peer& peer = *peers_[index];
  Outcome& outcome = peer.outcomes[output.transfer];
  switch (output.source) {
    case transfer::SourceKind::kStore: outcome.from_store += output.size; break;
    case transfer::SourceKind::kGateway: outcome.from_gateway += output.size; break;
    case transfer::SourceKind::kPeer: {
      const auto channel = peer.channels.find(output.peer);
      if (channel != peer.channels.end()) outcome.from_peer[channel->second.remote] += output.size;
    }
  }
}

void Swarm::carry_out(std::uint32_t index, transfer::Finished& output) {
  peers_[index]->outcomes[output.transfer].finished = clock.now();
}

void Swarm::carry_out(std::uint32_t index, transfer::Failed& output) {
  peers_[index]->outcomes[output.transfer].error = output.error;
}

void Swarm::connect(std::uint32_t from, const Provider& provider, TransferId transfer) {
  const PeerId near{++last_channel_};
  const PeerId far{++last_channel_};
  const auto open = [&](std::uint32_t local, PeerId local_id, std::uint32_t remote, PeerId remote_id) {
    auto link = std::make_unique<Link>(clock, provider.link, random_());
    link->on_message = [this, remote, remote_id](Bytes message) {
      Peer& receiver = *peers_[remote];
      if (receiver.gone || !receiver.channels.contains(remote_id)) return;
      receiver.exchange.handle_message(clock.now(), remote_id, message);
      drain(remote);
    };
    link->on_sent = [this, local, local_id](std::size_t buffered) {
      if (peers_[local]->gone || buffered > transfer::kSendBuffer / 4) return;
      peers_[local]->exchange.handle_buffered_amount(clock.now(), local_id, buffered);
      drain(local);
    };
    peers_[local]->channels[local_id] = {remote, remote_id, std::move(link)};
  };
  open(from, near, provider.peer, far);
  open(provider.peer, far, from, near);
  peers_[from]->exchange.handle_peer_connected(clock.now(), near, transfer);
  peers_[provider.peer]->exchange.handle_peer_connected(clock.now(), far, std::nullopt);
  drain(provider.peer);
}

/// The channel is gone here at once; the other side hears of it one delay after what was sent before.
void Swarm::close(std::uint32_t index, PeerId id) {
  auto node = peers_[index]->channels.extract(id);
  if (node.empty()) return;
  const std::shared_ptr<Link> link = std::move(node.mapped().link);
  later(node.mapped().remote, std::chrono::seconds(1), [this, link, remote_id = node.mapped().remote_id](Peer& remote) {
    remote.exchange.handle_peer_disconnected(clock.now(), remote_id);
    remote.channels.erase(remote_id);
  });
}

void Swarm::pause(std::uint32_t index) { peers_[index]->paused = true; }

void Swarm::resume(std::uint32_t index) {
  peers_[index]->paused = false;
  for (transfer::Data& data : std::exchange(peers_[index]->unread, {})) carry_out(index, data);
  drain(index);
}

void Swarm::disconnect(std::uint32_t index) {
  Peer& peer = *peers_[index];
  while (!peer.channels.empty()) close(index, peer.channels.begin()->first);
  peer.gone = true;
}

}  // namespace codio::sim
