#include "dht/bootstrap_node.h"

#include <gtest/gtest.h>

namespace codio::dht {
namespace {

TEST(BootstrapNode, ReadsNamesAndAddresses) {
  EXPECT_EQ(BootstrapNode::parse("router.bittorrent.com:6881")->host, "router.bittorrent.com");
  EXPECT_EQ(BootstrapNode::parse("127.0.0.1:1")->port, 1);
  EXPECT_EQ(BootstrapNode::parse("[::1]:65535")->host, "::1");
  EXPECT_EQ(BootstrapNode::parse("[::1]:65535")->to_string(), "[::1]:65535");
}

TEST(BootstrapNode, RefusesWhatIsNoHostAndPort) {
  for (const char* text : {"", ":", "host", "host:", ":6881", "host:0", "host:65536", "host:6881x", "host:-1",
                           "::1:6881", "[]:6881", "a,b:6881", "a b:6881", "http://host:6881", "[a,b]:1"}) {
    EXPECT_FALSE(BootstrapNode::parse(text)) << text;
  }
}

}  // namespace
}  // namespace codio::dht
