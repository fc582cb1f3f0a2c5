#include "gateway/gateway_health.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "common/check.h"

namespace codio::gateway {
namespace {

using std::chrono::milliseconds;

/// As TCP averages round trips (RFC 6298) …
constexpr double kLatencyShare = 1.0 / 8;
/// … but believes at once what shows that another gateway was faster …
constexpr double kOutrunShare = 1.0 / 2;
constexpr double kDeviationShare = 1.0 / 4;
/// … and two mean deviations above the average lie 95 % of what is normally distributed.
constexpr double kDeviations = 2;
constexpr double kScoreShare = 1.0 / 4;

/// Milliseconds: a gateway in the same city does not push out the one that the user named first.
constexpr double kNotable = 50;
constexpr Duration kStale = std::chrono::seconds(60);
/// Bytes in a hedge delay. Less, and a block of 256 KiB takes many seconds.
constexpr std::uint64_t kLeastProgress = 4096;
/// A gateway that falls silent has as many requests waiting as are asked at a time.
constexpr double kMostHedges = 16;
constexpr double kHedgesPerBlock = 0.1;

double to_milliseconds(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

Duration from_milliseconds(double value) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(value));
}

}  // namespace

GatewayHealth::GatewayHealth(std::size_t gateways, HealthOptions options)
    : options_(options), gateways_(gateways), hedges_(kMostHedges) {
  for (Gateway& gateway : gateways_) gateway.next_rest = options_.rest;
}

GatewayHealth::Choice GatewayHealth::choose(Time now, const std::vector<bool>& asked) {
  const auto candidates = working(now, asked);
  for (const std::size_t candidate : candidates) {
    const Gateway& gateway = gateways_[candidate];
    if (has_room(gateway)) return {.request = start(now, candidate), .wait_until = {}};
    if (gateway.late == 0) break;  // It will have room soon.
  }
  if (!candidates.empty()) return {.request = {}, .wait_until = Time::max()};

  bool is_full = false;
  std::optional<Time> free_at;
  for (std::size_t i = 0; i < gateways_.size(); ++i) {
    const Gateway& gateway = gateways_[i];
    if (asked[i] || gateway.lied) continue;
    if (is_banned(now, gateway)) {
      free_at = std::min(free_at.value_or(Time::max()), gateway.banned_until);
    } else if (has_room(gateway)) {
      return {.request = start(now, i), .wait_until = {}};
    } else {
      is_full = true;
    }
  }
  return {.request = {}, .wait_until = is_full ? Time::max() : free_at};
}

std::optional<GatewayHealth::Request> GatewayHealth::choose_hedge(Time now, const std::vector<bool>& asked) {
  if (hedges_ < 1) return std::nullopt;
  for (const std::size_t candidate : working(now, asked)) {
    const Gateway& gateway = gateways_[candidate];
    if (gateway.resting || !has_room(gateway)) continue;
    hedges_ -= 1;
    return start(now, candidate);
  }
  return std::nullopt;
}

std::vector<std::size_t> GatewayHealth::working(Time now, const std::vector<bool>& asked) const {
  std::vector<std::size_t> result;
  for (std::size_t i = 0; i < gateways_.size(); ++i) {
    if (!asked[i] && !gateways_[i].lied && works(now, gateways_[i])) result.push_back(i);
  }
  const auto is_known = [&](const Gateway& gateway) { return gateway.latency && now - gateway.measured_at < kStale; };
  std::size_t best = 0;
  for (std::size_t i = 1; i < result.size(); ++i) {
    const Gateway& before = gateways_[result[best]];
    const Gateway& after = gateways_[result[i]];
    if (is_known(before) && is_known(after) && *before.latency > 2 * *after.latency + kNotable) best = i;
  }
  const auto chosen = result.begin() + static_cast<std::ptrdiff_t>(best);
  if (best > 0) std::rotate(result.begin(), chosen, chosen + 1);
  return result;
}

GatewayHealth::Request GatewayHealth::start(Time now, std::size_t index) {
  Gateway& gateway = gateways_[index];
  ++gateway.running;
  const bool is_probe = gateway.resting && now >= gateway.rests_until;
  // For all but this request, which finds out how it is now, nothing changes yet.
  if (is_probe) gateway.rests_until = now + gateway.next_rest;
  if (now - gateway.measured_at >= kStale) gateway.measured_at = now;
  return {.gateway = index, .asked_at = now, .is_probe = is_probe, .seen_at = now};
}

Time GatewayHealth::next_look(const Request& request) const { return request.seen_at + hedge_delay(request.gateway); }

bool GatewayHealth::is_late(Time now, Request& request, std::uint64_t bytes) {
  const std::uint64_t progress = bytes - request.seen_bytes;
  request.seen_at = now;
  request.seen_bytes = bytes;
  if (progress >= kLeastProgress) return false;
  if (!request.late) ++gateways_[request.gateway].late;
  request.late = true;
  return true;
}

void GatewayHealth::handle_first_byte(Time now, Request& request) {
  request.seen_at = now;
  measure(now, gateways_[request.gateway], now - request.asked_at, kLatencyShare);
}

void GatewayHealth::handle_end(Time now, const Request& request, Ending ending) {
  leave(request);
  Gateway& gateway = gateways_[request.gateway];
  switch (ending) {
    case Ending::kBlock: hedges_ = std::min(hedges_ + kHedgesPerBlock, kMostHedges); [[fallthrough]];
    case Ending::kMissing: succeed(gateway); break;
    case Ending::kOutrun:
      hedges_ = std::min(hedges_ + 1, kMostHedges);
      // It would have taken at least so long.
      measure(now, gateway, now - request.asked_at, kOutrunShare);
      [[fallthrough]];
    case Ending::kFailed: fail(now, gateway, request.is_probe); break;
    case Ending::kLied: gateway.lied = true; break;
    case Ending::kCancelled: break;
  }
}

void GatewayHealth::handle_busy(Time now, const Request& request, Duration retry_after) {
  leave(request);
  Gateway& gateway = gateways_[request.gateway];
  const Duration ban = std::clamp<Duration>(retry_after, std::chrono::seconds(1), options_.longest_ban);
  gateway.banned_until = std::max(gateway.banned_until, now + ban);
}

Duration GatewayHealth::hedge_delay(std::size_t index) const {
  const Gateway& gateway = gateways_[index];
  if (!gateway.latency) return options_.first_hedge;
  const double delay = *gateway.latency + kDeviations * gateway.deviation;
  return std::clamp(from_milliseconds(delay), options_.least_hedge, options_.most_hedge);
}

void GatewayHealth::measure(Time now, Gateway& gateway, Duration latency, double share) {
  const double sample = to_milliseconds(latency);
  if (gateway.latency) {
    gateway.deviation += kDeviationShare * (std::abs(sample - *gateway.latency) - gateway.deviation);
    *gateway.latency += share * (sample - *gateway.latency);
  } else {
    gateway.latency = sample;
    gateway.deviation = sample / 2;
  }
  gateway.measured_at = now;
}

void GatewayHealth::succeed(Gateway& gateway) {
  gateway.failures = gateway.resting ? 0 : gateway.failures * (1 - kScoreShare);
  gateway.resting = false;
  gateway.next_rest = options_.rest;
}

void GatewayHealth::fail(Time now, Gateway& gateway, bool is_probe) {
  gateway.failures += kScoreShare * (1 - gateway.failures);
  // What was under way when it began to rest, or asked it for want of others, does not make its rest longer.
  if (gateway.failures <= options_.most_failures || (gateway.resting && !is_probe)) return;
  gateway.resting = true;
  gateway.rests_until = now + gateway.next_rest;
  gateway.next_rest = std::min(2 * gateway.next_rest, options_.longest_rest);
}

void GatewayHealth::leave(const Request& request) {
  Gateway& gateway = gateways_[request.gateway];
  check(gateway.running > 0);
  --gateway.running;
  if (request.late) --gateway.late;
}

}  // namespace codio::gateway
