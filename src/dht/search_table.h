// The searches for providers that run in a DHT node: which lookups they need, what each has been given, when they end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <variant>

#include "common/strong.h"
#include "common/time.h"
#include "dht/address.h"
#include "dht/key.h"
#include "dht/lookup_watch.h"

namespace codio::dht {

struct SearchTag;
/// Never 0, never used twice.
using SearchId = Id<SearchTag, std::uint64_t>;

enum class SearchEnd : std::uint8_t {
  kExhausted,    ///< Every node that may know was asked.
  kDeadline,     ///< The time that was given is over.
  kLimit,        ///< So many were found that the rest is not worth asking for.
  kUnreachable,  ///< No node of the DHT answers.
};

// What the host is to do.

/// Ask the DHT for the key's peers; report with handle_endpoints() and handle_lookups().
struct StartLookup {
  Key key;
};
struct Found {
  SearchId search;
  Endpoint endpoint;
  std::size_t place;  ///< As handle_endpoints() had it.
};
/// The last of a search.
struct Ended {
  SearchId search;
  SearchEnd end;
};

using SearchOutput = std::variant<StartLookup, Found, Ended>;

struct SearchOptions {
  /// Endpoints given to one search. A key that has more is popular, or poisoned; then the honest ones are still among
  /// as many as a score of lying nodes can name.
  std::size_t max_endpoints = 4096;
  /// Searches at a time; more end at once with kLimit.
  std::size_t max_searches = 1024;
  /// Lookups at a time: each has some 5 requests under way. Others wait.
  std::size_t max_lookups = 32;
  /// Drop endpoints that are not is_public().
  bool public_only = true;
};

/// Pure; not thread-safe. Grammar: `handle_*` for what happened, then poll_output() until it returns nothing, and
/// handle_wakeup() at next_wakeup().
///
/// The DHT does not say when a lookup ends: the host asks which lookups run, again and again, and tells the answers.
class SearchTable {
 public:
  explicit SearchTable(SearchOptions options) : options_(options) {}

  SearchId find(Time now, const Key& key, Time deadline);
  /// Forgets it without Ended. One that is over is ignored.
  void cancel(SearchId id);

  /// The DHT can be asked from now on; before that searches wait. `reachable`: some node answers. Call it again
  /// whenever that changes.
  void handle_ready(bool reachable);
  /// What one node named, in one answer. The place of each in it counts, from 0: see DhtNode::OnFound.
  void handle_endpoints(const Key& key, std::span<const Endpoint> endpoints);
  /// These lookups run in the DHT: see LookupWatch.
  void handle_lookups(const std::set<Key>& running);
  void handle_wakeup(Time now);

  std::optional<SearchOutput> poll_output();
  std::optional<Time> next_wakeup() const;
  /// Whether handle_lookups() is waited for.
  bool has_lookups() const { return watch_.size() > 0; }
  std::size_t size() const { return searches_.size(); }

 private:
  struct Lookup {
    bool is_started = false;
    std::map<Endpoint, std::size_t> endpoints;  ///< With their places.
    std::set<SearchId> searches;
  };
  struct Search {
    Key key;
    Time deadline;
  };

  void start_lookups();
  void end(SearchId id, SearchEnd reason);
  /// With all of its searches.
  void end_lookup(const Key& key, SearchEnd reason);
  void drop(SearchId id);

  SearchOptions options_;
  std::uint64_t last_id_ = 0;
  bool is_ready_ = false;
  bool is_reachable_ = false;
  std::map<SearchId, Search> searches_;
  std::map<Key, Lookup> lookups_;
  std::deque<Key> waiting_;  ///< Lookups to be started; may name such as are over.
  LookupWatch watch_;        ///< Of the started ones.
  std::deque<SearchOutput> outputs_;
};

}  // namespace codio::dht
