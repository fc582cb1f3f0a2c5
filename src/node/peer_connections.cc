// WebRTC connections to peers: how they are made, who is at the other end, and who is not met again.
#include <algorithm>
#include <array>
#include <random>
#include <utility>

#include "node/transfer_manager_impl.h"

namespace codio::node {
namespace {

/// Peers that sent bad bytes or proved nothing, and are not connected to again.
constexpr std::size_t kMaxBanned = 4096;
/// How long a rendezvous is not believed about a peer that did not prove who it was: docs/protocol.md §4.
constexpr Duration kDistrust = std::chrono::minutes(10);
/// Two that offer to each other at once, or a reconnection before the old one is known to be lost.
constexpr std::ptrdiff_t kMaxConnectionsOfPeer = 2;

/// Whether it sent what nobody sends who keeps to the protocol. One that was idle, or left, may be met again.
bool is_bad(ErrorCode code) { return code == ErrorCode::kMismatch || code == ErrorCode::kMalformed; }

std::string random_session() {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::string session(16, ' ');
  for (char& c : session) c = kAlphabet[random() % kAlphabet.size()];
  return session;
}

}  // namespace

void TransferManager::Impl::carry_out(transfer::ClosePeer& output) {
  if (const auto http = http_peers_.find(output.peer); http != http_peers_.end()) {
    log("asks " + http->second->gateway() + " no more: " + output.reason.message);
    if (is_bad(output.reason.code)) ban({std::nullopt, http->second->gateway()}, options_.ban);
    return drop_http(output.peer);
  }
  const auto connection = connections_.find(output.peer);
  if (connection == connections_.end()) return;
  const std::size_t client = connection->second->client;
  const std::string& peer = connection->second->peer;
  log("closed the connection to peer " + peer + " of " + name_of(client) + ": " + output.reason.message);
  if (is_bad(output.reason.code)) ban({std::nullopt, peer}, options_.ban);
  if (output.reason.code == ErrorCode::kForged) ban({client, peer}, kDistrust);
  connections_.erase(output.peer);
}

void TransferManager::Impl::ban(Banned who, Duration how_long) {
  std::erase_if(banned_, [](const auto& entry) { return entry.second <= now(); });
  if (banned_.size() < kMaxBanned) banned_.insert_or_assign(std::move(who), now() + how_long);
}

bool TransferManager::Impl::is_banned(std::size_t client, const std::string& peer) const {
  return std::ranges::any_of(std::array{Banned{std::nullopt, peer}, Banned{client, peer}}, [this](const Banned& who) {
    const auto found = banned_.find(who);
    return found != banned_.end() && found->second > now();
  });
}

void TransferManager::Impl::carry_out(transfer::VerifyPeer& output) {
  const auto connection = connections_.find(output.peer);
  if (connection == connections_.end()) return;
  exchange_.handle_verified(now(), output.peer, is_proven(*connection->second, output.proof));
}

Bytes TransferManager::Impl::fingerprints(const webrtc::Fingerprint& sender, const webrtc::Fingerprint& receiver) {
  Bytes both(sender.begin(), sender.end());
  append(both, receiver);
  return both;
}

bool TransferManager::Impl::is_proven(const Connection& connection, const transfer::wire::Proof& proof) {
  return identity::key_of(connection.peer) == proof.key &&
         identity::verify(proof.key, identity::Purpose::kHello, fingerprints(*connection.remote, *connection.local),
                          proof.signature);
}

transfer::Introduction TransferManager::Impl::introduction(const Connection& connection) const {
  return {.proof = transfer::wire::Proof{.key = key_.public_key(),
                                         .signature = key_.sign(identity::Purpose::kHello,
                                                                fingerprints(*connection.local, *connection.remote))},
          .must_prove = identity::key_of(connection.peer).has_value()};
}

rendezvous::Client::Options TransferManager::Impl::client_options() const {
  rendezvous::Client::Options options;
  options.key = key_;
  return options;
}

std::string TransferManager::Impl::name_of(std::size_t client) const {
  const auto found = clients_.find(client);
  return found == clients_.end() ? "a rendezvous that was left" : found->second->url().text;
}

void TransferManager::Impl::use_ice_servers(std::size_t client, const std::vector<rendezvous::IceServer>& servers) {
  auto& named = ice_servers_[client];
  named.clear();
  for (const auto& server : servers) named.push_back({server.urls, server.username, server.credential});
  std::vector<webrtc::IceServer> all = options_.ice_servers;
  for (const auto& [_, more] : ice_servers_) all.insert(all.end(), more.begin(), more.end());
  connections_factory_->set_ice_servers(std::move(all));
}

rendezvous::ClientEvents TransferManager::Impl::client_events(std::size_t client) {
  return {
      .on_connected = [this,
                       client](const rendezvous::Welcome& welcome) { use_ice_servers(client, welcome.ice_servers); },
      .on_disconnected = [this](const Error& error) { log(error.message); },
      .on_offer = [this, client](rendezvous::Offer offer) { handle_offer(client, std::move(offer)); },
      .on_answer =
          [this, client](rendezvous::Answer answer) {
            if (Connection* connection = find_session(client, answer.peer, answer.session)) {
              describe_remote(*connection, "answer", std::move(answer.sdp));
            }
          },
      .on_candidate =
          [this, client](const rendezvous::Candidate& candidate) {
            if (Connection* connection = find_session(client, candidate.peer, candidate.session)) {
              connection->channel->handle_remote_candidate({candidate.candidate, candidate.mid});
            }
          },
      .on_unreachable =
          [this, client](const rendezvous::Unreachable& unreachable) {
            const Connection* connection = find_session(client, unreachable.peer, unreachable.session);
            if (connection != nullptr && !connection->is_open) {
              close(id_of(*connection), {ErrorCode::kUnavailable, "the peer is not at the rendezvous any more"});
            }
          },
      .on_ice_servers =
          [this, client](const std::vector<rendezvous::IceServer>& servers) { use_ice_servers(client, servers); },
      .on_warning = [this](const Error& error) { log(error.message); },
  };
}

void TransferManager::Impl::connect(std::size_t client, const std::string& peer, std::optional<TransferId> transfer,
                                    OnConnected on_connected) {
  if (is_banned(client, peer)) {
    return on_connected(fail(ErrorCode::kUnavailable, "it sent bad bytes, or did not prove who it is, before"));
  }
  for (auto& [id, connection] : connections_) {
    if (connection->client != client || connection->peer != peer) continue;
    if (!connection->is_open) {
      connection->waiting.emplace_back(transfer, std::move(on_connected));
      return;
    }
    if (transfer) exchange_.handle_peer_provides(now(), id, *transfer);
    return on_connected({});
  }
  if (connections_.size() >= options_.max_connections) {
    return on_connected(fail(ErrorCode::kUnavailable, "too many connections are open"));
  }
  Connection& connection = add_connection(client, peer, random_session(), true);
  connection.waiting.emplace_back(transfer, std::move(on_connected));
  connection.channel->offer();
}

void TransferManager::Impl::handle_offer(std::size_t client, rendezvous::Offer offer) {
  // A quarter of the connections is kept for those that we begin.
  if (connections_.size() >= options_.max_connections / 4 * 3 || is_banned(client, offer.peer)) return;
  if (find_session(client, offer.peer, offer.session) != nullptr) return;
  const auto of_peer = std::count_if(connections_.begin(), connections_.end(),
                                     [&](const auto& entry) { return entry.second->peer == offer.peer; });
  if (of_peer >= kMaxConnectionsOfPeer) return;
  describe_remote(add_connection(client, offer.peer, offer.session, false), "offer", std::move(offer.sdp));
}

void TransferManager::Impl::describe_remote(Connection& connection, std::string_view type, std::string sdp) {
  if (connection.remote) return;
  const auto fingerprint = webrtc::fingerprint_of(sdp);
  if (!fingerprint) return close(id_of(connection), fingerprint.error());
  connection.remote = *fingerprint;
  connection.channel->handle_remote_description(type, std::move(sdp));
}

TransferManager::Impl::Connection& TransferManager::Impl::add_connection(std::size_t client, const std::string& peer,
                                                                         const std::string& session, bool is_offerer) {
  const PeerId id{++last_peer_};
  Connection& connection = *connections_
                                .emplace(id, std::make_unique<Connection>(Connection{
                                                 .client = client,
                                                 .peer = peer,
                                                 .session = session,
                                                 .channel = nullptr,
                                             }))
                                .first->second;
  connection.channel = connections_factory_->create(channel_events(id, client, peer, session, is_offerer));
  return connection;
}

webrtc::PeerConnectionEvents TransferManager::Impl::channel_events(PeerId id, std::size_t client,
                                                                   const std::string& peer, const std::string& session,
                                                                   bool is_offerer) {
  return {
      .on_local_description =
          [this, id, client, peer, session, is_offerer](std::string sdp) {
            const auto fingerprint = webrtc::fingerprint_of(sdp);
            if (!fingerprint) return close(id, fingerprint.error());
            connections_.at(id)->local = *fingerprint;
            if (is_offerer) {
              signal(client, rendezvous::Offer{peer, session, std::move(sdp)});
            } else {
              signal(client, rendezvous::Answer{peer, session, std::move(sdp)});
            }
          },
      .on_local_candidate =
          [this, client, peer, session](webrtc::IceCandidate candidate) {
            signal(client,
                   rendezvous::Candidate{peer, session, std::move(candidate.candidate), std::move(candidate.mid)});
          },
      .on_open = [this, id] { handle_open(id); },
      .on_message =
          [this, id](BytesView message) {
            exchange_.handle_message(now(), id, message);
            drain();
          },
      .on_buffered_amount =
          [this, id](std::size_t bytes) {
            exchange_.handle_buffered_amount(now(), id, bytes);
            drain();
          },
      .on_closed = [this, id](Error reason) { close(id, std::move(reason)); },
  };
}

void TransferManager::Impl::handle_open(PeerId id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  connection.is_open = true;
  auto waiting = std::exchange(connection.waiting, {});
  exchange_.handle_peer_connected(now(), id, waiting.empty() ? std::nullopt : waiting.front().first,
                                  introduction(connection));
  for (auto& [transfer, on_connected] : waiting) {
    if (transfer) exchange_.handle_peer_provides(now(), id, *transfer);
    on_connected({});
  }
  drain();
}

void TransferManager::Impl::close(PeerId id, Error reason) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  const auto waiting = std::exchange(found->second->waiting, {});
  exchange_.handle_peer_disconnected(now(), id);
  connections_.erase(id);
  for (const auto& [transfer, on_connected] : waiting) on_connected(std::unexpected(reason));
  drain_later();
}

TransferManager::Impl::Connection* TransferManager::Impl::find_session(std::size_t client, const std::string& peer,
                                                                       const std::string& session) {
  for (auto& [id, connection] : connections_) {
    if (connection->client == client && connection->peer == peer && connection->session == session) {
      return connection.get();
    }
  }
  return nullptr;
}

PeerId TransferManager::Impl::id_of(const Connection& wanted) const {
  return std::find_if(connections_.begin(), connections_.end(),
                      [&](const auto& entry) { return entry.second.get() == &wanted; })
      ->first;
}

}  // namespace codio::node
