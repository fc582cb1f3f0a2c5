#include "web/deny_list.h"

#include <gtest/gtest.h>
#include <openssl/sha.h>

namespace codio::web {
namespace {

using content_id::ContentId;

const std::string kText = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
const ContentId kCid = *ContentId::parse(kText);
const ContentId kOther = *ContentId::parse("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG");

content_id::Digest256 sha256(BytesView bytes) {
  content_id::Digest256 digest;
  SHA256(bytes.data(), bytes.size(), digest.data());
  return digest;
}

std::string hashed(const std::string& text) {
  std::string hex;
  for (const std::uint8_t byte : sha256(as_bytes(text))) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 0xf];
  }
  return "//" + hex + "\n";
}

DenyList parse(const std::string& text) {
  const auto list = DenyList::parse(text);
  EXPECT_TRUE(list) << list.error().message;
  return list.value_or(DenyList());
}

TEST(DenyList, ABlockIsDeniedUnderEveryCidOfItsHash) {
  const DenyList list = parse("version: 1\nname: test\n---\n# comment\n/ipfs/" + kText + "\n");
  EXPECT_EQ(list.denied_block(kCid, sha256), 410);
  EXPECT_EQ(list.denied_block(ContentId::v1(content_id::Codec::kDagPb, kCid.multihash()), sha256), 410);
  EXPECT_EQ(list.denied_block(kOther, sha256), std::nullopt);
}

TEST(DenyList, PathsAreExactOrBeginSo) {
  const DenyList list = parse("/ipfs/" + kText + "/a%20b\n/ipfs/" + kText + "/dir/*\n!/ipfs/" + kText + "/dir/good\n");
  EXPECT_EQ(list.denied_path(kCid, {"a b"}, sha256), 410);
  EXPECT_EQ(list.denied_path(kCid, {"a b", "c"}, sha256), std::nullopt);
  EXPECT_EQ(list.denied_path(kCid, {"dir", "x", "y"}, sha256), 410);
  EXPECT_EQ(list.denied_path(kCid, {"dir", "good"}, sha256), std::nullopt);
  EXPECT_EQ(list.denied_path(kOther, {"a b"}, sha256), std::nullopt);
  EXPECT_EQ(list.denied_block(kCid, sha256), std::nullopt);
}

TEST(DenyList, HashedRulesTellNobodyWhatTheyName) {
  const DenyList list = parse(hashed(kText + "/") + hashed(kOther.to_v1().to_string() + "/secret"));
  EXPECT_EQ(list.denied_block(kCid, sha256), 410);
  EXPECT_EQ(list.denied_path(kOther, {"secret"}, sha256), 410);
  EXPECT_EQ(list.denied_path(kOther, {"other"}, sha256), std::nullopt);
}

TEST(DenyList, LegalReasonsAre451) {
  EXPECT_EQ(parse("/ipfs/" + kText + " gateway_status=451\n").denied_block(kCid, sha256), 451);
  EXPECT_EQ(parse("hints:\n  gateway_status=451\n---\n/ipfs/" + kText + "\n").denied_block(kCid, sha256), 451);
}

TEST(DenyList, SaysWhichLineIsWrongAndSkipsWhatIsNotForUs) {
  EXPECT_NE(DenyList::parse("a: b\n---\n/ipfs/nonsense\n").error().message.find("line 3"), std::string::npos);
  EXPECT_FALSE(DenyList::parse("nonsense\n"));
  EXPECT_EQ(parse("/ipns/example.net\n//notahash\n").skipped(), 2u);
}

}  // namespace
}  // namespace codio::web
