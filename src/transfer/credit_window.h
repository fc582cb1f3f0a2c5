// How many bytes a receiver lets one sender have under way: receiver-granted credit with a delay-based window.
// docs/design/0001-credit-window.md has the reasoning and the measurements.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include "common/time.h"

namespace codio::transfer {

struct CreditWindowOptions {
  /// What a fresh browser pair carries without overrunning a socket queue: 1 MiB stalls for seconds.
  std::uint64_t initial = 256 * 1024;
  /// Small enough that a 1 Mbit/s link queues for a quarter of a second, large enough for four of a sender's smallest
  /// chunks.
  std::uint64_t minimum = 32 * 1024;
  /// 1 Gbit/s at 500 ms. It takes no memory here: what is under way was wanted, and wants are bounded elsewhere.
  std::uint64_t maximum = 64 * 1024 * 1024;
  /// Queueing that we allow beyond the path's own delay: hides scheduling hiccups of a browser's event loop, and is far
  /// below what a person or a parallel call notices.
  Duration queue_target = std::chrono::milliseconds(20);
  /// The same in bytes, for fast paths: queues of browsers and routers are short in bytes, whatever the rate. Between
  /// loopback pairs 256 to 512 KiB under way are fastest. A burst may exceed it.
  std::uint64_t queue_limit = 256 * 1024;
};

/// Measures the path from the receiver's side alone: a byte that the sender could only send after a grant arrives one
/// round trip and its queueing later.
///
/// The window grows by bursts. One grant lets the sender send many bytes at once; how long they take to arrive beyond
/// the smallest delay tells what the path's slowest hop carries, and so how far the next burst may go, at most to twice
/// the window. Between bursts the delays of a round tell the queue: where there is none another burst is tried, else
/// the window moves towards the one with the queue that we allow. Now and then, and when the path seems to have
/// changed, a smaller window for a round tells a queue from a long path. After a stall it grows more gently.
///
/// Pure; not thread-safe.
class CreditWindow {
 public:
  explicit CreditWindow(const CreditWindowOptions& options = {});

  /// `size` bytes came. `backlogged`: the sender still owes more than it was granted, so that the window, not the want
  /// of requests, decides when the next bytes come.
  void handle_bytes(Time now, std::uint64_t size, bool backlogged);

  /// The first byte came for a want sent to a sender that owed nothing: the path's delay with an empty queue.
  void handle_first_byte(Time now, Duration since_want);

  /// The next limit to grant in a CREDIT frame, if it moved far enough since the last one to be worth a frame. Call it
  /// until it returns nothing: where frames are large for the path, several grants make the sender cut smaller ones. At
  /// most `budget` bytes beyond the last one.
  std::optional<std::uint64_t> poll_grant(std::uint64_t budget = std::numeric_limits<std::uint64_t>::max());

  std::uint64_t limit() const { return granted_; }      ///< As last granted.
  std::uint64_t received() const { return received_; }  ///< In all.
  std::uint64_t size() const { return window_; }
  std::optional<Duration> smallest_delay() const { return smallest_delay_; }
  /// Bytes a second over the last round in which the window, not the want of requests, decided; 0 before, and less than
  /// the path's while the window grows.
  std::uint64_t rate() const { return static_cast<std::uint64_t>(rate_ * 1e6); }

 private:
  /// From a grant to the first byte beyond the limit before it, which could not be sent sooner.
  struct Sample {
    Time begin;
    std::uint64_t limit;
  };
  /// From a large grant to the last byte that it allowed, but for what a sender keeps back until it may send more.
  struct Burst {
    Time begin;
    std::uint64_t received;  ///< Until then.
    std::uint64_t granted;   ///< Before it.
    std::uint64_t end;
  };

  void begin_round();
  void finish_round(Time now);
  double probe_share(Duration delay) const;
  void begin_probe(Duration delay);
  void finish_probe(Time now, Duration delay);
  /// Whether `size` bytes come after a pause that no event loop and no path explains.
  bool is_stall(Time now, std::uint64_t size) const;
  void handle_stall(Time now);
  void set_window(double window);
  void shrink_window(double window);
  void begin_burst(double window);
  void finish_burst(Time now);
  void note_delay(Time now, Duration delay);
  double queue_room(double rate) const;  ///< Bytes.
  double largest_step(double room) const;
  /// The processors are the limit and not the path: few large messages cost less, and so does a probe that comes later.
  bool is_fast() const;
  std::uint64_t grant_size() const;
  /// Of a sender: with less credit than this it waits for more.
  std::uint64_t smallest_chunk() const { return options_.minimum / 4; }

  CreditWindowOptions options_;
  std::uint64_t window_;
  std::uint64_t granted_;
  std::uint64_t received_ = 0;
  Time last_byte_{};
  bool backlogged_ = false;

  std::optional<Duration> smallest_delay_;
  Time smallest_delay_at_{};
  double rate_ = 0;  ///< Bytes a microsecond.

  std::array<Sample, 8> samples_{};  ///< A ring.
  std::size_t first_sample_ = 0;
  std::size_t samples_pending_ = 0;
  std::size_t samples_done_ = 0;  ///< In this round.
  Time last_sample_{};
  Duration last_delay_{};  ///< The latest sample's: when a path became longer, longer pauses are usual.
  Time round_begin_{};
  std::uint64_t round_received_ = 0;
  Duration round_delay_{};  ///< All of its samples' together.
  Duration round_smallest_{};

  bool burst_due_ = false;
  std::optional<Burst> burst_;
  int rounds_without_queue_ = 0;

  /// While the window is made smaller, or larger if it is the smallest, to see what follows it: what was before. If the
  /// rate stays, a queue is left. If the rate follows and the delay does not, the path became longer.
  struct Probe {
    std::uint64_t window;
    double rate;
    Duration delay;
    /// A larger window shows in the round after the next; before the next grant a smaller one does.
    bool larger_yet_to_show;
  };
  std::optional<Probe> probe_;
  bool probed_ = false;  ///< Until then the smallest delay has the time to look up and send a whole first frame in it.
  /// On a fast path a few MiB come before the first probe, which makes it slow for a while.
  std::uint8_t rounds_before_probe_ = 10;
  int rounds_with_excess_ = 0;
  std::uint64_t confirmed_window_ = 0;  ///< The largest since a burst or probe.
  /// What stalls have taught: the part of the window that a burst may add, and the bytes that may queue.
  double growth_ = 1;
  std::uint64_t queue_limit_;
  Time stalled_at_{};
};

}  // namespace codio::transfer
