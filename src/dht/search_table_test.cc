#include "dht/search_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace codio::dht {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr Time kStart{};

Endpoint endpoint(const std::string& address, std::uint16_t port = 8080) {
  return {boost::asio::ip::make_address(address), port};
}

Endpoint numbered(std::uint32_t number) { return {boost::asio::ip::make_address_v4(0x01000000 + number), 8080}; }

class SearchTableTest : public testing::Test {
 protected:
  struct Outputs {
    std::vector<Key> lookups;
    std::vector<std::pair<SearchId, Endpoint>> found;
    std::vector<std::pair<SearchId, SearchEnd>> ended;
  };

  Outputs poll() {
    Outputs outputs;
    while (const auto output = table_.poll_output()) {
      if (const auto* lookup = std::get_if<StartLookup>(&*output)) outputs.lookups.push_back(lookup->key);
      if (const auto* found = std::get_if<Found>(&*output)) outputs.found.emplace_back(found->search, found->endpoint);
      if (const auto* ended = std::get_if<Ended>(&*output)) outputs.ended.emplace_back(ended->search, ended->end);
    }
    return outputs;
  }

  void give(const Key& key, const std::vector<Endpoint>& endpoints) { table_.handle_endpoints(key, endpoints); }

  SearchTable table_{{.max_endpoints = 4, .max_searches = 3, .max_lookups = 2}};
  const Key key_{1};
  const Key other_{2};
};

TEST_F(SearchTableTest, GivesEachEndpointOnceAsItIsFound) {
  table_.handle_ready(true);
  const SearchId id = table_.find(kStart, key_, kStart + 10s);
  EXPECT_THAT(poll().lookups, ElementsAre(key_));
  give(key_, {numbered(1), numbered(1)});
  EXPECT_THAT(poll().found, ElementsAre(std::pair(id, numbered(1))));
  give(key_, {numbered(1), numbered(2)});
  EXPECT_THAT(poll().found, ElementsAre(std::pair(id, numbered(2))));
}

TEST_F(SearchTableTest, TellsThePlaceOfEachInTheAnswerThatNamedItFirst) {
  table_.handle_ready(true);
  table_.find(kStart, key_, kStart + 10s);
  give(key_, {numbered(1), endpoint("127.0.0.1"), numbered(2)});
  give(key_, {numbered(2), numbered(3)});
  const auto places = [&] {
    std::vector<std::pair<Endpoint, std::size_t>> found;
    while (const auto output = table_.poll_output()) {
      if (const auto* one = std::get_if<Found>(&*output)) found.emplace_back(one->endpoint, one->place);
    }
    return found;
  };
  const std::vector<std::pair<Endpoint, std::size_t>> expected{{numbered(1), 0}, {numbered(2), 2}, {numbered(3), 1}};
  EXPECT_EQ(places(), expected);
  table_.find(kStart, key_, kStart + 10s);
  EXPECT_EQ(places(), expected) << "as who came first heard it";
}

TEST_F(SearchTableTest, EndsWhenEveryNodeWasAsked) {
  table_.handle_ready(true);
  const SearchId id = table_.find(kStart, key_, kStart + 10s);
  table_.handle_lookups({});  // Asked before the lookup was started, perhaps.
  table_.handle_lookups({key_});
  table_.handle_lookups({});
  EXPECT_THAT(poll().ended, IsEmpty());
  table_.handle_lookups({});
  EXPECT_THAT(poll().ended, ElementsAre(std::pair(id, SearchEnd::kExhausted)));
  EXPECT_FALSE(table_.has_lookups());
  EXPECT_FALSE(table_.next_wakeup());
}

TEST_F(SearchTableTest, EndsAtItsDeadline) {
  table_.handle_ready(true);
  const SearchId id = table_.find(kStart, key_, kStart + 10s);
  poll();
  EXPECT_EQ(table_.next_wakeup(), kStart + 10s);
  table_.handle_wakeup(kStart + 9s);
  EXPECT_THAT(poll().ended, IsEmpty());
  table_.handle_wakeup(kStart + 10s);
  EXPECT_THAT(poll().ended, ElementsAre(std::pair(id, SearchEnd::kDeadline)));
  give(key_, {numbered(1)});
  EXPECT_THAT(poll().found, IsEmpty()) << "after the end";
}

TEST_F(SearchTableTest, StopsWhenThousandsAreFound) {
  table_.handle_ready(true);
  const SearchId id = table_.find(kStart, key_, kStart + 10s);
  poll();
  std::vector<Endpoint> flood;
  for (std::uint32_t i = 1; i <= 5000; ++i) flood.push_back(numbered(i));
  give(key_, flood);
  const Outputs outputs = poll();
  EXPECT_EQ(outputs.found.size(), 4U);
  EXPECT_THAT(outputs.ended, ElementsAre(std::pair(id, SearchEnd::kLimit)));
}

TEST_F(SearchTableTest, DropsWhatAStrangerMustNotMakeUsAsk) {
  table_.handle_ready(true);
  table_.find(kStart, key_, kStart + 10s);
  poll();
  give(key_, {endpoint("127.0.0.1"), endpoint("192.168.0.1"), endpoint("::1"), endpoint("1.2.3.4", 0),
              endpoint("169.254.169.254"), endpoint("0.0.0.0"), endpoint("224.0.0.1")});
  EXPECT_THAT(poll().found, IsEmpty());
}

TEST_F(SearchTableTest, TakesLocalAddressesInANetworkOfOnesOwn) {
  SearchTable table({.public_only = false});
  table.handle_ready(true);
  table.find(kStart, key_, kStart + 10s);
  table.handle_endpoints(key_, std::vector{endpoint("127.0.0.1"), endpoint("0.0.0.0"), endpoint("127.0.0.1", 0)});
  int found = 0;
  while (const auto output = table.poll_output()) found += std::holds_alternative<Found>(*output) ? 1 : 0;
  EXPECT_EQ(found, 1);
}

TEST_F(SearchTableTest, SharesOneLookupAmongSearchesForOneKey) {
  table_.handle_ready(true);
  const SearchId first = table_.find(kStart, key_, kStart + 10s);
  give(key_, {numbered(1)});
  poll();
  const SearchId second = table_.find(kStart, key_, kStart + 20s);
  const Outputs joined = poll();
  EXPECT_THAT(joined.lookups, IsEmpty());
  EXPECT_THAT(joined.found, ElementsAre(std::pair(second, numbered(1))));
  table_.cancel(first);
  give(key_, {numbered(2)});
  EXPECT_THAT(poll().found, ElementsAre(std::pair(second, numbered(2))));
}

TEST_F(SearchTableTest, RunsOnlySoManyLookupsAtATime) {
  table_.handle_ready(true);
  const SearchId first = table_.find(kStart, key_, kStart + 10s);
  table_.find(kStart, other_, kStart + 10s);
  table_.find(kStart, Key{3}, kStart + 10s);
  EXPECT_THAT(poll().lookups, ElementsAre(key_, other_));
  table_.cancel(first);
  EXPECT_THAT(poll().lookups, ElementsAre(Key{3}));
}

TEST_F(SearchTableTest, RefusesMoreSearchesThanItsLimit) {
  for (std::uint8_t i = 1; i <= 3; ++i) table_.find(kStart, Key{i}, kStart + 10s);
  const SearchId refused = table_.find(kStart, key_, kStart + 10s);
  EXPECT_THAT(poll().ended, ElementsAre(std::pair(refused, SearchEnd::kLimit)));
  EXPECT_EQ(table_.size(), 3U);
}

TEST_F(SearchTableTest, WaitsUntilTheDhtCanBeAsked) {
  table_.find(kStart, key_, kStart + 10s);
  EXPECT_THAT(poll().lookups, IsEmpty());
  table_.handle_ready(true);
  EXPECT_THAT(poll().lookups, ElementsAre(key_));
}

TEST_F(SearchTableTest, SaysThatTheDhtIsUnreachable) {
  const SearchId waited = table_.find(kStart, key_, kStart + 10s);
  table_.handle_wakeup(kStart + 10s);
  EXPECT_THAT(poll().ended, ElementsAre(std::pair(waited, SearchEnd::kUnreachable)));
  table_.handle_ready(false);
  const SearchId asked = table_.find(kStart, key_, kStart + 20s);
  table_.handle_lookups({});
  table_.handle_lookups({});
  EXPECT_THAT(poll().ended, ElementsAre(std::pair(asked, SearchEnd::kUnreachable)));
}

TEST_F(SearchTableTest, SaysNothingMoreOfACancelledSearch) {
  table_.handle_ready(true);
  const SearchId id = table_.find(kStart, key_, kStart + 10s);
  give(key_, {numbered(1)});
  table_.cancel(id);
  table_.cancel(id);
  EXPECT_THAT(poll().found, IsEmpty());
  EXPECT_EQ(table_.size(), 0U);
  EXPECT_FALSE(table_.next_wakeup());
}

}  // namespace
}  // namespace codio::dht
