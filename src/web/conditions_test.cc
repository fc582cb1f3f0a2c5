#include "web/conditions.h"

#include <gtest/gtest.h>

namespace codio::web {
namespace {

constexpr std::string_view kTag = "\"cid\"";

Selection with_range(std::string_view range, std::uint64_t size = 10, bool is_head = false) {
  return select(Request{.is_head = is_head, .range = range}, kTag, size);
}

TEST(Conditions, IfNoneMatchTakesListsWeakTagsAndTheStar) {
  EXPECT_TRUE(matches_any("\"cid\"", kTag));
  EXPECT_TRUE(matches_any("W/\"cid\"", kTag));
  EXPECT_TRUE(matches_any("\"a\", \"b, c\",W/\"cid\"", kTag));
  EXPECT_TRUE(matches_any(" * ", kTag));
  EXPECT_TRUE(matches_any("\"cid\"", "W/\"cid\""));
  EXPECT_FALSE(matches_any("\"cid.raw\"", kTag));
  EXPECT_FALSE(matches_any("\"a\", \"cid", kTag));
  EXPECT_FALSE(matches_any("cid", kTag));
  EXPECT_FALSE(matches_any("", kTag));
}

TEST(Conditions, ARangeIsCutToTheFile) {
  const Selection some = with_range("bytes=2-5");
  EXPECT_EQ(some.status, 206);
  EXPECT_EQ(some.bytes.begin, 2u);
  EXPECT_EQ(some.bytes.end, 6u);
  EXPECT_EQ(content_range(some, 10), "bytes 2-5/10");
  EXPECT_EQ(with_range("bytes=8-").bytes.begin, 8u);
  EXPECT_EQ(with_range("bytes=8-99999999999999999999999").bytes.end, 10u);
  EXPECT_EQ(with_range("bytes=-3").bytes.begin, 7u);
  EXPECT_EQ(with_range("bytes=-30").bytes.begin, 0u);
}

TEST(Conditions, ARangeOutsideOfTheFileIs416) {
  for (const std::string_view range : {"bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999-"}) {
    const Selection none = with_range(range);
    EXPECT_EQ(none.status, 416) << range;
    EXPECT_EQ(content_range(none, 10), "bytes */10");
  }
  EXPECT_EQ(with_range("bytes=0-", 0).status, 416);
}

TEST(Conditions, OtherRangesMeanTheWholeFile) {
  for (const std::string_view range :
       {"bytes=0-1,3-4", "items=0-1", "bytes=x-1", "bytes=5-2", "bytes=-", "bytes=", ""}) {
    const Selection all = with_range(range);
    EXPECT_EQ(all.status, 200) << range;
    EXPECT_EQ(all.bytes.end, 10u);
  }
}

TEST(Conditions, HeadIgnoresRanges) { EXPECT_EQ(with_range("bytes=2-5", 10, true).status, 200); }

TEST(Conditions, IfRangeHoldsForTheSameStrongTagOnly) {
  const auto status = [](std::string_view if_range) {
    return select(Request{.range = "bytes=0-1", .if_range = if_range}, kTag, 10).status;
  };
  EXPECT_EQ(status("\"cid\""), 206);
  EXPECT_EQ(status("W/\"cid\""), 200);
  EXPECT_EQ(status("\"other\""), 200);
  EXPECT_EQ(status("Wed, 21 Oct 2015 07:28:00 GMT"), 200);
}

TEST(Conditions, AKnownTagIs304EvenWithARange) {
  EXPECT_EQ(select(Request{.range = "bytes=0-1", .if_none_match = "\"cid\""}, kTag, 10).status, 304);
}

}  // namespace
}  // namespace codio::web
