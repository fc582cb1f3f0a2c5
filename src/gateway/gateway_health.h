// Whom to ask for the next block, and when to ask another one too: what a client learns of its gateways by asking them.
// Pure: time is an argument.
//
// | what        | learned from                        | used for |
// |-------------|-------------------------------------|------------------------------------------------------------------|
// | latency     | first bytes; being outrun           | the hedge delay; the order, where one is much faster than
// another | | failures    | how requests end                    | the circuit breaker | | Retry-After | what it says |
// leaving it alone until then                                      | | lies        | bytes that are not the block's |
// never asking it again                                            | | late ones   | requests that bring almost nothing
// | asking others instead of waiting for a place there               |
//
// Order. Gateways are asked in the order in which they are configured, but for what was measured: one goes before
// another that takes more than twice as long and kNotable more. What was measured is forgotten after kStale; then one
// request, which is hedged like any other, finds out anew.
//
// Circuit breaker. A gateway rests when failures outweigh (three in a row, or about a half of many). Resting ones are
// asked last. After its rest one request probes it: if that succeeds it works again, else it rests twice as long.
//
// Hedge. A request that has brought no byte after the hedge delay (what 95 % of its gateway's requests take), or fewer
// than kLeastProgress in as much time later, is late, and another gateway is asked too. Whoever brings the block first
// ends the others' requests. Hedges that gain nothing are a tenth of all requests at most.
//
// browser/lib/src/gateway-health.ts has the same rules; testdata/gateway-health.json is what both are tested with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/time.h"

namespace codio::gateway {

struct HealthOptions {
  /// Requests at a time at each gateway. Enough to fill a fast line at 100 ms with 256 KiB blocks.
  std::size_t max_per_gateway = 16;
  /// Until a gateway has answered: what a connection, TLS and an answer take on most lines.
  Duration first_hedge = std::chrono::milliseconds(500);
  /// A hedge delay is at least so long, or each hiccup of a near gateway would double requests …
  Duration least_hedge = std::chrono::milliseconds(100);
  /// … and at most so long: readers do not wait longer for a gateway that is always slow.
  Duration most_hedge = std::chrono::seconds(3);
  /// A gateway rests when its failure score is over this. A failure moves the score a quarter of the way to 1, a
  /// success to 0.
  double most_failures = 0.5;
  Duration rest = std::chrono::seconds(30);
  Duration longest_rest = std::chrono::minutes(5);
  /// The longest Retry-After that is believed.
  Duration longest_ban = std::chrono::minutes(10);
};

/// How a request ended.
enum class Ending : std::uint8_t {
  kBlock,      ///< It brought the block, verified.
  kMissing,    ///< The gateway does not have it: an answer like any other.
  kFailed,     ///< Refused, timed out, broke off, no block.
  kLied,       ///< Its bytes are not the block's.
  kOutrun,     ///< It was late, and another gateway brought the block.
  kCancelled,  ///< For no fault of the gateway.
};

/// Not thread-safe; deterministic. Gateways are known by their index, the primary being 0.
class GatewayHealth {
 public:
  /// One request, from choose() or choose_hedge() to handle_end() or handle_busy(). The caller's to keep.
  struct Request {
    std::size_t gateway = 0;
    Time asked_at;
    bool is_probe = false;  ///< Of a gateway that has rested.
    bool late = false;
    Time seen_at;  ///< When is_late() was asked last, or the first byte came.
    std::uint64_t seen_bytes = 0;
  };

  struct Choice {
    std::optional<Request> request;
    /// Without a request: ask again when a request ends or is late, or else at this time; never, if it is Time::max().
    /// Nothing: each was asked or has lied.
    std::optional<Time> wait_until;
  };

  GatewayHealth(std::size_t gateways, HealthOptions options);

  /// Whom to ask for a block for which `asked` (by gateway) were asked already.
  Choice choose(Time now, const std::vector<bool>& asked);
  /// Whom to ask besides those `asked`, one of which is late. Nothing: nobody who has room and works, or there were too
  /// many hedges.
  std::optional<Request> choose_hedge(Time now, const std::vector<bool>& asked);

  /// When is_late() is worth asking next.
  Time next_look(const Request& request) const;
  /// Whether the request, which has brought so many `bytes`, is late. Not before next_look().
  bool is_late(Time now, Request& request, std::uint64_t bytes);

  /// The first byte of the body came.
  void handle_first_byte(Time now, Request& request);
  void handle_end(Time now, const Request& request, Ending ending);
  /// It ended with a Retry-After.
  void handle_busy(Time now, const Request& request, Duration retry_after);

  Duration hedge_delay(std::size_t gateway) const;
  bool has_lied(std::size_t gateway) const { return gateways_[gateway].lied; }

 private:
  struct Gateway {
    std::size_t running = 0;
    std::size_t late = 0;  ///< Of the running ones.
    bool lied = false;
    std::optional<double> latency;  ///< Milliseconds, a moving average.
    double deviation = 0;           ///< Likewise, of its distance from the average.
    Time measured_at;
    double failures = 0;  ///< The score, 0 to 1.
    bool resting = false;
    Time rests_until;
    Duration next_rest{};
    Time banned_until;
  };

  bool is_banned(Time now, const Gateway& gateway) const { return now < gateway.banned_until; }
  bool works(Time now, const Gateway& gateway) const {
    return !is_banned(now, gateway) && (!gateway.resting || now >= gateway.rests_until);
  }
  bool has_room(const Gateway& gateway) const { return gateway.running < options_.max_per_gateway; }
  /// Of those that were not asked, have not lied and work: first the one to prefer, then the others in order.
  std::vector<std::size_t> working(Time now, const std::vector<bool>& asked) const;
  Request start(Time now, std::size_t gateway);
  /// The sample moves the average so far.
  void measure(Time now, Gateway& gateway, Duration latency, double share);
  void succeed(Gateway& gateway);
  void fail(Time now, Gateway& gateway, bool is_probe);
  void leave(const Request& request);

  const HealthOptions options_;
  std::vector<Gateway> gateways_;
  double hedges_;  ///< That may yet be made.
};

}  // namespace codio::gateway
