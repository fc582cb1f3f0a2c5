#include "rendezvous/directory.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "identity/identity.h"

namespace codio::rendezvous {
namespace {

bool is_loopback(std::string_view address) { return address.starts_with("127.") || address == "::1"; }

}  // namespace

Directory::Directory(Options options) : options_(std::move(options)) {}

Result<ConnectionId> Directory::connect(std::string_view address, std::string name, const Challenge& challenge) {
  auto& count = addresses_[std::string(address)];
  if (count >= (is_loopback(address) ? options_.max_per_loopback : options_.max_per_address)) {
    return fail(ErrorCode::kUnavailable, "too many connections from " + std::string(address));
  }
  const ConnectionId id{++last_id_};
  ++count;
  Connection& connection = connections_[id];
  connection.peer_id = std::move(name);
  connection.address = address;
  connection.challenge = challenge;
  send(id, Welcome{connection.peer_id, options_.ice_servers, options_.max_announced, challenge});
  return id;
}

void Directory::disconnect(ConnectionId id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  while (!connection.announced.empty()) withdraw(connection, index_.find(connection.announced.begin()->first->first));
  // The sessions that others offered to it stay until they are old: an answer can no longer come.
  for (auto session = sessions_.lower_bound({id, {}, {}});
       session != sessions_.end() && std::get<0>(session->first) == id;) {
    sessions_by_age_.erase(session->second);
    session = sessions_.erase(session);
  }
  const auto address = addresses_.find(connection.address);
  if (--address->second == 0) addresses_.erase(address);
  if (connection.has_joined) peers_.erase(connection.peer_id);
  connections_.erase(found);
}

void Directory::handle_message(Time now, ConnectionId id, std::string_view text) {
  forget_old_sessions(now);
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  if (text.size() > kMaxMessage) return close(id, CloseCode::kTooBig, "a message is longer than 64 KiB");
  if (!take_from_bucket(now, connection)) {
    if (++connection.refused >= options_.max_refused) {
      return close(id, CloseCode::kPolicy, "too many messages in spite of rate-limited");
    }
    return refuse(id, refusal::kRateLimited, "more than " + std::to_string(options_.rate) + " messages a second");
  }
  auto message = parse_client_message(text);
  if (!message) return send(id, std::move(message.error()));
  if (!connection.has_joined && !std::holds_alternative<Join>(*message)) {
    return refuse(id, refusal::kNotJoined, "the first message of a client is join");
  }
  std::visit([&](const auto& one) { handle(now, id, connection, one); }, *message);
}

void Directory::handle_wakeup(Time now) { forget_old_sessions(now); }

std::optional<Output> Directory::poll_output() {
  if (outputs_.empty()) return std::nullopt;
  Output output = std::move(outputs_.front());
  outputs_.pop_front();
  return output;
}

std::optional<Time> Directory::next_wakeup() const {
  if (sessions_by_age_.empty()) return std::nullopt;
  return sessions_by_age_.front().last_used + options_.session_timeout;
}

void Directory::handle(Time /*now*/, ConnectionId id, Connection& connection, const Join& message) {
  if (connection.has_joined) return refuse(id, refusal::kMalformed, "this connection has joined already");
  if (!message.peer.empty()) {
    const auto key = identity::key_of(message.peer);
    if (!key || !identity::verify(*key, identity::Purpose::kJoin, connection.challenge, message.signature)) {
      const std::string why = message.peer + " did not sign the challenge of this connection";
      refuse(id, refusal::kForged, why);
      return close(id, CloseCode::kPolicy, why);
    }
    connection.peer_id = message.peer;
    // A dead connection of its own must not keep a peer out.
    if (const auto other = peers_.find(message.peer); other != peers_.end()) {
      close(other->second, CloseCode::kReplaced, "another connection joined as this peer");
    }
  }
  connection.has_joined = true;
  const bool is_new = peers_.emplace(connection.peer_id, id).second;
  check(is_new);
  send(id, Joined{connection.peer_id});
}

void Directory::handle(Time /*now*/, ConnectionId id, Connection& connection, const Announce& message) {
  std::size_t refused = 0;
  for (const auto& cid : message.cids) {
    auto key = content_key(cid);
    auto provided = index_.find(key);
    if (provided != index_.end() && connection.announced.contains(&*provided)) continue;
    if (connection.announced.size() >= options_.max_announced || announced_ >= options_.max_announced_all) {
      ++refused;
      continue;
    }
    if (provided == index_.end()) provided = index_.emplace(std::move(key), Provided{}).first;
    auto& providers = provided->second.connections;
    connection.announced.emplace(&*provided, providers.size());
    providers.push_back(id);
    ++announced_;
  }
  if (refused > 0) {
    refuse(id, refusal::kTooMany,
           std::to_string(refused) + " CIDs were not announced: " + std::to_string(connection.announced.size()) +
               " of this connection are, " + std::to_string(announced_) + " of all");
  }
}

void Directory::handle(Time /*now*/, ConnectionId /*id*/, Connection& connection, const Withdraw& message) {
  for (const auto& cid : message.cids) {
    const auto provided = index_.find(content_key(cid));
    if (provided != index_.end() && connection.announced.contains(&*provided)) withdraw(connection, provided);
  }
}

void Directory::handle(Time /*now*/, ConnectionId id, Connection& /*connection*/, const Find& message) {
  Providers answer{message.id, message.cid, {}};
  if (const auto found = index_.find(content_key(message.cid)); found != index_.end()) {
    auto& [providers, next] = found->second;
    const std::size_t count = providers.size();
    std::size_t looked_at = 0;
    for (; looked_at < count && answer.peers.size() < kMaxProviders; ++looked_at) {
      const ConnectionId provider = providers[(next + looked_at) % count];
      if (provider != id) answer.peers.push_back(connections_.at(provider).peer_id);
    }
    // After all were named, the next answer still begins with another.
    next = (next + (looked_at == count ? 1 : looked_at)) % count;
  }
  send(id, answer);
}

void Directory::handle(Time now, ConnectionId id, Connection& connection, const Offer& message) {
  const auto to = find_peer(id, message.peer, message.session);
  if (!to) return;
  if (!use_session(now, id, *to, message.session)) {
    if (connection.sessions >= options_.max_sessions) {
      return refuse(id, refusal::kTooMany, std::to_string(connection.sessions) + " sessions are open");
    }
    SessionKey key{id, *to, message.session};
    const auto session = sessions_by_age_.insert(sessions_by_age_.end(), Session{key, now});
    sessions_.emplace(std::move(key), session);
    ++connection.sessions;
  }
  pass_on(id, connection, *to, message);
}

void Directory::handle(Time now, ConnectionId id, Connection& connection, const Answer& message) {
  const auto to = find_peer(id, message.peer, message.session);
  if (!to) return;
  if (!use_session(now, *to, id, message.session)) {
    return refuse(id, refusal::kNoSession, message.peer + " did not offer session " + message.session);
  }
  pass_on(id, connection, *to, message);
}

void Directory::handle(Time now, ConnectionId id, Connection& connection, const Candidate& message) {
  const auto to = find_peer(id, message.peer, message.session);
  if (!to) return;
  if (!use_session(now, id, *to, message.session) && !use_session(now, *to, id, message.session)) {
    return refuse(id, refusal::kNoSession, "there is no session " + message.session + " with " + message.peer);
  }
  pass_on(id, connection, *to, message);
}

bool Directory::take_from_bucket(Time now, Connection& connection) const {
  const Duration one = Duration(std::chrono::seconds(1)) / options_.rate;
  if (connection.bucket_full_at <= now) connection.refused = 0;
  const Time full_at = std::max(connection.bucket_full_at, now) + one;
  if (full_at > now + one * options_.burst) return false;
  connection.bucket_full_at = full_at;
  return true;
}

void Directory::withdraw(Connection& connection, Index::iterator provided) {
  const auto announced = connection.announced.find(&*provided);
  const std::size_t position = announced->second;
  connection.announced.erase(announced);
  --announced_;

  auto& [providers, next] = provided->second;
  if (position + 1 != providers.size()) {
    providers[position] = providers.back();
    connections_.at(providers[position]).announced.at(&*provided) = position;
  }
  providers.pop_back();
  if (providers.empty()) {
    index_.erase(provided);
  } else {
    next %= providers.size();
  }
}

// The connection of a peer id; tells the asker if there is none.
std::optional<ConnectionId> Directory::find_peer(ConnectionId asker, const std::string& peer,
                                                 const std::string& session) {
  const auto found = peers_.find(peer);
  if (found != peers_.end()) return found->second;
  send(asker, Unreachable{peer, session});
  return std::nullopt;
}

bool Directory::use_session(Time now, ConnectionId offerer, ConnectionId answerer, const std::string& name) {
  const auto found = sessions_.find({offerer, answerer, name});
  if (found == sessions_.end()) return false;
  found->second->last_used = now;
  sessions_by_age_.splice(sessions_by_age_.end(), sessions_by_age_, found->second);
  return true;
}

void Directory::forget_old_sessions(Time now) {
  while (!sessions_by_age_.empty() && sessions_by_age_.front().last_used + options_.session_timeout <= now) {
    const SessionKey& key = sessions_by_age_.front().key;
    --connections_.at(std::get<0>(key)).sessions;
    sessions_.erase(key);
    sessions_by_age_.pop_front();
  }
}

// The JSON is at most as long as what came, but for the peer id.
template <class Message>
void Directory::pass_on(ConnectionId from, const Connection& sender, ConnectionId to, Message message) {
  message.peer = sender.peer_id;
  std::string text = to_json(ServerMessage{std::move(message)});
  if (text.size() > kMaxMessage) return refuse(from, refusal::kTooLarge, "passed on, it would be over 64 KiB");
  outputs_.emplace_back(Send{to, std::move(text)});
}

void Directory::send(ConnectionId to, const ServerMessage& message) {
  outputs_.emplace_back(Send{to, to_json(message)});
}

void Directory::refuse(ConnectionId to, std::string_view code, std::string message) {
  send(to, Refusal{std::string(code), std::move(message), std::nullopt});
}

void Directory::close(ConnectionId id, CloseCode code, std::string reason) {
  disconnect(id);
  outputs_.emplace_back(Close{id, code, std::move(reason)});
}

}  // namespace codio::rendezvous
