#include "transfer/scheduler/scheduler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/check.h"

namespace codio::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// The gateway among the sources; no peer has this number.
constexpr PeerId kGateway{0};

/// Wants open at a source whose rate is not known: enough to measure it without a round trip between blocks.
constexpr std::size_t kFirstPipeline = 4;
constexpr std::size_t kSmallestPipeline = 2;
constexpr std::size_t kLargestPipeline = 128;
/// What the pipeline holds beyond one round trip: hides the reader's hashing and a browser's busy event loop.
constexpr double kPipelineMargin = 0.25;
/// HTTP/2 gateways serve these at once over one connection; HTTP/1.1 ones over six.
constexpr std::size_t kGatewayPipeline = 8;
/// Taken for a source's rate as long as that of none is known.
constexpr double kAssumedRate = 1e6;
constexpr Duration kSampleTime = milliseconds(100);
constexpr std::uint64_t kSmallestSample = 16 * 1024;
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
/// What is not expected from one that may have gone, if there is another.
constexpr double kSuspicion = 2;
/// And from one that has not given a byte yet.
constexpr double kDoubt = 0.3;
/// Whoever has nothing else to do helps where that gains more than the error of an estimate …
constexpr double kIdleLateness = 1.25;
/// … and while duplicates are below this share of what has come.
constexpr double kDuplicateShare = 0.02;
/// What comes twice comes until then: a CANCEL crosses what is on its way.
constexpr Duration kSettlingTime = seconds(2);
/// A source that needs longer than this for one block is helped out: by others, and with p2p-first by the gateway.
constexpr Duration kPatience = seconds(4);
constexpr Duration kFirstAvoidance = seconds(5);
constexpr Duration kLongestAvoidance = seconds(60);
constexpr Duration kBusyTime = milliseconds(500);
constexpr Duration kLongestBusyTime = seconds(8);
/// One that owes blocks and is silent for this long is left alone: the time that a slow disk takes to wake up.
constexpr Duration kShortestSilence = milliseconds(1500);
/// A gateway may have gone when it could have sent a block and this much more of it.
constexpr double kOverdue = 1.5;
/// Fewer bytes than this break no silence, unless they end a block: no sender cuts its frames so small.
constexpr std::uint64_t kSignOfLife = 4 * 1024;
/// A silence beyond this is one, whatever the source was forgiven before.
constexpr Duration kLongestSilence = seconds(5);
/// One that lacks this many blocks in a row lied when it said that it has them all.
constexpr std::uint32_t kMaxLacksInARow = 32;
/// Blocks at the head of the queue that are matched with sources at a time.
constexpr std::size_t kLookAhead = 128;
/// Among others who download the same, a file that is read in order is fetched so in pieces of this many blocks.
constexpr std::size_t kShuffled = 32;
/// Sources that one block is asked of at a time; then another one takes the place of the least promising.
constexpr std::size_t kMaxRequests = 3;

constexpr double kEndless = std::numeric_limits<double>::infinity();

double to_seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

PeerId to_id(std::optional<PeerId> peer) { return peer.value_or(kGateway); }

void smooth(double& rate, double sample) { rate = rate == 0 ? sample : 0.7 * rate + 0.3 * sample; }

/// No two downloaders begin in the same microsecond: the time is seed enough for an order that no other has. The
/// finalizer of SplitMix64.
std::uint64_t shuffle(std::uint64_t seed, const content_id::ContentId& cid) {
  std::uint64_t mixed = seed;
  for (const std::uint8_t byte : cid.multihash().digest()) mixed = mixed * 31 + byte;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

std::optional<PeerId> to_peer(PeerId id) { return id == kGateway ? std::nullopt : std::optional(id); }

}  // namespace

Scheduler::Scheduler(const ExchangeOptions& options) : options_(options), assumed_rate_(kAssumedRate) {
  sources_.emplace(kGateway, Source{});
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
      drop_request(cid, block, source);
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
  Source source;
  source.last_byte = now;
  source.credit = credit;
  sources_.emplace(peer, source);
}

void Scheduler::remove_peer(PeerId peer) {
  const auto found = sources_.find(peer);
  if (found == sources_.end()) return;
  const std::vector<Cid> asked = found->second.asked;
  for (const Cid& cid : asked) {
    Block& block = blocks_.at(cid);
    drop_request(cid, block, peer);
    queue_if_unasked(cid, block);
  }
  sources_.erase(peer);
}

void Scheduler::set_provides(PeerId peer, TransferId transfer) {
  const auto found = sources_.find(peer);
  if (found == sources_.end() || !transfers_.contains(transfer)) return;
  found->second.provides.insert(transfer);
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
  if (const auto block = blocks_.find(cid); block != blocks_.end()) {
    for (Request& request : block->second.requests) {
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

void Scheduler::add_sample(Time now, Source& source, std::uint64_t size) {
  source.sample_bytes += size;
  const Duration elapsed = now - *source.sample_begin;
  if (elapsed < kSampleTime) return;
  const double sample = static_cast<double>(source.sample_bytes) / to_seconds(elapsed);
  smooth(source.rate, sample);
  source.sample_bytes = 0;
  source.sample_begin = now;
}

void Scheduler::handle_lacks(Time now, PeerId peer, const Cid& cid) {
  const auto found = blocks_.find(cid);
  if (found == blocks_.end()) return;
  found->second.lacking.insert(peer);
  drop_request(cid, found->second, peer);
  queue_if_unasked(cid, found->second);
  Source& source = sources_.at(peer);
  source.is_partial = true;
  if (++source.lacks_in_a_row < kMaxLacksInARow) return;
  source.lacks_in_a_row = 0;
  source.avoid_for = std::clamp(2 * source.avoid_for, kFirstAvoidance, kLongestAvoidance);
  source.avoided_until = now + source.avoid_for;
}

void Scheduler::handle_has(PeerId peer, const Cid& cid) {
  const auto found = blocks_.find(cid);
  if (found == blocks_.end() || found->second.lacking.erase(peer) == 0) return;
  Source& source = sources_.at(peer);
  source.lacks_in_a_row = 0;
  source.avoided_until = {};
  changed_ = true;
}

void Scheduler::handle_busy(Time now, PeerId peer, const Cid& cid) {
  const auto found = blocks_.find(cid);
  if (found == blocks_.end()) return;
  drop_request(cid, found->second, peer);
  queue_if_unasked(cid, found->second);
  Source& source = sources_.at(peer);
  // Several refusals of one round are one.
  if (now < source.avoided_until) return;
  source.avoid_for = std::clamp(2 * source.avoid_for, kBusyTime, kLongestBusyTime);
  source.avoided_until = now + source.avoid_for;
}

void Scheduler::handle_gateway_failed(Time now, const Cid& cid) {
  const auto found = blocks_.find(cid);
  if (found == blocks_.end()) return;
  share_gateway(now);
  found->second.gateway_failed = true;
  drop_request(cid, found->second, kGateway);
  queue_if_unasked(cid, found->second);
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
  entry->second.shuffled = shuffle(static_cast<std::uint64_t>(state.first_need->time_since_epoch().count()), cid);
  entry->second.is_node = cid.codec() == content_id::Codec::kDagPb;
  state.next_turn = std::max(state.next_turn, turn_);
  entry->second.rank = {state.next_turn++, next_number_++};
  queue_.emplace(entry->second.rank, cid);
}

const std::set<TransferId>& Scheduler::transfers_of(const Cid& cid) const { return blocks_.at(cid).transfers; }

bool Scheduler::asks_gateway_for(TransferId transfer) const {
  const std::vector<Cid>& asked = sources_.at(kGateway).asked;
  return std::any_of(asked.begin(), asked.end(),
                     [&](const Cid& cid) { return blocks_.at(cid).transfers.contains(transfer); });
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
        const Seconds had = std::max(gateway.share - request->share_begin, to_seconds(milliseconds(1)));
        smooth(gateway.rate, static_cast<double>(size) / had);
      }
    }
  }
  drop_request(cid, block, to_id(from));
  block.arrived = true;
  queue_.erase(block.rank);
  arrived_bytes_ += size;
  // The first block that is no mere node tells more than the guess before it.
  const bool is_first = arrived_bytes_ - size < kSmallestSample && size >= kSmallestSample;
  block_size_ = is_first ? static_cast<double>(size) : 0.8 * block_size_ + 0.2 * static_cast<double>(size);
  changed_ = true;
}

void Scheduler::handle_refuted(const Cid& cid) {
  const auto found = blocks_.find(cid);
  if (found == blocks_.end()) return;
  found->second.arrived = false;
  queue_if_unasked(cid, found->second);
}

std::vector<Scheduler::Asked> Scheduler::handle_verified(Time now, const Cid& cid) {
  estimate_gateway(now);
  Block& block = blocks_.at(cid);
  std::vector<Asked> asked;
  while (!block.requests.empty()) {
    const Request& request = block.requests.back();
    asked.push_back({to_peer(request.source), request.received});
    duplicates_ += request.assumed;
    drop_request(cid, block, request.source);
  }
  queue_.erase(block.rank);
  if (block.risk > 0) settling_.push_back({now + kSettlingTime, block.risk});
  blocks_.erase(cid);
  changed_ = true;
  return asked;
}

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
  for (const Cid* cid : queued()) {
    Block& block = blocks_.at(*cid);
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
    if (soon_enough && helps) return assign(now, *cid, block, *chosen);
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
    const Cid* latest = nullptr;
    Seconds latest_due = 0;
    for (const auto& [cid, block] : blocks_) {
      if (block.arrived || block.requests.empty()) continue;
      if (due(block) <= latest_due || !is_worth_asking(now, block, source, true)) continue;
      if (!may_ask(now, block, id, source)) continue;
      latest = &cid;
      latest_due = due(block);
    }
    if (latest != nullptr) return assign(now, *latest, blocks_.at(*latest), id);
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

/// The head of the queue, in the order in which sources are looked for. Among others who download the same, whoever
/// asks for other blocks than they do has something to give: what readers wait for comes first, then the rarest, then
/// all in an order of our own.
std::vector<const Scheduler::Cid*> Scheduler::queued() const {
  std::vector<const Cid*> result;
  for (const auto& [rank, cid] : queue_) {
    if (result.size() == kLookAhead) break;
    result.push_back(&cid);
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
    const Block& block = blocks_.at(*result[place]);
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
  for (std::size_t i = 0; i < result.size(); ++i) {
    const Key own = key_of(i);
    const auto place = std::upper_bound(keys.begin(), keys.end(), own);
    const auto at = place - keys.begin();
    std::rotate(result.begin() + at, result.begin() + static_cast<std::ptrdiff_t>(i),
                result.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    keys.insert(place, own);
  }
  return result;
}

std::optional<Time> Scheduler::next_check() const {
  if (blocks_.empty()) return std::nullopt;
  return check_at_;
}

std::vector<Scheduler::Cid> Scheduler::hopeless() const {
  std::vector<Cid> result;
  for (const auto& [rank, cid] : queue_) {
    if (is_hopeless(blocks_.at(cid))) result.push_back(cid);
  }
  return result;
}

bool Scheduler::is_hopeless(const Block& block) const {
  if (!block.requests.empty() || gateway_may_have(block)) return false;
  if (options_.policy == Policy::kGatewayOnly) return true;
  return !awaits_providers(block) && std::none_of(sources_.begin(), sources_.end(), [&](const auto& entry) {
    return is_candidate(block, entry.first, entry.second);
  });
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
  return options_.has_gateways && options_.policy != Policy::kP2pOnly && !block.gateway_failed &&
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

std::size_t Scheduler::pipeline(const Source& source) const {
  if (source.rate == 0) return kFirstPipeline;
  const double seconds = to_seconds(source.round_trip) + kPipelineMargin;
  const double blocks = std::ceil(seconds * source.rate / block_size_);
  return static_cast<std::size_t>(std::clamp<double>(blocks, kSmallestPipeline, kLargestPipeline));
}

bool Scheduler::is_slow(const Source& source) const {
  return source.rate > 0 && block_size_ > source.rate * to_seconds(kPatience);
}

double Scheduler::rate_of(Time now, const Source& source) const {
  if (source.rate == 0) return assumed_rate_;
  const Duration elapsed = now - source.sample_begin.value_or(now);
  if (source.asked.empty() || elapsed < 3 * kSampleTime) return source.rate;
  // What has not come lately counts before the sample ends.
  const double lately = static_cast<double>(source.sample_bytes) / to_seconds(elapsed);
  return std::min(source.rate, (source.rate + lately) / 2);
}

Scheduler::Seconds Scheduler::finish(Time now, const Source& source) const {
  const Seconds doubt = source.suspect ? kSuspicion : source.has_given ? 0 : kDoubt;
  return (source.owed + block_size_) / rate_of(now, source) + to_seconds(source.round_trip) + doubt;
}

double Scheduler::left(const Request& request) {
  return std::max(request.expected - static_cast<double>(request.received) - request.assumed, 0.0);
}

void Scheduler::share_gateway(Time now) {
  Source& gateway = sources_.at(kGateway);
  if (!gateway.asked.empty()) {
    gateway.share += to_seconds(now - gateway.share_until) / static_cast<double>(gateway.asked.size());
  }
  gateway.share_until = now;
}

Scheduler::Request& Scheduler::request_of(Block& block, PeerId source) {
  return *std::find_if(block.requests.begin(), block.requests.end(),
                       [&](const Request& request) { return request.source == source; });
}

/// Its blocks come whole, so that what it has sent of them can only be guessed.
void Scheduler::estimate_gateway(Time now) {
  share_gateway(now);
  Source& gateway = sources_.at(kGateway);
  const double rate = rate_of(now, gateway);
  const auto requests = static_cast<double>(gateway.asked.size());
  gateway.owed = 0;
  for (const Cid& cid : gateway.asked) {
    Request& request = request_of(blocks_.at(cid), kGateway);
    request.expected = std::min(request.expected, block_size_);
    const double sent = rate * (gateway.share - request.share_begin);
    request.assumed = std::clamp(sent, 0.0, request.expected);
    gateway.owed += left(request);
    // What has been awaited for long will not come at once.
    const Seconds overdue = (sent - request.expected) / rate * requests;
    request.due = std::max((request.expected - sent) / rate * requests, overdue);
    request.suspect = sent > kOverdue * request.expected && overdue >= to_seconds(options_.gateway_deadline);
    if (overdue >= to_seconds(kLongestSilence)) request.due = kEndless;
  }
}

void Scheduler::estimate(Time now) {
  estimate_gateway(now);
  for (const auto& [id, source] : sources_) {
    if (id == kGateway) continue;
    const double rate = rate_of(now, source);
    const Seconds waited = to_seconds(silence(now, source));
    double bytes = 0;
    for (const Cid& cid : source.asked) {
      Request& request = request_of(blocks_.at(cid), id);
      // As long as the size of a block is a guess, all of them may be.
      request.on_its_way =
          request.received > 0 || arrived_bytes_ < kSmallestSample || bytes < static_cast<double>(source.credit);
      bytes += request.received > 0 ? left(request) : std::min(request.expected, block_size_);
      const Duration way = std::max(source.round_trip - (now - request.asked_at), Duration(0));
      request.suspect = source.suspect;
      request.due = waited >= to_seconds(kLongestSilence) ? kEndless : std::max(bytes / rate + to_seconds(way), waited);
    }
  }
}

Scheduler::Seconds Scheduler::due(const Block& block) {
  Seconds soonest = kEndless;
  for (const Request& request : block.requests) soonest = std::min(soonest, request.due);
  return soonest;
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

Scheduler::Assignment Scheduler::assign(Time now, const Cid& cid, Block& block, PeerId id) {
  Assignment assignment{cid, to_peer(id)};
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
    drop_request(cid, block, *assignment.instead_of);
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
  source.asked.push_back(cid);
  source.owed += block_size_;
  const auto requests = static_cast<double>(source.asked.size());
  block.requests.push_back({.source = id,
                            .asked_at = now,
                            .expected = block_size_,
                            .share_begin = source.share + to_seconds(source.round_trip) / requests,
                            .due = expected_in});
  queue_.erase(block.rank);
  turn_ = std::max(turn_, block.rank.turn);
  return assignment;
}

void Scheduler::drop_request(const Cid& cid, Block& block, PeerId id) {
  const auto request =
      std::find_if(block.requests.begin(), block.requests.end(), [&](const Request& one) { return one.source == id; });
  if (request == block.requests.end()) return;
  Source& source = sources_.at(id);
  std::erase(source.asked, cid);
  source.owed -= left(*request);
  if (source.asked.empty()) source.owed = 0;
  block.requests.erase(request);
  changed_ = true;
}

void Scheduler::queue_if_unasked(const Cid& cid, const Block& block) {
  const bool asked =
      std::any_of(block.requests.begin(), block.requests.end(), [](const Request& request) { return !request.late; });
  if (asked || block.arrived) {
    queue_.erase(block.rank);
  } else {
    queue_.emplace(block.rank, cid);
    changed_ = true;
  }
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
    queue_if_unasked(cid, block);
  }
}

Duration Scheduler::silence(Time now, const Source& source) {
  return source.asked.empty() ? Duration(0) : now - std::max(source.last_byte, source.busy_since);
}

/// Leaves alone who owes blocks and is silent.
void Scheduler::check_silence(Time now) {
  for (auto& [id, source] : sources_) {
    // A gateway's client bounds its own silence.
    if (id == kGateway || now < source.avoided_until) continue;
    if (source.avoided_until > Time{}) {
      source.avoided_until = {};
      source.busy_since = now;  // A new chance.
    }
    const Duration forgiven = std::min(2 * source.longest_silence, kLongestSilence);
    if (silence(now, source) >= std::max(options_.gateway_deadline, forgiven)) source.suspect = true;
    if (silence(now, source) < std::max(kShortestSilence, forgiven)) continue;
    source.avoid_for = std::clamp(2 * source.avoid_for, kFirstAvoidance, kLongestAvoidance);
    source.avoided_until = now + source.avoid_for;
  }
}

}  // namespace codio::transfer
