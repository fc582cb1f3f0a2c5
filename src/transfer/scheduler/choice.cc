// What the scheduler decides: which block is asked of whom, and when of another one.
#include <algorithm>

#include "transfer/scheduler/internal.h"
#include "transfer/scheduler/scheduler.h"

namespace codio::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// HTTP/2 gateways serve these at once over one connection; HTTP/1.1 ones over six.
constexpr std::size_t kGatewayPipeline = 8;
/// How often late blocks are looked for; far below every deadline.
constexpr Duration kCheckInterval = milliseconds(100);
/// A block is late if another source would bring it in a half of the time; by this many seconds at least, or it is not
/// worth a message; and by more if it is on its way: then all of it may come twice, and only whoever has nothing else
/// to do is asked, or anyone if a reader waits for it.
constexpr double kLateness = 2;
constexpr double kLeastGain = 0.1;
constexpr double kLeastGainOnItsWay = 2;
constexpr Duration kReadersPatience = seconds(2);
/// An inner node that has not come by then is asked of one more idle source.
constexpr Duration kNodePatience = milliseconds(100);
/// Whoever has nothing else to do helps where that gains more than the error of an estimate …
constexpr double kIdleLateness = 1.25;
/// … and while duplicates are below this share of what has come.
constexpr double kDuplicateShare = 0.02;
/// Blocks at the head of the queue that are matched with sources at a time.
constexpr std::size_t kLookAhead = 128;
/// Among others who download the same, a file that is read in order is fetched so in pieces of this many blocks.
constexpr std::size_t kShuffled = 32;
/// Sources that one block is asked of at a time; then another one takes the place of the least promising.
constexpr std::size_t kMaxRequests = 3;

}  // namespace

std::optional<Scheduler::Assignment> Scheduler::poll_assignment(Time now, bool with_gateway) {
  if (now >= check_at_) check(now);
  if (!changed_) return std::nullopt;
  if (auto assignment = assign_queued(now, with_gateway)) return assignment;
  if (auto assignment = assign_again(now, with_gateway)) return assignment;
  changed_ = false;
  return std::nullopt;
}

/// The first block of the queue that a source with room would bring soon enough: not long after the best of all sources
/// could, which has what lies before it in the queue to bring too.
std::optional<Scheduler::Assignment> Scheduler::assign_queued(Time now, bool with_gateway) {
  const bool any_room = std::any_of(sources_.begin(), sources_.end(), [&](const auto& entry) {
    return has_room(entry.first, entry.second) && now >= entry.second.avoided_until;
  });
  if (!any_room) return std::nullopt;
  double ahead = 0;
  for (Block* const queued_block : queued()) {
    Block& block = *queued_block;
    std::optional<PeerId> chosen;
    Seconds soonest = kEndless;
    Seconds soonest_with_room = kEndless;
    double total_rate = 0;
    for (const auto& [id, source] : sources_) {
      if ((id == kGateway && !with_gateway) || !may_ask(now, block, id, source)) continue;
      const Seconds finish_time = finish(now, source);
      soonest = std::min(soonest, finish_time);
      total_rate += rate_of(now, source);
      if (!has_room(id, source) || finish_time >= soonest_with_room) continue;
      soonest_with_room = finish_time;
      chosen = id;
    }
    if (!chosen) continue;
    const Seconds others = soonest + ahead / total_rate;
    const double factor = is_end_game(block) ? 1.0 : kLateness;
    // One that has shown nothing yet gets a block to show.
    const Source& source = sources_.at(*chosen);
    const bool is_trial = chosen != kGateway && !source.has_given && source.asked.empty();
    const bool soon_enough = is_trial || soonest_with_room <= factor * others + to_seconds(milliseconds(20));
    const bool helps = block.requests.empty() || chosen == kGateway || is_worth_asking(now, block, source, false);
    if (soon_enough && helps) return assign(now, block, *chosen);
    ahead += block_size_;
  }
  return std::nullopt;
}

/// A source that has room, and nothing in the queue to fill it, helps out where most time is gained.
std::optional<Scheduler::Assignment> Scheduler::assign_again(Time now, bool with_gateway) {
  const auto is_idle = [&](PeerId id, const Source& source) {
    return has_room(id, source) && now >= source.avoided_until && (id != kGateway || with_gateway);
  };
  if (std::none_of(sources_.begin(), sources_.end(),
                   [&](const auto& entry) { return is_idle(entry.first, entry.second); })) {
    return std::nullopt;
  }
  estimate(now);
  for (const auto& [id, source] : sources_) {
    if (!is_idle(id, source)) continue;
    Block* latest = nullptr;
    Seconds latest_due = 0;
    for (auto& [cid, block] : blocks_) {
      if (block.arrived || block.requests.empty()) continue;
      if (due(block) <= latest_due || !is_worth_asking(now, block, source, true)) continue;
      if (!may_ask(now, block, id, source)) continue;
      latest = &block;
      latest_due = due(block);
    }
    if (latest != nullptr) return assign(now, *latest, id);
  }
  return std::nullopt;
}

bool Scheduler::is_worth_asking(Time now, const Block& block, const Source& source, bool idle) const {
  const Seconds finish_time = finish(now, source);
  const Seconds due_in = due(block);
  const bool gains_in_idleness = due_in > kIdleLateness * finish_time + to_seconds(milliseconds(20));
  const bool may_come_twice = block.requests.size() > 1 ||
                              std::any_of(block.requests.begin(), block.requests.end(), [](const Request& request) {
                                return request.on_its_way || request.source == kGateway;
                              });
  if (due_in == kEndless || (idle && is_overdue_node(now, block))) return true;
  if (!may_come_twice) return idle ? gains_in_idleness : due_in > kLateness * finish_time + kLeastGain;
  if (!idle) return is_urgent(now, block) && due_in > kLateness * finish_time + kLeastGain;
  const bool may_have_gone =
      std::all_of(block.requests.begin(), block.requests.end(), [](const Request& request) { return request.suspect; });
  if ((may_have_gone && !source.suspect) || due_in > kLateness * finish_time + kLeastGainOnItsWay) return true;
  const double allowed = kDuplicateShare * static_cast<double>(arrived_bytes_);
  return is_end_game(block) && gains_in_idleness && duplicates_ + risked_ + block_size_ <= allowed;
}

bool Scheduler::is_urgent(Time now, const Block& block) const {
  return std::any_of(block.transfers.begin(), block.transfers.end(), [&](TransferId id) {
    const auto& since = transfers_.at(id).blocked_since;
    if (!since || now - *since < kReadersPatience) return false;
    return std::none_of(blocks_.begin(), blocks_.end(), [&](const auto& entry) {
      return entry.second.rank < block.rank && entry.second.transfers.contains(id);
    });
  });
}

bool Scheduler::is_overdue_node(Time now, const Block& block) {
  return block.is_node && std::all_of(block.requests.begin(), block.requests.end(),
                                      [&](const Request& request) { return now - request.asked_at >= kNodePatience; });
}

/// Whether everything that anyone waits for with it is asked for or about to be.
bool Scheduler::is_end_game(const Block& block) const {
  return std::all_of(block.transfers.begin(), block.transfers.end(),
                     [&](TransferId transfer) { return transfers_.at(transfer).asked_all; });
}

/// The head of the queue, in the order in which sources are looked for. Among others who download the same, whoever
/// asks for other blocks than they do has something to give: what readers wait for comes first, then the rarest, then
/// all in an order of our own.
std::vector<Scheduler::Block*> Scheduler::queued() const {
  std::vector<Block*> result;
  for (const auto& [rank, block] : queue_) {
    if (result.size() == kLookAhead) break;
    result.push_back(block);
  }
  const bool in_a_crowd =
      std::any_of(sources_.begin(), sources_.end(), [](const auto& entry) { return entry.second.is_partial; });
  if (!in_a_crowd) return result;
  struct Key {
    std::size_t group = 0;
    std::size_t holders = 0;
    std::uint64_t shuffled = 0;
    auto operator<=>(const Key&) const = default;
  };
  std::map<TransferId, Rank> soonest;
  for (const auto& [cid, block] : blocks_) {
    for (const TransferId transfer : block.transfers) {
      Rank& rank = soonest.try_emplace(transfer, block.rank).first->second;
      rank = std::min(rank, block.rank);
    }
  }
  const auto key_of = [&](std::size_t place) -> Key {
    const Block& block = *result[place];
    const bool ordered = std::any_of(block.transfers.begin(), block.transfers.end(),
                                     [&](TransferId transfer) { return transfers_.at(transfer).ordered; });
    const bool is_awaited = std::any_of(block.transfers.begin(), block.transfers.end(),
                                        [&](TransferId transfer) { return soonest.at(transfer) == block.rank; });
    if (ordered && is_awaited) return {};
    const auto holders = std::count_if(sources_.begin(), sources_.end(), [&](const auto& entry) {
      return entry.first != kGateway && is_candidate(block, entry.first, entry.second);
    });
    return {ordered ? 1 + place / kShuffled : 1, static_cast<std::size_t>(holders), block.shuffled};
  };
  // A sort by insertion: the one of the library is more to download.
  std::vector<Key> keys;
  std::vector<Block*> sorted;
  for (std::size_t i = 0; i < result.size(); ++i) {
    const Key own = key_of(i);
    const auto place = std::upper_bound(keys.begin(), keys.end(), own);
    sorted.insert(sorted.begin() + (place - keys.begin()), result[i]);
    keys.insert(place, own);
  }
  return sorted;
}

bool Scheduler::is_asked(const Block& block, PeerId source) const {
  return std::any_of(block.requests.begin(), block.requests.end(),
                     [&](const Request& request) { return request.source == source; });
}

bool Scheduler::is_candidate(const Block& block, PeerId peer, const Source& source) const {
  if (options_.policy == Policy::kGatewayOnly || block.lacking.contains(peer) || is_asked(block, peer)) return false;
  return std::any_of(block.transfers.begin(), block.transfers.end(),
                     [&](TransferId transfer) { return source.provides.contains(transfer); });
}

bool Scheduler::gateway_may_have(const Block& block) const {
  return options_.has_gateways && options_.policy != Policy::kP2pOnly && !block.gateway_error &&
         !is_asked(block, kGateway);
}

bool Scheduler::may_ask(Time now, const Block& block, PeerId id, const Source& source) const {
  if (now < source.avoided_until) return false;
  return id == kGateway ? gateway_may_have(block) && is_gateways_turn(now, block) : is_candidate(block, id, source);
}

bool Scheduler::is_gateways_turn(Time now, const Block& block) const {
  if (options_.policy != Policy::kP2pFirst) return true;
  bool peer_can = false;
  bool peer_has_shown = false;
  for (const auto& [id, source] : sources_) {
    const bool asked = is_asked(block, id);
    if (id == kGateway || now < source.avoided_until || source.suspect || is_slow(source)) continue;
    if (!asked && !is_candidate(block, id, source)) continue;
    peer_can = true;
    peer_has_shown = peer_has_shown || source.has_given;
  }
  if (peer_has_shown) return false;
  if (peer_can) return waited_long(now, block) || sources_.at(kGateway).has_given;
  return !awaits_providers(block) || waited_long(now, block);
}

bool Scheduler::awaits_providers(const Block& block) const {
  if (options_.policy == Policy::kGatewayOnly) return false;
  return std::any_of(block.transfers.begin(), block.transfers.end(),
                     [&](TransferId transfer) { return transfers_.at(transfer).pending.value_or(1) > 0; });
}

/// Since the download began to need anything: one that waited once for its providers does not wait again block by
/// block.
bool Scheduler::waited_long(Time now, const Block& block) const {
  return std::any_of(block.transfers.begin(), block.transfers.end(), [&](TransferId transfer) {
    return now - transfers_.at(transfer).first_need.value_or(now) >= options_.gateway_deadline;
  });
}

bool Scheduler::has_room(PeerId id, const Source& source) const {
  if (id != kGateway) return source.asked.size() < pipeline(source);
  const bool is_trusted = source.has_given || options_.policy != Policy::kFastest;
  return source.asked.size() < (is_trusted ? kGatewayPipeline : kSmallestPipeline);
}

Scheduler::Assignment Scheduler::assign(Time now, Block& block, PeerId id) {
  Assignment assignment{*block.cid, to_peer(id)};
  // Where it waits its turn it is taken back; where it is on its way, or a silent source may yet answer, it is not.
  for (const Request& request : block.requests) {
    if (request.source == kGateway || request.on_its_way || request.due == kEndless || request.asked_at == now)
      continue;
    assignment.instead_of = request.source;
  }
  if (!assignment.instead_of && block.requests.size() == kMaxRequests && !block.is_node) {
    Seconds latest = -1;
    for (const Request& request : block.requests) {
      if (request.source == kGateway || request.due <= latest) continue;
      latest = request.due;
      assignment.instead_of = request.source;
    }
  }
  if (assignment.instead_of) {
    drop_request(block, *assignment.instead_of);
  } else if (!block.requests.empty()) {
    block.risk += block_size_;
    risked_ += block_size_;
  }
  Source& source = sources_.at(id);
  if (id == kGateway) {
    share_gateway(now);
  } else if (source.asked.empty()) {
    source.busy_since = now;
    source.sample_begin.reset();
    source.sample_bytes = 0;
    if (source.round_trip > Duration(0)) source.sample_begin = now + source.round_trip;
  }
  const Seconds expected_in = finish(now, source);
  source.asked.push_back(&block);
  source.owed += block_size_;
  block.requests.push_back(
      {.source = id, .asked_at = now, .expected = block_size_, .share_begin = source.share, .due = expected_in});
  queue_.erase(block.rank);
  turn_ = std::max(turn_, block.rank.turn);
  return assignment;
}

void Scheduler::check(Time now) {
  check_at_ = now + kCheckInterval;
  for (const auto& [id, transfer] : transfers_) {
    const Time deadline = transfer.first_need.value_or(now) + options_.gateway_deadline;
    if (deadline > now) check_at_ = std::min(check_at_, deadline);
  }
  changed_ = true;
  check_silence(now);
  for (; !settling_.empty() && settling_.front().until <= now; settling_.pop_front()) {
    risked_ -= settling_.front().bytes;
  }
  double sum = 0;
  std::size_t known = 0;
  for (const auto& [id, source] : sources_) {
    if (id == kGateway || source.rate == 0 || is_slow(source)) continue;
    sum += source.rate;
    ++known;
  }
  assumed_rate_ = known == 0 ? kAssumedRate : sum / static_cast<double>(known);
  estimate(now);

  for (auto& [cid, block] : blocks_) {
    if (block.requests.empty()) continue;
    const Source* soonest = nullptr;
    bool gateway_helps = false;
    for (const auto& [id, source] : sources_) {
      if (!may_ask(now, block, id, source)) continue;
      if (soonest == nullptr || finish(now, source) < finish(now, *soonest)) soonest = &source;
      gateway_helps = gateway_helps || id == kGateway;
    }
    const bool is_late = due(block) == kEndless || (options_.policy == Policy::kP2pFirst && gateway_helps) ||
                         (soonest != nullptr && is_worth_asking(now, block, *soonest, false));
    for (Request& request : block.requests) request.late = is_late;
    queue_if_unasked(block);
  }
}

std::optional<Time> Scheduler::next_check() const {
  if (blocks_.empty()) return std::nullopt;
  return check_at_;
}

std::vector<Scheduler::Missing> Scheduler::missing() const {
  std::vector<Missing> result;
  for (const auto& [rank, block] : queue_) {
    if (is_missing(*block)) result.push_back({*block->cid, awaits_providers(*block)});
  }
  return result;
}

bool Scheduler::is_missing(const Block& block) const {
  if (!block.requests.empty() || gateway_may_have(block)) return false;
  return std::none_of(sources_.begin(), sources_.end(),
                      [&](const auto& entry) { return is_candidate(block, entry.first, entry.second); });
}

}  // namespace codio::transfer
