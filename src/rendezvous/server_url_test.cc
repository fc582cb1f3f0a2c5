#include "rendezvous/server_url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace codio::rendezvous {
namespace {

using testing::HasSubstr;

TEST(ServerUrl, ParsesWhatItShould) {
  const auto plain = ServerUrl::parse("ws://localhost/rendezvous");
  ASSERT_TRUE(plain.has_value());
  EXPECT_FALSE(plain->tls);
  EXPECT_EQ(plain->host, "localhost");
  EXPECT_EQ(plain->port, "80");
  EXPECT_EQ(plain->target, "/rendezvous");
  const auto secure = ServerUrl::parse("wss://[2001:db8::1]:8443?x=1");
  ASSERT_TRUE(secure.has_value());
  EXPECT_TRUE(secure->tls);
  EXPECT_EQ(secure->host, "2001:db8::1");
  EXPECT_EQ(secure->port, "8443");
  EXPECT_EQ(secure->target, "/?x=1");
  EXPECT_EQ(ServerUrl::parse("wss://[::1]/r")->port, "443");
}

TEST(ServerUrl, RefusesTheRestWithTheReason) {
  for (const auto* text : {"", "http://x/", "ws://", "ws:///r", "ws://u:p@x/", "ws://x:0/", "ws://x:65536/", "ws://x:/",
                           "ws://[::1", "ws://[::1]x/", "ws://x:1a/", "ws://x y/", "ws://x/#f", "ws://x/\r\nHost: y"}) {
    const auto url = ServerUrl::parse(text);
    ASSERT_FALSE(url.has_value()) << text;
    EXPECT_EQ(url.error().code, ErrorCode::kMalformed);
    EXPECT_THAT(url.error().message, HasSubstr("wss://host"));
  }
}

}  // namespace
}  // namespace codio::rendezvous
