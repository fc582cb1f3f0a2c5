// Carries out what the engine wants.
#include <set>
#include <utility>

#include "node/hash.h"
#include "node/transfer_manager_impl.h"

namespace codio::node {
namespace {

/// Block data that may wait to be stored, in bytes.
constexpr std::uint64_t kMaxStoring = 32 << 20;

}  // namespace

void TransferManager::Impl::drain_later() {
  if (std::exchange(drain_posted_, true)) return;
  boost::asio::post(executor_, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->stopped_) return;
    self->drain_posted_ = false;
    self->drain();
  });
}

void TransferManager::Impl::drain() {
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

void TransferManager::Impl::carry_out(transfer::SendMessage& output) {
  if (const auto http = http_peers_.find(output.peer); http != http_peers_.end()) {
    return http->second->send(output.message);
  }
  const auto connection = connections_.find(output.peer);
  if (connection == connections_.end() || connection->second->channel->send(output.message)) return;
  close(output.peer, {ErrorCode::kUnavailable, "the channel takes no more messages"});
}

void TransferManager::Impl::carry_out(transfer::LoadBlock& output) {
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

SharedBytes TransferManager::Impl::being_stored(const ContentId& cid) const {
  const auto found = storing_.find(cid);
  return found == storing_.end() ? nullptr : found->second;
}

void TransferManager::Impl::carry_out(transfer::StoreBlock& output) {
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

void TransferManager::Impl::carry_out(transfer::HashBytes& output) {
  if (storing_bytes_ > kMaxStoring) return unhashed_.push_back(std::move(output));
  hash_block(output);
}

void TransferManager::Impl::hash_block(const transfer::HashBytes& output) {
  in_background([code = output.code, bytes = output.bytes] { return hash(code, *bytes); },
                [this, request = output.request](const Bytes& digest) {
                  exchange_.handle_hashed(now(), request, digest);
                  drain();
                });
}

void TransferManager::Impl::carry_out(transfer::AskGateway& output) {
  const auto done = [weak = weak_from_this(), executor = executor_,
                     request = output.request](Result<SharedBytes> block) {
    boost::asio::post(executor, [weak, request, block = std::move(block)]() mutable {
      const auto self = weak.lock();
      if (self && !self->stopped_) self->handle_gateway(request, std::move(block));
    });
  };
  fetches_.emplace(output.request, gateway_->fetch_cid(output.cid, done));
}

void TransferManager::Impl::handle_gateway(RequestId request, Result<SharedBytes> block) {
  if (fetches_.erase(request) == 0) return;
  if (block) {
    exchange_.handle_gateway_block(now(), request, *std::move(block));
  } else {
    exchange_.handle_gateway_failed(now(), request, block.error());
  }
  drain();
}

void TransferManager::Impl::carry_out(transfer::CancelGateway& output) {
  const auto fetch = fetches_.find(output.request);
  if (fetch == fetches_.end()) return;
  gateway_->cancel(fetch->second);
  fetches_.erase(fetch);
}

void TransferManager::Impl::carry_out(transfer::SetWakeup& output) {
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

void TransferManager::Impl::carry_out(transfer::EntityFound& output) {
  Download* download = find_download(output.transfer);
  if (download == nullptr) return;
  if (const auto handler = download->events.on_entity) handler(output.entity);
}

void TransferManager::Impl::carry_out(transfer::Data& output) {
  if (Download* download = find_download(output.transfer)) {
    if (const auto handler = download->events.on_data) handler(output.segment);
  }
  exchange_.consume(now(), output.transfer, output.segment.size);
}

void TransferManager::Impl::carry_out(transfer::EntryFound& output) {
  const Download* download = find_download(output.transfer);
  if (download == nullptr) return;
  if (const auto handler = download->events.on_entry) handler(output.entry);
}

void TransferManager::Impl::carry_out(transfer::BlockReceived& output) {
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

void TransferManager::Impl::carry_out(transfer::ProgressMade& output) {
  const Download* download = find_download(output.progress.transfer);
  if (download == nullptr) return;
  if (const auto handler = download->events.on_progress) handler(describe(*download, std::move(output.progress)));
}

}  // namespace codio::node
