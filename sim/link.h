// One direction of a data channel on the virtual clock: the sender's buffer, SCTP's congestion window, the queue at the
// path's bottleneck, the path's delay, and the event loop of the host that it leads to.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <random>

#include "common/bytes.h"
#include "sim/clock.h"

namespace codio::sim {

inline constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

struct LinkOptions {
  Duration delay = std::chrono::milliseconds(10);  ///< One way.
  double rate = 10e6;                              ///< Bytes a second.
  /// SCTP is reliable: a lost packet is a time in which nothing is delivered. This is the share of messages that meet
  /// one.
  double loss = 0;
  /// Bytes that the bottleneck's queue holds. A burst beyond them loses its tail, which SCTP only sends again when its
  /// retransmission timer fires, 200 ms to 1 s later.
  std::uint64_t queue = kUnlimited;
  /// What SCTP sends ahead of acknowledgements at first. It grows by all that is acknowledged (slow start); after a
  /// lost tail it starts again at 4380 bytes, and from half of what was under way on grows by an eighth of it. None:
  /// just enough to keep the bottleneck busy, so that what waits does so in the sender's buffer and never in the path.
  std::optional<std::uint64_t> congestion_window = std::nullopt;
  /// The receiving host's event loop stands still for up to this long, once in `hiccup_every` on average.
  Duration hiccup{0};
  Duration hiccup_every = std::chrono::milliseconds(50);
};

/// When a host's event loop, which stands still now and then, gets to something.
class EventLoop {
 public:
  EventLoop(Duration hiccup, Duration hiccup_every, std::uint64_t seed)
      : hiccup_(hiccup), hiccup_every_(hiccup_every), random_(seed) {}

  /// For times that do not go back.
  Time handles(Time event);

 private:
  Duration hiccup_;
  Duration hiccup_every_;
  std::mt19937_64 random_;
  Time begin_{};
  Time end_{};
};

/// The slowest hop of a path: a queue, and what leaves it one after the other. Several paths may share one.
class Bottleneck {
 public:
  Bottleneck(Clock& clock, double rate, std::uint64_t queue) : clock_(clock), rate_(rate), queue_(queue) {}
  ~Bottleneck() { *alive_ = false; }
  Bottleneck(const Bottleneck&) = delete;
  Bottleneck& operator=(const Bottleneck&) = delete;

  /// How long each of them waited behind others.
  std::function<void(Duration)> on_waited;

  /// False if the queue has no room; else `passed` is called when all of `size` bytes went through.
  bool offer(std::uint64_t size, std::function<void()> passed);
  bool idle() const { return entries_.empty(); }
  std::uint64_t carried() const { return carried_; }
  void set_rate(double rate) { rate_ = rate; }  ///< From the next entry on.

 private:
  struct Entry {
    std::uint64_t size;
    Time offered;
    std::function<void()> passed;
  };

  void start();

  Clock& clock_;
  double rate_;
  std::uint64_t queue_;
  std::deque<Entry> entries_;  ///< The first is passing.
  std::uint64_t queued_ = 0;
  std::uint64_t carried_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

/// Reliable and in order. Carries sizes only.
class Path {
 public:
  /// `bottleneck`, if given, stands for the options' rate and queue.
  Path(Clock& clock, const LinkOptions& options, std::uint64_t seed, std::shared_ptr<Bottleneck> bottleneck = nullptr);
  ~Path() { *alive_ = false; }
  Path(const Path&) = delete;
  Path& operator=(const Path&) = delete;

  std::function<void(std::uint64_t size)> on_arrival;
  std::function<void(std::size_t buffered)> on_sent;  ///< After messages left the sender's buffer, but not in send().

  void send(std::uint64_t size);
  std::size_t buffered() const { return buffered_; }          ///< In the sender's buffer.
  std::uint64_t carried() const { return carried_; }          ///< Through the bottleneck.
  std::uint64_t overruns() const { return overruns_; }        ///< Of the queue, each with a stall.
  void set_delay(Duration delay) { options_.delay = delay; }  ///< For what passes the bottleneck from now on.
  Bottleneck& bottleneck() { return *bottleneck_; }

 private:
  bool push();
  void handle_passed(std::uint64_t size);

  Clock& clock_;
  LinkOptions options_;
  std::mt19937_64 random_;
  EventLoop receiver_;
  std::shared_ptr<Bottleneck> bottleneck_;
  std::deque<std::uint64_t> unsent_;
  std::size_t buffered_ = 0;
  std::uint64_t window_;
  std::uint64_t threshold_ = kUnlimited;
  std::uint64_t under_way_ = 0;  ///< Sent and not acknowledged.
  bool stalled_ = false;
  std::uint64_t carried_ = 0;
  std::uint64_t overruns_ = 0;
  Time last_arrival_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

/// A Path with messages on it.
class Link {
 public:
  Link(Clock& clock, const LinkOptions& options, std::uint64_t seed);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  std::function<void(Bytes)> on_message;
  std::function<void(std::size_t buffered)> on_sent;  ///< As Path's.

  void send(Bytes message);
  /// From the next message on.
  void set_rate(double rate) { path_.bottleneck().set_rate(rate); }
  std::size_t buffered() const { return path_.buffered(); }
  std::uint64_t carried() const { return path_.carried(); }
  Path& path() { return path_; }

 private:
  std::deque<Bytes> messages_;  ///< Not yet arrived.
  Path path_;
};

}  // namespace codio::sim
