// One direction of a data channel on the virtual clock.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>

#include "common/bytes.h"
#include "sim/clock.h"

namespace codio::sim {

struct LinkOptions {
  Duration delay = std::chrono::milliseconds(10);  ///< One way.
  double rate = 10e6;                              ///< Bytes a second.
  /// SCTP is reliable: a lost packet is a time in which nothing is delivered. This is the share of messages that meet
  /// one.
  double loss = 0;
};

/// Reliable and in order. Messages are sent one after the other at the link's rate and arrive `delay` later.
class Link {
 public:
  Link(Clock& clock, const LinkOptions& options, std::uint64_t seed);
  ~Link() { *alive_ = false; }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  std::function<void(Bytes)> on_message;
  std::function<void(std::size_t buffered)> on_sent;  ///< After each message left.

  void send(Bytes message);
  /// From the next message on.
  void set_rate(double rate) { options_.rate = rate; }
  std::size_t buffered() const { return buffered_; }
  std::uint64_t carried() const { return carried_; }

 private:
  void start();

  Clock& clock_;
  LinkOptions options_;
  std::mt19937_64 random_;
  std::deque<Bytes> queue_;
  bool busy_ = false;
  std::size_t buffered_ = 0;
  std::uint64_t carried_ = 0;
  Time last_arrival_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace codio::sim
