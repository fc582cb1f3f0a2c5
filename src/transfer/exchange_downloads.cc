// Downloads: from download() to Finished, and what they ask for on the way.
#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/concat.h"
#include "common/decimal.h"
#include "transfer/exchange.h"

namespace codio::transfer {

using wire::GoodbyeCode;
using wire::WantId;
using wire::WantKind;

namespace {

/// A download without a provider looks for one again this often.
constexpr Duration kSearchInterval = std::chrono::seconds(10);
/// And this often for a block that no provider has.
constexpr Duration kSearchForMissing = std::chrono::seconds(3);
/// Cancelled wants of a peer of which it is remembered what they were for.
constexpr std::size_t kMaxLate = 256;
/// Peers listed in a Progress; what others give is listed as that of no peer.
constexpr std::size_t kMaxShares = 64;

}  // namespace

TransferId Exchange::download(Time now, const Cid& root, const DownloadOptions& options) {
  const TransferId id{++last_transfer_};
  const bool ordered = options.traversal.scope == content_id::unixfs::Scope::kBytes;
  transfers_.try_emplace(id, now, id, root, options);
  scheduler_.add_transfer(id, ordered);
  drive(now);
  return id;
}

void Exchange::cancel(Time now, TransferId transfer) {
  if (!transfers_.contains(transfer)) return;
  forget_transfer(now, transfer);
  drive(now);
}

void Exchange::consume(Time now, TransferId transfer, std::uint64_t bytes) {
  const auto found = transfers_.find(transfer);
  if (found == transfers_.end()) return;
  found->second.unconsumed -= std::min(bytes, found->second.unconsumed);
  drive(now);
}

void Exchange::handle_providers(Time now, TransferId transfer, std::uint32_t pending) {
  scheduler_.set_pending_providers(transfer, pending);
  drive(now);
}

void Exchange::handle_hashed(Time now, RequestId request, BytesView digest) {
  auto hashing = take_request<Hashing>(request);
  if (!hashing) return;
  hashing_bytes_ -= hashing->block->size();
  const bool is_needed = scheduler_.needs(hashing->cid);
  const BytesView expected = hashing->cid.multihash().digest();
  if (!std::equal(digest.begin(), digest.end(), expected.begin(), expected.end())) {
    count_duplicate(is_needed ? *scheduler_.transfers_of(hashing->cid).begin() : TransferId{}, hashing->block->size());
    if (peers_.contains(hashing->peer)) {
      drop_peer(hashing->peer, GoodbyeCode::kBadBlock, ErrorCode::kMismatch,
                concat({"the peer sent bytes that are not ", hashing->cid.to_string()}));
    }
    scheduler_.handle_refuted(hashing->cid);
    return drive(now);
  }
  if (!is_needed) {
    count_duplicate({}, hashing->block->size());
    return drive(now);
  }
  if (const auto peer = peers_.find(hashing->peer); peer != peers_.end()) {
    peer->second.downloaded += hashing->block->size();
    slots_.note_given(hashing->peer, hashing->block->size());
  }
  totals_.from_peers += hashing->block->size();
  output(StoreBlock{hashing->cid, hashing->block});
  tell_who_missed(hashing->cid);
  accept(now, hashing->cid, hashing->block, SourceKind::kPeer, hashing->peer);
  drive(now);
}

void Exchange::handle_gateway_block(Time now, RequestId request, const SharedBytes& block) {
  const auto asking = take_request<Asking>(request);
  if (!asking) return;
  totals_.from_gateways += block->size();
  downloads_.take(block->size());
  for (const TransferId waiting : scheduler_.transfers_of(asking->cid)) {
    transfers_.at(waiting).rate.add(now, block->size());
  }
  output(StoreBlock{asking->cid, block});
  tell_who_missed(asking->cid);
  scheduler_.handle_arrived(now, asking->cid, std::nullopt, block->size());
  accept(now, asking->cid, block, SourceKind::kGateway, {});
  drive(now);
}

void Exchange::handle_gateway_failed(Time now, RequestId request, Error error) {
  const auto asking = take_request<Asking>(request);
  if (!asking) return;
  scheduler_.handle_gateway_failed(now, asking->cid, std::move(error));
  drive(now);
}

/// A verified block reaches the downloads that wait for it.
void Exchange::accept(Time now, const Cid& cid, const SharedBytes& block, SourceKind source, PeerId peer) {
  const std::set<TransferId> waiting = scheduler_.transfers_of(cid);
  for (const Scheduler::Asked& asked : scheduler_.handle_verified(now, cid)) {
    cancel_request(cid, asked.peer, *waiting.begin());
    if (asked.received > 0) count_duplicate(*waiting.begin(), asked.received);
  }
  for (const TransferId id : waiting) {
    Transfer& transfer = transfers_.at(id);
    --transfer.open_blocks;
    transfer.progress_at = now;
    Progress& progress = transfer.progress;
    progress.verified += block->size();
    switch (source) {
      case SourceKind::kStore: progress.from_store += block->size(); break;
      case SourceKind::kGateway: progress.from_gateways += block->size(); break;
      case SourceKind::kPeer: {
        progress.from_peers += block->size();
        auto share = std::find_if(progress.peers.begin(), progress.peers.end(),
                                  [&](const PeerShare& one) { return one.peer == peer; });
        if (share == progress.peers.end() && progress.peers.size() >= kMaxShares) share = progress.peers.begin();
        if (share == progress.peers.end()) share = progress.peers.insert(share, PeerShare{.peer = peer});
        share->bytes += block->size();
      }
    }
    transfer.has_news = true;
    output(BlockReceived{id, source, peer, block->size()});
    if (const auto handled = transfer.traversal.handle_block(cid, block); !handled)
      fail_transfer(now, id, handled.error());
  }
}

void Exchange::count_duplicate(TransferId id, std::uint64_t bytes) {
  totals_.duplicates += bytes;
  scheduler_.note_duplicate(bytes);
  const auto transfer = transfers_.find(id);
  if (transfer == transfers_.end()) return;
  transfer->second.progress.duplicates += bytes;
  transfer->second.has_news = true;
}

/// Takes the transfer out of everything that knows it.
void Exchange::forget_transfer(Time now, TransferId id) {
  for (const auto& cancelled : scheduler_.remove_transfer(now, id)) cancel_request(cancelled.cid, cancelled.peer, id);
  for (auto& [request_id, request] : requests_) {
    if (auto* load = std::get_if<LoadForDownload>(&request)) load->waiting.erase(id);
  }
  for (auto& [peer_id, peer] : peers_) {
    std::erase_if(peer.questions, [&](const auto& question) { return question.second == id; });
  }
  transfers_.erase(id);
}

void Exchange::fail_transfer(Time now, TransferId id, Error error) {
  forget_transfer(now, id);
  output(Failed{id, std::move(error)});
}

// What it asks for.

void Exchange::drive_transfer(Time now, TransferId id) {
  Transfer& transfer = transfers_.at(id);
  if (transfer.traversal.error()) return fail_transfer(now, id, *transfer.traversal.error());
  if (!transfer.entity_given && transfer.traversal.entity()) {
    transfer.entity_given = true;
    const content_id::unixfs::Entity& entity = *transfer.traversal.entity();
    if (entity.type == content_id::unixfs::EntityType::kFile) {
      const std::uint64_t end = std::min(transfer.range.end, entity.size);
      transfer.progress.total = end - std::min(end, transfer.range.begin);
    }
    output(EntityFound{id, entity});
  }
  while (transfer.unconsumed < transfer.unconsumed_limit) {
    auto segment = transfer.traversal.poll_segment();
    if (!segment) break;
    transfer.unconsumed += segment->size;
    transfer.progress.received += segment->size;
    transfer.has_news = true;
    output(Data{id, *std::move(segment)});
  }
  while (auto entry = transfer.traversal.poll_entry()) output(EntryFound{id, *std::move(entry)});
  if (transfer.traversal.finished()) {
    tell_progress(now, id, transfer);
    forget_transfer(now, id);
    return output(Finished{id});
  }

  // A reader that pauses does not stall: nothing is wanted meanwhile.
  if (transfer.open_blocks == 0) transfer.progress_at = now;
  for (const Cid& cid : transfer.traversal.poll_wants(room_for_blocks(transfer))) {
    ++transfer.open_blocks;
    if (scheduler_.needs(cid)) {
      scheduler_.need(now, cid, id);
      continue;
    }
    if (const auto lookup = find_request<LoadForDownload>(cid); lookup != requests_.end()) {
      std::get<LoadForDownload>(lookup->second).waiting.insert(id);
    } else {
      output(LoadBlock{add_request(LoadForDownload{cid, {id}}), cid});
    }
  }
  scheduler_.set_asked_all(id, transfer.traversal.asked_all());
  scheduler_.set_blocked(now, id, transfer.unconsumed == 0 && transfer.traversal.held() > 0);
  if (transfer.has_news && now - transfer.told_at >= kProgressInterval) tell_progress(now, id, transfer);

  // The gateway client bounds its own silence, and has other gateways to try.
  if (now - transfer.progress_at > options_.stall_timeout && !scheduler_.asks_gateway_for(id)) {
    const auto seconds = static_cast<std::uint32_t>(options_.stall_timeout.count() / 1'000'000);
    return fail_transfer(now, id,
                         {ErrorCode::kTimeout,
                          concat({"no byte of ", transfer.root.to_string(), " came for ", to_decimal(seconds), " s"})});
  }
  if (transfer.searched && now - transfer.searched_at > kSearchInterval && !scheduler_.has_provider(id)) {
    search_again(now, id);
  }
}

/// Looks for providers once a block turned out not to be here.
void Exchange::search(Time now, TransferId id) {
  Transfer& transfer = transfers_.at(id);
  if (transfer.searched || options_.policy == Policy::kGatewayOnly) return;
  transfer.searched = true;
  transfer.searched_at = now;
  output(FindProviders{id, transfer.root});
  for (const auto& [peer_id, peer] : peers_) {
    if (!scheduler_.provides(peer_id, id)) ask_whether_it_has(now, peer_id, id);
  }
}

/// Nothing is given up before that search ended, too.
void Exchange::search_again(Time now, TransferId id) {
  scheduler_.set_pending_providers(id, std::nullopt);
  transfers_.at(id).searched = false;
  search(now, id);
}

/// A peer that came for another reason may have this root too.
void Exchange::ask_whether_it_has(Time now, PeerId id, TransferId transfer) {
  if (options_.policy == Policy::kGatewayOnly) return;
  Peer& peer = peers_.at(id);
  const Cid& root = transfers_.at(transfer).root;
  const WantId want = peer.receiver.open(now, root, WantKind::kHave);
  peer.questions.emplace(want, transfer);
  peer.wants.push_back({want, root, WantKind::kHave});
}

/// Whether a connected peer has yet to say if it has the transfer's root.
bool Exchange::has_question(TransferId id) const {
  return std::any_of(peers_.begin(), peers_.end(), [&](const auto& entry) {
    const auto& questions = entry.second.questions;
    return std::any_of(questions.begin(), questions.end(), [&](const auto& question) { return question.second == id; });
  });
}

/// How many more blocks the transfer may ask for.
std::size_t Exchange::room_for_blocks(const Transfer& transfer) const {
  if (transfer.open_blocks >= kMaxOpenBlocks) return 0;
  std::size_t open = 0;
  for (const auto& [id, other] : transfers_) open += other.open_blocks;
  const double block_size = std::max(scheduler_.block_size(), 1024.0);
  const double free = static_cast<double>(options_.memory) - static_cast<double>(held());
  const double blocks = std::max(free / block_size - static_cast<double>(open), 0.0);
  const auto room = static_cast<std::size_t>(std::min(blocks, static_cast<double>(kMaxOpenBlocks)));
  return std::min(std::max<std::size_t>(room, transfer.open_blocks == 0 ? 1 : 0),
                  kMaxOpenBlocks - transfer.open_blocks);
}

void Exchange::drive_requests(Time now) {
  while (const auto assignment = scheduler_.poll_assignment(now, downloads_.available(now) >= TokenBucket::kPiece)) {
    if (assignment->instead_of) {
      cancel_request(assignment->cid, assignment->instead_of, *scheduler_.transfers_of(assignment->cid).begin());
    }
    if (!assignment->peer) {
      output(AskGateway{add_request(Asking{assignment->cid}), assignment->cid});
      continue;
    }
    Peer& peer = peers_.at(*assignment->peer);
    const WantId want = peer.receiver.open(now, assignment->cid, WantKind::kBlock);
    peer.wants.push_back({want, assignment->cid, WantKind::kBlock});
  }
}

/// What to do about blocks that nobody has: search, wait, and give up.
void Exchange::drive_missing(Time now) {
  std::map<TransferId, Cid> hopeless;
  std::set<TransferId> missing;
  for (const auto& [cid, awaits_providers] : scheduler_.missing()) {
    for (const TransferId id : scheduler_.transfers_of(cid)) {
      missing.insert(id);
      if (!awaits_providers && !has_question(id)) hopeless.try_emplace(id, cid);
    }
  }
  for (auto& [id, transfer] : transfers_) {
    if (!missing.contains(id)) {
      transfer.missing_since.reset();
    } else if (!transfer.missing_since) {
      transfer.missing_since = now;
    }
  }
  for (const auto& [id, cid] : hopeless) {
    const Transfer& transfer = transfers_.at(id);
    const Duration waited = now - std::max(*transfer.missing_since, transfer.progress_at);
    const bool may_come = scheduler_.had_provider(id) && options_.policy != Policy::kGatewayOnly;
    if (may_come && waited < options_.missing_timeout) {
      // A swarm in which blocks are still on their way to everybody is not asked for more peers all the time.
      const bool is_urgent = !scheduler_.has_provider(id) || now - transfer.progress_at >= kSearchForMissing;
      if (is_urgent && now - transfer.searched_at >= kSearchForMissing) search_again(now, id);
      continue;
    }
    if (const auto& gateway_error = scheduler_.gateway_error(cid)) {
      fail_transfer(now, id, *gateway_error);
    } else {
      const auto seconds = static_cast<std::uint64_t>(options_.missing_timeout.count() / 1'000'000);
      const std::string waited_for =
          may_come ? concat({", and in ", to_decimal(seconds), " s none came that has it"}) : std::string();
      fail_transfer(now, id, {ErrorCode::kNotFound, concat({"no peer has ", cid.to_string(), waited_for})});
    }
  }
}

void Exchange::cancel_request(const Cid& cid, std::optional<PeerId> source, TransferId transfer) {
  if (source) {
    Peer& peer = peers_.at(*source);
    const auto want = peer.receiver.cancel(cid);
    if (!want) return;
    const bool unsent = std::erase_if(peer.wants, [&](const wire::WantEntry& entry) { return entry.id == *want; }) != 0;
    if (unsent) return;
    peer.cancels.push_back(*want);
    peer.late.emplace(*want, transfer);
    if (peer.late.size() > kMaxLate) peer.late.erase(peer.late.begin());
    return;
  }
  const auto asking = find_request<Asking>(cid);
  if (asking == requests_.end()) return;
  output(CancelGateway{asking->first});
  requests_.erase(asking);
}

// Progress and memory.

Progress Exchange::snapshot(Time now, Transfer& transfer) {
  Progress progress = transfer.progress;
  const double elapsed = std::chrono::duration<double>(now - transfer.began_at).count();
  const auto fetched = static_cast<double>(progress.from_peers + progress.from_gateways);
  progress.rate = transfer.rate.rate(now);
  if (elapsed > 0) progress.average_rate = fetched / elapsed;
  const std::uint64_t left = progress.total ? *progress.total - std::min(*progress.total, progress.verified) : 0;
  if (progress.total && (left == 0 || progress.rate >= 1)) {
    const double seconds = left == 0 ? 0 : static_cast<double>(left) / progress.rate;
    progress.remaining = Duration(static_cast<Duration::rep>(std::min(seconds, 1e9) * 1e6));
  }
  for (PeerShare& share : progress.peers) {
    if (const auto peer = peers_.find(share.peer); peer != peers_.end()) {
      share.rate = peer->second.download_rate.rate(now);
    }
  }
  return progress;
}

std::optional<Progress> Exchange::progress(Time now, TransferId id) {
  const auto transfer = transfers_.find(id);
  if (transfer == transfers_.end()) return std::nullopt;
  return snapshot(now, transfer->second);
}

void Exchange::tell_progress(Time now, TransferId id, Transfer& transfer) {
  check(transfer.progress.transfer == id);
  transfer.has_news = false;
  transfer.told_at = now;
  output(ProgressMade{snapshot(now, transfer)});
}

/// Bytes that came and wait for something: the rest of their block, a hash, the bytes before them, or the reader.
std::uint64_t Exchange::held() const {
  std::uint64_t bytes = hashing_bytes_;
  for (const auto& [id, peer] : peers_) bytes += peer.receiver.held();
  for (const auto& [id, transfer] : transfers_) bytes += transfer.traversal.held() + transfer.unconsumed;
  return bytes;
}

std::uint64_t Exchange::memory() const { return held(); }

}  // namespace codio::transfer
