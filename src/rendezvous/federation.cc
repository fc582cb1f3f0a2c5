#include "rendezvous/federation.h"

#include <algorithm>
#include <utility>

namespace codio::rendezvous {
namespace {

std::size_t size_of(const Signal& signal) {
  struct Size {
    std::size_t operator()(const Offer& m) const { return m.sdp.size(); }
    std::size_t operator()(const Answer& m) const { return m.sdp.size(); }
    std::size_t operator()(const Candidate& m) const { return m.candidate.size() + m.mid.size(); }
  };
  return std::visit(Size{}, signal) + 256;  // And what holds it.
}

const std::string& peer_of(const Signal& signal) {
  return std::visit([](const auto& m) -> const std::string& { return m.peer; }, signal);
}

const std::string& session_of(const Signal& signal) {
  return std::visit([](const auto& m) -> const std::string& { return m.session; }, signal);
}

}  // namespace

Federation::Federation(Options options, Directory& directory) : options_(std::move(options)), directory_(directory) {}

void Federation::handle_connected(Time now) {
  is_connected_ = true;
  hello_at_ = now + options_.hello_interval;
  publish("", BusHello{});
}

void Federation::handle_disconnected() {
  is_connected_ = false;
  while (!nodes_.empty()) forget_node(nodes_.begin()->first);
  while (!searches_.empty()) end_search(searches_.begin()->first);
  while (!held_.empty()) give_up(held_.begin());
}

void Federation::handle_bus_message(Time now, std::string_view text) {
  auto message = parse_bus_message(text);
  if (!is_connected_ || !message || message->node == options_.node || !know(now, message->node)) return;
  std::visit([&](auto& body) { handle(now, message->node, body); }, message->body);
}

void Federation::handle_wakeup(Time now) {
  if (is_connected_ && hello_at_ <= now) {
    hello_at_ = now + options_.hello_interval;
    publish("", BusHello{});
    std::vector<std::string> silent;
    for (const auto& [node, heard_at] : nodes_) {
      if (heard_at + options_.node_timeout <= now) silent.push_back(node);
    }
    for (const std::string& node : silent) forget_node(node);
  }
  while (!searches_.empty() && searches_.begin()->second.deadline <= now) end_search(searches_.begin()->first);
  for (auto held = held_.begin(); held != held_.end();) {
    const auto next = std::next(held);
    if (held->second.deadline <= now) give_up(held);
    held = next;
  }
  while (!remotes_by_age_.empty() && remotes_by_age_.front().last_used + options_.remote_timeout <= now) {
    forget(remotes_by_age_.begin());
  }
}

void Federation::handle_search(Time now, const Search& search) {
  if (nodes_.empty() || searches_.size() >= options_.max_searches) {
    return directory_.handle_found(search.search, {}, {}, true);
  }
  Asked asked{++last_asked_, now + options_.search_timeout, {}};
  for (const auto& [node, _] : nodes_) asked.missing.insert(node);
  asked_.emplace(asked.id, search.search);
  publish("", BusFind{asked.id, search.cid});
  searches_.emplace(search.search, std::move(asked));
}

void Federation::handle_locate(Time now, Locate locate) {
  const std::string peer = peer_of(locate.signal);
  auto held = held_.find(peer);
  const std::size_t size = size_of(locate.signal);
  // Only an offer begins anything.
  const bool begins = std::holds_alternative<Offer>(locate.signal);
  if (nodes_.empty() || (held == held_.end() && !begins) || held_bytes_ + size > options_.max_held_bytes) {
    return directory_.handle_not_located(locate.asker, peer, session_of(locate.signal));
  }
  if (held == held_.end()) {
    held = held_.emplace(peer, Held{now + options_.locate_timeout, {}, 0}).first;
    publish("", BusWhere{peer});
  }
  held_bytes_ += size;
  held->second.bytes += size;
  held->second.signals.push_back(std::move(locate));
}

bool Federation::handle_send(Time now, const Send& send) {
  const auto found = remotes_by_connection_.find(send.connection);
  if (found == remotes_by_connection_.end()) return false;
  const Remote& to = *found->second;
  outputs_.push_back({to.node, wrap_signal(options_.node, to.peer, send.text)});
  touch(now, found->second);
  return true;
}

bool Federation::handle_close(const Close& close) {
  const auto found = remotes_by_connection_.find(close.connection);
  if (found == remotes_by_connection_.end()) return false;
  forget(found->second);
  return true;
}

void Federation::leave() {
  if (is_connected_) publish("", BusBye{});
}

std::optional<Publish> Federation::poll_output() {
  if (outputs_.empty()) return std::nullopt;
  Publish output = std::move(outputs_.front());
  outputs_.pop_front();
  return output;
}

std::optional<Time> Federation::next_wakeup() const {
  std::optional<Time> when;
  const auto no_later_than = [&](Time time) { when = std::min(when.value_or(time), time); };
  if (is_connected_) no_later_than(hello_at_);
  if (!searches_.empty()) no_later_than(searches_.begin()->second.deadline);
  for (const auto& [_, held] : held_) no_later_than(held.deadline);
  if (!remotes_by_age_.empty()) no_later_than(remotes_by_age_.front().last_used + options_.remote_timeout);
  return when;
}

void Federation::handle(Time /*now*/, const std::string& /*node*/, const BusHello& /*message*/) {}

void Federation::handle(Time /*now*/, const std::string& node, const BusBye& /*message*/) { forget_node(node); }

void Federation::handle(Time /*now*/, const std::string& node, const BusFind& message) {
  publish(node, BusFound{message.id, directory_.providers(message.cid)});
}

void Federation::handle(Time now, const std::string& node, BusFound& message) {
  const auto asked = asked_.find(message.id);
  if (asked == asked_.end()) return;
  const SearchId search = asked->second;
  Asked& state = searches_.at(search);
  if (state.missing.erase(node) == 0) return;
  std::erase_if(message.peers, [&](const std::string& peer) { return !remote(now, node, peer); });
  if (!message.peers.empty()) directory_.handle_found(search, message.peers, {}, false);
  if (state.missing.empty()) end_search(search);
}

void Federation::handle(Time /*now*/, const std::string& node, const BusWhere& message) {
  if (directory_.has(message.peer)) publish(node, BusHere{message.peer});
}

void Federation::handle(Time now, const std::string& node, const BusHere& message) {
  auto held = held_.extract(message.peer);
  if (held.empty()) return;
  held_bytes_ -= held.mapped().bytes;
  const bool is_located = remote(now, node, message.peer).has_value();
  for (Locate& locate : held.mapped().signals) {
    if (is_located) {
      directory_.handle_signal(now, locate.asker, std::move(locate.signal));
    } else {
      directory_.handle_not_located(locate.asker, message.peer, session_of(locate.signal));
    }
  }
}

void Federation::handle(Time now, const std::string& node, BusSignal& message) {
  if (const auto* unreachable = std::get_if<Unreachable>(&message.message)) {
    const auto gone = remotes_.find(unreachable->peer);
    if (gone == remotes_.end() || gone->second->node != node) return;
    directory_.handle_unreachable(gone->second->connection, message.to, unreachable->session);
    return forget(gone->second);
  }
  const auto pass_on = [&](auto& signal) {
    const auto from = remote(now, node, signal.peer);
    if (!from) return;
    signal.peer = message.to;
    directory_.handle_signal(now, *from, std::move(signal));
  };
  if (auto* offer = std::get_if<Offer>(&message.message)) return pass_on(*offer);
  if (auto* answer = std::get_if<Answer>(&message.message)) return pass_on(*answer);
  pass_on(std::get<Candidate>(message.message));
}

// Remembers that the node is there, unless there are too many; a new one is greeted.
bool Federation::know(Time now, const std::string& node) {
  const auto found = nodes_.find(node);
  if (found != nodes_.end()) {
    found->second = now;
    return true;
  }
  if (nodes_.size() >= options_.max_nodes) return false;
  nodes_.emplace(node, now);
  publish(node, BusHello{});
  return true;
}

void Federation::forget_node(const std::string& name) {
  const std::string node = name;  // It may be of what is erased.
  nodes_.erase(node);
  std::vector<Remotes::iterator> gone;
  for (auto remote = remotes_by_age_.begin(); remote != remotes_by_age_.end(); ++remote) {
    if (remote->node == node) gone.push_back(remote);
  }
  for (const auto remote : gone) forget(remote);
  std::vector<SearchId> answered;
  for (auto& [search, asked] : searches_) {
    asked.missing.erase(node);
    if (asked.missing.empty()) answered.push_back(search);
  }
  for (const SearchId search : answered) end_search(search);
}

// The peer's connection in the directory; nothing if the peer is here, or the directory has no room.
std::optional<ConnectionId> Federation::remote(Time now, const std::string& node, const std::string& peer) {
  if (const auto found = remotes_.find(peer); found != remotes_.end()) {
    // The directory drops a remote whose peer comes here.
    if (directory_.is_remote(found->second->connection)) {
      found->second->node = node;  // It moved.
      touch(now, found->second);
      return found->second->connection;
    }
    forget(found->second);
  }
  const auto connection = directory_.connect_remote(peer);
  if (!connection) return std::nullopt;
  if (remotes_.size() >= options_.max_remotes) forget(remotes_by_age_.begin());
  const auto added = remotes_by_age_.insert(remotes_by_age_.end(), Remote{*connection, peer, node, now});
  remotes_.emplace(peer, added);
  remotes_by_connection_.emplace(*connection, added);
  return connection;
}

void Federation::touch(Time now, Remotes::iterator remote) {
  remote->last_used = now;
  remotes_by_age_.splice(remotes_by_age_.end(), remotes_by_age_, remote);
}

void Federation::forget(Remotes::iterator remote) {
  directory_.disconnect(remote->connection);
  remotes_.erase(remote->peer);
  remotes_by_connection_.erase(remote->connection);
  remotes_by_age_.erase(remote);
}

void Federation::end_search(SearchId search) {
  const auto found = searches_.find(search);
  if (found == searches_.end()) return;
  asked_.erase(found->second.id);
  searches_.erase(found);
  directory_.handle_found(search, {}, {}, true);
}

void Federation::give_up(std::map<std::string, Held>::iterator held) {
  const auto entry = held_.extract(held);
  held_bytes_ -= entry.mapped().bytes;
  for (const Locate& locate : entry.mapped().signals) {
    directory_.handle_not_located(locate.asker, entry.key(), session_of(locate.signal));
  }
}

void Federation::publish(const std::string& node, BusBody body) {
  outputs_.push_back({node, to_json(BusMessage{options_.node, std::move(body)})});
}

}  // namespace codio::rendezvous
