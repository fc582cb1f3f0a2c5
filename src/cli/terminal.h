// What a person at a terminal sees.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace codio::cli {

/// Writes a line to the standard output, at once: whoever reads it through a pipe waits for it.
void print_line(std::string_view line);
/// One object or array a line. Names that are not UTF-8 get replacement characters.
void print_json(const nlohmann::json& value);

/// A name from a stranger with its control characters replaced by `?`: it may neither steer a terminal nor end a line.
std::string printable(std::string_view name);

/// Whether a person sees the standard error.
bool is_watched();

/// "1.5 MiB"
std::string human_size(std::uint64_t bytes);

/// "1536 B (1.5 KiB)"
std::string with_unit(std::uint64_t bytes);

/// A line of `ls`.
struct Row {
  std::string cid;
  std::string name;
  std::uint64_t size;
};

/// `CID  SIZE  NAME`, aligned.
void print_rows(const std::vector<Row>& rows);

/// A line on the standard error that is written over, if that is a terminal and `wanted`; else nothing. Drawn at most
/// ten times a second, and cleared at the end.
class StatusLine {
 public:
  explicit StatusLine(bool wanted) : shown_(wanted && is_watched()) {}
  ~StatusLine() { hide(); }
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  void update(const std::string& text);
  /// Makes room for a line of output, until the next update().
  void hide();

 private:
  bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point drawn_at_;
};

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
  /// Makes room for a line of output, until the next update().
  void hide();

 private:
  std::string label_;
  std::uint64_t total_;
  bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point begun_at_;
  std::chrono::steady_clock::time_point drawn_at_;
};

/// While it lives, SIGINT and SIGTERM do not end the program but make interrupted() true, so that a command can clean
/// up. One at a time.
class InterruptWatch {
 public:
  InterruptWatch();
  ~InterruptWatch();
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;
};

bool interrupted();

/// kCancelled once interrupted.
Result<void> check_interrupt();

}  // namespace codio::cli
