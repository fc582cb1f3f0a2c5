// How many bytes a receiver lets one sender have under way: receiver-granted credit with a delay-based window.
// docs/design/0001-credit-window.md has the reasoning and the measurements.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>

#include "common/time.h"

namespace codio::transfer {

struct CreditWindowOptions {
  /// What a fresh browser pair carries without overrunning a socket queue: 1 MiB stalls for seconds.
  std::uint64_t initial = 256 * 1024;
  /// Small enough that a 1 Mbit/s link queues for half a second at most, large enough for four frames.
  std::uint64_t minimum = 64 * 1024;
  /// 1 Gbit/s at 128 ms.
  std::uint64_t maximum = 16 * 1024 * 1024;
  /// Queueing that we allow beyond the path's own delay: hides scheduling hiccups of a browser's event loop, and is far
  /// below what a person or a parallel call notices.
  Duration queue_target = std::chrono::milliseconds(20);
};

/// Measures the path from the receiver's side alone: a byte that the sender could only send after a grant arrives one
/// round trip and its queueing later. While that delay stays near the smallest seen and a larger window brings a higher
/// rate, the window doubles, at most every second round as its effect shows a round later; then it settles at rate ×
/// (smallest delay + queue target). A smallest delay that is old is measured anew behind half a window: a full one
/// would measure its own queue.
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

  /// The limit to grant in a CREDIT frame, if it moved far enough since the last one to be worth a frame. At most
  /// `budget` bytes beyond the last one.
  std::optional<std::uint64_t> poll_grant(std::uint64_t budget = std::numeric_limits<std::uint64_t>::max());

  std::uint64_t limit() const { return granted_; }      ///< As last granted.
  std::uint64_t received() const { return received_; }  ///< In all.
  std::uint64_t size() const { return window_; }
  std::optional<Duration> smallest_delay() const { return smallest_delay_; }

 private:
  void finish_round(Time now);
  void note_delay(Time now, Duration delay);

  CreditWindowOptions options_;
  std::uint64_t window_;
  std::uint64_t granted_;
  std::uint64_t received_ = 0;
  Time last_byte_{};
  bool backlogged_ = false;

  /// A round begins with a grant and ends when the first byte beyond `round_end_`, the limit before, comes: it could
  /// not be sent before that grant. None while the sender lacks wants.
  bool in_round_ = false;
  Time round_begin_{};
  std::uint64_t round_end_ = 0;
  std::uint64_t round_received_ = 0;

  bool doubling_ = true;
  double best_rate_ = 0;  ///< Bytes a microsecond.
  int rounds_without_growth_ = 0;
  std::optional<Duration> smallest_delay_;
  Time smallest_delay_at_{};
  /// While the queue is emptied to measure the smallest delay anew: the window before.
  std::optional<std::uint64_t> window_before_probe_;
  /// The delays of the last rounds: one slow round is a hiccup, all of them are a queue.
  std::array<Duration, 3> recent_{};
  std::size_t rounds_ = 0;
};

}  // namespace codio::transfer
