// An HTTPS gateway and the client in front of it, as the engine sees them: blocks whole and verified, or failures.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>

#include "sim/clock.h"
#include "sim/content.h"
#include "sim/dice.h"

namespace codio::sim {

struct GatewayOptions {
  bool exists = false;
  Duration delay = std::chrono::milliseconds(50);         ///< Until a request's first byte.
  double rate = std::numeric_limits<double>::infinity();  ///< Bytes a second, shared by the requests under way.
  double failures = 0;                                    ///< The share of the requests that fail.
  Duration silence = std::chrono::seconds(10);            ///< After which the client gives up.
  Blocks blocks;
};

class Gateway {
 public:
  using Ticket = std::uint64_t;

  Gateway(Clock& clock, GatewayOptions options, std::uint64_t seed)
      : clock_(clock), options_(std::move(options)), dice_(seed), at_(clock.now()) {}
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  /// `answer` gets the block, or null.
  Ticket ask(const content_id::ContentId& cid, std::function<void(SharedBytes)> answer);
  void cancel(Ticket ticket);

  void set_rate(double rate);
  /// What is under way fails, and so does all that follows.
  void fail();
  /// Nothing is answered any more until recover().
  void fall_silent();
  void recover();

  std::uint64_t given() const { return given_; }    ///< Bytes of whole blocks.
  std::uint64_t wasted() const { return wasted_; }  ///< Bytes of requests that were cancelled or failed.
  std::size_t under_way() const { return jobs_.size(); }

 private:
  struct Job {
    SharedBytes block;  ///< Null: there is no such block.
    std::function<void(SharedBytes)> answer;
    double carried = 0;
    bool flows = false;
    std::optional<Clock::Event> event;
  };

  /// Accounts for what flowed since the last call, and finds out which request ends next.
  void flow();
  void end(Ticket ticket, bool whole);
  void give_up_later(Ticket ticket);
  std::size_t flowing() const;

  Clock& clock_;
  GatewayOptions options_;
  Dice dice_;
  std::map<Ticket, Job> jobs_;
  Ticket last_ticket_ = 0;
  Time at_;
  std::optional<Clock::Event> next_end_;
  bool failed_ = false;
  bool silent_ = false;
  std::uint64_t given_ = 0;
  std::uint64_t wasted_ = 0;
};

}  // namespace codio::sim
