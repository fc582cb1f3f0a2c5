#include "dht/search_table.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace codio::dht {

SearchId SearchTable::find(Time now, const Key& key, Time deadline) {
  const SearchId id{++last_id_};
  if (searches_.size() >= options_.max_searches) {
    outputs_.push_back(Ended{id, SearchEnd::kLimit});
    return id;
  }
  searches_.emplace(id, Search{key, std::max(deadline, now)});
  const auto [lookup, is_new] = lookups_.try_emplace(key);
  lookup->second.searches.insert(id);
  for (const auto& [endpoint, place] : lookup->second.endpoints) outputs_.push_back(Found{id, endpoint, place});
  if (is_new) waiting_.push_back(key);
  start_lookups();
  return id;
}

void SearchTable::cancel(SearchId id) {
  drop(id);
  std::erase_if(outputs_, [&](const SearchOutput& output) {
    const auto* found = std::get_if<Found>(&output);
    const auto* ended = std::get_if<Ended>(&output);
    return (found != nullptr && found->search == id) || (ended != nullptr && ended->search == id);
  });
  start_lookups();
}

void SearchTable::handle_ready(bool reachable) {
  is_ready_ = true;
  is_reachable_ = reachable;
  start_lookups();
}

void SearchTable::handle_endpoints(const Key& key, std::span<const Endpoint> endpoints) {
  const auto found = lookups_.find(key);
  if (found == lookups_.end()) return;
  Lookup& lookup = found->second;
  for (std::size_t place = 0; place < endpoints.size(); ++place) {
    const Endpoint& endpoint = endpoints[place];
    if (endpoint.port() == 0 || endpoint.address().is_unspecified() || endpoint.address().is_multicast()) continue;
    if (options_.public_only && !is_public(endpoint.address())) continue;
    if (!lookup.endpoints.emplace(endpoint, place).second) continue;
    for (const SearchId search : lookup.searches) outputs_.push_back(Found{search, endpoint, place});
    if (lookup.endpoints.size() >= options_.max_endpoints) return end_lookup(key, SearchEnd::kLimit);
  }
}

void SearchTable::handle_lookups(const std::set<Key>& running) {
  for (const Key& key : watch_.handle_running(running)) {
    end_lookup(key, is_reachable_ ? SearchEnd::kExhausted : SearchEnd::kUnreachable);
  }
}

void SearchTable::handle_wakeup(Time now) {
  std::vector<SearchId> late;
  for (const auto& [id, search] : searches_) {
    if (search.deadline <= now) late.push_back(id);
  }
  for (const SearchId id : late) end(id, is_reachable_ ? SearchEnd::kDeadline : SearchEnd::kUnreachable);
  start_lookups();
}

std::optional<SearchOutput> SearchTable::poll_output() {
  if (outputs_.empty()) return std::nullopt;
  SearchOutput output = std::move(outputs_.front());
  outputs_.pop_front();
  return output;
}

std::optional<Time> SearchTable::next_wakeup() const {
  std::optional<Time> next;
  for (const auto& [id, search] : searches_) next = std::min(next.value_or(search.deadline), search.deadline);
  return next;
}

void SearchTable::start_lookups() {
  while (is_ready_ && !waiting_.empty() && watch_.size() < options_.max_lookups) {
    const Key key = waiting_.front();
    waiting_.pop_front();
    const auto found = lookups_.find(key);
    if (found == lookups_.end() || found->second.is_started) continue;
    found->second.is_started = true;
    watch_.start(key);
    outputs_.push_back(StartLookup{key});
  }
}

void SearchTable::end(SearchId id, SearchEnd reason) {
  drop(id);
  outputs_.push_back(Ended{id, reason});
}

void SearchTable::end_lookup(const Key& key, SearchEnd reason) {
  const auto searches = lookups_.at(key).searches;
  for (const SearchId search : searches) end(search, reason);
  start_lookups();
}

void SearchTable::drop(SearchId id) {
  const auto search = searches_.extract(id);
  if (search.empty()) return;
  const auto lookup = lookups_.find(search.mapped().key);
  lookup->second.searches.erase(id);
  if (!lookup->second.searches.empty()) return;
  // The DHT may go on with it; nobody listens.
  watch_.forget(lookup->first);
  lookups_.erase(lookup);
}

}  // namespace codio::dht
