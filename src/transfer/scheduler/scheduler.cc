#include "transfer/scheduler/scheduler.h"

#include <algorithm>
#include <cmath>

#include "common/check.h"

namespace codio::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Wants open at a source whose rate is not known: enough to measure it without a round trip between blocks.
constexpr std::size_t kFirstPipeline = 4;
constexpr std::size_t kSmallestPipeline = 2;
constexpr std::size_t kLargestPipeline = 64;
/// What the pipeline holds beyond one round trip: hides the reader's hashing and a browser's busy event loop.
constexpr double kPipelineMargin = 0.25;
/// HTTP/2 gateways serve these at once over one connection; HTTP/1.1 ones over six.
constexpr std::size_t kGatewayPipeline = 8;
/// Taken for a source's rate until it is known.
constexpr double kAssumedRate = 1e6;
constexpr Duration kSampleTime = milliseconds(100);
/// How often late blocks are looked for; far below every deadline.
constexpr Duration kCheckInterval = milliseconds(100);
constexpr Duration kSmallestLateness = seconds(2);
constexpr Duration kLargestLateness = seconds(10);
/// A source that needs longer than this for one block is helped out: by others, and with p2p-first by the gateway.
constexpr Duration kPatience = seconds(4);
/// How long a slow source keeps a block to itself.
constexpr Duration kSlowGrace = seconds(1);
constexpr Duration kBusyTime = milliseconds(500);
constexpr Duration kFirstAvoidance = seconds(5);
constexpr Duration kLongestAvoidance = seconds(60);
/// Blocks at the head of the queue that are matched with sources at a time.
constexpr std::size_t kLookAhead = 128;

double to_seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

Duration from_seconds(double value) { return Duration(static_cast<Duration::rep>(std::min(value, 3600.0) * 1e6)); }

}  // namespace

Scheduler::Scheduler(const ExchangeOptions& options) : options_(options) {}

void Scheduler::add_transfer(TransferId transfer) { transfers_.emplace(transfer, Transfer{}); }

std::vector<Scheduler::Assignment> Scheduler::remove_transfer(TransferId transfer) {
  std::vector<Assignment> cancelled;
  for (auto entry = blocks_.begin(); entry != blocks_.end();) {
    auto& [cid, block] = *entry;
    if (block.transfers.erase(transfer) == 0 || !block.transfers.empty()) {
      ++entry;
      continue;
    }
    while (!block.requests.empty()) {
      cancelled.push_back({cid, block.requests.back().source});
      drop_request(cid, block, block.requests.back().source);
    }
    queue_.erase(block.rank);
    entry = blocks_.erase(entry);
  }
  for (auto& [id, source] : sources_) source.provides.erase(transfer);
  transfers_.erase(transfer);
  return cancelled;
}

void Scheduler::set_pending_providers(TransferId transfer, std::optional<std::uint32_t> pending) {
  const auto found = transfers_.find(transfer);
  if (found != transfers_.end()) found->second.pending = pending;
}

bool Scheduler::has_provider(TransferId transfer) const {
  return std::any_of(sources_.begin(), sources_.end(),
                     [&](const auto& entry) { return entry.second.provides.contains(transfer); });
}

std::optional<std::uint32_t> Scheduler::pending_providers(TransferId transfer) const {
  const auto found = transfers_.find(transfer);
  return found == transfers_.end() ? 0 : found->second.pending;
}

void Scheduler::add_peer(Time now, PeerId peer) {
  Source source;
  source.last_byte = now;
  sources_.emplace(peer, source);
}

void Scheduler::remove_peer(PeerId peer) {
  const auto found = sources_.find(peer);
  if (found == sources_.end()) return;
  const std::set<Cid> asked = found->second.asked;
  for (const Cid& cid : asked) {
    Block& block = blocks_.at(cid);
    drop_request(cid, block, peer);
    queue_if_unasked(cid, block);
  }
  sources_.erase(found);
}

void Scheduler::set_provides(PeerId peer, TransferId transfer) {
  const auto found = sources_.find(peer);
  if (found != sources_.end() && transfers_.contains(transfer)) found->second.provides.insert(transfer);
}

bool Scheduler::provides(PeerId peer, TransferId transfer) const {
  const auto found = sources_.find(peer);
  return found != sources_.end() && found->second.provides.contains(transfer);
}

void Scheduler::handle_bytes(Time now, PeerId peer, std::uint64_t size, Duration round_trip) {
  Source& source = sources_.at(peer);
  source.round_trip = round_trip;
  source.last_byte = now;
  source.avoided_until = {};
  source.avoid_for = {};
  source.sample_bytes += size;
  const Duration elapsed = now - source.sample_begin;
  if (elapsed < kSampleTime) return;
  const double sample = static_cast<double>(source.sample_bytes) / to_seconds(elapsed);
  source.rate = source.rate == 0 ? sample : 0.7 * source.rate + 0.3 * sample;
  source.sample_bytes = 0;
  source.sample_begin = now;
}

void Scheduler::handle_lacks(PeerId peer, const Cid& cid) {
  const auto found = blocks_.find(cid);
  if (found == blocks_.end()) return;
  found->second.lacking.insert(peer);
  drop_request(cid, found->second, peer);
  queue_if_unasked(cid, found->second);
}

void Scheduler::handle_busy(Time now, PeerId peer, const Cid& cid) {
  const auto found = blocks_.find(cid);
  if (found == blocks_.end()) return;
  drop_request(cid, found->second, peer);
  sources_.at(peer).avoided_until = now + kBusyTime;
  queue_if_unasked(cid, found->second);
}

void Scheduler::handle_gateway_failed(const Cid& cid) {
  const auto found = blocks_.find(cid);
  if (found == blocks_.end()) return;
  found->second.gateway_failed = true;
  drop_request(cid, found->second, std::nullopt);
  queue_if_unasked(cid, found->second);
}

void Scheduler::need(Time now, const Cid& cid, TransferId transfer) {
  const auto [entry, is_new] = blocks_.try_emplace(cid);
  entry->second.transfers.insert(transfer);
  if (!is_new) return;
  entry->second.rank = next_rank_++;
  entry->second.needed_at = now;
  queue_.emplace(entry->second.rank, cid);
}

const std::set<TransferId>& Scheduler::transfers_of(const Cid& cid) const { return blocks_.at(cid).transfers; }

bool Scheduler::asks_gateway_for(TransferId transfer) const {
  return std::any_of(blocks_.begin(), blocks_.end(), [&](const auto& entry) {
    const Block& block = entry.second;
    return block.transfers.contains(transfer) && std::any_of(block.requests.begin(), block.requests.end(),
                                                             [](const Request& request) { return !request.source; });
  });
}

void Scheduler::handle_arrived(const Cid& cid, std::optional<PeerId> from, std::uint64_t size) {
  Block& block = blocks_.at(cid);
  drop_request(cid, block, from);
  block.arrived = true;
  queue_.erase(block.rank);
  block_size_ = 0.8 * block_size_ + 0.2 * static_cast<double>(size);
}

void Scheduler::handle_refuted(const Cid& cid) {
  const auto found = blocks_.find(cid);
  if (found == blocks_.end()) return;
  found->second.arrived = false;
  queue_if_unasked(cid, found->second);
}

std::vector<std::optional<PeerId>> Scheduler::handle_verified(const Cid& cid) {
  Block& block = blocks_.at(cid);
  std::vector<std::optional<PeerId>> asked;
  while (!block.requests.empty()) {
    asked.push_back(block.requests.back().source);
    drop_request(cid, block, asked.back());
  }
  queue_.erase(block.rank);
  blocks_.erase(cid);
  return asked;
}

std::optional<Scheduler::Assignment> Scheduler::poll_assignment(Time now) {
  if (now - checked_at_ >= kCheckInterval) check_late(now);
  std::size_t looked_at = 0;
  for (const auto& [rank, cid] : queue_) {
    if (looked_at++ == kLookAhead) break;
    Block& block = blocks_.at(cid);
    if (const auto peer = choose_peer(now, block)) return assign(now, cid, block, peer);
    if (gateway_requests_ < kGatewayPipeline && may_ask_gateway(block, now)) return assign(now, cid, block, {});
  }
  return std::nullopt;
}

std::optional<Time> Scheduler::next_check() const {
  if (blocks_.empty()) return std::nullopt;
  return checked_at_ + kCheckInterval;
}

std::vector<Scheduler::Cid> Scheduler::hopeless() const {
  std::vector<Cid> result;
  for (const auto& [rank, cid] : queue_) {
    if (is_hopeless(blocks_.at(cid))) result.push_back(cid);
  }
  return result;
}

bool Scheduler::is_hopeless(const Block& block) const {
  if (!block.requests.empty() || may_use_gateway(block)) return false;
  if (options_.policy == Policy::kGatewayOnly) return true;
  return !awaits_providers(block) && std::none_of(sources_.begin(), sources_.end(), [&](const auto& entry) {
    return is_candidate(block, entry.first, entry.second);
  });
}

bool Scheduler::is_candidate(const Block& block, PeerId peer, const Source& source) const {
  if (options_.policy == Policy::kGatewayOnly || block.lacking.contains(peer)) return false;
  const bool asked = std::any_of(block.requests.begin(), block.requests.end(),
                                 [&](const Request& request) { return request.source == peer; });
  return !asked && std::any_of(block.transfers.begin(), block.transfers.end(),
                               [&](TransferId transfer) { return source.provides.contains(transfer); });
}

/// Whether the gateway may still give the block at all.
bool Scheduler::may_use_gateway(const Block& block) const {
  if (!options_.has_gateways || options_.policy == Policy::kP2pOnly || block.gateway_failed) return false;
  return std::none_of(block.requests.begin(), block.requests.end(),
                      [](const Request& request) { return !request.source; });
}

/// Whether it is the gateway's turn. The block is in the queue, so that whoever was asked is late.
bool Scheduler::may_ask_gateway(const Block& block, Time now) const {
  if (!may_use_gateway(block)) return false;
  if (options_.policy != Policy::kP2pFirst || !block.requests.empty()) return true;
  const bool peer_can = std::any_of(sources_.begin(), sources_.end(), [&](const auto& entry) {
    const Source& source = entry.second;
    return now >= source.avoided_until && !is_slow(source) && is_candidate(block, entry.first, source);
  });
  if (peer_can) return false;
  return !awaits_providers(block) || now - block.needed_at >= options_.gateway_deadline;
}

bool Scheduler::awaits_providers(const Block& block) const {
  if (options_.policy == Policy::kGatewayOnly) return false;
  return std::any_of(block.transfers.begin(), block.transfers.end(),
                     [&](TransferId transfer) { return pending_providers(transfer).value_or(1) > 0; });
}

std::size_t Scheduler::pipeline(const Source& source) const {
  if (source.rate == 0) return kFirstPipeline;
  const double seconds = to_seconds(source.round_trip) + kPipelineMargin;
  const double blocks = std::ceil(seconds * source.rate / block_size_);
  return static_cast<std::size_t>(std::clamp<double>(blocks, kSmallestPipeline, kLargestPipeline));
}

bool Scheduler::is_slow(const Source& source) const {
  return source.rate > 0 && block_size_ > source.rate * to_seconds(kPatience);
}

/// The candidate that would finish the block first.
std::optional<PeerId> Scheduler::choose_peer(Time now, const Block& block) const {
  std::optional<PeerId> best;
  double best_finish = 0;
  for (const auto& [peer, source] : sources_) {
    if (now < source.avoided_until || source.asked.size() >= pipeline(source)) continue;
    if (!is_candidate(block, peer, source)) continue;
    const double rate = source.rate == 0 ? kAssumedRate : source.rate;
    const double finish = static_cast<double>(source.asked.size() + 1) / rate;
    if (best && finish >= best_finish) continue;
    best = peer;
    best_finish = finish;
  }
  return best;
}

Scheduler::Assignment Scheduler::assign(Time now, const Cid& cid, Block& block, std::optional<PeerId> peer) {
  Duration expected = options_.stall_timeout;
  if (peer) {
    Source& source = sources_.at(*peer);
    if (source.asked.empty()) {
      source.busy_since = now;
      source.sample_begin = now;
      source.sample_bytes = 0;
    }
    source.asked.insert(cid);
    const double rate = source.rate == 0 ? kAssumedRate : source.rate;
    expected = std::clamp(4 * from_seconds(static_cast<double>(source.asked.size()) * block_size_ / rate),
                          kSmallestLateness, kLargestLateness);
  } else {
    ++gateway_requests_;
  }
  block.requests.push_back({.source = peer, .asked_at = now, .late_at = now + expected});
  const Assignment assignment{cid, peer};
  queue_.erase(block.rank);
  return assignment;
}

void Scheduler::drop_request(const Cid& cid, Block& block, std::optional<PeerId> source) {
  if (std::erase_if(block.requests, [&](const Request& request) { return request.source == source; }) == 0) return;
  if (!source) {
    --gateway_requests_;
  } else if (const auto found = sources_.find(*source); found != sources_.end()) {
    found->second.asked.erase(cid);
  }
}

void Scheduler::queue_if_unasked(const Cid& cid, const Block& block) {
  const bool asked =
      std::any_of(block.requests.begin(), block.requests.end(), [](const Request& request) { return !request.late; });
  if (!asked && !block.arrived) queue_.emplace(block.rank, cid);
}

void Scheduler::check_late(Time now) {
  checked_at_ = now;
  for (auto& [peer, source] : sources_) {
    if (source.asked.empty() || now < source.avoided_until) continue;
    if (now - std::max(source.last_byte, source.busy_since) < options_.gateway_deadline) continue;
    source.avoid_for = std::clamp(2 * source.avoid_for, kFirstAvoidance, kLongestAvoidance);
    source.avoided_until = now + source.avoid_for;
  }
  for (auto& [cid, block] : blocks_) {
    for (Request& request : block.requests) {
      const auto source = request.source ? sources_.find(*request.source) : sources_.end();
      const bool hindered =
          source != sources_.end() &&
          (now < source->second.avoided_until || (is_slow(source->second) && now - request.asked_at >= kSlowGrace));
      request.late = request.late || hindered || now >= request.late_at;
    }
    queue_if_unasked(cid, block);
  }
}

}  // namespace codio::transfer
