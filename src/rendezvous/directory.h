// The rendezvous server's decisions, without a socket: who is connected, who serves what, who may say what to whom.
// docs/protocol.md §2 is the specification.
//
// As every engine: `handle_*(now, …)` for what happened, then poll_output() until it returns nothing; next_wakeup()
// says when handle_wakeup() is due at the latest. Time must not go back. Not thread-safe. The same calls give the same
// outputs.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "common/result.h"
#include "common/strong.h"
#include "common/time.h"
#include "rendezvous/messages.h"

namespace codio::rendezvous {

struct ConnectionTag;
/// Names a connection to the host. Never used twice.
using ConnectionId = Id<ConnectionTag, std::uint64_t>;

/// Passes one text message on to a client.
struct Send {
  ConnectionId connection;
  std::string text;
};

/// Ends a connection; the directory has already forgotten it.
struct Close {
  ConnectionId connection;
  CloseCode code;
  std::string reason;
};

struct SearchTag;
/// Names a Search to the host. Never used twice.
using SearchId = Id<SearchTag, std::uint64_t>;

/// Looks for providers beyond this directory; the host answers with handle_found().
struct Search {
  SearchId search;
  content_id::ContentId cid;
};

/// A signal to a peer that is not here, whose connection may be made by connect_remote(). The host answers with
/// handle_signal() then, else with handle_not_located().
struct Locate {
  ConnectionId asker;
  Signal signal;
};

using Output = std::variant<Send, Close, Search, Locate>;

class Directory {
 public:
  /// docs/protocol.md §2.3.
  struct Options {
    std::vector<IceServer> ice_servers;   ///< Told to every client.
    std::size_t max_per_address = 256;    ///< A campus behind one address, not a flood.
    std::size_t max_per_loopback = 4096;  ///< Tests, and a proxy in front that does not say who comes.
    /// CIDs, an eighth of all: no address can use up what there is for the others. Loopback has no such limit.
    std::size_t max_announced_per_address = 131'072;
    int burst_per_address = 6000;  ///< Messages at once and a second: ten busy clients. Loopback has no such limit.
    int rate_per_address = 600;
    std::size_t max_announced = 16'384;       ///< CIDs a connection.
    std::size_t max_announced_all = 1 << 20;  ///< CIDs of all connections: about 256 MiB of index.
    std::size_t max_sessions = 512;           ///< Offered by a connection, as many as a browser can have connections.
    int burst = 600;                          ///< Messages at once: 30 sessions of 20 messages.
    int rate = 60;                            ///< Messages a second after that.
    int max_refused = 1000;                   ///< Messages over the rate until it is no mistake any more.
    /// Of an announcement that is not repeated: it bounds how long we name a client that lost the content silently.
    Duration announce_lifetime = std::chrono::minutes(30);
    Duration session_timeout = std::chrono::seconds(60);
    std::size_t searchers = 0;         ///< How many answer a Search; none: there is none.
    bool can_locate = false;           ///< Whether the host answers a Locate.
    std::size_t enough_providers = 4;  ///< Known here; with fewer there is a Search.
    std::size_t max_searches = 1024;   ///< Under way.
    std::size_t max_waiting = 16;      ///< Questions of a connection that wait for a Search.
    Duration search_timeout = std::chrono::seconds(8);
  };

  explicit Directory(Options options);

  /// A client at `address`, an IPv4 or IPv6 address as text, came. `name` is what it is called if it has no key,
  /// `challenge` what it has to sign if it has one; both are random and not in use. kUnavailable if there are too many
  /// of the address (IPv6: of its /64).
  Result<ConnectionId> connect(std::string_view address, std::string name, const Challenge& challenge);
  /// A client went. Unknown ids are ignored: it may have been closed from here.
  void disconnect(ConnectionId id);
  void handle_message(Time now, ConnectionId id, std::string_view text);
  /// How long a client takes to answer: near ones are named before far ones.
  void handle_round_trip(ConnectionId id, Duration round_trip);
  /// From now on; the clients that are here are told.
  void set_ice_servers(std::vector<IceServer> servers);
  /// Tells every client to connect elsewhere, one after the other within `most`, at 100 a second if that takes less.
  /// Returns when the last is to go, from now.
  Duration leave(Duration most);
  /// What a searcher found: each asker gets it. `is_done`: this searcher has no more; the last one ends the Search. An
  /// unknown Search has ended and is ignored. Surplus and malformed entries of `elsewhere` are left out.
  void handle_found(SearchId search, const std::vector<std::string>& peers, const std::vector<Elsewhere>& elsewhere,
                    bool is_done);

  /// A peer whose messages come by another way than its own connection: outputs to it are Sends of signals and of
  /// `unreachable` to this id. Nothing if the peer is here. It is gone, unasked, once the peer connects here.
  std::optional<ConnectionId> connect_remote(const std::string& peer_id);
  bool is_remote(ConnectionId id) const;
  /// A signal of a remote, or again that of a Locate.
  void handle_signal(Time now, ConnectionId id, const Signal& signal);
  void handle_not_located(ConnectionId asker, const std::string& peer, const std::string& session);
  /// A remote is not reachable any more, says who passed a signal of `to` on.
  void handle_unreachable(ConnectionId remote, const std::string& to, const std::string& session);

  /// Whether that peer has a connection of its own.
  bool has(const std::string& peer_id) const;
  /// Who announced it here, as for a client from nowhere.
  std::vector<std::string> providers(const content_id::ContentId& cid);

  void handle_wakeup(Time now);

  std::optional<Output> poll_output();
  std::optional<Time> next_wakeup() const;

  std::size_t connections() const { return connections_.size() - remotes_; }  ///< But remotes.
  std::size_t announced() const { return announced_; }  ///< CIDs, counted once for each connection.
  std::size_t sessions() const { return sessions_.size(); }

 private:
  /// IPv4 as ::ffff:a.b.c.d, so that one network's addresses are neighbours in order.
  using Address = std::array<std::uint8_t, 16>;

  struct Connection;

  struct Provider {
    Address address{};
    ConnectionId connection;
    const Connection* client = nullptr;  // The connection's, to find it at once.

    auto operator<=>(const Provider& other) const {
      return std::tie(address, connection) <=> std::tie(other.address, other.connection);
    }
  };

  // The connections that announced one content; the next answer begins after `last`, so that all get their share.
  struct Provided {
    std::set<Provider> providers;
    Provider last;
  };
  using Index = std::map<std::string, Provided>;  // By content_key. Ordered: clients could make a hash table collide.

  struct Connection {
    std::string peer_id;  // Until it joined, what it is called if it has no key.
    Challenge challenge;
    Address address;
    std::unordered_map<Index::value_type*, Time> announced;  // And when last.
    Time sweep_at;                                           // When to look for old announcements, if there are any.
    Time bucket_full_at;                                     // The rate limit's bucket, as the time it is full.
    Duration round_trip = kUnknownRoundTrip;
    std::uint32_t sessions = 0;  // That it offered.
    std::uint32_t offered = 0;   // Sessions that it was offered: how busy it is.
    std::uint32_t refused = 0;   // Since the bucket was last full.
    std::uint32_t waiting = 0;   // Questions that wait for a Search.
    bool has_joined = false;
    bool is_remote = false;
  };

  // What the clients of one address, or of one IPv6 /64, use.
  struct AddressUse {
    std::size_t connections = 0;
    std::size_t announced = 0;
    Time bucket_full_at;
  };

  using SessionKey = std::tuple<ConnectionId, ConnectionId, std::string>;  // Offerer, answerer, name.
  struct Session {
    SessionKey key;
    Time last_used;
  };
  using Sessions = std::list<Session>;  // The longest unused first.

  // One search for all who ask for the same content meanwhile.
  struct PendingSearch {
    struct Asker {
      ConnectionId connection;
      Find question;
    };
    std::string key;
    Time deadline;
    std::size_t searchers = 0;  // That are not done.
    std::vector<Asker> askers;
  };

  void handle(Time now, ConnectionId id, Connection& connection, const Join& message);
  void handle(Time now, ConnectionId id, Connection& connection, const Announce& message);
  void handle(Time now, ConnectionId id, Connection& connection, const Withdraw& message);
  void handle(Time now, ConnectionId id, Connection& connection, const Find& message);
  void handle(Time now, ConnectionId id, Connection& connection, const Offer& message);
  void handle(Time now, ConnectionId id, Connection& connection, const Answer& message);
  void handle(Time now, ConnectionId id, Connection& connection, const Candidate& message);

  static constexpr Duration kUnknownRoundTrip = std::chrono::milliseconds(100);

  static Address parse_address(std::string_view text);
  static Address limited(Address address);
  static bool is_loopback(const Address& address);

  bool take_from_buckets(Time now, Connection& connection);
  void withdraw(ConnectionId id, Connection& connection, Index::iterator provided);
  void forget_old_announcements(Time now);
  std::vector<std::string> choose(ConnectionId asker, const Address& near, Provided& provided) const;
  std::size_t cost(const Connection& provider, const Address& near) const;
  void forget(Sessions::iterator session);
  std::optional<ConnectionId> find_peer(ConnectionId asker, const Signal& signal);
  bool use_session(Time now, ConnectionId offerer, ConnectionId answerer, const std::string& name);
  void forget_old_sessions(Time now);
  bool search(Time now, ConnectionId id, Connection& connection, const Find& question);
  void end_old_searches(Time now);
  template <class Message>
  void pass_on(ConnectionId from, const Connection& sender, ConnectionId to, Message message);
  void send(ConnectionId to, const ServerMessage& message);
  void refuse(ConnectionId to, std::string_view code, std::string message);
  void close(ConnectionId id, CloseCode code, std::string reason);

  Options options_;
  std::uint64_t last_id_ = 0;
  std::map<ConnectionId, Connection> connections_;
  std::size_t remotes_ = 0;
  std::map<std::string, ConnectionId> peers_;  // That have joined, by peer id.
  std::map<Address, AddressUse> addresses_;
  std::set<std::pair<Time, ConnectionId>> sweeps_;
  Index index_;
  std::size_t announced_ = 0;
  Sessions sessions_by_age_;
  std::map<SessionKey, Sessions::iterator> sessions_;
  std::uint64_t last_search_ = 0;
  std::map<SearchId, PendingSearch> searches_;  // The oldest first.
  std::map<std::string, SearchId> searched_;    // By content_key.
  std::deque<Output> outputs_;
};

}  // namespace codio::rendezvous
