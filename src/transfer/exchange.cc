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

bool can_verify(const content_id::ContentId& cid) {
  switch (cid.multihash().code()) {
    case HashCode::kSha2_256: return cid.multihash().digest().size() == 32;
    case HashCode::kSha2_512: return cid.multihash().digest().size() == 64;
    default: return false;
  }
}

}  // namespace

Exchange::Exchange(const ExchangeOptions& options) : options_(options), scheduler_(options) {}
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
  transfers_.emplace(id, Transfer{.root = root,
                                  .traversal = {root, std::move(options.traversal)},
                                  .unconsumed_limit = options.unconsumed,
                                  .progress_at = now});
  scheduler_.add_transfer(id);
  drive(now);
  return id;
}

void Exchange::cancel(Time now, TransferId transfer) {
  if (!transfers_.contains(transfer)) return;
  finish(transfer, SetWakeup{wakeup_});
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

/// Takes the transfer out of everything that knows it; `result` is the last that is heard of it.
void Exchange::finish(TransferId id, Output result) {
  for (const auto& [cid, source] : scheduler_.remove_transfer(id)) cancel_request(cid, source);
  for (auto& [cid, waiting] : looking_up_) waiting.erase(id);
  for (auto& [peer_id, peer] : peers_) {
    std::erase_if(peer.questions, [&](const auto& question) { return question.second == id; });
  }
  transfers_.erase(id);
  if (transfers_.empty()) gateway_errors_.clear();
  output(std::move(result));
}

void Exchange::fail_transfer(TransferId id, Error error) { finish(id, Failed{id, std::move(error)}); }

void Exchange::cancel_request(const Cid& cid, std::optional<PeerId> source) {
  if (source) {
    Peer& peer = peers_.at(*source);
    const auto want = peer.receiver.cancel(cid);
    if (!want) return;
    const bool unsent = std::erase_if(peer.wants, [&](const wire::WantEntry& entry) { return entry.id == *want; }) != 0;
    if (!unsent) peer.cancels.push_back(*want);
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
  Peer& peer = peers_.emplace(id, options_.credit).first->second;
  scheduler_.add_peer(now, id);
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
  peers_.erase(id);
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

void Exchange::handle(Time, PeerId id, const wire::Want& want) {
  Peer& peer = peers_.at(id);
  wire::DontHave busy{.ids = {}, .reason = wire::DontHaveReason::kBusy};
  for (const wire::WantEntry& entry : want.entries) {
    const auto taken = peer.sender.handle_want(entry);
    if (!taken) return drop_peer(id, GoodbyeCode::kProtocolError, taken.error());
    if (!*taken) busy.ids.push_back(entry.id);
  }
  if (!busy.ids.empty()) send(id, busy);
}

void Exchange::handle(Time, PeerId id, const wire::Have& have) {
  Peer& peer = peers_.at(id);
  for (const WantId want : have.ids) {
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
    if ((*answered)->kind != WantKind::kBlock) continue;
    if (dont_have.reason == wire::DontHaveReason::kBusy) {
      scheduler_.handle_busy(now, id, (*answered)->cid);
    } else {
      scheduler_.handle_lacks(id, (*answered)->cid);
    }
  }
}

void Exchange::handle(Time now, PeerId id, const wire::BlockChunk& chunk) {
  Peer& peer = peers_.at(id);
  auto received = peer.receiver.handle_chunk(now, chunk);
  if (!received) return drop_peer(id, GoodbyeCode::kProtocolError, received.error());
  scheduler_.handle_bytes(now, id, received->fresh, peer.receiver.window().smallest_delay().value_or(Duration(0)));
  totals_.duplicates += received->cancelled;
  if (!received->cid) return;
  for (const TransferId transfer : scheduler_.transfers_of(*received->cid)) transfers_.at(transfer).progress_at = now;
  if (!received->block) return;
  scheduler_.handle_arrived(*received->cid, id, received->block->size());
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
    if (load->kind == WantKind::kHave) {
      peer->second.sender.handle_answered();
      if (block) {
        send(load->peer, wire::Have{{load->want}});
      } else {
        send(load->peer, wire::DontHave{.ids = {load->want}});
      }
    } else if (peer->second.sender.handle_loaded(load->want, std::move(block))) {
      send(load->peer, wire::DontHave{.ids = {load->want}});
    }
    return drive(now);
  }
  const auto load = take_request<LoadForDownload>(request);
  if (!load) return;
  const auto waiting = looking_up_.extract(load->cid);
  const bool verifiable = can_verify(load->cid);
  for (const TransferId transfer : waiting.mapped()) {
    if (!block && !verifiable) {
      fail_transfer(transfer,
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
  const BytesView expected = hashing->cid.multihash().digest();
  if (!std::equal(digest.begin(), digest.end(), expected.begin(), expected.end())) {
    totals_.duplicates += hashing->block->size();
    if (peers_.contains(hashing->peer)) {
      drop_peer(hashing->peer, GoodbyeCode::kBadBlock,
                {ErrorCode::kMismatch, "the peer sent bytes that are not " + hashing->cid.to_string()});
    }
    scheduler_.handle_refuted(hashing->cid);
    return drive(now);
  }
  if (!scheduler_.needs(hashing->cid)) {
    totals_.duplicates += hashing->block->size();
    return drive(now);
  }
  if (const auto peer = peers_.find(hashing->peer); peer != peers_.end()) {
    peer->second.downloaded += hashing->block->size();
  }
  totals_.from_peers += hashing->block->size();
  output(StoreBlock{hashing->cid, hashing->block});
  accept(now, hashing->cid, hashing->block, SourceKind::kPeer, hashing->peer);
  drive(now);
}

void Exchange::handle_gateway_block(Time now, RequestId request, const SharedBytes& block) {
  const auto asking = take_request<Asking>(request);
  if (!asking) return;
  totals_.from_gateways += block->size();
  output(StoreBlock{asking->cid, block});
  scheduler_.handle_arrived(asking->cid, std::nullopt, block->size());
  accept(now, asking->cid, block, SourceKind::kGateway, {});
  drive(now);
}

void Exchange::handle_gateway_failed(Time now, RequestId request, Error error) {
  const auto asking = take_request<Asking>(request);
  if (!asking) return;
  gateway_errors_.insert_or_assign(asking->cid, std::move(error));
  scheduler_.handle_gateway_failed(asking->cid);
  drive(now);
}

void Exchange::handle_wakeup(Time now) {
  wakeup_.reset();
  drive(now);
}

/// A verified block reaches the downloads that wait for it.
void Exchange::accept(Time now, const Cid& cid, const SharedBytes& block, SourceKind source, PeerId peer) {
  const std::set<TransferId> waiting = scheduler_.transfers_of(cid);
  for (const auto& asked : scheduler_.handle_verified(cid)) cancel_request(cid, asked);
  gateway_errors_.erase(cid);
  for (const TransferId id : waiting) {
    Transfer& transfer = transfers_.at(id);
    --transfer.open_blocks;
    transfer.progress_at = now;
    output(BlockReceived{id, source, peer, block->size()});
    if (const auto handled = transfer.traversal.handle_block(cid, block); !handled) fail_transfer(id, handled.error());
  }
}

// What follows.

void Exchange::drive(Time now) {
  std::vector<TransferId> ids;
  ids.reserve(transfers_.size());
  for (const auto& [id, transfer] : transfers_) ids.push_back(id);
  for (const TransferId id : ids) drive_transfer(now, id);
  drive_requests(now);
  for (auto& [id, peer] : peers_) drive_peer(id, peer);

  const auto next = scheduler_.next_check();
  if (next && (!wakeup_ || *wakeup_ <= now)) {
    wakeup_ = *next;
    output(SetWakeup{wakeup_});
  }
}

void Exchange::drive_transfer(Time now, TransferId id) {
  Transfer& transfer = transfers_.at(id);
  if (transfer.traversal.error()) return fail_transfer(id, *transfer.traversal.error());
  if (!transfer.entity_given && transfer.traversal.entity()) {
    transfer.entity_given = true;
    output(EntityFound{id, *transfer.traversal.entity()});
  }
  while (transfer.unconsumed < transfer.unconsumed_limit) {
    auto segment = transfer.traversal.poll_segment();
    if (!segment) break;
    transfer.unconsumed += segment->size;
    output(Data{id, *std::move(segment)});
  }
  while (auto entry = transfer.traversal.poll_entry()) output(EntryFound{id, *std::move(entry)});
  if (transfer.traversal.finished()) return finish(id, Finished{id});

  // A reader that pauses does not stall: nothing is wanted meanwhile.
  if (transfer.open_blocks == 0) transfer.progress_at = now;
  for (const Cid& cid : transfer.traversal.poll_wants(kMaxOpenBlocks - transfer.open_blocks)) {
    ++transfer.open_blocks;
    if (scheduler_.needs(cid)) {
      scheduler_.need(now, cid, id);
      continue;
    }
    const auto [lookup, is_new] = looking_up_.try_emplace(cid);
    lookup->second.insert(id);
    if (is_new) output(LoadBlock{add_request(LoadForDownload{cid}), cid});
  }

  // The gateway client bounds its own silence, and has other gateways to try.
  if (now - transfer.progress_at > options_.stall_timeout && !scheduler_.asks_gateway_for(id)) {
    return fail_transfer(id,
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
  while (const auto assignment = scheduler_.poll_assignment(now)) {
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
      if (!has_question(id)) fail_transfer(id, error);
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

void Exchange::drive_peer(PeerId id, Peer& peer) {
  if (!peer.cancels.empty()) send(id, wire::Cancel{std::exchange(peer.cancels, {})});
  for (std::size_t begin = 0; begin < peer.wants.size(); begin += kWantsPerFrame) {
    const auto first = peer.wants.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto size = std::min(kWantsPerFrame, peer.wants.size() - begin);
    send(id, wire::Want{{first, first + static_cast<std::ptrdiff_t>(size)}});
  }
  peer.wants.clear();
  if (const auto limit = peer.receiver.window().poll_grant()) send(id, wire::Credit{*limit});

  while (const auto load = peer.sender.poll_load()) {
    output(LoadBlock{add_request(LoadForPeer{id, load->id, load->kind}), load->cid});
  }
  const std::uint64_t sent_before = peer.sender.sent();
  while (auto frame = peer.sender.poll_frame(peer.max_frame)) output(SendMessage{id, *std::move(frame)});
  totals_.uploaded += peer.sender.sent() - sent_before;
}

std::optional<PeerStats> Exchange::peer_stats(PeerId id) const {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return std::nullopt;
  const Peer& peer = found->second;
  return PeerStats{peer.downloaded, peer.sender.sent(), peer.receiver.window().size()};
}

}  // namespace codio::transfer
