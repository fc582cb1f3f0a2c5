#include "web/host.h"

#include <gtest/gtest.h>

namespace codio::web {
namespace {

const std::string kCid = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
const std::vector<std::string> kGateways{"example.com"};

TEST(Host, NamesLoseTheirPortAndCase) {
  EXPECT_EQ(host_name("Example.COM:8080"), "example.com");
  EXPECT_EQ(host_name("example.com."), "example.com");
  EXPECT_EQ(host_name("[::1]:80"), "::1");
  EXPECT_EQ(host_name("["), "");
  EXPECT_EQ(host_name(""), "");
}

TEST(Host, AnotherSitesNameIsNotOurOwn) {
  for (const char* own : {"127.0.0.1:8080", "localhost", "x.localhost:1", "[::1]:8080", ""})
    EXPECT_TRUE(is_own_host(own)) << own;
  for (const char* other : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost"}) {
    EXPECT_FALSE(is_own_host(other)) << other;
  }
}

TEST(Host, ASubdomainNamesItsContent) {
  const std::string host = kCid + ".ipfs.example.com:81";
  const auto meaning = understand_host(Request{.host = host}, kGateways);
  ASSERT_TRUE(meaning);
  EXPECT_EQ(meaning->kind, HostMeaning::Kind::kSubdomain);
  EXPECT_EQ(meaning->root->to_string(), kCid);
  EXPECT_EQ(meaning->gateway, "example.com:81");
  EXPECT_EQ(
      understand_host(Request{.host = "k2cwued9o1pvrt3q271rrqbo49x30tbxwpoeaq75z14e5ui2rzygpbe1.ipfs.localhost"}, {})
          ->root->to_string(),
      kCid);
}

TEST(Host, OnlyConfiguredNamesRedirect) {
  EXPECT_EQ(understand_host(Request{.host = "example.com"}, kGateways)->kind, HostMeaning::Kind::kGateway);
  EXPECT_EQ(understand_host(Request{.host = "fake.example.org"}, kGateways)->kind, HostMeaning::Kind::kAny);
  EXPECT_EQ(understand_host(Request{.host = "localhost:8080"}, {})->kind, HostMeaning::Kind::kAny);
  const auto forwarded = understand_host(
      Request{.host = "fake.example.org", .forwarded_host = "example.com", .forwarded_proto = "https"}, kGateways);
  EXPECT_EQ(forwarded->kind, HostMeaning::Kind::kGateway);
  EXPECT_EQ(forwarded->scheme, "https");
}

TEST(Host, RefusesLabelsThatAreNoCid) {
  const auto status = [](const std::string& host) {
    const auto meaning = understand_host(Request{.host = host}, kGateways);
    return meaning ? 0 : meaning.error().status;
  };
  EXPECT_EQ(status("nonsense.ipfs.example.com"), 400);
  EXPECT_EQ(status("a." + kCid + ".ipfs.example.com"), 400);
  EXPECT_EQ(status("k51qzi5uqu5d.ipns.example.com"), 501);
  // SHA-512 of something, in base32.
  const std::string long_cid =
      "bafkrgqbcfmdz3qcs6hfnumsurmxyf5zzc2zlrghxfkoxlvbvqlbcjqnpkqlwfwvkxbmtttgtpxdn6oaauaafqvnuqkbp4d3nz7ydzxp6apk2y";
  const auto meaning = understand_host(Request{.host = long_cid + ".ipfs.example.com"}, kGateways);
  ASSERT_FALSE(meaning);
  EXPECT_EQ(meaning.error().status, 400);
}

}  // namespace
}  // namespace codio::web
