// Lets directories on one bus act as one, without a socket: which peers are at which node, what to ask the others, what
// to pass on. docs/protocol.md §2.5 is the specification.
//
// A peer at another node is a connection of the directory like any other, whose messages go over the bus. So both nodes
// check each signal against the sessions that they have seen, and neither believes the other.
//
// As every engine: `handle_*(now, …)` for what happened, then poll_output() until it returns nothing; next_wakeup()
// says when handle_wakeup() is due at the latest. Not thread-safe. The same calls give the same outputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/time.h"
#include "rendezvous/bus_messages.h"
#include "rendezvous/directory.h"

namespace codio::rendezvous {

/// Says something on the bus: to one node, or with an empty name to all but this one.
struct Publish {
  std::string node;
  std::string text;
};

class Federation {
 public:
  struct Options {
    std::string node;  ///< This node's name on the bus: well-formed as a peer id, and nobody else's.
    Duration hello_interval = std::chrono::seconds(10);
    Duration node_timeout = std::chrono::seconds(30);  ///< A silent node is gone, and its peers with it.
    /// For an answer of every node to a search: many times what a bus takes, little to whom waits for the last answer.
    Duration search_timeout = std::chrono::seconds(1);
    Duration locate_timeout = std::chrono::seconds(1);
    Duration remote_timeout = std::chrono::minutes(2);  ///< A peer elsewhere that nobody mentions is forgotten.
    std::size_t max_nodes = 256;
    std::size_t max_remotes = 65'536;      ///< Peers elsewhere.
    std::size_t max_searches = 1024;       ///< Under way.
    std::size_t max_held_bytes = 4 << 20;  ///< Of signals to peers that are being located.
  };

  /// The directory's `searchers` must count this one, and `can_locate` be set. It must outlive the federation.
  Federation(Options options, Directory& directory);

  /// The bus is there: again, or for the first time.
  void handle_connected(Time now);
  /// The bus is gone: this node is alone, and its own peers notice nothing.
  void handle_disconnected();
  void handle_bus_message(Time now, std::string_view text);
  void handle_wakeup(Time now);

  /// The directory's outputs.
  void handle_search(Time now, const Search& search);
  void handle_locate(Time now, Locate locate);
  /// Whether the connection is a peer elsewhere; then it is passed on.
  bool handle_send(Time now, const Send& send);
  /// Whether the connection was a peer elsewhere.
  bool handle_close(const Close& close);

  /// This node goes.
  void leave();

  std::optional<Publish> poll_output();
  std::optional<Time> next_wakeup() const;

  const std::string& node() const { return options_.node; }
  std::size_t nodes() const { return nodes_.size(); }  ///< Besides this one.
  std::size_t remotes() const { return remotes_.size(); }

 private:
  struct Remote {
    ConnectionId connection;
    std::string peer;
    std::string node;
    Time last_used;
  };
  using Remotes = std::list<Remote>;  // The longest unused first.

  struct Asked {
    std::uint64_t id = 0;
    Time deadline;
    std::set<std::string> missing;  // Nodes.
  };

  struct Held {
    Time deadline;
    std::vector<Locate> signals;
    std::size_t bytes = 0;
  };

  void handle(Time now, const std::string& node, const BusHello& message);
  void handle(Time now, const std::string& node, const BusBye& message);
  void handle(Time now, const std::string& node, const BusFind& message);
  void handle(Time now, const std::string& node, BusFound& message);
  void handle(Time now, const std::string& node, const BusWhere& message);
  void handle(Time now, const std::string& node, const BusHere& message);
  void handle(Time now, const std::string& node, BusSignal& message);

  bool know(Time now, const std::string& node);
  void forget_node(const std::string& node);
  std::optional<ConnectionId> remote(Time now, const std::string& node, const std::string& peer);
  void touch(Time now, Remotes::iterator remote);
  void forget(Remotes::iterator remote);
  void end_search(SearchId search);
  void give_up(std::map<std::string, Held>::iterator held);
  void publish(const std::string& node, BusBody body);

  const Options options_;
  Directory& directory_;
  bool is_connected_ = false;
  Time hello_at_;
  std::map<std::string, Time> nodes_;  // When last heard of.
  Remotes remotes_by_age_;
  std::map<std::string, Remotes::iterator> remotes_;  // By peer.
  std::map<ConnectionId, Remotes::iterator> remotes_by_connection_;
  std::map<SearchId, Asked> searches_;  // The oldest first.
  std::map<std::uint64_t, SearchId> asked_;
  std::uint64_t last_asked_ = 0;
  std::map<std::string, Held> held_;  // By peer.
  std::size_t held_bytes_ = 0;
  std::deque<Publish> outputs_;
};

}  // namespace codio::rendezvous
