#include "content_id/multibase.h"

#include <gtest/gtest.h>

namespace codio::content_id {
namespace {

constexpr Multibase kAll[] = {Multibase::kBase16,      Multibase::kBase16Upper, Multibase::kBase32,
                              Multibase::kBase32Upper, Multibase::kBase36,      Multibase::kBase36Upper,
                              Multibase::kBase58Btc,   Multibase::kBase64,      Multibase::kBase64Pad,
                              Multibase::kBase64Url,   Multibase::kBase64UrlPad};

TEST(Multibase, EncodesAndDecodesTheVectorsOfTheSpecification) {
  // https://github.com/multiformats/multibase/blob/master/tests/basic.csv
  const std::pair<Multibase, std::string_view> vectors[] = {
      {Multibase::kBase16, "f796573206d616e692021"},   {Multibase::kBase16Upper, "F796573206D616E692021"},
      {Multibase::kBase32, "bpfsxgidnmfxgsibb"},       {Multibase::kBase32Upper, "BPFSXGIDNMFXGSIBB"},
      {Multibase::kBase36, "k2lcpzo5yikidynfl"},       {Multibase::kBase36Upper, "K2LCPZO5YIKIDYNFL"},
      {Multibase::kBase58Btc, "z7paNL19xttacUY"},      {Multibase::kBase64, "meWVzIG1hbmkgIQ"},
      {Multibase::kBase64Pad, "MeWVzIG1hbmkgIQ=="},    {Multibase::kBase64Url, "ueWVzIG1hbmkgIQ"},
      {Multibase::kBase64UrlPad, "UeWVzIG1hbmkgIQ=="},
  };
  for (const auto& [base, text] : vectors) {
    EXPECT_EQ(multibase_encode(base, as_bytes("yes mani !")), text);
    const auto decoded = multibase_decode(text);
    ASSERT_TRUE(decoded) << text;
    EXPECT_EQ(as_text(*decoded), "yes mani !");
  }
}

TEST(Multibase, KeepsLeadingZeroBytes) {
  Bytes bytes{0, 0};
  append(bytes, as_bytes("yes mani !"));
  EXPECT_EQ(multibase_encode(Multibase::kBase58Btc, bytes), "z117paNL19xttacUY");
  for (const Multibase base : kAll) EXPECT_EQ(multibase_decode(multibase_encode(base, bytes)), bytes);
}

TEST(Multibase, ReadsBackEveryLengthInEveryBase) {
  Bytes bytes;
  for (int size = 0; size < 150; ++size) {
    for (const Multibase base : kAll) {
      EXPECT_EQ(multibase_decode(multibase_encode(base, bytes)), bytes) << size << static_cast<char>(base);
    }
    bytes.push_back(static_cast<std::uint8_t>(size * 151 + 7));
  }
}

TEST(Multibase, FoldsCaseWhereTheAlphabetHasOne) {
  EXPECT_EQ(multibase_decode("bPfSxGiDnMfXgSiBb"), multibase_decode("bpfsxgidnmfxgsibb"));
  EXPECT_EQ(multibase_decode("K2lcpzo5yikidynfl"), multibase_decode("k2lcpzo5yikidynfl"));
  EXPECT_NE(multibase_decode("z7PANL19XTTACUY"), multibase_decode("z7paNL19xttacUY"));
}

TEST(Multibase, RefusesWhatIsNotOneWholeText) {
  for (const std::string_view text : {
           "",                    // No prefix.
           "x00",                 // An unknown prefix.
           "0101",                // Base 2 is not read.
           "f0",                  // Half a byte.
           "fzz",                 // A foreign character.
           "b1",                  // 1 is not in base 32.
           "bp",                  // Ends within a byte.
           "bpfsxgidnmfxgsibba",  // A character too many.
           "bpg",                 // Trailing bits not zero.
           "k-",                  // A foreign character.
           "z0OIl",               // Left out of base 58 for looking alike.
           "meWVzIG1hbmkgIQ==",   // Padding where there is none.
           "MeWVzIG1hbmkgIQ",     // No padding where it belongs.
           "MeWVzIG1hbmkgI===",   // Too much of it.
           "meWVzIG1hbmkgIR",     // Trailing bits not zero.
           "m-_",                 // The other base 64.
           "u+/",
       }) {
    EXPECT_FALSE(multibase_decode(text)) << text;
  }
}

TEST(Multibase, RefusesATextTooLongToDecodeCheaply) {
  const auto refused = multibase_decode("z" + std::string(kMaxMultibaseText, '2'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge);
  EXPECT_TRUE(multibase_decode("z" + std::string(kMaxMultibaseText - 1, '2')));
}

}  // namespace
}  // namespace codio::content_id
