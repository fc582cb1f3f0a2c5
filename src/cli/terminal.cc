#include "cli/terminal.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <unistd.h>
#include <utility>

namespace codio::cli {

namespace {

volatile std::sig_atomic_t was_interrupted = 0;

void remember_interrupt(int) { was_interrupted = 1; }

}  // namespace

void print_line(std::string_view line) {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

void print_json(const nlohmann::json& value) {
  print_line(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

std::string printable(std::string_view name) {
  std::string text;
  text.reserve(name.size());
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto byte = static_cast<unsigned char>(name[i]);
    const auto next = static_cast<unsigned char>(i + 1 < name.size() ? name[i + 1] : 0);
    // U+0080 to U+009F are control characters, too.
    const bool is_c1 = byte == 0xc2 && next >= 0x80 && next < 0xa0;
    text += byte < 0x20 || byte == 0x7f || is_c1 ? '?' : name[i];
    if (is_c1) ++i;
  }
  return text;
}

bool is_watched() { return isatty(STDERR_FILENO) == 1; }

std::string human_size(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits.at(unit));
  return text;
}

std::string with_unit(std::uint64_t bytes) {
  return bytes < 1024 ? std::to_string(bytes) + " B" : std::to_string(bytes) + " B (" + human_size(bytes) + ")";
}

void print_rows(const std::vector<Row>& rows) {
  std::size_t cid_width = 0;
  std::size_t size_width = 0;
  for (const Row& row : rows) {
    cid_width = std::max(cid_width, row.cid.size());
    size_width = std::max(size_width, std::to_string(row.size).size());
  }
  for (const Row& row : rows) {
    const std::string size = std::to_string(row.size);
    print_line(row.cid + std::string(cid_width - row.cid.size() + 2, ' ') + std::string(size_width - size.size(), ' ') +
               size + "  " + printable(row.name));
  }
}

void StatusLine::hide() {
  if (std::exchange(drawn_, false)) std::fputs("\r\033[K", stderr);
}

void StatusLine::update(const std::string& text) {
  const auto now = std::chrono::steady_clock::now();
  if (!shown_ || now - drawn_at_ < std::chrono::milliseconds(100)) return;
  drawn_ = true;
  drawn_at_ = now;
  std::fprintf(stderr, "\r\033[K%s", text.c_str());
}

ProgressBar::ProgressBar(std::string label, std::uint64_t total, bool wanted)
    : label_(std::move(label)),
      total_(total),
      shown_(wanted && is_watched()),
      begun_at_(std::chrono::steady_clock::now()) {}

ProgressBar::~ProgressBar() { hide(); }

void ProgressBar::hide() {
  if (std::exchange(drawn_, false)) std::fputs("\r\033[K", stderr);
}

void ProgressBar::update(std::uint64_t done) {
  const auto now = std::chrono::steady_clock::now();
  if (!shown_ || now - drawn_at_ < std::chrono::milliseconds(100)) return;
  drawn_ = true;
  drawn_at_ = now;
  const double seconds = std::max(std::chrono::duration<double>(now - begun_at_).count(), 0.001);
  const std::string rate = human_size(static_cast<std::uint64_t>(static_cast<double>(done) / seconds)) + "/s";
  if (total_ == 0) {
    std::fprintf(stderr, "\r\033[K%s  %s  %s", label_.c_str(), human_size(done).c_str(), rate.c_str());
    return;
  }
  constexpr std::size_t kWidth = 30;
  const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total_));
  std::string bar(kWidth, '.');
  std::fill_n(bar.begin(), static_cast<std::ptrdiff_t>(share * kWidth), '#');
  std::fprintf(stderr, "\r\033[K%s  [%s] %3.0f %%  %s of %s  %s", label_.c_str(), bar.c_str(), share * 100,
               human_size(done).c_str(), human_size(total_).c_str(), rate.c_str());
}

InterruptWatch::InterruptWatch() {
  std::signal(SIGINT, remember_interrupt);
  std::signal(SIGTERM, remember_interrupt);
}

InterruptWatch::~InterruptWatch() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

bool interrupted() { return was_interrupted != 0; }

Result<void> check_interrupt() { return interrupted() ? fail(ErrorCode::kCancelled, "interrupted") : Result<void>(); }

}  // namespace codio::cli
