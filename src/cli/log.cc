#include "cli/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <string>
#include <string_view>
#include <utility>

#include "cli/terminal.h"

namespace codio::cli {
namespace {

class Message : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& line) override {
    const std::string_view said(message.payload.data(), message.payload.size());
    std::string text = printable(said.substr(0, kLongestMessage));
    if (said.size() > kLongestMessage) text += "…";
    line.append(text.data(), text.data() + text.size());
  }

  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<Message>(); }
};

}  // namespace

std::unique_ptr<spdlog::formatter> log_format() {
  auto format = std::make_unique<spdlog::pattern_formatter>();
  format->add_flag<Message>('*').set_pattern("codio: %^%l%$: %*");
  return format;
}

void begin_log(bool verbose) {
  auto log = spdlog::stderr_color_mt("codio");
  log->set_formatter(log_format());
  log->set_level(verbose ? spdlog::level::info : spdlog::level::warn);
  spdlog::set_default_logger(std::move(log));
}

}  // namespace codio::cli
