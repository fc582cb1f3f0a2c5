#include "content_id/cid.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "common/varint.h"

namespace codio::content_id {
namespace {

constexpr std::string_view kHelloV1 = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
constexpr std::string_view kHelloV0 = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD";

TEST(ContentId, ReadsTheSameCidInEveryBase) {
  const auto cid = ContentId::parse(kHelloV1);
  ASSERT_TRUE(cid);
  EXPECT_EQ(cid->version(), 1);
  EXPECT_EQ(cid->codec(), Codec::kRaw);
  EXPECT_EQ(cid->multihash().code(), HashCode::kSha2_256);
  const std::pair<Multibase, std::string_view> vectors[] = {
      {Multibase::kBase32, kHelloV1},
      {Multibase::kBase36, "k2cwued9o1pvrt3q271rrqbo49x30tbxwpoeaq75z14e5ui2rzygpbe1"},
      {Multibase::kBase58Btc, "zb2rhj7crUKTQYRGCRATFaQ6YFLTde2YzdqbbhAASkL9uRDXn"},
      {Multibase::kBase64Url, "uAVUSILlNJ7mTTT4IpS5S19p9q_rEhO_jelOA7pCI96zi783p"},
      {Multibase::kBase16, "f01551220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"},
  };
  for (const auto& [base, text] : vectors) {
    EXPECT_EQ(ContentId::parse(text), cid) << text;
    EXPECT_EQ(cid->to_string(base), text);
  }
  EXPECT_EQ(cid->to_string(), kHelloV1);
}

TEST(ContentId, ReadsAnUpperCaseCidAsTheSame) {
  for (const Multibase base : {Multibase::kBase32, Multibase::kBase36, Multibase::kBase16}) {
    const auto cid = *ContentId::parse(kHelloV1);
    std::string text = cid.to_string(base);
    std::ranges::transform(text, text.begin(), [](char c) { return static_cast<char>(std::toupper(c)); });
    EXPECT_EQ(ContentId::parse(text), cid) << text;
  }
}

TEST(ContentId, ReadsVersion0) {
  const auto cid = ContentId::parse(kHelloV0);
  ASSERT_TRUE(cid);
  EXPECT_EQ(cid->version(), 0);
  EXPECT_EQ(cid->codec(), Codec::kDagPb);
  EXPECT_EQ(cid->bytes().size(), 34U);
  EXPECT_EQ(cid->to_string(), kHelloV0);
  EXPECT_EQ(cid->to_string(Multibase::kBase32), kHelloV0) << "version 0 has one text form";
  EXPECT_EQ(ContentId::decode(cid->bytes()), cid);
}

TEST(ContentId, TurnsVersion0IntoVersion1) {
  const auto v0 = *ContentId::parse("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG");
  EXPECT_EQ(v0.to_v1().to_string(), "bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf6d2ho34");
  EXPECT_EQ(v0.to_v1().to_v1(), v0.to_v1());
  EXPECT_NE(v0.to_v1(), v0);
}

TEST(ContentId, KeepsTheLargestThatThereCanBe) {
  Bytes bytes{1};
  for (const std::uint64_t number : {INT64_MAX, INT64_MAX, std::int64_t{128}}) append_varint(bytes, number);
  bytes.resize(bytes.size() + 128, 0x5a);
  const auto cid = ContentId::decode(bytes);
  ASSERT_TRUE(cid);
  const ContentId copy = *cid;
  EXPECT_TRUE(std::ranges::equal(copy.bytes(), bytes));
}

TEST(ContentId, RefusesTextThatIsNotOneWholeCid) {
  for (const std::string_view text : {
           "",
           "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1",                                // 45 characters.
           "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1nn",                              // 47 characters.
           "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zIII",                               // Not of the alphabet.
           "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5",                   // A character short.
           "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5ea",                 // A character long.
           "zQmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD",                              // Version 0 with a prefix.
           "f1220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",        // The same.
           "f01551220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde900",  // A byte follows.
           "f01551220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcd",      // A byte is missing.
           "f02551220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",    // Version 2.
           "f03551220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",    // Version 3.
           "f8100551220b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",  // Varint not the shortest.
           "xafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",                  // An unknown prefix.
           "b",
           "f",
           "f01",
           "f0155",
           "f015512",
       }) {
    EXPECT_FALSE(ContentId::parse(text)) << text;
  }
}

TEST(ContentId, TellsWhatIsWrongWithAText) {
  const auto why = [](std::string_view text) { return ContentId::parse(text).error().message; };
  EXPECT_EQ(why("foo"), "'foo' is not a CID: multibase: a character is not of the alphabet");
  EXPECT_EQ(why(""), "'' is not a CID: the text is empty");
  EXPECT_EQ(why("f02551220"), "'f02551220' is not a CID: the version is neither 0 nor 1");
  EXPECT_EQ(ContentId::decode({}).error().message, "CID: input ends within a varint");
}

TEST(ContentId, BoundsTheDigest) {
  const auto text = [](std::string_view head, std::size_t digest_size) {
    return std::string(head) + std::string(digest_size * 2, '0');
  };
  EXPECT_FALSE(ContentId::parse(text("f01551213", 19)));
  EXPECT_TRUE(ContentId::parse(text("f01551214", 20)));
  EXPECT_TRUE(ContentId::parse(text("f0155138001", 128)));
  EXPECT_FALSE(ContentId::parse(text("f0155138101", 129)));
  EXPECT_TRUE(ContentId::parse(text("f0155008001", 128)));
  EXPECT_FALSE(ContentId::parse(text("f0155008101", 129)));
}

TEST(ContentId, ReadsTheEmptyIdentityCidThatGatewaysAreProbedWith) {
  const auto cid = ContentId::parse("bafkqaaa");
  ASSERT_TRUE(cid);
  EXPECT_EQ(cid->multihash().code(), HashCode::kIdentity);
  EXPECT_TRUE(cid->multihash().digest().empty());
}

TEST(ContentId, KeepsForeignCodecsAndLongDigests) {
  const auto hash = *Multihash::make(HashCode::kSha2_512, Bytes(64, 7));
  const auto cid = ContentId::v1(Codec::kDagJson, hash);
  const ContentId copy = cid;
  EXPECT_EQ(copy.codec(), Codec::kDagJson);
  EXPECT_EQ(copy.multihash().digest().size(), 64U);
  EXPECT_EQ(ContentId::decode(copy.bytes()), cid);
  EXPECT_EQ(ContentId::parse(copy.to_string()), cid);
}

TEST(ContentId, ReadsOneAtTheStartOfLongerBytes) {
  for (const std::string_view text : {kHelloV0, kHelloV1}) {
    const auto cid = *ContentId::parse(text);
    Bytes bytes(cid.bytes().begin(), cid.bytes().end());
    append(bytes, as_bytes("the block"));
    const auto prefix = ContentId::decode_prefix(bytes);
    ASSERT_TRUE(prefix);
    EXPECT_EQ(prefix->cid, cid);
    EXPECT_EQ(prefix->size, cid.bytes().size());
    EXPECT_FALSE(ContentId::decode(bytes));
  }
}

TEST(ContentId, IsOrderedByItsBinaryForm) {
  const auto a = ContentId::v1(Codec::kRaw, Digest256{1});
  const auto b = ContentId::v1(Codec::kRaw, Digest256{2});
  EXPECT_LT(a, b);
  EXPECT_LT(b, ContentId::v0({})) << "0x01 comes before 0x12";
  EXPECT_EQ(a <=> ContentId(a), std::strong_ordering::equal);
  EXPECT_LT(ContentId::v1(Codec::kRaw, *Multihash::make(HashCode::kIdentity, {})), a);
}

TEST(ContentId, IsSmall) { EXPECT_EQ(sizeof(ContentId), 64U); }

}  // namespace
}  // namespace codio::content_id
