// A node of Mainline's DHT, the largest there is: announces which content this machine serves, and finds who else does.
// https://www.bittorrent.org/beps/bep_0005.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>
#include <boost/asio/any_io_executor.hpp>

#include "common/result.h"
#include "content_id/cid.h"
#include "dht/address.h"
#include "dht/announce_schedule.h"
#include "dht/bootstrap_node.h"
#include "dht/search_table.h"

namespace codio::dht {

enum class Network : std::uint8_t {
  /// Mainline: only public addresses count, and nodes must have the ids that belong to their addresses.
  kMainline,
  /// A network of one's own, on a machine or in a company: any address counts, many nodes may share one, and nothing
  /// protects it from members that lie.
  kOwn,
};

struct DhtOptions {
  Network network = Network::kMainline;
  /// Empty: Mainline's own; in a network of one's own this node then is the first.
  std::vector<BootstrapNode> bootstrap;
  /// Local addresses, of both families. One that the machine does not have is left out.
  std::vector<std::string> addresses{"0.0.0.0", "::"};
  std::uint16_t port = 0;  ///< UDP; 0: any.
  /// Announced with content: where this machine serves HTTP.
  std::uint16_t http_port = 0;
  /// Only ask, and answer nobody: for a program that soon ends. BEP 43.
  bool read_only = false;
  /// Where the addresses of other nodes are kept for a fast start; empty: nowhere.
  std::filesystem::path state_file;

  AnnounceOptions announce;
  SearchOptions search;

  /// The key has been announced to the nodes closest to it, once more or for the first time.
  std::function<void(const Key&)> on_announced;
  /// Failures that are survived.
  std::function<void(const std::string& message)> on_log;
};

struct DhtStatus {
  bool is_ready = false;      ///< It has tried to join.
  bool is_reachable = false;  ///< Some node of the DHT answers.
  std::size_t nodes = 0;      ///< In its routing tables, which fill slowly; the nodes to join at are in none.
  std::uint16_t port = 0;     ///< UDP.
  std::size_t announced = 0;  ///< Contents that are announced, or will be.
  std::size_t waiting = 0;    ///< Of them, those that have not been announced yet.
};

/// Threads: call everything on the executor, whose handlers must not run concurrently; all callbacks come there, never
/// from within a call, and none after the destructor. libtorrent has a thread of its own, which the destructor waits
/// for; names are looked up on others, which it does not.
class DhtNode {
 public:
  /// `place`: how many others the node that named it named before it. A node that lies names many, to be believed in
  /// some; where there are few providers, an honest one names few.
  using OnFound = std::function<void(const Endpoint&, std::size_t place)>;
  using OnEnd = std::function<void(SearchEnd)>;

  /// Begins to join. kIo if the UDP port cannot be had.
  static Result<std::unique_ptr<DhtNode>> start(boost::asio::any_io_executor executor, DhtOptions options);
  /// Saves the state.
  ~DhtNode();
  DhtNode(const DhtNode&) = delete;
  DhtNode& operator=(const DhtNode&) = delete;

  /// Announces the content from now on, as soon as a node of the DHT is known and AnnounceOptions allow. False if there
  /// is too much already.
  bool announce(const content_id::ContentId& cid);
  /// Other nodes forget it within half an hour.
  void withdraw(const content_id::ContentId& cid);

  /// Gives every endpoint found within `deadline`, once, and then the end. They are claims of strangers.
  SearchId find_providers(const content_id::ContentId& cid, Duration deadline, OnFound on_found, OnEnd on_end);
  /// Neither callback is called any more.
  void cancel(SearchId search);

  DhtStatus status() const;

 private:
  class Impl;
  explicit DhtNode(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace codio::dht
