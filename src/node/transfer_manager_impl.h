// What a TransferManager is made of: the host of an engine, in parts that share its state.
//
// | file                    | what                                                                              |
// |-------------------------|-----------------------------------------------------------------------------------|
// | transfer_manager.cc     | what its owner asks for: downloads, their events, limits                          |
// | engine_host.cc          | carries out what the engine wants: the store, hashes, gateways, time              |
// | provider_search.cc      | who has it: rendezvous, finders, rendezvous elsewhere, HTTP servers               |
// | peer_connections.cc     | WebRTC connections: signals, proofs, bans                                         |
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include "gateway/http_client.h"
#include "node/http_peer.h"
#include "node/reach.h"
#include "node/transfer_manager.h"
#include "webrtc/fingerprint.h"

namespace codio::node {

using content_id::ContentId;
using transfer::PeerId;
using transfer::RequestId;
using transfer::TransferId;

/// Of the clock that the engine's host goes by.
inline Time now() {
  return Time(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

class TransferManager::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(boost::asio::any_io_executor executor, std::shared_ptr<store::BlockStore> store, TransferManagerOptions options,
       std::unique_ptr<gateway::Gateway> gateway)
      : executor_(std::move(executor)),
        store_(std::move(store)),
        options_(std::move(options)),
        gateway_(std::move(gateway)),
        key_(options_.key ? *options_.key : identity::Key::generate()),
        exchange_(options_.exchange),
        wakeup_(executor_),
        leave_elsewhere_(executor_),
        pool_(std::max(2U, std::thread::hardware_concurrency())) {}

  void start();

  /// On the executor, or when it runs no more.
  void stop();

  boost::asio::any_io_executor executor() const { return executor_; }
  const std::string& id() const { return key_.peer_id(); }
  bool is_connected() const { return homes() > 0 && clients_.at(0)->is_connected(); }
  std::size_t elsewhere() const { return elsewhere_.size(); }
  const transfer::Totals& totals() const { return exchange_.totals(); }

  void announce(const ContentId& root);
  void withdraw(const ContentId& root);

  /// `peers`: to be asked instead of a search.
  TransferId download(const ContentId& root, transfer::DownloadOptions options, DownloadEvents events,
                      std::vector<std::string> peers);
  void cancel(TransferId transfer);

  using OnConnected = std::function<void(Result<void>)>;

  void connect(const std::string& peer, std::optional<TransferId> transfer, OnConnected on_connected);
  std::vector<TransferProgress> transfers();
  std::vector<PeerInfo> peers();
  void set_limits(const transfer::Limits& limits);
  const transfer::Limits& limits() const { return exchange_.limits(); }

  void serve(const std::string& peer, const ContentId& cid, Bytes content, OnConnected on_connected);

 private:
  struct Connection {
    std::size_t client;  ///< The rendezvous that signals it.
    std::string peer;
    std::string session;
    std::unique_ptr<webrtc::PeerConnection> channel;
    std::optional<webrtc::Fingerprint> local;  ///< As the descriptions say, one each.
    std::optional<webrtc::Fingerprint> remote;
    bool is_open = false;
    std::vector<std::pair<std::optional<TransferId>, OnConnected>> waiting;
  };

  /// A rendezvous that was joined for providers there.
  struct Elsewhere {
    std::size_t client = 0;
    Time last_used;
    std::vector<std::pair<TransferId, std::string>> waiting = {};  ///< Peers, for the connection.
  };

  struct Download {
    ContentId root;
    DownloadEvents events;
    store::Hold hold;  ///< Of what it stores and finds stored.
    /// Who gave to it, by name, as connections go.
    std::map<PeerId, std::string> names = {};
    std::vector<std::string> peers;
    /// Searches and connections under way for it.
    std::uint32_t pending = 0;
    std::size_t providers = 0;
    /// Searches of finders under way.
    std::vector<std::pair<ProviderFinder*, FindId>> searches = {};
    /// Why sources were no help, for the error if it fails.
    std::vector<std::string> troubles = {};
    bool has_block = false;
  };

  /// Who is not connected to: through that rendezvous, or none at all.
  using Banned = std::pair<std::optional<std::size_t>, std::string>;

  void log(const std::string& message) const;

  /// Runs `task` on a thread of the pool and `then` with its result on the executor, unless stopped.
  template <class Task, class Then>
  void in_background(Task task, Then then) {
    boost::asio::post(pool_, [weak = weak_from_this(), executor = executor_, task = std::move(task),
                              then = std::move(then)]() mutable {
      boost::asio::post(executor, [weak, result = task(), then = std::move(then)]() mutable {
        const auto self = weak.lock();
        if (self && !self->stopped_) then(std::move(result));
      });
    });
  }

  // Downloads: transfer_manager.cc.

  static TransferProgress describe(const Download& download, transfer::Progress progress);
  std::vector<store::Hold> holds() const;
  void end(TransferId transfer, Result<void> result);
  /// Nobody gave it. With a block here, what is not found may be a path.
  static bool is_lack(ErrorCode code, const Download& download);
  static void note_trouble(Download& download, const std::string& trouble);
  std::optional<Download> forget(TransferId transfer);
  static void stop_searches(Download& download);
  Download* find_download(TransferId transfer);

  // The engine: engine_host.cc.

  void drain_later();
  void drain();
  void carry_out(transfer::SendMessage& output);
  void carry_out(transfer::LoadBlock& output);
  SharedBytes being_stored(const ContentId& cid) const;
  void carry_out(transfer::StoreBlock& output);

  /// A block counts once it is hashed. While the store is behind, that waits, and with it what the engine asks for.
  void carry_out(transfer::HashBytes& output);
  void hash_block(const transfer::HashBytes& output);
  void carry_out(transfer::AskGateway& output);
  void handle_gateway(RequestId request, Result<SharedBytes> block);
  void carry_out(transfer::CancelGateway& output);
  void carry_out(transfer::SetWakeup& output);
  void carry_out(transfer::EntityFound& output);
  void carry_out(transfer::Data& output);
  void carry_out(transfer::EntryFound& output);
  void carry_out(transfer::BlockReceived& output);
  void carry_out(transfer::ProgressMade& output);
  void carry_out(transfer::Finished& output) { end(output.transfer, {}); }
  void carry_out(transfer::Failed& output) { end(output.transfer, std::unexpected(std::move(output.error))); }

  // Providers: provider_search.cc.

  void carry_out(transfer::FindProviders& output);
  void search(TransferId transfer, ProviderFinder& finder);

  /// By all the ways that it offers: which one is faster shows.
  void use(TransferId transfer, const Provider& provider);
  void ask_over_http(TransferId transfer, const std::string& url, Reach teller);
  void close_http(PeerId id, const Error& reason);

  /// Another may take its place.
  void drop_http(PeerId id);
  void search(TransferId transfer, std::size_t client);
  void try_provider(TransferId transfer, std::size_t client, const std::string& peer);

  Reach teller_of(std::size_t client, const std::string& url) const;

  /// Joins the provider's rendezvous first, if need be and allowed.
  void try_elsewhere(TransferId transfer, const rendezvous::Elsewhere& provider, Reach teller);
  rendezvous::ClientEvents elsewhere_events(std::size_t client, const std::string& url);
  void handle_joined(const std::string& url, std::optional<std::size_t> client);
  void leave(const std::string& url);
  void leave_unused_in_time();
  void report_pending(TransferId transfer);

  // Connections: peer_connections.cc.

  /// The configured rendezvous are the first clients.
  std::size_t homes() const { return options_.rendezvous.size(); }

  rendezvous::Client::Options client_options() const;

  /// For the log.
  std::string name_of(std::size_t client) const;

  template <class Message>
  void signal(std::size_t client, Message message) {
    const auto found = clients_.find(client);
    if (found != clients_.end()) found->second->send(std::move(message));
  }

  /// Those of the command line, and what each rendezvous named last.
  void use_ice_servers(std::size_t client, const std::vector<rendezvous::IceServer>& servers);
  rendezvous::ClientEvents client_events(std::size_t client);
  void connect(std::size_t client, const std::string& peer, std::optional<TransferId> transfer,
               OnConnected on_connected);
  void handle_offer(std::size_t client, rendezvous::Offer offer);

  /// Only the first description counts: it says whose certificate is expected.
  void describe_remote(Connection& connection, std::string_view type, std::string sdp);
  Connection& add_connection(std::size_t client, const std::string& peer, const std::string& session, bool is_offerer);
  webrtc::PeerConnectionEvents channel_events(PeerId id, std::size_t client, const std::string& peer,
                                              const std::string& session, bool is_offerer);
  void handle_open(PeerId id);
  void close(PeerId id, Error reason);
  Connection* find_session(std::size_t client, const std::string& peer, const std::string& session);
  PeerId id_of(const Connection& wanted) const;

  void carry_out(transfer::ClosePeer& output);
  void ban(Banned who, Duration how_long);
  bool is_banned(std::size_t client, const std::string& peer) const;
  void carry_out(transfer::VerifyPeer& output);

  /// What a HELLO is signed over.
  static Bytes fingerprints(const webrtc::Fingerprint& sender, const webrtc::Fingerprint& receiver);
  static bool is_proven(const Connection& connection, const transfer::wire::Proof& proof);
  transfer::Introduction introduction(const Connection& connection) const;

  boost::asio::any_io_executor executor_;
  std::shared_ptr<store::BlockStore> store_;
  TransferManagerOptions options_;
  std::unique_ptr<gateway::Gateway> gateway_;
  const identity::Key key_;
  transfer::Exchange exchange_;
  boost::asio::steady_timer wakeup_;
  boost::asio::steady_timer leave_elsewhere_;
  boost::asio::thread_pool pool_;
  std::unique_ptr<webrtc::PeerConnectionFactory> connections_factory_;
  std::map<std::size_t, std::unique_ptr<rendezvous::Client>> clients_;
  std::size_t last_client_ = 0;
  std::map<std::size_t, std::vector<webrtc::IceServer>> ice_servers_;  ///< What each named.
  std::map<std::string, Elsewhere> elsewhere_;                         ///< By URL.
  std::map<PeerId, std::unique_ptr<Connection>> connections_;
  std::unique_ptr<gateway::HttpClient> http_;
  std::map<PeerId, std::unique_ptr<HttpPeer>> http_peers_;
  std::map<PeerId, TransferId> http_owners_;  ///< The download that each was found for.
  std::uint32_t last_peer_ = 0;
  std::map<TransferId, Download> downloads_;
  std::map<RequestId, gateway::FetchId> fetches_;
  std::map<Banned, Time> banned_;  ///< Until when.
  std::multimap<ContentId, SharedBytes> storing_;
  std::uint64_t storing_bytes_ = 0;
  std::deque<transfer::HashBytes> unhashed_;
  bool drain_posted_ = false;
  bool stopped_ = false;
};

}  // namespace codio::node
