#include "node/reach.h"

#include <gtest/gtest.h>

namespace codio::node {
namespace {

Reach reach(const char* address) { return reach_of(boost::asio::ip::make_address(address)); }

TEST(Reach, IsThatOfTheAddress) {
  for (const char* address : {"127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"}) {
    EXPECT_EQ(reach(address), Reach::kMachine) << address;
  }
  for (const char* address : {"10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "169.254.169.254", "fe80::1",
                              "fd00::1", "::ffff:192.168.1.1"}) {
    EXPECT_EQ(reach(address), Reach::kNetwork) << address;
  }
  for (const char* address : {"8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8"}) {
    EXPECT_EQ(reach(address), Reach::kInternet) << address;
  }
}

TEST(Reach, OfAUrlIsThatOfItsHost) {
  EXPECT_EQ(reach_of_url("http://127.0.0.1:80/ipfs/"), Reach::kMachine);
  EXPECT_EQ(reach_of_url("ws://LocalHost./rendezvous"), Reach::kMachine);
  EXPECT_EQ(reach_of_url("https://a.localhost"), Reach::kMachine);
  EXPECT_EQ(reach_of_url("wss://[fd00::1]:443/rendezvous"), Reach::kNetwork);
  EXPECT_EQ(reach_of_url("http://192.168.1.1?x=:"), Reach::kNetwork);
  EXPECT_EQ(reach_of_url("https://8.8.8.8/"), Reach::kInternet);
  EXPECT_EQ(reach_of_url("https://example.net:8443/ipfs/"), Reach::kInternet) << "until it is looked up";
}

TEST(Reach, DecidesWhoMaySendUsWhere) {
  const auto may = [](Reach teller, const char* address) {
    return may_name(teller, boost::asio::ip::make_address(address));
  };
  EXPECT_TRUE(may(Reach::kInternet, "8.8.8.8"));
  EXPECT_FALSE(may(Reach::kInternet, "192.168.1.1"));
  EXPECT_FALSE(may(Reach::kInternet, "127.0.0.1"));
  EXPECT_TRUE(may(Reach::kNetwork, "192.168.1.1"));
  EXPECT_FALSE(may(Reach::kNetwork, "127.0.0.1"));
  EXPECT_TRUE(may(Reach::kMachine, "127.0.0.1"));
  std::vector<std::string> urls{"http://10.0.0.1/ipfs/", "https://example.net/ipfs/", "http://localhost/ipfs/"};
  drop_closer(urls, Reach::kNetwork);
  EXPECT_EQ(urls, (std::vector<std::string>{"http://10.0.0.1/ipfs/", "https://example.net/ipfs/"}));
  EXPECT_TRUE(named_by(Reach::kNetwork)("8.8.8.8"));
  EXPECT_FALSE(named_by(Reach::kInternet)("::ffff:10.0.0.1"));
  EXPECT_FALSE(named_by(Reach::kMachine)("no address"));
}

}  // namespace
}  // namespace codio::node
