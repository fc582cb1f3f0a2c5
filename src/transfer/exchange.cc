// Connections, what goes over them, and what is served.
#include "transfer/exchange.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/concat.h"
#include "common/decimal.h"

namespace codio::transfer {

using content_id::HashCode;
using wire::GoodbyeCode;
using wire::WantId;
using wire::WantKind;

namespace {

/// WANT entries in one frame: 64 of the largest CIDs fit the smallest frame.
constexpr std::size_t kWantsPerFrame = 64;
/// Answers that a peer does not read may pile up to this, beside the blocks that it wants.
constexpr std::size_t kMaxUnread = 4 * kSendBuffer;
/// Blocks that a peer lacks, and that it missed here, of which it is told when they come.
constexpr std::size_t kMaxLacked = 256;

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
  // What else is wanted may take the host milliseconds.
  auto& queue = messages_.empty() ? outputs_ : messages_;
  if (queue.empty()) return std::nullopt;
  std::optional<Output> next(std::move(queue.front()));
  queue.pop_front();
  return next;
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

// Peers.

void Exchange::handle_peer_connected(Time now, PeerId id, std::optional<TransferId> provides,
                                     const Introduction& introduction) {
  check(id.value != 0 && !peers_.contains(id));
  CreditWindowOptions credit = options_.credit;
  // Under a cap no more comes unasked than need be.
  if (downloads_.rate()) credit.initial = std::min(credit.initial, credit.minimum);
  Peer& peer = peers_.try_emplace(id, now, credit).first->second;
  peer.must_prove = introduction.must_prove;
  scheduler_.add_peer(now, id, credit.initial);
  downloads_.take(credit.initial);
  send(id, wire::Hello{
               .max_frame = options_.max_frame, .credit = peer.receiver.window().limit(), .proof = introduction.proof});
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

void Exchange::drop_peer(PeerId id, GoodbyeCode code, ErrorCode error, std::string_view message) {
  // Whoever broke the rules need not be the one that is avoided for it.
  if (peers_.at(id).must_prove) error = ErrorCode::kForged;
  send(id, wire::Goodbye{code, std::string(message.substr(0, wire::kMaxReason))});
  output(ClosePeer{id, {error, std::string(message)}});
  forget_peer(id);
}

void Exchange::drop_peer(PeerId id, const Error& breach) {
  drop_peer(id, GoodbyeCode::kProtocolError, breach.code, breach.message);
}

void Exchange::send_frame(PeerId id, Bytes frame) {
  peers_.at(id).sender.note_sent(frame.size());
  output(SendMessage{id, std::move(frame)});
}

/// Of too many the oldest is forgotten.
void Exchange::note_missed(Peer& peer, const Cid& cid, WantId want) {
  peer.missed.insert_or_assign(cid, want);
  if (peer.missed.size() <= kMaxLacked) return;
  peer.missed.erase(std::min_element(peer.missed.begin(), peer.missed.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; }));
}

/// Those whom we told that it is not here, or are about to: now it is.
void Exchange::tell_who_missed(const Cid& cid) {
  for (auto& [id, request] : requests_) {
    auto* load = std::get_if<LoadForPeer>(&request);
    if (load != nullptr && load->cid == cid) load->came_meanwhile = true;
  }
  for (auto& [id, peer] : peers_) {
    if (const auto missed = peer.missed.extract(cid)) send(id, wire::Have{{missed.mapped()}});
  }
}

void Exchange::handle_message(Time now, PeerId id, BytesView message) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  check(!found->second.unproven);
  if (message.size() > options_.max_frame) {
    drop_peer(id, GoodbyeCode::kProtocolError, ErrorCode::kMalformed, "frame larger than agreed");
    return drive(now);
  }
  const auto decoded = wire::decode(message);
  if (!decoded) {
    drop_peer(id, decoded.error());
    return drive(now);
  }
  if (!*decoded) return;
  if (found->second.sender.buffered() > kMaxUnread) {
    drop_peer(id, GoodbyeCode::kProtocolError, ErrorCode::kTooLarge, "the peer asks and does not read the answers");
    return drive(now);
  }
  const bool is_hello = std::holds_alternative<wire::Hello>(**decoded);
  if (is_hello == found->second.said_hello && !std::holds_alternative<wire::Goodbye>(**decoded)) {
    drop_peer(id, GoodbyeCode::kProtocolError, ErrorCode::kMalformed, is_hello ? "second HELLO" : "frame before HELLO");
    return drive(now);
  }
  std::visit([&](const auto& body) { handle(now, id, body); }, **decoded);
  drive(now);
}

void Exchange::handle(Time, PeerId id, const wire::Hello& hello) {
  if (hello.version < wire::kVersion) {
    return drop_peer(id, GoodbyeCode::kUnsupportedVersion, ErrorCode::kUnsupported,
                     concat({"peer speaks protocol version ", to_decimal(hello.version)}));
  }
  Peer& peer = peers_.at(id);
  if (peer.must_prove) {
    if (!hello.proof) return drop_unproven(id);
    peer.unproven = hello;
    return output(VerifyPeer{id, *hello.proof});
  }
  peer.said_hello = true;
  peer.max_frame = std::min(hello.max_frame, options_.max_frame);
  peer.sender.handle_credit(hello.credit);
}

void Exchange::handle_verified(Time now, PeerId id, bool is_proven) {
  const auto found = peers_.find(id);
  if (found == peers_.end() || !found->second.unproven) return;
  const wire::Hello hello = *std::exchange(found->second.unproven, std::nullopt);
  if (is_proven) {
    found->second.must_prove = false;
    handle(now, id, hello);
  } else {
    drop_unproven(id);
  }
  drive(now);
}

void Exchange::drop_unproven(PeerId id) {
  drop_peer(id, GoodbyeCode::kNotProven, ErrorCode::kForged,
            "the peer did not prove to be who it was said to be: somebody may be in between");
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
      if (!noted) return drop_peer(id, noted.error());
      (refuses ? refused : busy).push_back(entry.id);
      continue;
    }
    const auto taken = peer.sender.handle_want(entry);
    if (!taken) return drop_peer(id, taken.error());
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
    if (!answered) return drop_peer(id, answered.error());
    if (!*answered) continue;
    if ((*answered)->kind == WantKind::kBlock) {
      return drop_peer(id, GoodbyeCode::kProtocolError, ErrorCode::kMalformed, "HAVE answers a want for a block");
    }
    const auto question = peer.questions.extract(want);
    if (!question.empty()) scheduler_.set_provides(id, question.mapped());
  }
}

void Exchange::handle(Time now, PeerId id, const wire::DontHave& dont_have) {
  Peer& peer = peers_.at(id);
  for (const WantId want : dont_have.ids) {
    const auto answered = peer.receiver.handle_answer(want);
    if (!answered) return drop_peer(id, answered.error());
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
  if (!received) return drop_peer(id, received.error());
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
  output(ClosePeer{id, {ErrorCode::kUnavailable, concat({"the peer said goodbye: ", goodbye.reason})}});
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

void Exchange::handle_loaded(Time now, RequestId request, SharedBytes block) {
  if (auto load = take_request<LoadForPeer>(request)) {
    const auto peer = peers_.find(load->peer);
    if (peer == peers_.end()) return;
    if (!block && std::exchange(load->came_meanwhile, false)) {
      const Cid cid = load->cid;
      return output(LoadBlock{add_request(*std::move(load)), cid, true});
    }
    bool lacks = block == nullptr;
    if (load->kind == WantKind::kHave) {
      peer->second.sender.handle_answered();
      if (!lacks) send(load->peer, wire::Have{{load->want}});
    } else {
      lacks = peer->second.sender.handle_loaded(load->want, std::move(block));
    }
    if (lacks) {
      send(load->peer, wire::DontHave{.ids = {load->want}});
      note_missed(peer->second, load->cid, load->want);
    }
    return drive(now);
  }
  const auto load = take_request<LoadForDownload>(request);
  if (!load) return;
  const bool verifiable = can_verify(load->cid);
  for (const TransferId transfer : load->waiting) {
    if (!block && !verifiable) {
      fail_transfer(
          now, transfer,
          {ErrorCode::kUnsupported, concat({"the hash function of ", load->cid.to_string(), " is not supported"})});
      continue;
    }
    scheduler_.need(now, load->cid, transfer);
    if (!block) search(now, transfer);
  }
  if (block && scheduler_.needs(load->cid)) accept(now, load->cid, block, SourceKind::kStore, {});
  drive(now);
}

void Exchange::handle_refused(Time now, RequestId request) {
  const auto load = take_request<LoadForPeer>(request);
  if (!load) return;
  const auto peer = peers_.find(load->peer);
  if (peer == peers_.end()) return;
  bool is_open = true;
  if (load->kind == WantKind::kHave) {
    peer->second.sender.handle_answered();
  } else {
    is_open = peer->second.sender.handle_loaded(load->want, nullptr);
  }
  if (is_open) refuse(load->peer, {load->want}, wire::DontHaveReason::kRefused);
  drive(now);
}

void Exchange::handle_wakeup(Time now) {
  wakeup_.reset();
  drive(now);
}

// What follows.

void Exchange::drive(Time now) {
  std::vector<TransferId> ids;
  ids.reserve(transfers_.size());
  for (const auto& [id, transfer] : transfers_) ids.push_back(id);
  for (const TransferId id : ids) drive_transfer(now, id);
  drive_requests(now);
  drive_missing(now);
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
    drop_peer(id, GoodbyeCode::kLeaving, ErrorCode::kUnavailable, "nothing was exchanged for a while");
  }
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
    output(LoadBlock{add_request(LoadForPeer{id, load->id, load->cid, load->kind}), load->cid, true});
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
