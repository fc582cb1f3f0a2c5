// Announces keys to the nodes that are known, one by one and without a lookup.
#pragma once

#include <cstddef>
#include <cstdint>
#include <libtorrent/alert_types.hpp>
#include <libtorrent/session_handle.hpp>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "dht/key.h"

namespace codio::dht {

/// libtorrent announces when its lookup has ended, and that waits for 15 seconds for a node that is gone. In a network
/// of few nodes that is nearly every lookup after a node was stopped, as all nodes are asked. All are known, too: each
/// is asked for its token and told with it (BEP 5), and those that are silent are left alone.
///
/// Grammar: begin(), then whatever comes of handle_nodes() and handle_answer(); take_announced() now and then. Not
/// thread-safe.
class DirectAnnouncements {
 public:
  explicit DirectAnnouncements(std::uint16_t http_port) : http_port_(http_port) {}

  /// Asks the session for the nodes that our own DHT nodes, `ids`, know. Not if it has begun.
  void begin(libtorrent::session_handle& session, const Key& key, const std::set<libtorrent::sha1_hash>& ids);
  void forget(const Key& key) { announcements_.erase(key); }

  void handle_nodes(libtorrent::session_handle& session, const libtorrent::dht_live_nodes_alert& nodes);
  void handle_answer(libtorrent::session_handle& session, const libtorrent::dht_direct_response_alert& answer);

  /// Keys that a node has taken by now, and every other one that answered; each is told once.
  std::vector<Key> take_announced();

 private:
  struct Announcement {
    std::set<libtorrent::sha1_hash> waits_for;  ///< The nodes that these of ours know.
    std::size_t told = 0;                       ///< Nodes that have not acknowledged yet.
    std::size_t taken = 0;
  };
  struct Question {
    Key key;
    bool is_announcement = false;
  };

  void ask(libtorrent::session_handle& session, const libtorrent::udp::endpoint& node, Question question,
           libtorrent::entry arguments);

  const std::uint16_t http_port_;
  std::map<Key, Announcement> announcements_;
  /// Each is answered once, at the latest by libtorrent's timeout.
  std::map<Question*, std::unique_ptr<Question>> questions_;
};

}  // namespace codio::dht
