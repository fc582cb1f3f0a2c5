#include "node/transfer_manager.h"

#include <algorithm>
#include <utility>

#include "content_id/unixfs/builder.h"
#include "node/hash.h"
#include "node/transfer_manager_impl.h"

namespace codio::node {
namespace {

/// Reasons that the error of a download names, besides the gateways'.
constexpr std::size_t kMaxTroubles = 8;

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

}  // namespace

void TransferManager::Impl::start() {
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

void TransferManager::Impl::stop() {
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

void TransferManager::Impl::announce(const ContentId& root) {
  for (std::size_t client = 0; client < homes(); ++client) clients_.at(client)->announce(root);
}

void TransferManager::Impl::withdraw(const ContentId& root) {
  for (std::size_t client = 0; client < homes(); ++client) clients_.at(client)->withdraw(root);
}

TransferId TransferManager::Impl::download(const ContentId& root, transfer::DownloadOptions options,
                                           DownloadEvents events, std::vector<std::string> peers) {
  const TransferId id = exchange_.download(now(), root, options);
  auto hold = store_->hold();
  if (!hold) log(hold.error().message);
  downloads_.emplace(id, Download{.root = root,
                                  .events = std::move(events),
                                  .hold = hold ? *std::move(hold) : nullptr,
                                  .peers = std::move(peers)});
  drain_later();
  return id;
}

void TransferManager::Impl::cancel(TransferId transfer) {
  exchange_.cancel(now(), transfer);
  forget(transfer);
  drain_later();
}

void TransferManager::Impl::connect(const std::string& peer, std::optional<TransferId> transfer,
                                    OnConnected on_connected) {
  if (options_.rendezvous.empty()) return on_connected(fail(ErrorCode::kUnavailable, "no rendezvous is configured"));
  connect(0, peer, transfer, std::move(on_connected));
}

std::vector<TransferProgress> TransferManager::Impl::transfers() {
  std::vector<TransferProgress> result;
  for (const auto& [id, download] : downloads_) {
    if (auto progress = exchange_.progress(now(), id)) result.push_back(describe(download, *std::move(progress)));
  }
  return result;
}

std::vector<PeerInfo> TransferManager::Impl::peers() {
  std::vector<PeerInfo> result;
  for (const auto& [id, connection] : connections_) {
    if (const auto stats = exchange_.peer_stats(now(), id)) result.push_back({connection->peer, *stats});
  }
  for (const auto& [id, peer] : http_peers_) {
    if (const auto stats = exchange_.peer_stats(now(), id)) result.push_back({peer->gateway(), *stats});
  }
  return result;
}

void TransferManager::Impl::set_limits(const transfer::Limits& limits) {
  exchange_.set_limits(now(), limits);
  drain_later();
}

void TransferManager::Impl::serve(const std::string& peer, const ContentId& cid, Bytes content,
                                  OnConnected on_connected) {
  in_background([store = store_, content = std::move(content)] { return keep(*store, content); },
                [this, peer, cid, on_connected = std::move(on_connected)](const Result<ContentId>& kept) {
                  if (!kept) return on_connected(std::unexpected(kept.error()));
                  if (*kept != cid) {
                    return on_connected(
                        fail(ErrorCode::kMismatch, "the content is " + kept->to_string() + ", not " + cid.to_string()));
                  }
                  announce(cid);
                  connect(peer, {}, on_connected);
                });
}

void TransferManager::Impl::log(const std::string& message) const {
  if (options_.on_log) options_.on_log(message);
}

TransferProgress TransferManager::Impl::describe(const Download& download, transfer::Progress progress) {
  std::vector<std::string> peers;
  for (const transfer::PeerShare& share : progress.peers) {
    const auto name = download.names.find(share.peer);
    peers.push_back(name == download.names.end() ? "" : name->second);
  }
  return {download.root, std::move(progress), std::move(peers)};
}

std::vector<store::Hold> TransferManager::Impl::holds() const {
  std::vector<store::Hold> all;
  for (const auto& [id, download] : downloads_) all.push_back(download.hold);
  return all;
}

void TransferManager::Impl::end(TransferId transfer, Result<void> result) {
  const auto download = forget(transfer);
  if (!download || !download->events.on_end) return;
  if (!result && is_lack(result.error().code, *download)) {
    for (const std::string& trouble : download->troubles) result.error().message += "; " + trouble;
  }
  download->events.on_end(std::move(result));
}

bool TransferManager::Impl::is_lack(ErrorCode code, const Download& download) {
  return code == ErrorCode::kUnavailable || code == ErrorCode::kTimeout ||
         (code == ErrorCode::kNotFound && !download.has_block);
}

void TransferManager::Impl::note_trouble(Download& download, const std::string& trouble) {
  const bool is_known = std::ranges::find(download.troubles, trouble) != download.troubles.end();
  if (!trouble.empty() && !is_known && download.troubles.size() < kMaxTroubles) download.troubles.push_back(trouble);
}

std::optional<TransferManager::Impl::Download> TransferManager::Impl::forget(TransferId transfer) {
  auto download = downloads_.extract(transfer);
  if (download.empty()) return std::nullopt;
  stop_searches(download.mapped());
  return std::move(download.mapped());
}

void TransferManager::Impl::stop_searches(Download& download) {
  for (const auto& [finder, find] : std::exchange(download.searches, {})) finder->cancel(find);
}

TransferManager::Impl::Download* TransferManager::Impl::find_download(TransferId transfer) {
  const auto found = downloads_.find(transfer);
  return found == downloads_.end() ? nullptr : &found->second;
}

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
