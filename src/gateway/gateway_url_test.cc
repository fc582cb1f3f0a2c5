#include "gateway/gateway_url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace codio::gateway {
namespace {

TEST(GatewayUrl, EndsInIpfs) {
  for (const auto& [text, url] : std::initializer_list<std::pair<const char*, const char*>>{
           {"https://ipfs.io/ipfs/", "https://ipfs.io/ipfs/"},
           {"https://ipfs.io/ipfs", "https://ipfs.io/ipfs/"},
           {"https://ipfs.io/", "https://ipfs.io/ipfs/"},
           {"https://ipfs.io", "https://ipfs.io/ipfs/"},
           {"HTTPS://ipfs.io", "https://ipfs.io/ipfs/"},
           {"http://127.0.0.1:8080", "http://127.0.0.1:8080/ipfs/"},
           {"https://IPFS.io:443/ipfs/", "https://ipfs.io/ipfs/"},
           {"http://127.0.0.1:80", "http://127.0.0.1/ipfs/"},
           {"http://127.0.0.1:443", "http://127.0.0.1:443/ipfs/"},
           {"http://[::1]:8080/ipfs/", "http://[::1]:8080/ipfs/"},
           {"https://example.com/mirror/ipfs/", "https://example.com/mirror/ipfs/"},
       }) {
    EXPECT_EQ(parse_gateway_url(text), url) << text;
  }
}

TEST(GatewayUrl, SaysWhatIsWrongAndHowItShouldBe) {
  for (const auto& [text, why] : std::initializer_list<std::pair<const char*, const char*>>{
           {"", "bad gateway URL \"\""},
           {"ipfs.io", "scheme"},
           {"ftp://ipfs.io/ipfs/", "only https and http"},
           {"file:///ipfs/", "only https and http"},
           {"https://", "host"},
           {"https://ipfs.io:99999/ipfs/", "ort number"},
           {"https://ipfs.io:0/ipfs/", "ort"},
           {"https://ipfs.io/ipns/", "does not end in /ipfs/"},
           {"https://ipfs.io/notipfs/", "does not end in /ipfs/"},
           {"https://ipfs.io/ipfs/?format=raw", "query"},
           {"https://ipfs.io/ipfs/#x", "fragment"},
           {"https://me:secret@ipfs.io/ipfs/", "password"},
           {"https://a b/ipfs/", "bad gateway URL"},
       }) {
    const auto url = parse_gateway_url(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code, ErrorCode::kMalformed) << text;
    EXPECT_THAT(url.error().message, testing::AllOf(testing::HasSubstr(why), testing::HasSubstr("https://host/ipfs/")));
  }
}

}  // namespace
}  // namespace codio::gateway
