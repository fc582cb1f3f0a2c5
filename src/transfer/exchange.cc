#include "transfer/exchange.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace codio::transfer {

using content_id::HashCode;
using wire::GoodbyeCode;
using wire::WantId;
using wire::WantKind;

namespace {

/// WANT entries in one frame: 64 of the largest CIDs fit the smallest frame.
constexpr std::size_t kWantsPerFrame = 64;
/// A download without a provider looks for one again this often.
constexpr Duration kSearchInterval = std::chrono::seconds(10);
/// Answers that a peer does not read may pile up to this, beside the blocks that it wants.
constexpr std::size_t kMaxUnread = 4 * kSendBuffer;
/// Cancelled wants of a peer of which it is remembered what they were for.
constexpr std::size_t kMaxLate = 256;
/// Blocks that a peer lacks, and that it missed here, of which it is told when they come.
constexpr std::size_t kMaxLacked = 256;
/// Peers listed in a Progress; what others give is listed as that of no peer.
constexpr std::size_t kMaxShares = 64;

bool can_verify(const content_id::ContentId& cid) {
  switch (cid.multihash().code()) {
    case HashCode::kSha2_256: return cid.multihash().digest().size() == 32;
    case HashCode::kSha2_512: return cid.multihash().digest().size() == 64;
    default: return false;
  }
}

}  // namespace

Exchange::Exchange(const ExchangeOptions& options)
    : options_(options), scheduler_(options), slots_(options.limits.upload_slots) {
  uploads_.set_rate(options.limits.upload_rate);
  downloads_.set_rate(options.limits.download_rate);
}
Exchange::~Exchange() = default;

std::optional<Output> Exchange::poll_output() {
  if (outputs_.empty()) return std::nullopt;
  Output next = std::move(outputs_.front());
  outputs_.pop_front();
  return next;
}

// Downloads.

TransferId Exchange::download(Time now, const Cid& root, DownloadOptions options) {
  const TransferId id{++last_transfer_};
  const bool ordered = options.traversal.scope == content_id::unixfs::Scope::kBytes;
  Transfer transfer{.root = root,
                    .range = options.traversal.range,
                    .traversal = {root, std::move(options.traversal)},
                    .unconsumed_limit = options.unconsumed,
                    .progress_at = now,
                    .began_at = now,
                    .told_at = now};
  transfer.progress.transfer = id;
  transfers_.emplace(id, std::move(transfer));
  scheduler_.add_transfer(id, ordered);
  drive(now);
  return id;
}

void Exchange::cancel(Time now, TransferId transfer) {
  if (!transfers_.contains(transfer)) return;
  finish(now, transfer, SetWakeup{wakeup_});
  drive(now);
}

void Exchange::consume(Time now, TransferId transfer, std::uint64_t bytes) {
  const auto found = transfers_.find(transfer);
  if (found == transfers_.end()) return;
  found->second.unconsumed -= std::min(bytes, found->second.unconsumed);
  drive(now);
}

void Exchange::set_limits(Time now, const Limits& limits) {
  options_.limits = limits;
  slots_.set_count(limits.upload_slots);
  uploads_.set_rate(limits.upload_rate);
  downloads_.set_rate(limits.download_rate);
  if (limits.upload_rate == 0) {
    for (auto& [id, peer] : peers_) refuse(id, peer.sender.drop_blocks(), wire::DontHaveReason::kRefused);
  }
  drive(now);
}

void Exchange::handle_providers(Time now, TransferId transfer, std::uint32_t pending) {
  scheduler_.set_pending_providers(transfer, pending);
  drive(now);
}

/// Takes the transfer out of everything that knows it; `result` is the last that is heard of it.
void Exchange::finish(Time now, TransferId id, Output result) {
  for (const auto& cancelled : scheduler_.remove_transfer(now, id)) cancel_request(cancelled.cid, cancelled.peer, id);
  for (auto& [cid, waiting] : looking_up_) waiting.erase(id);
  for (auto& [peer_id, peer] : peers_) {
    std::erase_if(peer.questions, [&](const auto& question) { return question.second == id; });
  }
  transfers_.erase(id);
  if (transfers_.empty()) gateway_errors_.clear();
  output(std::move(result));
}

void Exchange::fail_transfer(Time now, TransferId id, Error error) { finish(now, id, Failed{id, std::move(error)}); }

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
  const auto asking = std::find_if(requests_.begin(), requests_.end(), [&](const auto& entry) {
    const Asking* request = std::get_if<Asking>(&entry.second);
    return request != nullptr && request->cid == cid;
  });
  if (asking == requests_.end()) return;
  output(CancelGateway{asking->first});
  requests_.erase(asking);
}

// Peers.

void Exchange::handle_peer_connected(Time now, PeerId id, std::optional<TransferId> provides) {
  check(id.value != 0 && !peers_.contains(id));
  CreditWindowOptions credit = options_.credit;
  // Under a cap no more comes unasked than need be.
  if (downloads_.rate()) credit.initial = std::min(credit.initial, credit.minimum);
  Peer& peer = peers_.try_emplace(id, now, credit).first->second;
  scheduler_.add_peer(now, id, credit.initial);
  downloads_.take(credit.initial);
  send(id, wire::Hello{.max_frame = options_.max_frame, .credit = peer.receiver.window().limit()});
  for (const auto& [transfer, state] : transfers_) {
    if (transfer == provides) {
      scheduler_.set_provides(id, transfer);
    } else if (state.searched) {
      ask_whether_it_has(now, id, transfer);
    }
  }
  drive(now);
}

void Exchange::handle_peer_provides(Time now, PeerId peer, TransferId transfer) {
  scheduler_.set_provides(peer, transfer);
  drive(now);
}

void Exchange::handle_peer_disconnected(Time now, PeerId peer) {
  if (!peers_.contains(peer)) return;
  forget_peer(peer);
  drive(now);
}

void Exchange::forget_peer(PeerId id) {
  scheduler_.remove_peer(id);
  slots_.remove(id);
  peers_.erase(id);
}

void Exchange::refuse(PeerId id, std::vector<WantId> wants, wire::DontHaveReason reason) {
  if (!wants.empty()) send(id, wire::DontHave{std::move(wants), reason});
}

void Exchange::drop_peer(PeerId id, GoodbyeCode code, Error reason) {
  send(id, wire::Goodbye{code, reason.message.substr(0, wire::kMaxReason)});
  output(ClosePeer{id, std::move(reason)});
  forget_peer(id);
}

void Exchange::send(PeerId id, const wire::Message& message) {
  Bytes frame = wire::encode(message);
  peers_.at(id).sender.note_sent(frame.size());
  output(SendMessage{id, std::move(frame)});
}

/// Those whom we told that it is not here: now it is.
void Exchange::tell_who_missed(const Cid& cid) {
  for (auto& [id, peer] : peers_) {
    if (const auto missed = peer.missed.extract(cid)) send(id, wire::Have{{missed.mapped()}});
  }
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

void Exchange::handle_message(Time now, PeerId id, BytesView message) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  if (message.size() > options_.max_frame) {
    drop_peer(id, GoodbyeCode::kProtocolError, {ErrorCode::kMalformed, "frame larger than agreed"});
    return drive(now);
  }
  const auto decoded = wire::decode(message);
  if (!decoded) {
    drop_peer(id, GoodbyeCode::kProtocolError, decoded.error());
    return drive(now);
  }
  if (!*decoded) return;
  if (found->second.sender.buffered() > kMaxUnread) {
    drop_peer(id, GoodbyeCode::kProtocolError, {ErrorCode::kTooLarge, "the peer asks and does not read the answers"});
    return drive(now);
  }
  const bool is_hello = std::holds_alternative<wire::Hello>(**decoded);
  if (is_hello == found->second.said_hello && !std::holds_alternative<wire::Goodbye>(**decoded)) {
    drop_peer(id, GoodbyeCode::kProtocolError,
              {ErrorCode::kMalformed, is_hello ? "second HELLO" : "frame before HELLO"});
    return drive(now);
  }
  std::visit([&](const auto& body) { handle(now, id, body); }, **decoded);
  drive(now);
}

void Exchange::handle(Time, PeerId id, const wire::Hello& hello) {
  if (hello.version < wire::kVersion) {
    return drop_peer(id, GoodbyeCode::kUnsupportedVersion,
                     {ErrorCode::kUnsupported, "peer speaks protocol version " + std::to_string(hello.version)});
  }
  Peer& peer = peers_.at(id);
  peer.said_hello = true;
  peer.max_frame = std::min(hello.max_frame, options_.max_frame);
  peer.sender.handle_credit(hello.credit);
}

void Exchange::handle(Time now, PeerId id, const wire::Want& want) {
  Peer& peer = peers_.at(id);
  peer.active_at = now;
  const bool refuses = options_.limits.upload_rate == 0;
  const bool wants_blocks = std::any_of(want.entries.begin(), want.entries.end(),
                                        [](const wire::WantEntry& entry) { return entry.kind == WantKind::kBlock; });
  const bool has_slot = !refuses && wants_blocks && slots_.use(now, id);
  std::vector<WantId> refused;
  std::vector<WantId> busy;
  for (const wire::WantEntry& entry : want.entries) {
    if (refuses || (entry.kind == WantKind::kBlock && !has_slot)) {
      const auto noted = peer.sender.handle_refused_want(entry.id);
      if (!noted) return drop_peer(id, GoodbyeCode::kProtocolError, noted.error());
      (refuses ? refused : busy).push_back(entry.id);
      continue;
    }
    const auto taken = peer.sender.handle_want(entry);
    if (!taken) return drop_peer(id, GoodbyeCode::kProtocolError, taken.error());
    if (!*taken) busy.push_back(entry.id);
  }
  refuse(id, std::move(refused), wire::DontHaveReason::kRefused);
  refuse(id, std::move(busy), wire::DontHaveReason::kBusy);
}

void Exchange::handle(Time, PeerId id, const wire::Have& have) {
  Peer& peer = peers_.at(id);
  for (const WantId want : have.ids) {
    if (const auto lacked = peer.lacked.extract(want)) {
      const Cid& cid = lacked.mapped().cid;
      scheduler_.handle_has(id, cid);
      for (const auto& [transfer, state] : transfers_) {
        if (state.root == cid) scheduler_.set_provides(id, transfer);
      }
      continue;
    }
    const auto answered = peer.receiver.handle_answer(want);
    if (!answered) return drop_peer(id, GoodbyeCode::kProtocolError, answered.error());
    if (!*answered) continue;
    if ((*answered)->kind == WantKind::kBlock) {
      return drop_peer(id, GoodbyeCode::kProtocolError, {ErrorCode::kMalformed, "HAVE answers a want for a block"});
    }
    const auto question = peer.questions.extract(want);
    if (!question.empty()) scheduler_.set_provides(id, question.mapped());
  }
}

void Exchange::handle(Time now, PeerId id, const wire::DontHave& dont_have) {
  Peer& peer = peers_.at(id);
  for (const WantId want : dont_have.ids) {
    const auto answered = peer.receiver.handle_answer(want);
    if (!answered) return drop_peer(id, GoodbyeCode::kProtocolError, answered.error());
    if (!*answered) continue;
    peer.questions.erase(want);
    if (dont_have.reason == wire::DontHaveReason::kNotHere) {
      peer.lacked.emplace(want, **answered);
      if (peer.lacked.size() > kMaxLacked) peer.lacked.erase(peer.lacked.begin());
    }
    if ((*answered)->kind != WantKind::kBlock) continue;
    if (dont_have.reason == wire::DontHaveReason::kBusy) {
      scheduler_.handle_busy(now, id, (*answered)->cid);
    } else {
      scheduler_.handle_lacks(now, id, (*answered)->cid);
    }
  }
}

void Exchange::handle(Time now, PeerId id, const wire::BlockChunk& chunk) {
  Peer& peer = peers_.at(id);
  auto received = peer.receiver.handle_chunk(now, chunk);
  if (!received) return drop_peer(id, GoodbyeCode::kProtocolError, received.error());
  peer.active_at = now;
  peer.download_rate.add(now, chunk.bytes.size());
  const CreditWindow& window = peer.receiver.window();
  scheduler_.set_path(id, window.smallest_delay().value_or(Duration(0)), window.limit() - window.received());
  if (!received->cid) {
    const auto late = peer.late.find(chunk.id);
    count_duplicate(late == peer.late.end() ? TransferId{} : late->second, received->cancelled);
    return;
  }
  scheduler_.handle_bytes(now, id, *received->cid, received->fresh, chunk.size);
  for (const TransferId waiting : scheduler_.transfers_of(*received->cid)) {
    Transfer& transfer = transfers_.at(waiting);
    transfer.progress_at = now;
    transfer.rate.add(now, received->fresh);
  }
  if (!received->block) return;
  scheduler_.handle_arrived(now, *received->cid, id, received->block->size());
  hashing_bytes_ += received->block->size();
  const HashCode code = received->cid->multihash().code();
  const RequestId request = add_request(Hashing{*received->cid, received->block, id});
  output(HashBytes{request, code, std::move(received->block)});
}

void Exchange::handle(Time, PeerId id, const wire::Cancel& cancel) { peers_.at(id).sender.handle_cancel(cancel.ids); }

void Exchange::handle(Time, PeerId id, const wire::Credit& credit) { peers_.at(id).sender.handle_credit(credit.limit); }

void Exchange::handle(Time, PeerId id, const wire::Goodbye& goodbye) {
  output(ClosePeer{id, {ErrorCode::kUnavailable, "the peer said goodbye: " + goodbye.reason}});
  forget_peer(id);
}

void Exchange::handle_buffered_amount(Time now, PeerId id, std::size_t bytes) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  found->second.sender.handle_buffered_amount(bytes);
  drive(now);
}

// Answers.

RequestId Exchange::add_request(Request request) {
  const RequestId id{++last_request_};
  requests_.emplace(id, std::move(request));
  return id;
}

/// Nothing if the request was cancelled meanwhile.
template <class Kind>
std::optional<Kind> Exchange::take_request(RequestId request) {
  const auto found = requests_.find(request);
  if (found == requests_.end() || !std::holds_alternative<Kind>(found->second)) return std::nullopt;
  Kind taken = std::move(std::get<Kind>(found->second));
  requests_.erase(found);
  return taken;
}

void Exchange::handle_loaded(Time now, RequestId request, SharedBytes block) {
  if (const auto load = take_request<LoadForPeer>(request)) {
    const auto peer = peers_.find(load->peer);
    if (peer == peers_.end()) return;
    bool lacks = block == nullptr;
    if (load->kind == WantKind::kHave) {
      peer->second.sender.handle_answered();
      if (!lacks) send(load->peer, wire::Have{{load->want}});
    } else {
      lacks = peer->second.sender.handle_loaded(load->want, std::move(block));
    }
    if (lacks) {
      send(load->peer, wire::DontHave{.ids = {load->want}});
      if (peer->second.missed.size() < kMaxLacked) peer->second.missed.insert_or_assign(load->cid, load->want);
    }
    return drive(now);
  }
  const auto load = take_request<LoadForDownload>(request);
  if (!load) return;
  const auto waiting = looking_up_.extract(load->cid);
  const bool verifiable = can_verify(load->cid);
  for (const TransferId transfer : waiting.mapped()) {
    if (!block && !verifiable) {
      fail_transfer(now, transfer,
                    {ErrorCode::kUnsupported, "the hash function of " + load->cid.to_string() + " is not supported"});
      continue;
    }
    scheduler_.need(now, load->cid, transfer);
    if (!block) search(now, transfer);
  }
  if (block && scheduler_.needs(load->cid)) accept(now, load->cid, block, SourceKind::kStore, {});
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
      drop_peer(hashing->peer, GoodbyeCode::kBadBlock,
                {ErrorCode::kMismatch, "the peer sent bytes that are not " + hashing->cid.to_string()});
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
  gateway_errors_.insert_or_assign(asking->cid, std::move(error));
  scheduler_.handle_gateway_failed(now, asking->cid);
  drive(now);
}

void Exchange::handle_wakeup(Time now) {
  wakeup_.reset();
  drive(now);
}

/// A verified block reaches the downloads that wait for it.
void Exchange::accept(Time now, const Cid& cid, const SharedBytes& block, SourceKind source, PeerId peer) {
  const std::set<TransferId> waiting = scheduler_.transfers_of(cid);
  for (const Scheduler::Asked& asked : scheduler_.handle_verified(now, cid)) {
    cancel_request(cid, asked.peer, *waiting.begin());
    if (asked.received > 0) count_duplicate(*waiting.begin(), asked.received);
  }
  gateway_errors_.erase(cid);
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

// What follows.

void Exchange::drive(Time now) {
  std::vector<TransferId> ids;
  ids.reserve(transfers_.size());
  for (const auto& [id, transfer] : transfers_) ids.push_back(id);
  for (const TransferId id : ids) drive_transfer(now, id);
  drive_requests(now);
  forget_idle(now);
  grant(now);
  for (auto& [id, peer] : peers_) drive_peer(now, id, peer);
  serve(now);
  set_wakeup(now);
}

void Exchange::set_wakeup(Time now) {
  std::optional<Time> next = scheduler_.next_check();
  const auto consider = [&](std::optional<Time> time) {
    if (time && (!next || *time < *next)) next = time;
  };
  consider(slots_.next_rotation());
  const bool is_sending =
      std::any_of(peers_.begin(), peers_.end(), [](const auto& entry) { return entry.second.sender.can_send(); });
  if (is_sending && uploads_.rate()) consider(uploads_.ready_at());
  const bool is_receiving = std::any_of(peers_.begin(), peers_.end(),
                                        [](const auto& entry) { return entry.second.receiver.open_blocks() > 0; });
  if ((is_receiving || !transfers_.empty()) && downloads_.rate() && downloads_.available(now) < TokenBucket::kPiece) {
    consider(downloads_.ready_at());
  }
  if (!peers_.empty()) consider(now + options_.idle_timeout / 4);
  if (next && (!wakeup_ || *wakeup_ <= now || *next < *wakeup_)) {
    wakeup_ = std::max(*next, now);
    output(SetWakeup{wakeup_});
  }
}

std::vector<PeerId> Exchange::peers_after(PeerId peer) const {
  std::vector<PeerId> ids;
  ids.reserve(peers_.size());
  const auto begin = peers_.upper_bound(peer);
  for (auto entry = begin; entry != peers_.end(); ++entry) ids.push_back(entry->first);
  for (auto entry = peers_.begin(); entry != begin; ++entry) ids.push_back(entry->first);
  return ids;
}

/// Lets those from whom blocks are wanted send more, as far as the cap on downloads allows.
void Exchange::grant(Time now) {
  for (const PeerId id : peers_after(last_granted_)) {
    CreditWindow& window = peers_.at(id).receiver.window();
    for (std::uint64_t budget = downloads_.available(now);; budget = downloads_.available(now)) {
      if (budget < TokenBucket::kPiece) return scheduler_.excuse_silence(now);
      const std::uint64_t before = window.limit();
      const auto limit = window.poll_grant(budget);
      if (!limit) break;
      downloads_.take(*limit - before);
      send(id, wire::Credit{*limit});
      scheduler_.set_path(id, window.smallest_delay().value_or(Duration(0)), window.limit() - window.received());
      if (downloads_.rate()) last_granted_ = id;
    }
  }
}

/// Frames to whoever may have some, one each in turn.
void Exchange::serve(Time now) {
  for (const PeerId loser : slots_.rotate(now)) {
    refuse(loser, peers_.at(loser).sender.drop_blocks(), wire::DontHaveReason::kBusy);
  }
  for (bool more = true; more;) {
    more = false;
    for (const PeerId id : peers_after(last_served_)) {
      Peer& peer = peers_.at(id);
      if (!peer.sender.can_send()) continue;
      const std::uint64_t budget = uploads_.available(now);
      if (budget < TokenBucket::kPiece) return;
      if (!slots_.use(now, id)) {
        refuse(id, peer.sender.drop_blocks(), wire::DontHaveReason::kBusy);
        continue;
      }
      const std::uint64_t sent_before = peer.sender.sent();
      auto frame = peer.sender.poll_frame(peer.max_frame, budget);
      if (!frame) continue;
      output(SendMessage{id, *std::move(frame)});
      const std::uint64_t sent = peer.sender.sent() - sent_before;
      totals_.uploaded += sent;
      uploads_.take(sent);
      peer.upload_rate.add(now, sent);
      peer.active_at = now;
      last_served_ = id;
      more = true;
    }
  }
}

void Exchange::forget_idle(Time now) {
  std::vector<PeerId> idle;
  for (const auto& [id, peer] : peers_) {
    const bool is_used = scheduler_.provides_any(id) || peer.receiver.open_blocks() > 0 || !peer.questions.empty() ||
                         peer.sender.wants_blocks();
    if (!is_used && now - peer.active_at >= options_.idle_timeout) idle.push_back(id);
  }
  for (const PeerId id : idle) {
    drop_peer(id, GoodbyeCode::kLeaving, {ErrorCode::kUnavailable, "nothing was exchanged for a while"});
  }
}

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
    return finish(now, id, Finished{id});
  }

  // A reader that pauses does not stall: nothing is wanted meanwhile.
  if (transfer.open_blocks == 0) transfer.progress_at = now;
  for (const Cid& cid : transfer.traversal.poll_wants(room_for_blocks(transfer))) {
    ++transfer.open_blocks;
    if (scheduler_.needs(cid)) {
      scheduler_.need(now, cid, id);
      continue;
    }
    const auto [lookup, is_new] = looking_up_.try_emplace(cid);
    lookup->second.insert(id);
    if (is_new) output(LoadBlock{add_request(LoadForDownload{cid}), cid});
  }
  scheduler_.set_asked_all(id, transfer.traversal.asked_all());
  scheduler_.set_blocked(now, id, transfer.unconsumed == 0 && transfer.traversal.held() > 0);
  if (transfer.has_news && now - transfer.told_at >= kProgressInterval) tell_progress(now, id, transfer);

  // The gateway client bounds its own silence, and has other gateways to try.
  if (now - transfer.progress_at > options_.stall_timeout && !scheduler_.asks_gateway_for(id)) {
    return fail_transfer(now, id,
                         {ErrorCode::kTimeout, "no byte of " + transfer.root.to_string() + " came for " +
                                                   std::to_string(options_.stall_timeout.count() / 1'000'000) + " s"});
  }
  if (transfer.searched && now - transfer.searched_at > kSearchInterval && !scheduler_.has_provider(id)) {
    transfer.searched = false;
    search(now, id);
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

  for (const Cid& cid : scheduler_.hopeless()) {
    if (!scheduler_.needs(cid)) continue;
    const auto gateway_error = gateway_errors_.find(cid);
    const Error error = gateway_error != gateway_errors_.end()
                            ? gateway_error->second
                            : Error{ErrorCode::kNotFound, "no peer has " + cid.to_string()};
    const std::set<TransferId> waiting = scheduler_.transfers_of(cid);
    for (const TransferId id : waiting) {
      if (!has_question(id)) fail_transfer(now, id, error);
    }
  }
}

/// Whether a connected peer has yet to say if it has the transfer's root.
bool Exchange::has_question(TransferId id) const {
  return std::any_of(peers_.begin(), peers_.end(), [&](const auto& entry) {
    const auto& questions = entry.second.questions;
    return std::any_of(questions.begin(), questions.end(), [&](const auto& question) { return question.second == id; });
  });
}

void Exchange::drive_peer(Time now, PeerId id, Peer& peer) {
  if (!peer.cancels.empty()) send(id, wire::Cancel{std::exchange(peer.cancels, {})});
  for (std::size_t begin = 0; begin < peer.wants.size(); begin += kWantsPerFrame) {
    const auto first = peer.wants.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto size = std::min(kWantsPerFrame, peer.wants.size() - begin);
    send(id, wire::Want{{first, first + static_cast<std::ptrdiff_t>(size)}});
    peer.active_at = now;
  }
  peer.wants.clear();

  std::uint64_t loaded = 0;
  for (const auto& [other_id, other] : peers_) loaded += other.sender.held();
  const std::size_t ahead = loaded < options_.memory ? Sender::kLoadAhead : 1;
  while (const auto load = peer.sender.poll_load(ahead)) {
    output(LoadBlock{add_request(LoadForPeer{id, load->id, load->cid, load->kind}), load->cid});
  }
}

std::optional<PeerStats> Exchange::peer_stats(Time now, PeerId id) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return std::nullopt;
  Peer& peer = found->second;
  return PeerStats{.downloaded = peer.downloaded,
                   .uploaded = peer.sender.sent(),
                   .window = peer.receiver.window().size(),
                   .download_rate = peer.download_rate.rate(now),
                   .upload_rate = peer.upload_rate.rate(now)};
}

}  // namespace codio::transfer
