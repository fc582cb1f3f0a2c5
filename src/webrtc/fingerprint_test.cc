#include "webrtc/fingerprint.h"

#include <gtest/gtest.h>
#include <string>

namespace codio::webrtc {
namespace {

std::string hex(std::uint8_t first, const char* digits = "0123456789ABCDEF", std::size_t size = 32) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    const auto byte = static_cast<std::uint8_t>(first + i);
    if (i > 0) text += ':';
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

const std::string kBegin = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
const std::string kMedia = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";

TEST(Fingerprint, IsThatOfTheDescription) {
  const std::string line = "a=fingerprint:sha-256 " + hex(0xf8) + "\r\n";
  for (const std::string& sdp : {kBegin + line + kMedia, kBegin + kMedia + line, kBegin + line + kMedia + line,
                                 kBegin + kMedia + "a=fingerprint:SHA-256 " + hex(0xf8, "0123456789abcdef") + "\n",
                                 line, "a=fingerprint:sha-256 " + hex(0xf8)}) {
    const auto fingerprint = fingerprint_of(sdp);
    ASSERT_TRUE(fingerprint) << sdp;
    EXPECT_EQ((*fingerprint)[0], 0xf8);
    EXPECT_EQ((*fingerprint)[31], 0x17);
  }
}

TEST(Fingerprint, OfAnotherKindOrSeveralIsRefused) {
  const std::string good = "a=fingerprint:sha-256 " + hex(1) + "\r\n";
  for (const std::string& lines :
       {std::string(), good + "a=fingerprint:sha-256 " + hex(2) + "\r\n",
        "a=fingerprint:sha-1 " + hex(1, "0123456789ABCDEF", 20) + "\r\n",
        good + "a=fingerprint:sha-512 " + hex(1, "0123456789ABCDEF", 64) + "\r\n",
        good + "a=fingerprint:md5 " + hex(1, "0123456789ABCDEF", 16) + "\r\n",
        "a=fingerprint:sha-256 " + hex(1, "0123456789ABCDEF", 31) + "\r\n",
        "a=fingerprint:sha-256 " + hex(1, "0123456789ABCDEF", 33) + "\r\n", std::string("a=fingerprint:sha-256 \r\n"),
        "a=fingerprint:sha-256  " + hex(1) + "\r\n", "a=fingerprint:sha-256 " + hex(1) + " \r\n",
        " a=fingerprint:sha-256 " + hex(1) + "\r\n", "b=fingerprint:sha-256 " + hex(1) + "\r\n",
        "a=fingerprint:sha-256 " + hex(1, "0123456789ABCDEG") + "\r\n", good + "a=x\ra=fingerprint:sha-256 " + hex(1),
        good + "a=Fingerprint:sha-1 00\r\n", good + "a=fingerprint\r\n", good + "fingerprint",
        std::string("fingerprint"), "a=fingerprint:sha-256 " + hex(1).substr(1)}) {
    const auto fingerprint = fingerprint_of(kBegin + kMedia + lines);
    ASSERT_FALSE(fingerprint) << lines;
    EXPECT_EQ(fingerprint.error().code, ErrorCode::kMalformed);
  }
}

}  // namespace
}  // namespace codio::webrtc
