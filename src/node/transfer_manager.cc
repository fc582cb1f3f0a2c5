#include "node/transfer_manager.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include "content_id/unixfs/builder.h"
#include "gateway/gateway_url.h"
#include "node/hash.h"
#include "node/http_peer.h"
#include "node/reach.h"
#include "webrtc/fingerprint.h"

namespace codio::node {

using content_id::ContentId;
using transfer::PeerId;
using transfer::RequestId;
using transfer::TransferId;

namespace {

/// Peers that sent bad bytes or proved nothing, and are not connected to again.
constexpr std::size_t kMaxBanned = 4096;
/// Block data that may wait to be stored, in bytes.
constexpr std::uint64_t kMaxStoring = 32 << 20;
/// How long a rendezvous is not believed about a peer that did not prove who it was: docs/protocol.md §4.
constexpr Duration kDistrust = std::chrono::minutes(10);
/// Two that offer to each other at once, or a reconnection before the old one is known to be lost.
constexpr std::ptrdiff_t kMaxConnectionsOfPeer = 2;
/// Reasons that the error of a download names, besides the gateways'.
constexpr std::size_t kMaxTroubles = 8;
/// A rendezvous elsewhere is left when it was not used for so long: longer than a connection takes.
constexpr Duration kUnusedElsewhere = std::chrono::seconds(30);

Time now() { return Time(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())); }

/// Stores a file's blocks and returns its CID, in the default profile.
Result<ContentId> keep(store::BlockStore& store, BytesView content) {
  content_id::unixfs::FileBuilder builder(content_id::unixfs::kUnixfsV1_2025);
  builder.append(content);
  builder.finish();
  while (const auto block = builder.poll_block()) {
    const ContentId cid = builder.handle_digest(block->id, sha256(*block->bytes));
    if (auto put = store.put(cid, *block->bytes); !put) return std::unexpected(put.error());
  }
  return builder.root()->cid;
}

std::string random_session() {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::string session(16, ' ');
  for (char& c : session) c = kAlphabet[random() % kAlphabet.size()];
  return session;
}

}  // namespace

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

  void start() {
    connections_factory_ = std::make_unique<webrtc::PeerConnectionFactory>(
        webrtc::PeerConnectionFactory::Options{
            .ice_servers = options_.ice_servers,
            .use_loopback = options_.use_loopback,
            .relay_only = options_.relay_only,
            .open_timeout = std::chrono::duration_cast<std::chrono::milliseconds>(options_.connect_timeout)},
        [executor = executor_](std::function<void()> task) { boost::asio::post(executor, std::move(task)); });
    for (auto& urls : options_.rendezvous) {
      const std::size_t client = last_client_++;
      clients_.emplace(client,
                       std::make_unique<rendezvous::Client>(executor_, urls, client_events(client), client_options()));
    }
    if (!options_.finders.empty()) http_ = std::make_unique<gateway::HttpClient>();
  }

  /// On the executor, or when it runs no more.
  void stop() {
    stopped_ = true;
    wakeup_.cancel();
    leave_elsewhere_.cancel();
    const Error cancelled{ErrorCode::kCancelled, "transfers were stopped"};
    for (auto& [id, download] : std::exchange(downloads_, {})) {
      stop_searches(download);
      if (download.events.on_end) download.events.on_end(std::unexpected(cancelled));
    }
    for (auto& [id, connection] : connections_) {
      for (auto& [transfer, on_connected] : std::exchange(connection->waiting, {})) {
        on_connected(std::unexpected(cancelled));
      }
    }
    clients_.clear();
    elsewhere_.clear();
    connections_.clear();
    http_peers_.clear();
    http_.reset();
    connections_factory_.reset();
    gateway_.reset();
    pool_.join();
  }

  boost::asio::any_io_executor executor() const { return executor_; }
  const std::string& id() const { return key_.peer_id(); }
  bool is_connected() const { return homes() > 0 && clients_.at(0)->is_connected(); }
  std::size_t elsewhere() const { return elsewhere_.size(); }
  const transfer::Totals& totals() const { return exchange_.totals(); }

  void announce(const ContentId& root) {
    for (std::size_t client = 0; client < homes(); ++client) clients_.at(client)->announce(root);
  }

  void withdraw(const ContentId& root) {
    for (std::size_t client = 0; client < homes(); ++client) clients_.at(client)->withdraw(root);
  }

  /// `peers`: to be asked instead of a search.
  TransferId download(const ContentId& root, transfer::DownloadOptions options, DownloadEvents events,
                      std::vector<std::string> peers) {
    const TransferId id = exchange_.download(now(), root, std::move(options));
    auto hold = store_->hold();
    if (!hold) log(hold.error().message);
    downloads_.emplace(id, Download{.root = root,
                                    .events = std::move(events),
                                    .hold = hold ? *std::move(hold) : nullptr,
                                    .peers = std::move(peers)});
    drain_later();
    return id;
  }

  void cancel(TransferId transfer) {
    exchange_.cancel(now(), transfer);
    forget(transfer);
    drain_later();
  }

  using OnConnected = std::function<void(Result<void>)>;

  void connect(const std::string& peer, std::optional<TransferId> transfer, OnConnected on_connected) {
    if (options_.rendezvous.empty()) return on_connected(fail(ErrorCode::kUnavailable, "no rendezvous is configured"));
    connect(0, peer, transfer, std::move(on_connected));
  }

  std::vector<TransferProgress> transfers() {
    std::vector<TransferProgress> result;
    for (const auto& [id, download] : downloads_) {
      if (auto progress = exchange_.progress(now(), id)) result.push_back(describe(download, *std::move(progress)));
    }
    return result;
  }

  std::vector<PeerInfo> peers() {
    std::vector<PeerInfo> result;
    for (const auto& [id, connection] : connections_) {
      if (const auto stats = exchange_.peer_stats(now(), id)) result.push_back({connection->peer, *stats});
    }
    for (const auto& [id, peer] : http_peers_) {
      if (const auto stats = exchange_.peer_stats(now(), id)) result.push_back({peer->gateway(), *stats});
    }
    return result;
  }

  void set_limits(const transfer::Limits& limits) {
    exchange_.set_limits(now(), limits);
    drain_later();
  }
  const transfer::Limits& limits() const { return exchange_.limits(); }

  void serve(const std::string& peer, const ContentId& cid, Bytes content, OnConnected on_connected) {
    in_background([store = store_, content = std::move(content)] { return keep(*store, content); },
                  [this, peer, cid, on_connected = std::move(on_connected)](const Result<ContentId>& kept) {
                    if (!kept) return on_connected(std::unexpected(kept.error()));
                    if (*kept != cid) {
                      return on_connected(fail(ErrorCode::kMismatch,
                                               "the content is " + kept->to_string() + ", not " + cid.to_string()));
                    }
                    announce(cid);
                    connect(peer, {}, on_connected);
                  });
  }

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

  void log(const std::string& message) const {
    if (options_.on_log) options_.on_log(message);
  }

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

  // The engine.

  void drain_later() {
    if (std::exchange(drain_posted_, true)) return;
    boost::asio::post(executor_, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self || self->stopped_) return;
      self->drain_posted_ = false;
      self->drain();
    });
  }

  void drain() {
    std::set<PeerId> sent_to;
    do {
      sent_to.clear();
      while (auto output = exchange_.poll_output()) {
        if (const auto* send = std::get_if<transfer::SendMessage>(&*output)) sent_to.insert(send->peer);
        std::visit([&](auto& body) { carry_out(body); }, *output);
      }
      for (const PeerId peer : sent_to) {
        const auto connection = connections_.find(peer);
        if (connection == connections_.end()) continue;
        exchange_.handle_buffered_amount(now(), peer, connection->second->channel->buffered_amount());
      }
    } while (!sent_to.empty());
  }

  void carry_out(transfer::SendMessage& output) {
    if (const auto http = http_peers_.find(output.peer); http != http_peers_.end()) {
      return http->second->send(output.message);
    }
    const auto connection = connections_.find(output.peer);
    if (connection == connections_.end() || connection->second->channel->send(output.message)) return;
    close(output.peer, {ErrorCode::kUnavailable, "the channel takes no more messages"});
  }

  void carry_out(transfer::ClosePeer& output) {
    if (const auto http = http_peers_.find(output.peer); http != http_peers_.end()) {
      log("asks " + http->second->gateway() + " no more: " + output.reason.message);
      ban({std::nullopt, http->second->gateway()}, options_.ban);
      return drop_http(output.peer);
    }
    const auto connection = connections_.find(output.peer);
    if (connection == connections_.end()) return;
    const std::size_t client = connection->second->client;
    const std::string& peer = connection->second->peer;
    log("closed the connection to peer " + peer + " of " + name_of(client) + ": " + output.reason.message);
    switch (output.reason.code) {
      case ErrorCode::kMismatch:
      case ErrorCode::kMalformed: ban({std::nullopt, peer}, options_.ban); break;
      case ErrorCode::kForged: ban({client, peer}, kDistrust); break;
      default: break;
    }
    connections_.erase(output.peer);
  }

  /// Who is not connected to: through that rendezvous, or none at all.
  using Banned = std::pair<std::optional<std::size_t>, std::string>;

  void ban(Banned who, Duration how_long) {
    std::erase_if(banned_, [](const auto& entry) { return entry.second <= now(); });
    if (banned_.size() < kMaxBanned) banned_.insert_or_assign(std::move(who), now() + how_long);
  }

  bool is_banned(std::size_t client, const std::string& peer) const {
    return std::ranges::any_of(std::array{Banned{std::nullopt, peer}, Banned{client, peer}}, [this](const Banned& who) {
      const auto found = banned_.find(who);
      return found != banned_.end() && found->second > now();
    });
  }

  void carry_out(transfer::VerifyPeer& output) {
    const auto connection = connections_.find(output.peer);
    if (connection == connections_.end()) return;
    exchange_.handle_verified(now(), output.peer, is_proven(*connection->second, output.proof));
  }

  /// What a HELLO is signed over.
  static Bytes fingerprints(const webrtc::Fingerprint& sender, const webrtc::Fingerprint& receiver) {
    Bytes both(sender.begin(), sender.end());
    append(both, receiver);
    return both;
  }

  static bool is_proven(const Connection& connection, const transfer::wire::Proof& proof) {
    return identity::key_of(connection.peer) == proof.key &&
           identity::verify(proof.key, identity::Purpose::kHello, fingerprints(*connection.remote, *connection.local),
                            proof.signature);
  }

  transfer::Introduction introduction(const Connection& connection) const {
    return {.proof = transfer::wire::Proof{.key = key_.public_key(),
                                           .signature = key_.sign(identity::Purpose::kHello,
                                                                  fingerprints(*connection.local, *connection.remote))},
            .must_prove = identity::key_of(connection.peer).has_value()};
  }

  void carry_out(transfer::LoadBlock& output) {
    in_background(
        [store = store_, cid = output.cid, is_denied = options_.is_denied,
         storing = being_stored(output.cid)]() -> Result<std::optional<SharedBytes>> {
          if (is_denied && is_denied(cid)) return std::nullopt;
          if (storing) return storing;
          return store->get(cid);
        },
        [this, request = output.request](Result<std::optional<SharedBytes>> block) {
          if (!block) {
            log(block.error().message);
            if (options_.on_not_loaded) options_.on_not_loaded(block.error());
          }
          exchange_.handle_loaded(now(), request, block && *block ? **std::move(block) : nullptr);
          drain();
        });
  }

  SharedBytes being_stored(const ContentId& cid) const {
    const auto found = storing_.find(cid);
    return found == storing_.end() ? nullptr : found->second;
  }

  void carry_out(transfer::StoreBlock& output) {
    storing_bytes_ += output.block->size();
    storing_.emplace(output.cid, output.block);
    // Until it is stored its download's hold is needed, also if that ends first.
    in_background(
        [store = store_, cid = output.cid, block = output.block, holds = holds(),
         on_not_stored = options_.on_not_stored] {
          auto put = store->put(cid, *block);
          if (!put && on_not_stored) on_not_stored(put.error());
          return put;
        },
        [this, cid = output.cid, size = output.block->size()](const Result<void>& put) {
          storing_bytes_ -= size;
          storing_.erase(storing_.find(cid));
          if (!put) log(put.error().message);
          if (put && options_.on_stored) options_.on_stored(cid);
          while (!unhashed_.empty() && storing_bytes_ <= kMaxStoring) {
            hash_block(unhashed_.front());
            unhashed_.pop_front();
          }
        });
  }

  /// A block counts once it is hashed. While the store is behind, that waits, and with it what the engine asks for.
  void carry_out(transfer::HashBytes& output) {
    if (storing_bytes_ > kMaxStoring) return unhashed_.push_back(std::move(output));
    hash_block(output);
  }

  void hash_block(const transfer::HashBytes& output) {
    in_background([code = output.code, bytes = output.bytes] { return hash(code, *bytes); },
                  [this, request = output.request](const Bytes& digest) {
                    exchange_.handle_hashed(now(), request, digest);
                    drain();
                  });
  }

  void carry_out(transfer::AskGateway& output) {
    const auto done = [weak = weak_from_this(), executor = executor_,
                       request = output.request](Result<SharedBytes> block) {
      boost::asio::post(executor, [weak, request, block = std::move(block)]() mutable {
        const auto self = weak.lock();
        if (self && !self->stopped_) self->handle_gateway(request, std::move(block));
      });
    };
    fetches_.emplace(output.request, gateway_->fetch_cid(output.cid, done));
  }

  void handle_gateway(RequestId request, Result<SharedBytes> block) {
    if (fetches_.erase(request) == 0) return;
    if (block) {
      exchange_.handle_gateway_block(now(), request, *std::move(block));
    } else {
      exchange_.handle_gateway_failed(now(), request, block.error());
    }
    drain();
  }

  void carry_out(transfer::CancelGateway& output) {
    const auto fetch = fetches_.find(output.request);
    if (fetch == fetches_.end()) return;
    gateway_->cancel(fetch->second);
    fetches_.erase(fetch);
  }

  void carry_out(transfer::SetWakeup& output) {
    wakeup_.cancel();
    if (!output.at) return;
    wakeup_.expires_at(std::chrono::steady_clock::time_point(output.at->time_since_epoch()));
    wakeup_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (error || !self || self->stopped_) return;
      self->exchange_.handle_wakeup(now());
      self->drain();
    });
  }

  void carry_out(transfer::EntityFound& output) {
    Download* download = find_download(output.transfer);
    if (download == nullptr) return;
    if (const auto handler = download->events.on_entity) handler(output.entity);
  }

  void carry_out(transfer::Data& output) {
    if (Download* download = find_download(output.transfer)) {
      if (const auto handler = download->events.on_data) handler(output.segment);
    }
    exchange_.consume(now(), output.transfer, output.segment.size);
  }

  void carry_out(transfer::EntryFound& output) {
    const Download* download = find_download(output.transfer);
    if (download == nullptr) return;
    if (const auto handler = download->events.on_entry) handler(output.entry);
  }

  void carry_out(transfer::BlockReceived& output) {
    Download* download = find_download(output.transfer);
    if (download == nullptr) return;
    download->has_block = true;
    std::string peer;
    if (output.source == transfer::SourceKind::kPeer) {
      const auto connection = connections_.find(output.peer);
      if (connection != connections_.end()) peer = connection->second->peer;
      const auto http = http_peers_.find(output.peer);
      if (http != http_peers_.end()) peer = http->second->gateway();
      download->names.try_emplace(output.peer, peer);
    }
    if (const auto handler = download->events.on_received) handler(output.source, peer, output.size);
  }

  void carry_out(transfer::ProgressMade& output) {
    const Download* download = find_download(output.progress.transfer);
    if (download == nullptr) return;
    if (const auto handler = download->events.on_progress) handler(describe(*download, std::move(output.progress)));
  }

  static TransferProgress describe(const Download& download, transfer::Progress progress) {
    std::vector<std::string> peers;
    for (const transfer::PeerShare& share : progress.peers) {
      const auto name = download.names.find(share.peer);
      peers.push_back(name == download.names.end() ? "" : name->second);
    }
    return {download.root, std::move(progress), std::move(peers)};
  }

  void carry_out(transfer::Finished& output) { end(output.transfer, {}); }
  void carry_out(transfer::Failed& output) { end(output.transfer, std::unexpected(std::move(output.error))); }

  std::vector<store::Hold> holds() const {
    std::vector<store::Hold> all;
    for (const auto& [id, download] : downloads_) all.push_back(download.hold);
    return all;
  }

  void end(TransferId transfer, Result<void> result) {
    const auto download = forget(transfer);
    if (!download || !download->events.on_end) return;
    if (!result && is_lack(result.error().code, *download)) {
      for (const std::string& trouble : download->troubles) result.error().message += "; " + trouble;
    }
    download->events.on_end(std::move(result));
  }

  /// Nobody gave it. With a block here, what is not found may be a path.
  static bool is_lack(ErrorCode code, const Download& download) {
    return code == ErrorCode::kUnavailable || code == ErrorCode::kTimeout ||
           (code == ErrorCode::kNotFound && !download.has_block);
  }

  static void note_trouble(Download& download, const std::string& trouble) {
    const bool is_known = std::ranges::find(download.troubles, trouble) != download.troubles.end();
    if (!trouble.empty() && !is_known && download.troubles.size() < kMaxTroubles) download.troubles.push_back(trouble);
  }

  std::optional<Download> forget(TransferId transfer) {
    auto download = downloads_.extract(transfer);
    if (download.empty()) return std::nullopt;
    stop_searches(download.mapped());
    return std::move(download.mapped());
  }

  static void stop_searches(Download& download) {
    for (const auto& [finder, find] : std::exchange(download.searches, {})) finder->cancel(find);
  }

  Download* find_download(TransferId transfer) {
    const auto found = downloads_.find(transfer);
    return found == downloads_.end() ? nullptr : &found->second;
  }

  // Providers.

  void carry_out(transfer::FindProviders& output) {
    Download* download = find_download(output.transfer);
    if (download == nullptr) return;
    download->providers = 0;
    if (!download->peers.empty() && !options_.rendezvous.empty()) {
      for (const std::string& peer : download->peers) try_provider(output.transfer, 0, peer);
    } else {
      for (std::size_t client = 0; client < homes(); ++client) search(output.transfer, client);
      for (const auto& finder : options_.finders) {
        // One that still searches would begin anew, and never come to its end.
        const bool is_searching =
            std::ranges::any_of(download->searches, [&](const auto& search) { return search.first == finder.get(); });
        if (!is_searching) search(output.transfer, *finder);
      }
    }
    report_pending(output.transfer);
  }

  void search(TransferId transfer, ProviderFinder& finder) {
    Download& download = downloads_.at(transfer);
    ++download.pending;
    const FindId find = finder.find(
        download.root, options_.find_deadline,
        [this, transfer](const Provider& provider) {
          if (find_download(transfer) == nullptr) return;
          use(transfer, provider);
          report_pending(transfer);
          drain();
        },
        [this, transfer, &finder](const FindSummary& summary) {
          if (!summary.trouble.empty()) log("searching for providers: " + summary.trouble);
          Download* searching = find_download(transfer);
          if (searching == nullptr) return;
          note_trouble(*searching, summary.trouble);
          std::erase_if(searching->searches, [&](const auto& search) { return search.first == &finder; });
          --searching->pending;
          report_pending(transfer);
          drain();
        });
    download.searches.emplace_back(&finder, find);
  }

  /// By all the ways that it offers: which one is faster shows.
  void use(TransferId transfer, const Provider& provider) {
    if (provider.peer == id()) return;
    log("found provider " + provider.peer + " at " + provider.address);
    for (const std::string& text : provider.gateways) {
      const auto url = gateway::parse_gateway_url(text);
      if (!url) continue;
      ask_over_http(transfer, *url, provider.teller);
      break;
    }
    if (!provider.rendezvous.empty()) {
      try_elsewhere(transfer, {provider.peer, provider.rendezvous.front()}, provider.teller);
    }
  }

  void ask_over_http(TransferId transfer, const std::string& url, Reach teller) {
    Download& download = downloads_.at(transfer);
    for (const auto& [id, peer] : http_peers_) {
      if (peer->gateway() == url) return exchange_.handle_peer_provides(now(), id, transfer);
    }
    const auto banned = banned_.find({std::nullopt, url});
    if (banned != banned_.end() && banned->second > now()) return;
    if (download.providers >= options_.max_providers || http_peers_.size() >= options_.max_connections) return;
    ++download.providers;
    const PeerId id{++last_peer_};
    http_owners_.emplace(id, transfer);
    http_peers_.emplace(id,
                        std::make_unique<HttpPeer>(
                            executor_, *http_, url, teller,
                            HttpPeerEvents{.on_message =
                                               [this, id](Bytes message) {
                                                 exchange_.handle_message(now(), id, message);
                                                 drain();
                                               },
                                           .on_closed = [this, id](const Error& reason) { close_http(id, reason); }}));
    exchange_.handle_peer_connected(now(), id, transfer);
  }

  void close_http(PeerId id, const Error& reason) {
    log(reason.message);
    exchange_.handle_peer_disconnected(now(), id);
    drop_http(id);
    drain_later();
  }

  /// Another may take its place.
  void drop_http(PeerId id) {
    http_peers_.erase(id);
    const auto owner = http_owners_.extract(id);
    Download* download = find_download(owner.mapped());
    if (download != nullptr && download->providers > 0) --download->providers;  // A new search counts from 0.
  }

  void search(TransferId transfer, std::size_t client) {
    Download& searching = downloads_.at(transfer);
    ++searching.pending;
    clients_.at(client)->find(searching.root, [this, transfer, client](const Result<rendezvous::Found>& found) {
      Download* download = find_download(transfer);
      if (download == nullptr) return;
      if (!found || !found->more) --download->pending;
      if (!found) {
        log(found.error().message);
        note_trouble(*download, found.error().message);
      } else {
        for (const std::string& peer : found->peers) try_provider(transfer, client, peer);
        for (const rendezvous::Elsewhere& provider : found->elsewhere) {
          try_elsewhere(transfer, provider, teller_of(client, provider.rendezvous));
        }
      }
      report_pending(transfer);
      drain();
    });
  }

  void try_provider(TransferId transfer, std::size_t client, const std::string& peer) {
    Download& download = downloads_.at(transfer);
    if (peer == id() || is_banned(client, peer) || download.providers >= options_.max_providers) return;
    ++download.providers;
    ++download.pending;
    connect(client, peer, transfer, [this, transfer, peer](const Result<void>& connected) {
      const std::string trouble = connected ? "" : "cannot connect to peer " + peer + ": " + connected.error().message;
      if (!connected) log(trouble);
      Download* waiting = find_download(transfer);
      if (waiting == nullptr) return;
      note_trouble(*waiting, trouble);
      --waiting->pending;
      if (!connected && waiting->providers > 0) --waiting->providers;
      report_pending(transfer);
      drain_later();
    });
  }

  /// A rendezvous passes on what strangers said. An address it may have judged by where it stands; a name that it did
  /// not look up leads to the internet or nowhere.
  Reach teller_of(std::size_t client, const std::string& url) const {
    const bool is_name = reach_of_url(url) == Reach::kInternet;
    return is_name ? Reach::kInternet : reach_of_url(clients_.at(client)->url().text);
  }

  /// Joins the provider's rendezvous first, if need be and allowed.
  void try_elsewhere(TransferId transfer, const rendezvous::Elsewhere& provider, Reach teller) {
    for (std::size_t client = 0; client < homes(); ++client) {
      if (clients_.at(client)->url().text == provider.rendezvous) return try_provider(transfer, client, provider.peer);
    }
    auto joined = elsewhere_.find(provider.rendezvous);
    if (joined == elsewhere_.end()) {
      auto url = rendezvous::ServerUrl::parse(provider.rendezvous);
      if (!url || elsewhere_.size() >= options_.max_elsewhere) return;
      auto options = client_options();
      options.may_connect = [teller](const boost::asio::ip::address& address) { return may_name(teller, address); };
      const std::size_t client = last_client_++;
      joined = elsewhere_.emplace(provider.rendezvous, Elsewhere{.client = client, .last_used = now()}).first;
      clients_.emplace(
          client, std::make_unique<rendezvous::Client>(
                      executor_, *std::move(url), elsewhere_events(client, provider.rendezvous), std::move(options)));
      leave_unused_in_time();
    }
    joined->second.last_used = now();
    if (clients_.at(joined->second.client)->is_connected()) {
      return try_provider(transfer, joined->second.client, provider.peer);
    }
    ++downloads_.at(transfer).pending;
    joined->second.waiting.emplace_back(transfer, provider.peer);
  }

  rendezvous::ClientEvents elsewhere_events(std::size_t client, const std::string& url) {
    rendezvous::ClientEvents events = client_events(client);
    events.on_ice_servers = {};  // A stranger's TURN servers would see who talks to whom.
    events.on_connected = [this, client, url](const rendezvous::Welcome&) { handle_joined(url, client); };
    events.on_disconnected = [this, url](const Error& error) {
      log(error.message);
      leave(url);
    };
    return events;
  }

  void handle_joined(const std::string& url, std::optional<std::size_t> client) {
    const auto waiting = std::exchange(elsewhere_.at(url).waiting, {});
    for (const auto& [transfer, peer] : waiting) {
      Download* download = find_download(transfer);
      if (download == nullptr) continue;
      --download->pending;
      if (client) try_provider(transfer, *client, peer);
      report_pending(transfer);
    }
    drain_later();
  }

  void leave(const std::string& url) {
    handle_joined(url, std::nullopt);
    const auto entry = elsewhere_.extract(url);
    clients_.erase(entry.mapped().client);
  }

  void leave_unused_in_time() {
    leave_elsewhere_.expires_after(kUnusedElsewhere / 2);
    leave_elsewhere_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
      const auto self = weak.lock();
      if (error || !self || self->stopped_) return;
      std::vector<std::string> unused;
      for (const auto& [url, joined] : self->elsewhere_) {
        if (joined.last_used + kUnusedElsewhere <= now()) unused.push_back(url);
      }
      for (const std::string& url : unused) self->leave(url);
      if (!self->elsewhere_.empty()) self->leave_unused_in_time();
    });
  }

  void report_pending(TransferId transfer) {
    if (const Download* download = find_download(transfer)) {
      exchange_.handle_providers(now(), transfer, download->pending);
    }
  }

  // Connections.

  /// The configured rendezvous are the first clients.
  std::size_t homes() const { return options_.rendezvous.size(); }

  rendezvous::Client::Options client_options() const {
    rendezvous::Client::Options options;
    options.key = key_;
    return options;
  }

  /// For the log.
  std::string name_of(std::size_t client) const {
    const auto found = clients_.find(client);
    return found == clients_.end() ? "a rendezvous that was left" : found->second->url().text;
  }

  template <class Message>
  void signal(std::size_t client, Message message) {
    const auto found = clients_.find(client);
    if (found != clients_.end()) found->second->send(std::move(message));
  }

  /// Those of the command line, and what each rendezvous named last.
  void use_ice_servers(std::size_t client, const std::vector<rendezvous::IceServer>& servers) {
    auto& named = ice_servers_[client];
    named.clear();
    for (const auto& server : servers) named.push_back({server.urls, server.username, server.credential});
    std::vector<webrtc::IceServer> all = options_.ice_servers;
    for (const auto& [_, more] : ice_servers_) all.insert(all.end(), more.begin(), more.end());
    connections_factory_->set_ice_servers(std::move(all));
  }

  rendezvous::ClientEvents client_events(std::size_t client) {
    return {
        .on_connected = [this,
                         client](const rendezvous::Welcome& welcome) { use_ice_servers(client, welcome.ice_servers); },
        .on_disconnected = [this](const Error& error) { log(error.message); },
        .on_offer = [this, client](rendezvous::Offer offer) { handle_offer(client, std::move(offer)); },
        .on_answer =
            [this, client](rendezvous::Answer answer) {
              if (Connection* connection = find_session(client, answer.peer, answer.session)) {
                describe_remote(*connection, "answer", std::move(answer.sdp));
              }
            },
        .on_candidate =
            [this, client](const rendezvous::Candidate& candidate) {
              if (Connection* connection = find_session(client, candidate.peer, candidate.session)) {
                connection->channel->handle_remote_candidate({candidate.candidate, candidate.mid});
              }
            },
        .on_unreachable =
            [this, client](const rendezvous::Unreachable& unreachable) {
              const Connection* connection = find_session(client, unreachable.peer, unreachable.session);
              if (connection != nullptr && !connection->is_open) {
                close(id_of(*connection), {ErrorCode::kUnavailable, "the peer is not at the rendezvous any more"});
              }
            },
        .on_ice_servers =
            [this, client](const std::vector<rendezvous::IceServer>& servers) { use_ice_servers(client, servers); },
        .on_warning = [this](const Error& error) { log(error.message); },
    };
  }

  void connect(std::size_t client, const std::string& peer, std::optional<TransferId> transfer,
               OnConnected on_connected) {
    if (is_banned(client, peer)) {
      return on_connected(fail(ErrorCode::kUnavailable, "it sent bad bytes, or did not prove who it is, before"));
    }
    for (auto& [id, connection] : connections_) {
      if (connection->client != client || connection->peer != peer) continue;
      if (!connection->is_open) {
        connection->waiting.emplace_back(transfer, std::move(on_connected));
        return;
      }
      if (transfer) exchange_.handle_peer_provides(now(), id, *transfer);
      return on_connected({});
    }
    if (connections_.size() >= options_.max_connections) {
      return on_connected(fail(ErrorCode::kUnavailable, "too many connections are open"));
    }
    Connection& connection = add_connection(client, peer, random_session(), true);
    connection.waiting.emplace_back(transfer, std::move(on_connected));
    connection.channel->offer();
  }

  void handle_offer(std::size_t client, rendezvous::Offer offer) {
    // A quarter of the connections is kept for those that we begin.
    if (connections_.size() >= options_.max_connections / 4 * 3 || is_banned(client, offer.peer)) return;
    if (find_session(client, offer.peer, offer.session) != nullptr) return;
    const auto of_peer = std::count_if(connections_.begin(), connections_.end(),
                                       [&](const auto& entry) { return entry.second->peer == offer.peer; });
    if (of_peer >= kMaxConnectionsOfPeer) return;
    describe_remote(add_connection(client, offer.peer, offer.session, false), "offer", std::move(offer.sdp));
  }

  /// Only the first description counts: it says whose certificate is expected.
  void describe_remote(Connection& connection, std::string_view type, std::string sdp) {
    if (connection.remote) return;
    const auto fingerprint = webrtc::fingerprint_of(sdp);
    if (!fingerprint) return close(id_of(connection), fingerprint.error());
    connection.remote = *fingerprint;
    connection.channel->handle_remote_description(type, std::move(sdp));
  }

  Connection& add_connection(std::size_t client, const std::string& peer, const std::string& session, bool is_offerer) {
    const PeerId id{++last_peer_};
    Connection& connection = *connections_
                                  .emplace(id, std::make_unique<Connection>(Connection{
                                                   .client = client,
                                                   .peer = peer,
                                                   .session = session,
                                                   .channel = nullptr,
                                               }))
                                  .first->second;
    connection.channel = connections_factory_->create(channel_events(id, client, peer, session, is_offerer));
    return connection;
  }

  webrtc::PeerConnectionEvents channel_events(PeerId id, std::size_t client, const std::string& peer,
                                              const std::string& session, bool is_offerer) {
    return {
        .on_local_description =
            [this, id, client, peer, session, is_offerer](std::string sdp) {
              const auto fingerprint = webrtc::fingerprint_of(sdp);
              if (!fingerprint) return close(id, fingerprint.error());
              connections_.at(id)->local = *fingerprint;
              if (is_offerer) {
                signal(client, rendezvous::Offer{peer, session, std::move(sdp)});
              } else {
                signal(client, rendezvous::Answer{peer, session, std::move(sdp)});
              }
            },
        .on_local_candidate =
            [this, client, peer, session](webrtc::IceCandidate candidate) {
              signal(client,
                     rendezvous::Candidate{peer, session, std::move(candidate.candidate), std::move(candidate.mid)});
            },
        .on_open = [this, id] { handle_open(id); },
        .on_message =
            [this, id](Bytes message) {
              exchange_.handle_message(now(), id, message);
              drain();
            },
        .on_buffered_amount =
            [this, id](std::size_t bytes) {
              exchange_.handle_buffered_amount(now(), id, bytes);
              drain();
            },
        .on_closed = [this, id](Error reason) { close(id, std::move(reason)); },
    };
  }

  void handle_open(PeerId id) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    Connection& connection = *found->second;
    connection.is_open = true;
    auto waiting = std::exchange(connection.waiting, {});
    exchange_.handle_peer_connected(now(), id, waiting.empty() ? std::nullopt : waiting.front().first,
                                    introduction(connection));
    for (auto& [transfer, on_connected] : waiting) {
      if (transfer) exchange_.handle_peer_provides(now(), id, *transfer);
      on_connected({});
    }
    drain();
  }

  void close(PeerId id, Error reason) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    const auto waiting = std::exchange(found->second->waiting, {});
    exchange_.handle_peer_disconnected(now(), id);
    connections_.erase(id);
    for (const auto& [transfer, on_connected] : waiting) on_connected(std::unexpected(reason));
    drain_later();
  }

  Connection* find_session(std::size_t client, const std::string& peer, const std::string& session) {
    for (auto& [id, connection] : connections_) {
      if (connection->client == client && connection->peer == peer && connection->session == session) {
        return connection.get();
      }
    }
    return nullptr;
  }

  PeerId id_of(const Connection& wanted) const {
    return std::find_if(connections_.begin(), connections_.end(),
                        [&](const auto& entry) { return entry.second.get() == &wanted; })
        ->first;
  }

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

Result<std::unique_ptr<TransferManager>> TransferManager::make(boost::asio::any_io_executor executor,
                                                               std::shared_ptr<store::BlockStore> store,
                                                               TransferManagerOptions options) {
  std::unique_ptr<gateway::Gateway> gateway;
  if (options.gateway) {
    auto made = gateway::Gateway::make(*options.gateway);
    if (!made) return std::unexpected(made.error());
    gateway = *std::move(made);
  }
  options.exchange.has_gateways = gateway != nullptr;
  auto impl = std::make_shared<Impl>(std::move(executor), std::move(store), std::move(options), std::move(gateway));
  impl->start();
  return std::unique_ptr<TransferManager>(new TransferManager(std::move(impl)));
}

TransferManager::TransferManager(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
TransferManager::~TransferManager() { impl_->stop(); }

std::string TransferManager::id() const { return impl_->id(); }
bool TransferManager::is_connected() const { return impl_->is_connected(); }
void TransferManager::announce_content(const ContentId& root) { impl_->announce(root); }
void TransferManager::withdraw_content(const ContentId& root) { impl_->withdraw(root); }

TransferId TransferManager::download(const ContentId& root, transfer::DownloadOptions options, DownloadEvents events) {
  return impl_->download(root, std::move(options), std::move(events), {});
}

void TransferManager::cancel(TransferId transfer) { impl_->cancel(transfer); }

std::future<Result<Bytes>> TransferManager::download_from_peer(std::string peer, ContentId cid) {
  return download_from_multiple_peers({std::move(peer)}, std::move(cid));
}

std::future<Result<Bytes>> TransferManager::download_from_multiple_peers(std::vector<std::string> peers,
                                                                         ContentId cid) {
  auto promise = std::make_shared<std::promise<Result<Bytes>>>();
  auto bytes = std::make_shared<Bytes>();
  boost::asio::post(impl_->executor(), [impl = impl_, promise, bytes, peers = std::move(peers), cid]() mutable {
    DownloadEvents events;
    events.on_data = [bytes](const content_id::unixfs::Segment& segment) { append(*bytes, segment.view()); };
    events.on_end = [bytes, promise](Result<void> end) {
      promise->set_value(end ? Result<Bytes>(std::move(*bytes)) : std::unexpected(end.error()));
    };
    impl->download(cid, {}, std::move(events), std::move(peers));
  });
  return promise->get_future();
}

std::future<Result<void>> TransferManager::serve_content(std::string peer, ContentId cid, Bytes content) {
  auto promise = std::make_shared<std::promise<Result<void>>>();
  boost::asio::post(impl_->executor(), [impl = impl_, promise, peer = std::move(peer), cid = std::move(cid),
                                        content = std::move(content)]() mutable {
    impl->serve(peer, cid, std::move(content),
                [promise](Result<void> served) { promise->set_value(std::move(served)); });
  });
  return promise->get_future();
}

std::future<Result<void>> TransferManager::connect_to_peer(std::string peer) {
  auto promise = std::make_shared<std::promise<Result<void>>>();
  boost::asio::post(impl_->executor(), [impl = impl_, promise, peer = std::move(peer)] {
    impl->connect(peer, {}, [promise](Result<void> connected) { promise->set_value(std::move(connected)); });
  });
  return promise->get_future();
}

std::vector<TransferProgress> TransferManager::transfers() { return impl_->transfers(); }
const transfer::Totals& TransferManager::totals() const { return impl_->totals(); }
std::size_t TransferManager::elsewhere() const { return impl_->elsewhere(); }
std::vector<PeerInfo> TransferManager::peers() { return impl_->peers(); }
void TransferManager::set_limits(const transfer::Limits& limits) { impl_->set_limits(limits); }
const transfer::Limits& TransferManager::limits() const { return impl_->limits(); }

}  // namespace codio::node
