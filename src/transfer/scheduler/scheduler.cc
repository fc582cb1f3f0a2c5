// What the scheduler is told.
#include "transfer/scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "transfer/scheduler/internal.h"

namespace codio::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kBusyTime = milliseconds(500);
constexpr Duration kLongestBusyTime = seconds(8);
/// Fewer bytes than this break no silence, unless they end a block: no sender cuts its frames so small.
constexpr std::uint64_t kSignOfLife = 4 * 1024;
/// One that lacks this many blocks in a row lied when it said that it has them all.
constexpr std::uint32_t kMaxLacksInARow = 32;
/// What comes twice comes until then: a CANCEL crosses what is on its way.
constexpr Duration kSettlingTime = seconds(2);

PeerId to_id(std::optional<PeerId> peer) { return peer.value_or(kGateway); }

/// No two downloaders begin in the same microsecond: the time is seed enough for an order that no other has. The
/// finalizer of SplitMix64.
std::uint64_t shuffle(std::uint64_t seed, const content_id::ContentId& cid) {
  std::uint64_t mixed = seed;
  for (const std::uint8_t byte : cid.multihash().digest()) mixed = mixed * 31 + byte;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

}  // namespace

Scheduler::Scheduler(const ExchangeOptions& options) : options_(options), assumed_rate_(kAssumedRate) {
  sources_.try_emplace(kGateway);
}

void Scheduler::add_transfer(TransferId transfer, bool ordered) {
  transfers_.emplace(transfer, Transfer{.ordered = ordered});
}

std::vector<Scheduler::Assignment> Scheduler::remove_transfer(Time now, TransferId transfer) {
  share_gateway(now);
  std::vector<Assignment> cancelled;
  for (auto entry = blocks_.begin(); entry != blocks_.end();) {
    auto& [cid, block] = *entry;
    if (block.transfers.erase(transfer) == 0 || !block.transfers.empty()) {
      ++entry;
      continue;
    }
    while (!block.requests.empty()) {
      const PeerId source = block.requests.back().source;
      cancelled.push_back({cid, to_peer(source)});
      drop_request(block, source);
    }
    queue_.erase(block.rank);
    risked_ -= block.risk;
    entry = blocks_.erase(entry);
  }
  for (auto& [id, source] : sources_) source.provides.erase(transfer);
  transfers_.erase(transfer);
  changed_ = true;
  return cancelled;
}

void Scheduler::set_pending_providers(TransferId transfer, std::optional<std::uint32_t> pending) {
  const auto found = transfers_.find(transfer);
  if (found == transfers_.end()) return;
  found->second.pending = pending;
  changed_ = true;
}

void Scheduler::set_asked_all(TransferId transfer, bool asked_all) {
  Transfer& state = transfers_.at(transfer);
  if (state.asked_all == asked_all) return;
  state.asked_all = asked_all;
  changed_ = true;
}

void Scheduler::set_blocked(Time now, TransferId transfer, bool blocked) {
  Transfer& state = transfers_.at(transfer);
  if (!blocked) {
    state.blocked_since.reset();
  } else if (!state.blocked_since) {
    state.blocked_since = now;
  }
}

bool Scheduler::has_provider(TransferId transfer) const {
  return std::any_of(sources_.begin(), sources_.end(),
                     [&](const auto& entry) { return entry.second.provides.contains(transfer); });
}

void Scheduler::add_peer(Time now, PeerId peer, std::uint64_t credit) {
  Source& source = sources_.try_emplace(peer).first->second;
  source.last_byte = now;
  source.credit = credit;
}

void Scheduler::remove_peer(PeerId peer) {
  const auto found = sources_.find(peer);
  if (found == sources_.end()) return;
  const std::vector<Block*> asked = std::move(found->second.asked);
  for (Block* const block : asked) {
    drop_request(*block, peer);
    queue_if_unasked(*block);
  }
  sources_.erase(peer);
}

void Scheduler::set_provides(PeerId peer, TransferId transfer) {
  const auto found = sources_.find(peer);
  const auto provided = transfers_.find(transfer);
  if (found == sources_.end() || provided == transfers_.end()) return;
  found->second.provides.insert(transfer);
  provided->second.had_provider = true;
  changed_ = true;
}

bool Scheduler::provides(PeerId peer, TransferId transfer) const {
  const auto found = sources_.find(peer);
  return found != sources_.end() && found->second.provides.contains(transfer);
}

void Scheduler::set_path(PeerId peer, Duration round_trip, std::uint64_t credit) {
  Source& source = sources_.at(peer);
  source.round_trip = round_trip;
  source.credit = credit;
}

void Scheduler::handle_bytes(Time now, PeerId peer, const Cid& cid, std::uint64_t size, std::uint64_t block_size) {
  Source& source = sources_.at(peer);
  source.trickle += size;
  bool is_whole = false;
  if (Block* const block = find(cid)) {
    for (Request& request : block->requests) {
      if (request.source != peer) continue;
      source.owed -= left(request);
      request.expected = static_cast<double>(block_size);
      request.received += size;
      source.owed += left(request);
      is_whole = request.received == block_size;
    }
  }
  if (is_whole || source.trickle >= kSignOfLife) {
    if (!source.asked.empty()) source.longest_silence = std::max(source.longest_silence, silence(now, source));
    source.last_byte = now;
    source.trickle = 0;
    if (source.avoided_until > now) changed_ = true;
    source.avoided_until = {};
    source.avoid_for = {};
    source.lacks_in_a_row = 0;
    source.suspect = false;
    source.has_given = true;
  }
  if (source.sample_begin) {
    add_sample(now, source, size);
  } else {
    source.sample_begin = now;
  }
}

void Scheduler::handle_lacks(Time now, PeerId peer, const Cid& cid) {
  Block* const block = find(cid);
  if (block == nullptr) return;
  block->lacking.insert(peer);
  drop_request(*block, peer);
  queue_if_unasked(*block);
  Source& source = sources_.at(peer);
  source.is_partial = true;
  if (++source.lacks_in_a_row < kMaxLacksInARow) return;
  source.lacks_in_a_row = 0;
  source.avoid_for = std::clamp(2 * source.avoid_for, kFirstAvoidance, kLongestAvoidance);
  source.avoided_until = now + source.avoid_for;
}

void Scheduler::handle_has(PeerId peer, const Cid& cid) {
  Block* const block = find(cid);
  if (block == nullptr || block->lacking.erase(peer) == 0) return;
  Source& source = sources_.at(peer);
  source.lacks_in_a_row = 0;
  source.avoided_until = {};
  changed_ = true;
}

void Scheduler::handle_busy(Time now, PeerId peer, const Cid& cid) {
  Block* const block = find(cid);
  if (block == nullptr) return;
  drop_request(*block, peer);
  queue_if_unasked(*block);
  Source& source = sources_.at(peer);
  // Several refusals of one round are one.
  if (now < source.avoided_until) return;
  source.avoid_for = std::clamp(2 * source.avoid_for, kBusyTime, kLongestBusyTime);
  source.avoided_until = now + source.avoid_for;
}

void Scheduler::handle_gateway_failed(Time now, const Cid& cid, Error error) {
  Block* const block = find(cid);
  if (block == nullptr) return;
  share_gateway(now);
  block->gateway_error = std::move(error);
  drop_request(*block, kGateway);
  queue_if_unasked(*block);
}

void Scheduler::excuse_silence(Time now) {
  for (auto& [id, source] : sources_) source.last_byte = now;
}

double Scheduler::rate(std::optional<PeerId> source) const {
  const auto found = sources_.find(to_id(source));
  return found == sources_.end() ? 0 : found->second.rate;
}

void Scheduler::need(Time now, const Cid& cid, TransferId transfer) {
  const auto [entry, is_new] = blocks_.try_emplace(cid);
  entry->second.transfers.insert(transfer);
  Transfer& state = transfers_.at(transfer);
  if (!state.first_need) {
    state.first_need = now;
    check_at_ = std::min(check_at_, now + options_.gateway_deadline);
  }
  changed_ = true;
  if (!is_new) return;
  Block& block = entry->second;
  block.cid = &entry->first;
  block.shuffled = shuffle(static_cast<std::uint64_t>(state.first_need->time_since_epoch().count()), cid);
  block.is_node = cid.codec() == content_id::Codec::kDagPb;
  state.next_turn = std::max(state.next_turn, turn_);
  block.rank = {state.next_turn++, next_number_++};
  queue_.emplace(block.rank, &block);
}

const std::set<TransferId>& Scheduler::transfers_of(const Cid& cid) const { return blocks_.at(cid).transfers; }

bool Scheduler::asks_gateway_for(TransferId transfer) const {
  const std::vector<Block*>& asked = sources_.at(kGateway).asked;
  return std::any_of(asked.begin(), asked.end(),
                     [&](const Block* block) { return block->transfers.contains(transfer); });
}

void Scheduler::handle_arrived(Time now, const Cid& cid, std::optional<PeerId> from, std::uint64_t size) {
  Block& block = blocks_.at(cid);
  if (!from) {
    // The gateway's blocks come whole.
    share_gateway(now);
    const auto request = std::find_if(block.requests.begin(), block.requests.end(),
                                      [](const Request& one) { return one.source == kGateway; });
    if (request != block.requests.end()) {
      const Duration took = now - request->asked_at;
      Source& gateway = sources_.at(kGateway);
      gateway.round_trip = gateway.round_trip == Duration(0) ? took / 2 : std::min(gateway.round_trip, took / 2);
      gateway.has_given = true;
      // A small one tells of its delay only.
      if (size >= kSmallestSample) {
        const Seconds had = std::max(share_of(now, *request), to_seconds(milliseconds(1)));
        smooth(gateway.rate, static_cast<double>(size) / had);
      }
    }
  }
  drop_request(block, to_id(from));
  block.arrived = true;
  queue_.erase(block.rank);
  arrived_bytes_ += size;
  // The first block that is no mere node tells more than the guess before it.
  const bool is_first = arrived_bytes_ - size < kSmallestSample && size >= kSmallestSample;
  block_size_ = is_first ? static_cast<double>(size) : 0.8 * block_size_ + 0.2 * static_cast<double>(size);
  changed_ = true;
}

void Scheduler::handle_refuted(const Cid& cid) {
  Block* const block = find(cid);
  if (block == nullptr) return;
  block->arrived = false;
  queue_if_unasked(*block);
}

std::vector<Scheduler::Asked> Scheduler::handle_verified(Time now, const Cid& cid) {
  estimate_gateway(now);
  Block& block = blocks_.at(cid);
  std::vector<Asked> asked;
  while (!block.requests.empty()) {
    const Request& request = block.requests.back();
    asked.push_back({to_peer(request.source), request.received});
    duplicates_ += request.assumed;
    drop_request(block, request.source);
  }
  queue_.erase(block.rank);
  if (block.risk > 0) settling_.push_back({now + kSettlingTime, block.risk});
  blocks_.erase(cid);
  changed_ = true;
  return asked;
}

Scheduler::Block* Scheduler::find(const Cid& cid) {
  const auto found = blocks_.find(cid);
  return found == blocks_.end() ? nullptr : &found->second;
}

void Scheduler::drop_request(Block& block, PeerId id) {
  const auto request =
      std::find_if(block.requests.begin(), block.requests.end(), [&](const Request& one) { return one.source == id; });
  if (request == block.requests.end()) return;
  Source& source = sources_.at(id);
  std::erase(source.asked, &block);
  source.owed -= left(*request);
  if (source.asked.empty()) source.owed = 0;
  block.requests.erase(request);
  changed_ = true;
}

void Scheduler::queue_if_unasked(Block& block) {
  const bool asked =
      std::any_of(block.requests.begin(), block.requests.end(), [](const Request& request) { return !request.late; });
  if (asked || block.arrived) {
    queue_.erase(block.rank);
  } else {
    queue_.emplace(block.rank, &block);
    changed_ = true;
  }
}

}  // namespace codio::transfer
