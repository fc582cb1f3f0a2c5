#include "node/ask_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <vector>

namespace codio::node {
namespace {

using testing::Optional;

dht::Endpoint endpoint(const std::string& address, std::uint16_t port = 8080) {
  return {boost::asio::ip::make_address(address), port};
}

/// Each in a network of its own.
dht::Endpoint numbered(std::uint32_t number) {
  return {boost::asio::ip::make_address_v4(0x01000000 + number * 256), 8080};
}

TEST(AskQueue, AsksInTheOrderOfTheAnswersAndOnlySoManyAtATime) {
  AskQueue queue({.max_asked = 2});
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_TRUE(queue.push(numbered(i), 0));
  EXPECT_THAT(queue.pop(), Optional(numbered(0)));
  EXPECT_THAT(queue.pop(), Optional(numbered(1)));
  EXPECT_EQ(queue.pop(), std::nullopt);
  EXPECT_EQ(queue.asked(), 2U);
  queue.done(numbered(1));
  EXPECT_THAT(queue.pop(), Optional(numbered(2)));
  EXPECT_EQ(queue.waiting(), 0U);
}

TEST(AskQueue, FindsTheHonestOneBehindThousandsThatFewNodesNamed) {
  AskQueue queue({.max_asked = 64});
  std::vector<dht::Endpoint> asked;
  for (std::uint32_t i = 0; i < 4000; ++i) {
    ASSERT_TRUE(queue.push(numbered(i), i % 160));  // By 25 nodes.
    if (const auto next = queue.pop()) asked.push_back(*next);
  }
  EXPECT_LE(asked.size(), 64U) << "none of them answers";
  ASSERT_TRUE(queue.push(endpoint("9.9.9.9"), 0));
  std::size_t before = 0;
  for (;;) {
    const auto next = queue.pop();
    if (next == endpoint("9.9.9.9")) break;
    if (next) {
      ++before;
      asked.push_back(*next);
    } else {
      queue.done(asked.back());  // Given up.
      asked.pop_back();
    }
  }
  EXPECT_LE(before, 25U) << "comes after the first of each answer, not after all";
}

TEST(AskQueue, LeavesRoomForWhoStandsOut) {
  AskQueue queue({.max_asked = 10});
  for (std::uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(queue.push(numbered(i), 100));
  std::size_t asked = 0;
  while (queue.pop()) ++asked;
  EXPECT_EQ(asked, 5U) << "half";
  ASSERT_TRUE(queue.push(endpoint("9.9.9.9"), 0));
  EXPECT_THAT(queue.pop(), Optional(endpoint("9.9.9.9")));
}

TEST(AskQueue, KnocksAtFewDoorsOfOneNetwork) {
  AskQueue queue({.max_of_network = 4});
  for (std::uint16_t port = 1; port <= 4; ++port) ASSERT_TRUE(queue.push(endpoint("1.2.3.4", port), 0));
  EXPECT_FALSE(queue.push(endpoint("1.2.3.99"), 0)) << "the same /24";
  ASSERT_TRUE(queue.push(endpoint("1.2.4.4"), 0));
  ASSERT_TRUE(queue.push(endpoint("2001:db8:1:2::1"), 0));
  EXPECT_THAT(queue.pop(), Optional(endpoint("1.2.3.4", 1)));
  EXPECT_THAT(queue.pop(), Optional(endpoint("1.2.4.4"))) << "before the neighbours of who came first";
  EXPECT_THAT(queue.pop(), Optional(endpoint("2001:db8:1:2::1")));
  EXPECT_FALSE(queue.push(endpoint("1.2.3.99"), 0)) << "as long as one is being asked";
  queue.done(endpoint("1.2.3.4", 1));
  EXPECT_TRUE(queue.push(endpoint("1.2.3.99"), 0));
}

TEST(AskQueue, CountsAnIpv6NetworkAsOne) {
  AskQueue queue({.max_of_network = 2});
  EXPECT_TRUE(queue.push(endpoint("2001:db8:1:1::1"), 0));
  EXPECT_TRUE(queue.push(endpoint("2001:db8:1:2::1"), 0));
  EXPECT_FALSE(queue.push(endpoint("2001:db8:1:3::1"), 0));
  EXPECT_TRUE(queue.push(endpoint("2001:db8:2::1"), 0));
}

TEST(AskQueue, TakesAnyNumberOfANetworkOfOnesOwn) {
  AskQueue queue({.max_of_network = 0});
  for (std::uint16_t port = 1; port <= 1000; ++port) EXPECT_TRUE(queue.push(endpoint("127.0.0.1", port), 0));
}

TEST(AskQueue, HoldsOnlySoMany) {
  AskQueue queue({.max_waiting = 2});
  EXPECT_TRUE(queue.push(numbered(0), 0));
  EXPECT_TRUE(queue.push(numbered(1), 0));
  EXPECT_FALSE(queue.push(numbered(2), 0));
}

}  // namespace
}  // namespace codio::node
