// What the scheduler believes: rates, who is silent, and when what was asked for comes.
#include <algorithm>
#include <cmath>

#include "transfer/scheduler/internal.h"
#include "transfer/scheduler/scheduler.h"

namespace codio::transfer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Wants open at a source whose rate is not known: enough to measure it without a round trip between blocks.
constexpr std::size_t kFirstPipeline = 4;
constexpr std::size_t kLargestPipeline = 128;
/// What the pipeline holds beyond one round trip: hides the reader's hashing and a browser's busy event loop.
constexpr double kPipelineMargin = 0.25;
constexpr Duration kSampleTime = milliseconds(100);
/// What is not expected from one that may have gone, if there is another.
constexpr double kSuspicion = 2;
/// And from one that has not given a byte yet.
constexpr double kDoubt = 0.3;
/// A source that needs longer than this for one block is helped out: by others, and with p2p-first by the gateway.
constexpr Duration kPatience = seconds(4);
/// One that owes blocks and is silent for this long is left alone: the time that a slow disk takes to wake up.
constexpr Duration kShortestSilence = milliseconds(1500);
/// A silence beyond this is one, whatever the source was forgiven before.
constexpr Duration kLongestSilence = seconds(5);
/// A gateway may have gone when it could have sent a block and this much more of it.
constexpr double kOverdue = 1.5;

}  // namespace

void Scheduler::add_sample(Time now, Source& source, std::uint64_t size) {
  source.sample_bytes += size;
  const Duration elapsed = now - *source.sample_begin;
  if (elapsed < kSampleTime) return;
  const double sample = static_cast<double>(source.sample_bytes) / to_seconds(elapsed);
  smooth(source.rate, sample);
  source.sample_bytes = 0;
  source.sample_begin = now;
}

double Scheduler::rate_of(Time now, const Source& source) const {
  if (source.rate == 0) return assumed_rate_;
  const Duration elapsed = now - source.sample_begin.value_or(now);
  if (source.asked.empty() || elapsed < 3 * kSampleTime) return source.rate;
  // What has not come lately counts before the sample ends.
  const double lately = static_cast<double>(source.sample_bytes) / to_seconds(elapsed);
  return std::min(source.rate, (source.rate + lately) / 2);
}

bool Scheduler::is_slow(const Source& source) const {
  return source.rate > 0 && block_size_ > source.rate * to_seconds(kPatience);
}

std::size_t Scheduler::pipeline(const Source& source) const {
  if (source.rate == 0) return kFirstPipeline;
  const double seconds = to_seconds(source.round_trip) + kPipelineMargin;
  const double blocks = std::ceil(seconds * source.rate / block_size_);
  return static_cast<std::size_t>(std::clamp<double>(blocks, kSmallestPipeline, kLargestPipeline));
}

Scheduler::Seconds Scheduler::finish(Time now, const Source& source) const {
  const Seconds doubt = source.suspect ? kSuspicion : source.has_given ? 0 : kDoubt;
  return (source.owed + block_size_) / rate_of(now, source) + to_seconds(source.round_trip) + doubt;
}

double Scheduler::left(const Request& request) {
  return std::max(request.expected - static_cast<double>(request.received) - request.assumed, 0.0);
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

void Scheduler::share_gateway(Time now) {
  Source& gateway = sources_.at(kGateway);
  if (!gateway.asked.empty()) {
    gateway.share += to_seconds(now - gateway.share_until) / static_cast<double>(gateway.asked.size());
  }
  gateway.share_until = now;
}

/// Less the time until its first byte.
Scheduler::Seconds Scheduler::share_of(Time now, const Request& request) const {
  const Source& gateway = sources_.at(kGateway);
  const Seconds elapsed = to_seconds(now - request.asked_at);
  if (elapsed == 0) return 0;
  const double sending = 1 - to_seconds(gateway.round_trip) / elapsed;
  return (gateway.share - request.share_begin) * std::max(sending, 0.0);
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
  for (Block* const block : gateway.asked) {
    Request& request = request_of(*block, kGateway);
    request.expected = std::min(request.expected, block_size_);
    const double sent = rate * share_of(now, request);
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
    for (Block* const block : source.asked) {
      Request& request = request_of(*block, id);
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

}  // namespace codio::transfer
