// What a person at a terminal sees.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace codio::cli {

/// "1.5 MiB"
std::string human_size(std::uint64_t bytes);

/// A progress bar on the standard error, if that is a terminal and `wanted`; else nothing. Drawn at most ten times a
/// second, and cleared at the end.
class ProgressBar {
 public:
  /// `total` 0: not known.
  ProgressBar(std::string label, std::uint64_t total, bool wanted);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void set_total(std::uint64_t total) { total_ = total; }
  void update(std::uint64_t done);

 private:
  std::string label_;
  std::uint64_t total_;
  bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point begun_at_;
  std::chrono::steady_clock::time_point drawn_at_;
};

}  // namespace codio::cli
