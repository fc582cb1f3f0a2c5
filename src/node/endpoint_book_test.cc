#include "node/endpoint_book.h"

#include <gtest/gtest.h>

namespace codio::node {
namespace {

using namespace std::chrono_literals;

EndpointBook::Entry a_node(const std::string& peer) { return {Verdict::kNode, {.peer = peer}}; }

TEST(EndpointBook, RemembersEachVerdictForItsTime) {
  EndpointBook book;
  const Time start{};
  book.note(start, "1.1.1.1:1", a_node("somebody"));
  book.note(start, "1.1.1.1:2", {Verdict::kDead, {}});
  book.note(start, "1.1.1.1:3", {Verdict::kLiar, {}});
  ASSERT_NE(book.find(start + 9min, "1.1.1.1:1"), nullptr);
  EXPECT_EQ(book.find(start + 9min, "1.1.1.1:1")->provider.peer, "somebody");
  EXPECT_EQ(book.find(start + 9min, "1.1.1.1:2"), nullptr) << "it may have come back";
  EXPECT_EQ(book.find(start + 10min, "1.1.1.1:1"), nullptr);
  ASSERT_NE(book.find(start + 29min, "1.1.1.1:3"), nullptr);
  EXPECT_EQ(book.find(start + 30min, "1.1.1.1:3"), nullptr);
  EXPECT_EQ(book.size(), 0U);
}

TEST(EndpointBook, TakesTheLatestVerdict) {
  EndpointBook book;
  book.note(Time{}, "1.1.1.1:1", {Verdict::kDead, {}});
  book.note(Time{} + 1min, "1.1.1.1:1", a_node("somebody"));
  ASSERT_NE(book.find(Time{} + 5min, "1.1.1.1:1"), nullptr);
  EXPECT_EQ(book.find(Time{} + 5min, "1.1.1.1:1")->verdict, Verdict::kNode);
}

TEST(EndpointBook, HoldsOnlySoMany) {
  EndpointBook book({.max_entries = 100});
  book.note(Time{}, "good", a_node("somebody"));
  for (int i = 0; i < 5000; ++i) book.note(Time{} + 1s, std::to_string(i), {Verdict::kDead, {}});
  EXPECT_EQ(book.size(), 100U);
  EXPECT_NE(book.find(Time{} + 2s, "good"), nullptr) << "what expires first is forgotten first";
}

}  // namespace
}  // namespace codio::node
