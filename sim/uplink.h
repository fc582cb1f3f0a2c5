// What a peer's links share: its own line to the network.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>

#include "common/bytes.h"
#include "sim/clock.h"

namespace codio::sim {

/// Messages of several flows at one rate, one of each flow in turn. A rate of 0: as if it were not there.
class Uplink {
 public:
  using Flow = std::uint32_t;

  Uplink(Clock& clock, double rate) : clock_(clock), rate_(rate) {}
  Uplink(const Uplink&) = delete;
  Uplink& operator=(const Uplink&) = delete;

  /// `pass_on` takes the message when it has left.
  void send(Flow flow, Bytes message, std::function<void(Bytes)> pass_on);
  std::size_t buffered(Flow flow) const;
  void close(Flow flow) { waiting_.erase(flow); }

 private:
  struct Message {
    Bytes bytes;
    std::function<void(Bytes)> pass_on;
  };
  void start();

  Clock& clock_;
  double rate_;
  std::map<Flow, std::deque<Message>> waiting_;
  Flow last_ = 0;
  bool busy_ = false;
};

}  // namespace codio::sim
