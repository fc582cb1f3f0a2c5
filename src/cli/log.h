// What a command tells on the standard error while it runs.
#pragma once

#include <cstddef>
#include <memory>
#include <spdlog/formatter.h>

namespace codio::cli {

/// Bytes of a message that are shown: more than any of ours, with what it quotes.
inline constexpr std::size_t kLongestMessage = 1000;

/// Sets the default logger up: warnings, and if `verbose` all that happens.
void begin_log(bool verbose);

/// A line of the log. Messages quote peers and servers, who are strangers: what they said is printable() and cut at
/// kLongestMessage, so that they can neither steer a terminal, nor forge a line, nor fill a disk with one.
std::unique_ptr<spdlog::formatter> log_format();

}  // namespace codio::cli
