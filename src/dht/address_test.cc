#include "dht/address.h"

#include <gtest/gtest.h>

namespace codio::dht {
namespace {

bool is_public_text(const char* text) { return is_public(boost::asio::ip::make_address(text)); }

TEST(Address, OfTheInternetIsPublic) {
  for (const char* text :
       {"1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
        "192.167.255.255", "223.255.255.255", "2606:4700::1", "2a02::1", "2001:4860::8888", "::ffff:1.1.1.1"}) {
    EXPECT_TRUE(is_public_text(text)) << text;
  }
}

TEST(Address, OfThisMachineOrALocalNetworkIsNot) {
  for (const char* text : {"0.0.0.0",
                           "127.0.0.1",
                           "127.255.255.255",
                           "10.1.2.3",
                           "100.64.0.1",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.168.1.1",
                           "198.18.0.1",
                           "203.0.113.7",
                           "224.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "fe80::1",
                           "fd00::1",
                           "ff02::1",
                           "::ffff:127.0.0.1",
                           "2001:db8::1",
                           "2002:7f00:1::1",
                           "2001:0:1::1"}) {
    EXPECT_FALSE(is_public_text(text)) << text;
  }
}

}  // namespace
}  // namespace codio::dht
