#include "cli/log.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sstream>
#include <string>

namespace codio::cli {
namespace {

/// What a logger writes of a message.
std::string logged(const std::string& message) {
  std::ostringstream out;
  spdlog::logger log("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  log.set_formatter(log_format());
  log.info("{}", message);
  return out.str();
}

TEST(Log, TellsAMessageAsItIs) { EXPECT_EQ(logged("peer Zoë said “hm”"), "codio: info: peer Zoë said “hm”\n"); }

TEST(Log, WhatAStrangerSaidSteersNoTerminalAndForgesNoLine) {
  EXPECT_EQ(logged("the peer said goodbye: \x1b[2J\r\ncodio: info: all is well\x7f"),
            "codio: info: the peer said goodbye: ?[2J??codio: info: all is well?\n");
  EXPECT_EQ(logged("\xc2\x9b"
                   "2J"),
            "codio: info: ?2J\n")
      << "CSI in one character";
}

TEST(Log, WhatIsLongIsCut) {
  EXPECT_EQ(logged(std::string(kLongestMessage, 'a')), "codio: info: " + std::string(kLongestMessage, 'a') + "\n");
  EXPECT_EQ(logged(std::string(100'000, 'a')), "codio: info: " + std::string(kLongestMessage, 'a') + "…\n");
}

}  // namespace
}  // namespace codio::cli
