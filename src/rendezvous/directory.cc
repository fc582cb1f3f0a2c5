#include "rendezvous/directory.h"

#include <algorithm>
#include <arpa/inet.h>
#include <bit>
#include <cstring>
#include <netinet/in.h>
#include <tuple>
#include <utility>

#include "common/check.h"
#include "identity/identity.h"

namespace codio::rendezvous {
namespace {

constexpr std::size_t kNearest = 32;  // On each side of the asker, in the order of addresses.
constexpr std::size_t kInTurn = 64;
constexpr int kLeavingRate = 100;  // Clients a second: what a sister node takes beside its own work.

// The bits that both begin with.
template <class Address>
int common_prefix(const Address& a, const Address& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i]) return static_cast<int>(8 * i) + std::countl_zero(static_cast<std::uint8_t>(a[i] ^ b[i]));
  }
  return 128;
}

constexpr std::array<std::uint8_t, 12> kV4Prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

template <class Address>
bool is_v4(const Address& address) {
  return std::equal(kV4Prefix.begin(), kV4Prefix.end(), address.begin());
}

}  // namespace

Directory::Directory(Options options) : options_(std::move(options)) {}

Result<ConnectionId> Directory::connect(std::string_view address, std::string name, const Challenge& challenge) {
  const Address parsed = parse_address(address);
  auto& use = addresses_[limited(parsed)];
  if (use.connections >= (is_loopback(parsed) ? options_.max_per_loopback : options_.max_per_address)) {
    return fail(ErrorCode::kUnavailable, "too many connections from " + std::string(address));
  }
  const ConnectionId id{++last_id_};
  ++use.connections;
  Connection& connection = connections_[id];
  connection.peer_id = std::move(name);
  connection.address = parsed;
  connection.challenge = challenge;
  const auto lifetime = std::chrono::duration_cast<std::chrono::seconds>(options_.announce_lifetime);
  send(id, Welcome{connection.peer_id, options_.ice_servers, options_.max_announced, challenge,
                   static_cast<std::uint64_t>(lifetime.count())});
  return id;
}

void Directory::disconnect(ConnectionId id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  while (!connection.announced.empty()) {
    withdraw(id, connection, index_.find(connection.announced.begin()->first->first));
  }
  // The sessions that others offered to it stay until they are old: an answer can no longer come.
  for (auto session = sessions_.lower_bound({id, {}, {}});
       session != sessions_.end() && std::get<0>(session->first) == id;) {
    forget((session++)->second);
  }
  if (connection.is_remote) {
    --remotes_;
  } else {
    const auto address = addresses_.find(limited(connection.address));
    if (--address->second.connections == 0) addresses_.erase(address);
  }
  if (connection.has_joined) peers_.erase(connection.peer_id);
  connections_.erase(found);
}

void Directory::handle_message(Time now, ConnectionId id, std::string_view text) {
  handle_wakeup(now);
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  if (text.size() > kMaxMessage) return close(id, CloseCode::kTooBig, "a message is longer than 64 KiB");
  if (!take_from_buckets(now, connection)) {
    if (++connection.refused >= static_cast<std::uint32_t>(options_.max_refused)) {
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

void Directory::handle_found(SearchId id, const std::vector<std::string>& peers,
                             const std::vector<Elsewhere>& elsewhere, bool is_done) {
  const auto found = searches_.find(id);
  if (found == searches_.end()) return;
  const bool is_last = is_done && --found->second.searchers == 0;
  if (!is_last && peers.empty() && elsewhere.empty()) return;
  const auto count = static_cast<std::ptrdiff_t>(std::min(peers.size(), kMaxProviders));
  std::vector<Elsewhere> told;
  for (const Elsewhere& one : elsewhere) {
    if (told.size() < kMaxElsewhere && is_elsewhere(one)) told.push_back(one);
  }
  for (const auto& [connection, question] : found->second.askers) {
    const auto asker = connections_.find(connection);
    if (asker == connections_.end()) continue;
    if (is_last) --asker->second.waiting;
    Providers answer{question.id, question.cid, {peers.begin(), peers.begin() + count}, told, !is_last};
    std::erase(answer.peers, asker->second.peer_id);
    send(connection, answer);
  }
  if (!is_last) return;
  searched_.erase(found->second.key);
  searches_.erase(found);
}

std::optional<ConnectionId> Directory::connect_remote(const std::string& peer_id) {
  const ConnectionId id{last_id_ + 1};
  if (!peers_.emplace(peer_id, id).second) return std::nullopt;
  ++last_id_;
  Connection& connection = connections_[id];
  connection.peer_id = peer_id;
  connection.is_remote = true;
  connection.has_joined = true;
  ++remotes_;
  return id;
}

bool Directory::is_remote(ConnectionId id) const {
  const auto found = connections_.find(id);
  return found != connections_.end() && found->second.is_remote;
}

void Directory::handle_signal(Time now, ConnectionId id, const Signal& signal) {
  handle_wakeup(now);
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  if (connection.is_remote && !take_from_buckets(now, connection)) return;
  std::visit([&](const auto& one) { handle(now, id, connection, one); }, signal);
}

void Directory::handle_not_located(ConnectionId asker, const std::string& peer, const std::string& session) {
  if (connections_.contains(asker)) send(asker, Unreachable{peer, session});
}

void Directory::handle_unreachable(ConnectionId remote, const std::string& to, const std::string& session) {
  const auto from = connections_.find(remote);
  const auto asker = peers_.find(to);
  if (from == connections_.end() || asker == peers_.end() || is_remote(asker->second)) return;
  if (!sessions_.contains({asker->second, remote, session}) && !sessions_.contains({remote, asker->second, session})) {
    return;
  }
  send(asker->second, Unreachable{from->second.peer_id, session});
}

bool Directory::has(const std::string& peer_id) const {
  const auto found = peers_.find(peer_id);
  return found != peers_.end() && !is_remote(found->second);
}

std::vector<std::string> Directory::providers(const content_id::ContentId& cid) {
  const auto found = index_.find(content_key(cid));
  return found == index_.end() ? std::vector<std::string>() : choose({}, {}, found->second);
}

void Directory::handle_wakeup(Time now) {
  forget_old_sessions(now);
  forget_old_announcements(now);
  end_old_searches(now);
}

void Directory::handle_round_trip(ConnectionId id, Duration round_trip) {
  const auto found = connections_.find(id);
  if (found != connections_.end()) found->second.round_trip = round_trip;
}

void Directory::set_ice_servers(std::vector<IceServer> servers) {
  options_.ice_servers = std::move(servers);
  for (const auto& [id, connection] : connections_) {
    if (!connection.is_remote) send(id, IceServers{options_.ice_servers});
  }
}

Duration Directory::leave(Duration most) {
  const auto count = static_cast<std::int64_t>(connections());
  const Duration all = std::min(most, Duration(std::chrono::seconds(1)) * count / kLeavingRate);
  std::int64_t order = 0;
  for (const auto& [id, connection] : connections_) {
    if (connection.is_remote) continue;
    const auto after = std::chrono::duration_cast<std::chrono::milliseconds>(all * order++ / count);
    send(id, Moving{static_cast<std::uint64_t>(after.count())});
  }
  return all;
}

std::optional<Output> Directory::poll_output() {
  if (outputs_.empty()) return std::nullopt;
  Output output = std::move(outputs_.front());
  outputs_.pop_front();
  return output;
}

std::optional<Time> Directory::next_wakeup() const {
  std::optional<Time> when;
  if (!sessions_by_age_.empty()) when = sessions_by_age_.front().last_used + options_.session_timeout;
  const auto no_later_than = [&](Time time) { when = std::min(when.value_or(time), time); };
  if (!searches_.empty()) no_later_than(searches_.begin()->second.deadline);
  if (!sweeps_.empty()) no_later_than(sweeps_.begin()->first);
  return when;
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
  }
  // A dead connection of its own, or one at another node that it left, must not keep a peer out.
  if (const auto other = peers_.find(connection.peer_id); other != peers_.end()) {
    close(other->second, CloseCode::kReplaced, "another connection joined as this peer");
  }
  connection.has_joined = true;
  const bool is_new = peers_.emplace(connection.peer_id, id).second;
  check(is_new);
  send(id, Joined{connection.peer_id});
}

void Directory::handle(Time now, ConnectionId id, Connection& connection, const Announce& message) {
  std::size_t refused = 0;
  auto& use = addresses_.at(limited(connection.address));
  const std::size_t most_of_address =
      is_loopback(connection.address) ? options_.max_announced_all : options_.max_announced_per_address;
  for (const auto& cid : message.cids) {
    auto key = content_key(cid);
    auto provided = index_.find(key);
    if (provided != index_.end()) {
      if (const auto before = connection.announced.find(&*provided); before != connection.announced.end()) {
        before->second = now;
        continue;
      }
    }
    if (connection.announced.size() >= options_.max_announced || announced_ >= options_.max_announced_all ||
        use.announced >= most_of_address) {
      ++refused;
      continue;
    }
    if (provided == index_.end()) provided = index_.emplace(std::move(key), Provided{}).first;
    if (connection.announced.empty()) {
      connection.sweep_at = now + options_.announce_lifetime;
      sweeps_.emplace(connection.sweep_at, id);
    }
    connection.announced.emplace(&*provided, now);
    provided->second.providers.insert({connection.address, id, &connection});
    ++announced_;
    ++use.announced;
  }
  if (refused > 0) {
    refuse(id, refusal::kTooMany,
           std::to_string(refused) + " CIDs were not announced: " + std::to_string(connection.announced.size()) +
               " of this connection are, " + std::to_string(announced_) + " of all");
  }
}

void Directory::handle(Time /*now*/, ConnectionId id, Connection& connection, const Withdraw& message) {
  for (const auto& cid : message.cids) {
    const auto provided = index_.find(content_key(cid));
    if (provided != index_.end() && connection.announced.contains(&*provided)) withdraw(id, connection, provided);
  }
}

void Directory::handle(Time now, ConnectionId id, Connection& connection, const Find& message) {
  Providers answer{message.id, message.cid, {}};
  if (const auto found = index_.find(content_key(message.cid)); found != index_.end()) {
    answer.peers = choose(id, connection.address, found->second);
  }
  const SearchId last_search{last_search_};
  answer.more = answer.peers.size() < options_.enough_providers && search(now, id, connection, message);
  send(id, answer);
  // A host that answers at once must not overtake this answer.
  if (last_search.value != last_search_) outputs_.emplace_back(Search{SearchId{last_search_}, message.cid});
}

void Directory::handle(Time now, ConnectionId id, Connection& connection, const Offer& message) {
  const auto to = find_peer(id, message);
  if (!to) return;
  if (!use_session(now, id, *to, message.session)) {
    if (connection.sessions >= options_.max_sessions) {
      return refuse(id, refusal::kTooMany, std::to_string(connection.sessions) + " sessions are open");
    }
    SessionKey key{id, *to, message.session};
    const auto session = sessions_by_age_.insert(sessions_by_age_.end(), Session{key, now});
    sessions_.emplace(std::move(key), session);
    ++connection.sessions;
    ++connections_.at(*to).offered;
  }
  pass_on(id, connection, *to, message);
}

void Directory::handle(Time now, ConnectionId id, Connection& connection, const Answer& message) {
  const auto to = find_peer(id, message);
  if (!to) return;
  if (!use_session(now, *to, id, message.session)) {
    return refuse(id, refusal::kNoSession, message.peer + " did not offer session " + message.session);
  }
  pass_on(id, connection, *to, message);
}

void Directory::handle(Time now, ConnectionId id, Connection& connection, const Candidate& message) {
  const auto to = find_peer(id, message);
  if (!to) return;
  if (!use_session(now, id, *to, message.session) && !use_session(now, *to, id, message.session)) {
    return refuse(id, refusal::kNoSession, "there is no session " + message.session + " with " + message.peer);
  }
  pass_on(id, connection, *to, message);
}

Directory::Address Directory::parse_address(std::string_view text) {
  const std::string terminated(text.substr(0, text.find('%')));  // An interface's name is of no use here.
  Address address{};
  if (in_addr v4{}; inet_pton(AF_INET, terminated.c_str(), &v4) == 1) {
    std::copy(kV4Prefix.begin(), kV4Prefix.end(), address.begin());
    std::memcpy(&address[kV4Prefix.size()], &v4, sizeof v4);
  } else if (in6_addr v6{}; inet_pton(AF_INET6, terminated.c_str(), &v6) == 1) {
    std::memcpy(address.data(), &v6, sizeof v6);
  }
  return address;
}

// What limits count: an IPv6 user has a whole /64.
Directory::Address Directory::limited(Address address) {
  if (!is_v4(address) && !is_loopback(address)) std::fill(address.begin() + 8, address.end(), std::uint8_t{0});
  return address;
}

bool Directory::is_loopback(const Address& address) {
  if (is_v4(address)) return address[12] == 127;
  return std::all_of(address.begin(), address.end() - 1, [](auto byte) { return byte == 0; }) && address[15] == 1;
}

bool Directory::take_from_buckets(Time now, Connection& connection) {
  const auto level_after = [now](Time full_at, int rate) {
    return std::max(full_at, now) + Duration(std::chrono::seconds(1)) / rate;
  };
  const auto has_room = [now](Time full_at, int rate, int burst) {
    return full_at <= now + Duration(std::chrono::seconds(1)) / rate * burst;
  };
  if (connection.bucket_full_at <= now) connection.refused = 0;
  const Time own = level_after(connection.bucket_full_at, options_.rate);
  if (!has_room(own, options_.rate, options_.burst)) return false;
  if (!connection.is_remote && !is_loopback(connection.address)) {
    auto& use = addresses_.at(limited(connection.address));
    const Time all = level_after(use.bucket_full_at, options_.rate_per_address);
    if (!has_room(all, options_.rate_per_address, options_.burst_per_address)) return false;
    use.bucket_full_at = all;
  }
  connection.bucket_full_at = own;
  return true;
}

void Directory::withdraw(ConnectionId id, Connection& connection, Index::iterator provided) {
  connection.announced.erase(&*provided);
  if (connection.announced.empty()) sweeps_.erase({connection.sweep_at, id});
  --announced_;
  --addresses_.at(limited(connection.address)).announced;
  provided->second.providers.erase({connection.address, id});
  if (provided->second.providers.empty()) index_.erase(provided);
}

void Directory::forget_old_announcements(Time now) {
  while (!sweeps_.empty() && sweeps_.begin()->first <= now) {
    const ConnectionId id = sweeps_.begin()->second;
    Connection& connection = connections_.at(id);
    std::vector<Index::value_type*> old;
    Time oldest = now;
    for (const auto& [provided, announced_at] : connection.announced) {
      if (announced_at + options_.announce_lifetime <= now) {
        old.push_back(provided);
      } else {
        oldest = std::min(oldest, announced_at);
      }
    }
    for (auto* provided : old) withdraw(id, connection, index_.find(provided->first));
    if (connection.announced.empty()) continue;
    sweeps_.erase({connection.sweep_at, id});
    connection.sweep_at = oldest + options_.announce_lifetime;
    sweeps_.emplace(connection.sweep_at, id);
  }
}

// Of many providers only some are looked at: those whose addresses are next to the asker's, and those whose turn it is.
std::vector<std::string> Directory::choose(ConnectionId asker, const Address& near, Provided& provided) const {
  const auto& providers = provided.providers;
  std::vector<std::pair<std::size_t, const Connection*>> chosen;  // By cost; equal ones by turn.
  const bool is_many = providers.size() > kInTurn;
  std::set<ConnectionId> seen;
  const auto consider = [&](const Provider& provider) {
    if (provider.connection == asker || (is_many && !seen.insert(provider.connection).second)) return;
    chosen.emplace_back(cost(*provider.client, near), provider.client);
  };
  auto turn = providers.upper_bound(provided.last);
  std::vector<const Provider*> in_turn;
  for (std::size_t i = 0; i < std::min(kInTurn, providers.size()); ++i, ++turn) {
    if (turn == providers.end()) turn = providers.begin();
    in_turn.push_back(&*turn);
    consider(*turn);
  }
  if (is_many) {
    const auto middle = providers.lower_bound({near, {}});
    auto after = middle;
    for (std::size_t i = 0; i < kNearest && after != providers.end(); ++i) consider(*after++);
    auto before = middle;
    for (std::size_t i = 0; i < kNearest && before != providers.begin(); ++i) consider(*--before);
  }

  std::ranges::stable_sort(chosen, {}, [](const auto& entry) { return entry.first; });
  if (chosen.size() > kMaxProviders) chosen.resize(kMaxProviders);
  // After all were named, the next answer still begins with another.
  provided.last = *in_turn[providers.size() > kMaxProviders ? std::min(kMaxProviders, in_turn.size()) - 1 : 0];
  std::vector<std::string> peers;
  for (const auto& [_, connection] : chosen) peers.push_back(connection->peer_id);
  return peers;
}

// In sessions: a provider in the asker's own network is worth two more than one in its region, and so on.
std::size_t Directory::cost(const Connection& provider, const Address& near) const {
  const int prefix = common_prefix(provider.address, near);
  const bool v4 = is_v4(near);
  if (prefix >= (v4 ? 96 + 24 : 48)) return provider.offered;
  if (v4 && prefix >= 96 + 16) return provider.offered + 2;
  const auto trips = provider.round_trip / Duration(std::chrono::milliseconds(50));
  return provider.offered + 4 + static_cast<std::size_t>(std::clamp<std::int64_t>(trips, 0, 4));
}

void Directory::forget(Sessions::iterator session) {
  const auto& [offerer, answerer, name] = session->key;
  --connections_.at(offerer).sessions;
  if (const auto found = connections_.find(answerer); found != connections_.end()) --found->second.offered;
  sessions_.erase(session->key);
  sessions_by_age_.erase(session);
}

// The connection of the peer that it is to; if there is none, has it located, or tells the asker.
std::optional<ConnectionId> Directory::find_peer(ConnectionId asker, const Signal& signal) {
  const auto& [peer, session] = std::visit([](const auto& one) { return std::tie(one.peer, one.session); }, signal);
  const auto found = peers_.find(peer);
  if (found != peers_.end()) return found->second;
  if (options_.can_locate && !is_remote(asker)) {
    outputs_.emplace_back(Locate{asker, signal});
  } else {
    send(asker, Unreachable{peer, session});
  }
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
    forget(sessions_by_age_.begin());
  }
}

// Whether the asker will hear more: not when it, or all together, wait for too much already.
bool Directory::search(Time now, ConnectionId id, Connection& connection, const Find& question) {
  if (options_.searchers == 0 || connection.waiting >= options_.max_waiting) return false;
  auto key = content_key(question.cid);
  auto searched = searched_.find(key);
  if (searched == searched_.end()) {
    if (searches_.size() >= options_.max_searches) return false;
    const SearchId search{++last_search_};
    searches_.emplace(search, PendingSearch{key, now + options_.search_timeout, options_.searchers, {}});
    searched = searched_.emplace(std::move(key), search).first;
  }
  searches_.at(searched->second).askers.push_back({id, question});
  ++connection.waiting;
  return true;
}

void Directory::end_old_searches(Time now) {
  while (!searches_.empty() && searches_.begin()->second.deadline <= now) {
    searches_.begin()->second.searchers = 1;
    handle_found(searches_.begin()->first, {}, {}, true);
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
  if (is_remote(to)) return;
  send(to, Refusal{std::string(code), std::move(message), std::nullopt});
}

void Directory::close(ConnectionId id, CloseCode code, std::string reason) {
  disconnect(id);
  outputs_.emplace_back(Close{id, code, std::move(reason)});
}

}  // namespace codio::rendezvous
