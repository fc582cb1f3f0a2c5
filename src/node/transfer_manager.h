// The native host of the exchange engine: moves its bytes over WebRTC, HTTPS and the store.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include <boost/asio/any_io_executor.hpp>

#include "common/result.h"
#include "content_id/cid.h"
#include "gateway/gateway.h"
#include "identity/identity.h"
#include "node/provider.h"
#include "rendezvous/client.h"
#include "store/block_store.h"
#include "transfer/exchange.h"
#include "webrtc/peer_connection.h"

namespace codio::node {

struct TransferManagerOptions {
  /// A native socket holds more than a browser's, so that more may queue: between two nodes of one machine 512 KiB
  /// carry 5 % more than 256, and 1 MiB no more than that.
  transfer::ExchangeOptions exchange{.credit = {.queue_limit = 512 * 1024}};
  /// Who this peer is; nothing: somebody new, as long as it runs.
  std::optional<identity::Key> key;
  /// Where peers are found and signalled; none: no peers. All are joined; the URLs of one are servers that know the
  /// same peers, of which one is used at a time.
  std::vector<std::vector<rendezvous::ServerUrl>> rendezvous;
  /// Where else providers are found: each gives WebRTC peers, through a rendezvous of their own that is visited as long
  /// as a download needs it, and HTTP servers, which are peers by HttpPeer. They live on the same executor.
  std::vector<std::shared_ptr<ProviderFinder>> finders;
  /// For each search of a finder.
  Duration find_deadline = std::chrono::seconds(15);
  /// Others that are joined at a time, while providers there are connected to.
  std::size_t max_elsewhere = 4;
  std::vector<webrtc::IceServer> ice_servers;
  /// Also connect over the loopback interface: for a node that serves this machine only.
  bool use_loopback = false;
  /// Connect through TURN servers only: peers do not learn this machine's addresses.
  bool relay_only = false;
  /// Nothing: no gateway is asked.
  std::optional<gateway::GatewayConfig> gateway;
  /// Peers that may be connected at a time, in both directions.
  std::size_t max_connections = 256;
  /// Peers that sent bad bytes are not connected to for this long. A stranger makes another key in no time.
  Duration ban = std::chrono::hours(1);
  /// Providers of one download that are connected to.
  std::size_t max_providers = 8;
  Duration connect_timeout = std::chrono::seconds(15);
  /// Failures that are survived: of a peer, of the rendezvous, of the store.
  std::function<void(const std::string& message)> on_log;
  /// A block was received and verified, but the store did not take it. On any thread.
  std::function<void(const Error&)> on_not_stored;
  /// A block was received, verified and stored.
  std::function<void(const content_id::ContentId&)> on_stored;
  /// Blocks that are not given to peers though they are here. On threads of the pool.
  std::function<bool(const content_id::ContentId&)> is_denied;
  /// The store has a block and cannot give it; it is looked for elsewhere.
  std::function<void(const Error&)> on_not_loaded;
};

/// How far one download is.
struct TransferProgress {
  content_id::ContentId root;
  transfer::Progress progress;
  /// The ids of progress.peers, in their order.
  std::vector<std::string> peers;
};

/// What a download tells its owner, on the manager's executor. Any may be empty.
struct DownloadEvents {
  std::function<void(const content_id::unixfs::Entity&)> on_entity;
  /// The file's bytes in order; the engine goes on when it returns.
  std::function<void(const content_id::unixfs::Segment&)> on_data;
  std::function<void(const content_id::unixfs::DirectoryEntry&)> on_entry;
  /// A verified block counted. `peer` is the id of a peer, or the URL of an HTTP server that is
  /// one; empty for the other sources.
  std::function<void(transfer::SourceKind source, const std::string& peer, std::uint64_t size)> on_received;
  /// Several times a second while bytes come, and once before a successful end.
  std::function<void(const TransferProgress&)> on_progress;
  /// The last that is heard of it; not after cancel().
  std::function<void(Result<void>)> on_end;
};

/// A connected peer.
struct PeerInfo {
  std::string id;
  transfer::PeerStats stats;
};

/// Downloads and serves content.
///
/// Threads: call everything on the executor, whose handlers must not run concurrently, except the functions that return
/// a future: they may be called from any thread but that one while it runs. Store access and hashing run on threads of
/// its own; WebRTC and the gateway have theirs. The destructor waits for them.
class TransferManager {
 public:
  /// Fails if a gateway's URL is malformed.
  static Result<std::unique_ptr<TransferManager>> make(boost::asio::any_io_executor executor,
                                                       std::shared_ptr<store::BlockStore> store,
                                                       TransferManagerOptions options);
  ~TransferManager();

  /// This peer's id, which its key makes.
  std::string id() const;
  /// Whether the first rendezvous knows it now.
  bool is_connected() const;
  /// Offers the content below the root to whoever looks for it. Its blocks must be in the store.
  void announce_content(const content_id::ContentId& root);
  /// Offers it no more; who asks for its blocks still gets them.
  void withdraw_content(const content_id::ContentId& root);

  transfer::TransferId download(const content_id::ContentId& root, transfer::DownloadOptions options,
                                DownloadEvents events);
  void cancel(transfer::TransferId transfer);

  /// Downloads a file whole into memory from one peer, or from several at once, whom a rendezvous knows by these ids.
  /// What they do not give comes from the gateway, if there is one.
  std::future<Result<Bytes>> download_from_peer(std::string peer, content_id::ContentId cid);
  std::future<Result<Bytes>> download_from_multiple_peers(std::vector<std::string> peers, content_id::ContentId cid);
  /// Keeps `content` and connects to the peer, which can then have it without searching. kMismatch if the content's
  /// CID, in the default profile, is not `cid`.
  std::future<Result<void>> serve_content(std::string peer, content_id::ContentId cid, Bytes content);
  /// Ready when the channel is open.
  std::future<Result<void>> connect_to_peer(std::string peer);

  std::vector<TransferProgress> transfers();
  const transfer::Totals& totals() const;
  /// Rendezvous that are joined besides the configured ones.
  std::size_t elsewhere() const;
  /// The peers whose channels are open.
  std::vector<PeerInfo> peers();

  /// From now on.
  void set_limits(const transfer::Limits& limits);
  const transfer::Limits& limits() const;

 private:
  class Impl;
  explicit TransferManager(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace codio::node
