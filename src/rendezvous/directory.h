// The rendezvous server's decisions, without a socket: who is connected, who serves what, who may say what to whom.
// docs/protocol.md §2 is the specification.
//
// As every engine: `handle_*(now, …)` for what happened, then poll_output() until it returns nothing; next_wakeup()
// says when handle_wakeup() is due at the latest. Time must not go back. Not thread-safe. The same calls give the same
// outputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
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

using Output = std::variant<Send, Close>;

class Directory {
 public:
  /// docs/protocol.md §2.3.
  struct Options {
    std::vector<IceServer> ice_servers;       ///< Told to every client.
    std::size_t max_per_address = 256;        ///< A campus behind one address, not a flood.
    std::size_t max_per_loopback = 4096;      ///< Tests, and a proxy in front that does not say who comes.
    std::size_t max_announced = 16'384;       ///< CIDs a connection.
    std::size_t max_announced_all = 1 << 20;  ///< CIDs of all connections: about 256 MiB of index.
    std::size_t max_sessions = 512;           ///< Offered by a connection, as many as a browser can have connections.
    int burst = 600;                          ///< Messages at once: 30 sessions of 20 messages.
    int rate = 60;                            ///< Messages a second after that.
    int max_refused = 1000;                   ///< Messages over the rate until it is no mistake any more.
    Duration session_timeout = std::chrono::seconds(60);
  };

  explicit Directory(Options options);

  /// A client at `address`, text that is equal for clients that share a limit, came. `name` is what it is called if it
  /// has no key, `challenge` what it has to sign if it has one; both are random and not in use. kUnavailable if there
  /// are too many of the address.
  Result<ConnectionId> connect(std::string_view address, std::string name, const Challenge& challenge);
  /// A client went. Unknown ids are ignored: it may have been closed from here.
  void disconnect(ConnectionId id);
  void handle_message(Time now, ConnectionId id, std::string_view text);
  void handle_wakeup(Time now);

  std::optional<Output> poll_output();
  std::optional<Time> next_wakeup() const;

  std::size_t connections() const { return connections_.size(); }
  std::size_t announced() const { return announced_; }  ///< CIDs, counted once for each connection.
  std::size_t sessions() const { return sessions_.size(); }

 private:
  // The connections that announced one content; `next` is where the next answer starts, so that all get their share.
  struct Provided {
    std::vector<ConnectionId> connections;
    std::size_t next = 0;
  };
  using Index = std::map<std::string, Provided>;  // By content_key. Ordered: clients could make a hash table collide.

  struct Connection {
    std::string peer_id;  // Until it joined, what it is called if it has no key.
    std::string address;
    Challenge challenge;
    bool has_joined = false;
    std::unordered_map<Index::value_type*, std::size_t> announced;  // And the position in Provided::connections.
    std::size_t sessions = 0;                                       // That it offered.
    Time bucket_full_at;                                            // The rate limit's bucket, as the time it is full.
    int refused = 0;                                                // Since the bucket was last full.
  };

  using SessionKey = std::tuple<ConnectionId, ConnectionId, std::string>;  // Offerer, answerer, name.
  struct Session {
    SessionKey key;
    Time last_used;
  };
  using Sessions = std::list<Session>;  // The longest unused first.

  void handle(Time now, ConnectionId id, Connection& connection, const Join& message);
  void handle(Time now, ConnectionId id, Connection& connection, const Announce& message);
  void handle(Time now, ConnectionId id, Connection& connection, const Withdraw& message);
  void handle(Time now, ConnectionId id, Connection& connection, const Find& message);
  void handle(Time now, ConnectionId id, Connection& connection, const Offer& message);
  void handle(Time now, ConnectionId id, Connection& connection, const Answer& message);
  void handle(Time now, ConnectionId id, Connection& connection, const Candidate& message);

  bool take_from_bucket(Time now, Connection& connection) const;
  void withdraw(Connection& connection, Index::iterator provided);
  std::optional<ConnectionId> find_peer(ConnectionId asker, const std::string& peer, const std::string& session);
  bool use_session(Time now, ConnectionId offerer, ConnectionId answerer, const std::string& name);
  void forget_old_sessions(Time now);
  template <class Message>
  void pass_on(ConnectionId from, const Connection& sender, ConnectionId to, Message message);
  void send(ConnectionId to, const ServerMessage& message);
  void refuse(ConnectionId to, std::string_view code, std::string message);
  void close(ConnectionId id, CloseCode code, std::string reason);

  Options options_;
  std::uint64_t last_id_ = 0;
  std::map<ConnectionId, Connection> connections_;
  std::map<std::string, ConnectionId> peers_;  // That have joined, by peer id.
  std::map<std::string, std::size_t> addresses_;
  Index index_;
  std::size_t announced_ = 0;
  Sessions sessions_by_age_;
  std::map<SessionKey, Sessions::iterator> sessions_;
  std::deque<Output> outputs_;
};

}  // namespace codio::rendezvous
