#include "rendezvous/directory.h"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "identity/identity.h"

namespace codio::rendezvous {
namespace {

using content_id::Codec;
using content_id::ContentId;
using content_id::Digest256;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

ContentId numbered_cid(std::uint32_t number) {
  Digest256 digest{};
  for (int i = 0; i < 4; ++i) digest[i] = static_cast<std::uint8_t>(number >> (8 * i));
  return ContentId::v1(Codec::kRaw, digest);
}

std::vector<ContentId> numbered_cids(std::uint32_t begin, std::uint32_t end) {
  std::vector<ContentId> cids;
  for (; begin < end; ++begin) cids.push_back(numbered_cid(begin));
  return cids;
}

constexpr Challenge kChallenge{1, 2, 3};

// A directory, a clock, and what it sent, by peer.
class DirectoryTest : public testing::Test {
 protected:
  explicit DirectoryTest(Directory::Options options = {}) : directory_(std::move(options)) {}

  ConnectionId connect(const std::string& peer, std::string_view address = "192.0.2.1") {
    const ConnectionId id = meet(peer, address);
    say(id, Join{});
    take();
    now_ += std::chrono::milliseconds(20);  // For the bucket to be full again.
    return id;
  }

  // Connects one that has not joined.
  ConnectionId meet(const std::string& name, std::string_view address = "192.0.2.1") {
    const auto id = directory_.connect(address, name, kChallenge);
    EXPECT_TRUE(id.has_value());
    return *id;
  }

  static Join join_as(const identity::Key& key, const Challenge& challenge = kChallenge) {
    const auto signature = key.sign(identity::Purpose::kJoin, challenge);
    return {key.peer_id(), Bytes(signature.begin(), signature.end())};
  }

  void say(ConnectionId id, const ClientMessage& message) { directory_.handle_message(now_, id, to_json(message)); }
  void say_text(ConnectionId id, std::string_view text) { directory_.handle_message(now_, id, text); }

  // All outputs since the last call, those to `id` only; the others are dropped.
  std::vector<ServerMessage> heard_by(ConnectionId id) {
    std::vector<ServerMessage> heard;
    for (const Output& output : take()) {
      const auto* send = std::get_if<Send>(&output);
      if (send == nullptr || send->connection != id) continue;
      auto message = parse_server_message(send->text);
      EXPECT_TRUE(message.has_value()) << send->text;
      if (message) heard.push_back(*std::move(message));
    }
    return heard;
  }

  template <class Message>
  Message heard_one(ConnectionId id) {
    auto heard = heard_by(id);
    EXPECT_THAT(heard, SizeIs(1));
    if (heard.size() != 1 || !std::holds_alternative<Message>(heard[0])) {
      ADD_FAILURE() << "another message" << (heard.empty() ? "" : ": " + to_json(heard[0]));
      std::abort();
    }
    return std::get<Message>(std::move(heard[0]));
  }

  std::string refusal_of(ConnectionId id) { return heard_one<Refusal>(id).code; }

  std::vector<std::string> find(ConnectionId id, const ContentId& cid) {
    say(id, Find{1, cid});
    return heard_one<Providers>(id).peers;
  }

  std::vector<Output> take() {
    std::vector<Output> outputs;
    while (auto output = directory_.poll_output()) outputs.push_back(*std::move(output));
    return outputs;
  }

  Directory directory_;
  Time now_{std::chrono::hours(1)};
};

TEST_F(DirectoryTest, WelcomesWithTheIdTheLimitsAndTheIceServers) {
  Directory directory(Directory::Options{.ice_servers = {{{"stun:stun.example.net"}, "", ""}}});
  const auto id = directory.connect("192.0.2.1", "alice", kChallenge);
  ASSERT_TRUE(id.has_value());
  const auto output = directory.poll_output();
  ASSERT_TRUE(output.has_value());
  EXPECT_EQ(std::get<Send>(*output).connection, *id);
  EXPECT_EQ(std::get<Send>(*output).text,
            R"({"announceSeconds":1800,"challenge":"AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",)"
            R"("iceServers":[{"urls":["stun:stun.example.net"]}],"maxAnnounced":16384,"peer":"alice",)"
            R"("type":"welcome","version":1})");
}

TEST_F(DirectoryTest, KnowsAPeerByTheKeyThatItShows) {
  const auto key = identity::Key::generate();
  const auto alice = meet("a-name");
  const auto bob = connect("bob");
  take();
  say(alice, join_as(key));
  EXPECT_EQ(heard_one<Joined>(alice).peer, key.peer_id());
  say(alice, Announce{{numbered_cid(1)}});
  EXPECT_THAT(take(), IsEmpty());
  EXPECT_THAT(find(bob, numbered_cid(1)), ElementsAre(key.peer_id()));
  say(bob, Offer{key.peer_id(), "s1", "sdp"});
  EXPECT_EQ(heard_one<Offer>(alice), (Offer{"bob", "s1", "sdp"}));
  say(alice, Answer{"bob", "s1", "sdp"});
  EXPECT_EQ(heard_one<Answer>(bob), (Answer{key.peer_id(), "s1", "sdp"}));
  say(bob, Offer{"a-name", "s2", "sdp"});
  EXPECT_EQ(heard_one<Unreachable>(bob).peer, "a-name") << "it goes by its key only";
}

TEST_F(DirectoryTest, HearsNothingBeforeTheJoin) {
  const auto alice = meet("alice");
  const auto bob = connect("bob");
  take();
  for (const ClientMessage& message :
       {ClientMessage(Announce{{numbered_cid(1)}}), ClientMessage(Withdraw{}), ClientMessage(Find{1, numbered_cid(1)}),
        ClientMessage(Offer{"bob", "s", ""}), ClientMessage(Answer{"bob", "s", ""}),
        ClientMessage(Candidate{"bob", "s", "", ""})}) {
    say(alice, message);
    EXPECT_EQ(refusal_of(alice), "not-joined");
  }
  EXPECT_EQ(directory_.announced(), 0U);
  EXPECT_EQ(directory_.sessions(), 0U);
  say(bob, Offer{"alice", "s", ""});
  EXPECT_EQ(heard_one<Unreachable>(bob).peer, "alice");
  say(alice, Join{});
  EXPECT_EQ(heard_one<Joined>(alice).peer, "alice");
  say(bob, Offer{"alice", "s", ""});
  EXPECT_EQ(heard_one<Offer>(alice).peer, "bob");
}

TEST_F(DirectoryTest, ClosesWhoeverForgesAJoin) {
  const auto key = identity::Key::generate();
  const auto victim = meet("victim");
  say(victim, join_as(key));
  Join of_another = join_as(identity::Key::generate());
  of_another.peer = key.peer_id();
  Join for_hello = join_as(key);
  const auto hello = key.sign(identity::Purpose::kHello, kChallenge);
  for_hello.signature.assign(hello.begin(), hello.end());
  const Join replayed = join_as(key, Challenge{3, 2, 1});
  for (const Join& forged : {of_another, for_hello, replayed}) {
    const auto mallory = meet("mallory");
    take();
    say(mallory, forged);
    const auto outputs = take();
    ASSERT_THAT(outputs, SizeIs(2));
    EXPECT_THAT(std::get<Send>(outputs[0]).text, HasSubstr("\"forged\""));
    EXPECT_EQ(std::get<Close>(outputs[1]).connection, mallory);
    EXPECT_EQ(std::get<Close>(outputs[1]).code, CloseCode::kPolicy);
  }
  EXPECT_EQ(directory_.connections(), 1U);
  say(connect("bob"), Offer{key.peer_id(), "s", ""});
  EXPECT_EQ(heard_one<Offer>(victim).peer, "bob") << "its owner is connected still";
}

TEST_F(DirectoryTest, RefusesAJoinThatIsMalformedOrTheSecond) {
  const auto alice = meet("alice");
  take();
  const std::string key = identity::Key::generate().peer_id();
  const std::string signature(86, 'A');
  for (const std::string& members :
       {"\"peer\":\"" + key + "\"", "\"signature\":\"" + signature + "\"",
        "\"peer\":\"" + key + "\",\"signature\":\"" + signature.substr(1) + "\"",
        "\"peer\":\"" + key + "\",\"signature\":\"" + signature + "AA\"", "\"peer\":\"" + key + "\",\"signature\":7",
        "\"peer\":\"bob\",\"signature\":\"" + signature + "\"",
        "\"peer\":\"" + key.substr(1) + "\",\"signature\":\"" + signature + "\"",
        "\"peer\":\"" + key.substr(1) + "B\",\"signature\":\"" + signature + "\"",
        "\"peer\":7,\"signature\":\"" + signature + "\""}) {
    say_text(alice, "{\"type\":\"join\"," + members + "}");
    EXPECT_EQ(refusal_of(alice), "malformed") << members;
  }
  say(alice, Join{});
  EXPECT_EQ(heard_one<Joined>(alice).peer, "alice");
  say(alice, Join{});
  EXPECT_EQ(refusal_of(alice), "malformed");
  say(alice, join_as(identity::Key::generate()));
  EXPECT_EQ(refusal_of(alice), "malformed");
}

TEST_F(DirectoryTest, LetsThePeerThatComesBackReplaceItself) {
  const auto key = identity::Key::generate();
  const auto old = meet("old");
  say(old, join_as(key));
  say(old, Announce{{numbered_cid(1)}});
  const auto fresh = meet("fresh");
  take();
  say(fresh, join_as(key));
  const auto outputs = take();
  ASSERT_THAT(outputs, SizeIs(2));
  EXPECT_EQ(std::get<Close>(outputs[0]).connection, old);
  EXPECT_EQ(std::get<Close>(outputs[0]).code, CloseCode::kReplaced);
  EXPECT_EQ(directory_.connections(), 1U);
  EXPECT_EQ(directory_.announced(), 0U);
  directory_.disconnect(old);
  const auto bob = connect("bob");
  say(bob, Offer{key.peer_id(), "s", ""});
  EXPECT_EQ(heard_one<Offer>(fresh).peer, "bob");
}

TEST_F(DirectoryTest, FindsThoseWhoAnnouncedButNotTheAsker) {
  const auto alice = connect("alice");
  const auto bob = connect("bob");
  const auto carol = connect("carol");
  say(alice, Announce{{numbered_cid(1), numbered_cid(2)}});
  say(bob, Announce{{numbered_cid(1)}});
  EXPECT_THAT(take(), IsEmpty());
  EXPECT_THAT(find(carol, numbered_cid(1)), UnorderedElementsAre("alice", "bob"));
  EXPECT_THAT(find(carol, numbered_cid(2)), ElementsAre("alice"));
  EXPECT_THAT(find(alice, numbered_cid(1)), ElementsAre("bob"));
  EXPECT_THAT(find(alice, numbered_cid(2)), IsEmpty());
  EXPECT_THAT(find(alice, numbered_cid(3)), IsEmpty());
}

TEST_F(DirectoryTest, RepeatsTheNumberOfTheQuestion) {
  const auto alice = connect("alice");
  say(alice, Find{(std::uint64_t{1} << 53) - 1, numbered_cid(1)});
  EXPECT_EQ(heard_one<Providers>(alice).id, (std::uint64_t{1} << 53) - 1);
}

TEST_F(DirectoryTest, ComparesCidsByMultihash) {
  const auto alice = connect("alice");
  const auto bob = connect("bob");
  say(alice, Announce{{ContentId::v0(Digest256{7}), ContentId::v1(Codec::kRaw, Digest256{7})}});
  EXPECT_EQ(directory_.announced(), 1U);
  EXPECT_THAT(find(bob, ContentId::v1(Codec::kDagPb, Digest256{7})), ElementsAre("alice"));
  say(alice, Withdraw{{ContentId::v1(Codec::kDagCbor, Digest256{7})}});
  EXPECT_THAT(find(bob, ContentId::v0(Digest256{7})), IsEmpty());
}

TEST_F(DirectoryTest, ForgetsWhatIsWithdrawnOrLeft) {
  const auto alice = connect("alice");
  const auto bob = connect("bob");
  const auto carol = connect("carol");
  for (const auto id : {alice, bob}) say(id, Announce{numbered_cids(0, 4)});
  say(alice, Withdraw{{numbered_cid(0), numbered_cid(9)}});
  EXPECT_THAT(find(carol, numbered_cid(0)), ElementsAre("bob"));
  directory_.disconnect(bob);
  EXPECT_THAT(find(carol, numbered_cid(0)), IsEmpty());
  EXPECT_THAT(find(carol, numbered_cid(1)), ElementsAre("alice"));
  directory_.disconnect(alice);
  EXPECT_EQ(directory_.announced(), 0U);
  EXPECT_EQ(directory_.connections(), 1U);
}

TEST_F(DirectoryTest, NamesAtMost32ProvidersAndAllInTheirTurn) {
  const auto asker = connect("asker");
  for (int i = 0; i < 50; ++i) say(connect("p" + std::to_string(i)), Announce{{numbered_cid(1)}});
  std::set<std::string> named;
  std::map<std::string, int> first;
  for (int i = 0; i < 50; ++i) {
    const auto peers = find(asker, numbered_cid(1));
    ASSERT_THAT(peers, SizeIs(32));
    EXPECT_THAT(std::set(peers.begin(), peers.end()), SizeIs(32));
    named.insert(peers.begin(), peers.end());
    ++first[peers[0]];
  }
  EXPECT_THAT(named, SizeIs(50));
  EXPECT_LE(std::ranges::max_element(first, {}, [](const auto& entry) { return entry.second; })->second, 3);
}

TEST_F(DirectoryTest, SpreadsTheFirstPlaceAmongFewProviders) {
  const auto asker = connect("asker");
  for (const auto* name : {"a", "b", "c"}) say(connect(name), Announce{{numbered_cid(1)}});
  std::set<std::string> first;
  for (int i = 0; i < 3; ++i) first.insert(find(asker, numbered_cid(1)).at(0));
  EXPECT_THAT(first, SizeIs(3));
}

TEST_F(DirectoryTest, NamesProvidersNextToTheAskerFirst) {
  const auto asker = connect("asker", "198.51.100.7");
  const std::vector<std::pair<const char*, const char*>> providers = {
      {"far", "203.0.113.9"},
      {"region", "198.51.7.7"},
      {"network", "198.51.100.200"},
      {"v6", "2001:db8::1"},
  };
  for (const auto& [name, address] : providers) say(connect(name, address), Announce{{numbered_cid(1)}});
  const auto near = find(asker, numbered_cid(1));
  ASSERT_THAT(near, SizeIs(4));
  EXPECT_EQ(near[0], "network");
  EXPECT_EQ(near[1], "region");

  say(connect("same-network", "2001:db8:0:ffff::2"), Announce{{numbered_cid(2)}});
  say(connect("v4", "198.51.100.8"), Announce{{numbered_cid(2)}});
  EXPECT_EQ(find(connect("v6-asker", "2001:db8::3"), numbered_cid(2))[0], "same-network");
}

TEST_F(DirectoryTest, FindsTheNearOnesAmongManyFarOnes) {
  for (int i = 0; i < 5000; ++i) {
    const std::string address = "10." + std::to_string(i / 200) + "." + std::to_string(i % 200) + ".1";
    say(connect("far" + std::to_string(i), address), Announce{{numbered_cid(1)}});
  }
  say(connect("near", "10.12.77.2"), Announce{{numbered_cid(1)}});
  const auto asker = connect("asker", "10.12.77.3");
  for (int i = 0; i < 20; ++i) {
    const auto peers = find(asker, numbered_cid(1));
    EXPECT_THAT(peers, SizeIs(32));
    EXPECT_THAT(std::vector(peers.begin(), peers.begin() + 2), UnorderedElementsAre("near", "far2477"));
  }
}

TEST_F(DirectoryTest, NamesIdleProvidersBeforeBusyOnes) {
  const auto asker = connect("asker");
  for (const auto* name : {"a", "b", "c"}) say(connect(name), Announce{{numbered_cid(1)}});
  for (int i = 0; i < 3; ++i) say(asker, Offer{"a", "s" + std::to_string(i), "offer"});
  say(asker, Offer{"b", "s", "offer"});
  take();
  for (int i = 0; i < 3; ++i) EXPECT_THAT(find(asker, numbered_cid(1)), ElementsAre("c", "b", "a"));
  now_ += std::chrono::seconds(60);
  std::set<std::string> first;
  for (int i = 0; i < 3; ++i) first.insert(find(asker, numbered_cid(1)).at(0));
  EXPECT_THAT(first, SizeIs(3)) << "sessions that are over count no more";
}

TEST_F(DirectoryTest, NamesFarProvidersByHowFastTheyAnswer) {
  const auto asker = connect("asker", "198.51.100.7");
  const auto slow = connect("slow", "203.0.113.1");
  const auto quick = connect("quick", "192.0.2.1");
  const auto unknown = connect("unknown", "192.0.2.2");
  for (const auto id : {slow, quick, unknown}) say(id, Announce{{numbered_cid(1)}});
  directory_.handle_round_trip(slow, std::chrono::milliseconds(400));
  directory_.handle_round_trip(quick, std::chrono::milliseconds(10));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(find(asker, numbered_cid(1)), ElementsAre("quick", "unknown", "slow"));
}

TEST_F(DirectoryTest, ForgetsAnAnnouncementThatIsNotRepeated) {
  const auto alice = connect("alice");
  const auto bob = connect("bob");
  say(alice, Announce{{numbered_cid(1), numbered_cid(2)}});
  EXPECT_EQ(directory_.next_wakeup(), now_ + std::chrono::minutes(30));
  now_ += std::chrono::minutes(15);
  say(alice, Announce{{numbered_cid(1)}});
  now_ += std::chrono::minutes(15);
  directory_.handle_wakeup(now_);
  EXPECT_EQ(directory_.announced(), 1U);
  EXPECT_EQ(directory_.next_wakeup(), now_ + std::chrono::minutes(15));
  EXPECT_THAT(find(bob, numbered_cid(1)), ElementsAre("alice"));
  EXPECT_THAT(find(bob, numbered_cid(2)), IsEmpty());
  now_ += std::chrono::minutes(15);
  directory_.handle_wakeup(now_);
  EXPECT_EQ(directory_.announced(), 0U);
  EXPECT_EQ(directory_.next_wakeup(), std::nullopt);
}

TEST_F(DirectoryTest, SpreadsClientsOverTimeWhenItLeaves) {
  std::vector<ConnectionId> ids;
  for (int i = 0; i < 200; ++i) ids.push_back(connect("p" + std::to_string(i)));
  EXPECT_EQ(directory_.leave(std::chrono::seconds(10)), std::chrono::seconds(2));
  std::vector<std::uint64_t> times;
  for (const Output& output : take()) {
    times.push_back(std::get<Moving>(parse_server_message(std::get<Send>(output).text).value()).after_ms);
  }
  ASSERT_THAT(times, SizeIs(200));
  EXPECT_EQ(times[0], 0U);
  EXPECT_EQ(times[100], 1000U);
  EXPECT_EQ(times[199], 1990U);
  EXPECT_EQ(directory_.leave(std::chrono::milliseconds(100)), std::chrono::milliseconds(100));
}

TEST_F(DirectoryTest, TellsNewIceServersToThoseWhoAreHereAndThoseWhoCome) {
  const auto alice = connect("alice");
  directory_.set_ice_servers({{{"turn:x"}, "u", "c"}});
  EXPECT_EQ(heard_one<IceServers>(alice).servers.at(0).username, "u");
  const auto bob = directory_.connect("192.0.2.1", "bob", kChallenge);
  EXPECT_EQ(heard_one<Welcome>(*bob).ice_servers.at(0).credential, "c");
}

TEST_F(DirectoryTest, LimitsWhatOneAddressAnnounces) {
  std::vector<ConnectionId> ids;
  for (int i = 0; i < 9; ++i) {
    ids.push_back(connect("p" + std::to_string(i), "192.0.2.1"));
    for (std::uint32_t k = 0; k < 64; ++k) say(ids.back(), Announce{numbered_cids(k * 256, (k + 1) * 256)});
    now_ += std::chrono::seconds(1);
  }
  EXPECT_EQ(directory_.announced(), 131'072U);
  EXPECT_THAT(take(), SizeIs(64)) << "each announcement of the ninth is refused";
  say(connect("other", "192.0.2.2"), Announce{{numbered_cid(1)}});
  EXPECT_EQ(directory_.announced(), 131'073U);
  directory_.disconnect(ids[0]);
  say(ids[8], Announce{{numbered_cid(1)}});
  EXPECT_EQ(directory_.announced(), 131'073U - 16'384U + 1);
}

TEST_F(DirectoryTest, LimitsTheRateOfOneAddress) {
  std::vector<ConnectionId> ids;
  for (int i = 0; i < 11; ++i) ids.push_back(connect("p" + std::to_string(i), "192.0.2.1"));
  for (int i = 0; i < 6000; ++i) say(ids[i % 10], Withdraw{});
  EXPECT_THAT(take(), IsEmpty());
  say(ids[10], Withdraw{});
  EXPECT_EQ(refusal_of(ids[10]), "rate-limited");
  const auto other = connect("other", "192.0.2.2");
  say(other, Find{1, numbered_cid(1)});
  heard_one<Providers>(other);
}

TEST_F(DirectoryTest, CountsAnIPv6NetworkAsOneAddress) {
  for (int i = 0; i < 256; ++i) connect("a" + std::to_string(i), "2001:db8::" + std::to_string(i));
  EXPECT_FALSE(directory_.connect("2001:db8::ffff:1", "one-more", kChallenge).has_value());
  EXPECT_TRUE(directory_.connect("2001:db8:0:1::1", "other", kChallenge).has_value());
}

class SearchingTest : public DirectoryTest {
 protected:
  SearchingTest() : DirectoryTest({.searchers = 1}) {}

  // Asks, and takes the first answer and what is to be searched.
  std::pair<Providers, std::vector<Search>> ask(ConnectionId id, std::uint64_t number, const ContentId& cid) {
    say(id, Find{number, cid});
    std::optional<Providers> answer;
    std::vector<Search> searches;
    for (const Output& output : take()) {
      if (const auto* search = std::get_if<Search>(&output)) {
        searches.push_back(*search);
      } else {
        EXPECT_THAT(searches, IsEmpty()) << "the answer comes first";
        answer = std::get<Providers>(parse_server_message(std::get<Send>(output).text).value());
      }
    }
    return {answer.value(), searches};
  }
};

const Elsewhere kCarol{"carol", "wss://example.net/rendezvous"};

TEST_F(SearchingTest, SearchesWhenFewAreKnownHere) {
  const auto asker = connect("asker");
  for (const auto* name : {"a", "b", "c"}) say(connect(name), Announce{{numbered_cid(1)}});
  const auto [few, searches] = ask(asker, 1, numbered_cid(1));
  EXPECT_THAT(few.peers, SizeIs(3));
  EXPECT_TRUE(few.more);
  ASSERT_THAT(searches, SizeIs(1));
  EXPECT_EQ(searches[0].cid, numbered_cid(1));
  say(connect("d"), Announce{{numbered_cid(1)}});
  const auto [enough, none] = ask(asker, 2, numbered_cid(1));
  EXPECT_THAT(enough.peers, SizeIs(4));
  EXPECT_FALSE(enough.more);
  EXPECT_THAT(none, IsEmpty());
}

TEST_F(SearchingTest, GivesWhatASearchFoundToAllWhoAskedMeanwhile) {
  const auto alice = connect("alice");
  const auto bob = connect("bob");
  const auto search = ask(alice, 7, numbered_cid(1)).second.at(0).search;
  const auto [answer, again] = ask(bob, 8, ContentId::v1(Codec::kDagPb, numbered_cid(1).multihash()));
  EXPECT_TRUE(answer.more);
  EXPECT_THAT(again, IsEmpty());

  directory_.handle_found(search, {}, {kCarol}, false);
  const auto part = heard_one<Providers>(alice);
  EXPECT_EQ(part.id, 7U);
  EXPECT_THAT(part.elsewhere, ElementsAre(kCarol));
  EXPECT_TRUE(part.more);
  directory_.handle_found(search, {"dave", "bob"}, {}, false);
  EXPECT_THAT(heard_one<Providers>(bob).peers, ElementsAre("dave"));
  directory_.handle_found(search, {}, {}, true);
  const auto last = heard_one<Providers>(bob);
  EXPECT_EQ(last.id, 8U);
  EXPECT_EQ(last.cid.codec(), Codec::kDagPb);
  EXPECT_FALSE(last.more);
  directory_.handle_found(search, {}, {kCarol}, true);
  EXPECT_THAT(take(), IsEmpty());
  EXPECT_EQ(directory_.next_wakeup(), std::nullopt);
}

TEST_F(SearchingTest, PassesOnOnlyWhatIsWellFormedAndNotTooMuch) {
  const auto alice = connect("alice");
  std::vector<Elsewhere> found{{"a b", kCarol.rendezvous},
                               {"http", "http://example.net/"},
                               {"long", "wss://example.net/" + std::string(512, 'x')}};
  for (int i = 0; i < 20; ++i) found.push_back({"p" + std::to_string(i), kCarol.rendezvous});
  directory_.handle_found(ask(alice, 1, numbered_cid(1)).second.at(0).search, {}, found, true);
  const auto elsewhere = heard_one<Providers>(alice).elsewhere;
  ASSERT_THAT(elsewhere, SizeIs(16));
  EXPECT_EQ(elsewhere[0].peer, "p0");
}

TEST_F(SearchingTest, EndsASearchThatNobodyAnswers) {
  const auto alice = connect("alice");
  const auto search = ask(alice, 1, numbered_cid(1)).second.at(0).search;
  EXPECT_EQ(directory_.next_wakeup(), now_ + std::chrono::seconds(8));
  now_ += std::chrono::seconds(8);
  directory_.handle_wakeup(now_);
  EXPECT_FALSE(heard_one<Providers>(alice).more);
  directory_.handle_found(search, {}, {kCarol}, true);
  EXPECT_THAT(take(), IsEmpty());
}

TEST_F(SearchingTest, LimitsWhatOneConnectionAndAllLetSearch) {
  std::vector<ConnectionId> others;
  for (int i = 0; i < 1100; ++i) {
    others.push_back(connect("p" + std::to_string(i), "198.51.100." + std::to_string(i % 200)));
  }
  const auto alice = connect("alice");
  std::vector<Search> searches;
  for (std::uint32_t i = 0; i < 20; ++i) {
    const auto [answer, more] = ask(alice, i, numbered_cid(i));
    EXPECT_EQ(answer.more, i < 16);
    searches.insert(searches.end(), more.begin(), more.end());
  }
  ASSERT_THAT(searches, SizeIs(16));
  directory_.handle_found(searches[0].search, {}, {}, true);
  take();
  EXPECT_TRUE(ask(alice, 1, numbered_cid(100)).first.more);
  std::size_t all = 16;
  for (std::uint32_t i = 0; i < 1100; ++i) {
    all += ask(others[i], 1, numbered_cid(1000 + i)).second.size();
  }
  EXPECT_EQ(all, 1024U);
}

TEST_F(SearchingTest, ForgetsAnAskerThatLeft) {
  const auto alice = connect("alice");
  const auto search = ask(alice, 1, numbered_cid(1)).second.at(0).search;
  directory_.disconnect(alice);
  directory_.handle_found(search, {}, {kCarol}, true);
  EXPECT_THAT(take(), IsEmpty());
}

TEST_F(SearchingTest, WaitsForAllWhoSearch) {
  Directory directory(Directory::Options{.searchers = 2});
  const auto alice = *directory.connect("192.0.2.1", "alice", kChallenge);
  directory.handle_message(now_, alice, to_json(ClientMessage{Join{}}));
  directory.handle_message(now_, alice, to_json(ClientMessage{Find{1, numbered_cid(1)}}));
  std::vector<Providers> answers;
  const auto listen = [&] {
    while (auto output = directory.poll_output()) {
      const auto* send = std::get_if<Send>(&*output);
      auto message = send == nullptr ? Result<ServerMessage>(Welcome{}) : parse_server_message(send->text);
      if (const auto* one = std::get_if<Providers>(&*message)) answers.push_back(*one);
    }
  };
  directory.handle_found(SearchId{1}, {}, {kCarol}, true);
  directory.handle_found(SearchId{1}, {}, {}, false);
  listen();
  ASSERT_THAT(answers, SizeIs(2)) << "one from here, one with carol";
  EXPECT_TRUE(answers[1].more);
  directory.handle_found(SearchId{1}, {"dave"}, {}, true);
  listen();
  ASSERT_THAT(answers, SizeIs(3));
  EXPECT_THAT(answers[2].peers, ElementsAre("dave"));
  EXPECT_FALSE(answers[2].more);
}

TEST_F(DirectoryTest, PassesOfferAnswerAndCandidatesBetweenTwoPeers) {
  const auto alice = connect("alice");
  const auto bob = connect("bob");
  say(alice, Offer{"bob", "s1", "v=0\r\no=- \"x\""});
  EXPECT_EQ(heard_one<Offer>(bob), (Offer{"alice", "s1", "v=0\r\no=- \"x\""}));
  say(alice, Candidate{"bob", "s1", "candidate:1", "0"});
  EXPECT_EQ(heard_one<Candidate>(bob), (Candidate{"alice", "s1", "candidate:1", "0"}));
  say(bob, Answer{"alice", "s1", "answer"});
  EXPECT_EQ(heard_one<Answer>(alice), (Answer{"bob", "s1", "answer"}));
  say(bob, Candidate{"alice", "s1", "", ""});
  EXPECT_EQ(heard_one<Candidate>(alice), (Candidate{"bob", "s1", "", ""}));
  EXPECT_EQ(directory_.sessions(), 1U);
}

TEST_F(DirectoryTest, DoesNotPassAnAnswerThatNobodyOffered) {
  const auto alice = connect("alice");
  const auto bob = connect("bob");
  say(bob, Answer{"alice", "s1", "answer"});
  EXPECT_EQ(refusal_of(bob), "no-session");
  say(alice, Offer{"bob", "s1", "offer"});
  take();
  say(alice, Answer{"bob", "s1", "the offerer's own answer"});
  EXPECT_EQ(refusal_of(alice), "no-session");
  say(bob, Answer{"alice", "s2", "another session"});
  EXPECT_EQ(refusal_of(bob), "no-session");
}

TEST_F(DirectoryTest, DoesNotPassCandidatesOutsideASession) {
  const auto alice = connect("alice");
  connect("bob");
  const auto mallory = connect("mallory");
  say(alice, Offer{"bob", "s1", "offer"});
  take();
  say(mallory, Candidate{"bob", "s1", "candidate:1", "0"});
  EXPECT_EQ(refusal_of(mallory), "no-session");
  say(mallory, Answer{"alice", "s1", "answer"});
  EXPECT_EQ(refusal_of(mallory), "no-session");
}

TEST_F(DirectoryTest, SaysWhichPeerIsUnreachable) {
  const auto alice = connect("alice");
  const auto bob = connect("bob");
  say(alice, Offer{"nobody", "s1", "offer"});
  EXPECT_EQ(heard_one<Unreachable>(alice), (Unreachable{"nobody", "s1"}));
  say(alice, Offer{"bob", "s2", "offer"});
  take();
  directory_.disconnect(bob);
  say(alice, Candidate{"bob", "s2", "candidate:1", "0"});
  EXPECT_EQ(heard_one<Unreachable>(alice), (Unreachable{"bob", "s2"}));
}

TEST_F(DirectoryTest, ForgetsASessionAfterAMinuteWithoutAMessage) {
  const auto alice = connect("alice");
  const auto bob = connect("bob");
  EXPECT_EQ(directory_.next_wakeup(), std::nullopt);
  say(alice, Offer{"bob", "s1", "offer"});
  EXPECT_EQ(directory_.next_wakeup(), now_ + std::chrono::seconds(60));
  now_ += std::chrono::seconds(59);
  take();
  say(alice, Candidate{"bob", "s1", "candidate:1", "0"});
  heard_one<Candidate>(bob);
  now_ += std::chrono::seconds(59);
  directory_.handle_wakeup(now_);
  EXPECT_EQ(directory_.sessions(), 1U);
  now_ += std::chrono::seconds(1);
  say(bob, Answer{"alice", "s1", "late"});
  EXPECT_EQ(refusal_of(bob), "no-session");
  EXPECT_EQ(directory_.sessions(), 0U);
}

TEST_F(DirectoryTest, ForgetsTheSessionsOfWhoLeft) {
  const auto alice = connect("alice");
  connect("bob");
  say(alice, Offer{"bob", "s1", "offer"});
  directory_.disconnect(alice);
  EXPECT_EQ(directory_.sessions(), 0U);
  EXPECT_EQ(directory_.next_wakeup(), std::nullopt);
}

TEST_F(DirectoryTest, LimitsOpenSessionsOfAnOfferer) {
  const auto alice = connect("alice");
  const auto bob = connect("bob");
  for (int i = 0; i < 512; ++i) say(alice, Offer{"bob", "s" + std::to_string(i), "offer"});
  EXPECT_THAT(heard_by(bob), SizeIs(512));
  say(alice, Offer{"bob", "one-more", "offer"});
  EXPECT_EQ(refusal_of(alice), "too-many");
  say(alice, Offer{"bob", "s0", "again"});
  EXPECT_EQ(heard_one<Offer>(bob).sdp, "again");
  say(bob, Offer{"alice", "one-more", "offer"});
  EXPECT_EQ(heard_one<Offer>(alice).session, "one-more");
  now_ += std::chrono::seconds(60);
  say(alice, Offer{"bob", "one-more", "offer"});
  EXPECT_EQ(heard_one<Offer>(bob).session, "one-more");
}

TEST_F(DirectoryTest, LimitsWhatOneConnectionAnnounces) {
  const auto alice = connect("alice");
  for (std::uint32_t i = 0; i < 64; ++i) say(alice, Announce{numbered_cids(i * 256, (i + 1) * 256)});
  EXPECT_THAT(take(), IsEmpty());
  EXPECT_EQ(directory_.announced(), 16'384U);
  say(alice, Announce{numbered_cids(16'380, 16'386)});
  const auto refusal = heard_one<Refusal>(alice);
  EXPECT_EQ(refusal.code, "too-many");
  EXPECT_THAT(refusal.message, HasSubstr("2 CIDs"));
  EXPECT_EQ(directory_.announced(), 16'384U);
  say(alice, Withdraw{{numbered_cid(0)}});
  say(alice, Announce{{numbered_cid(20'000)}});
  EXPECT_THAT(take(), IsEmpty());
}

TEST_F(DirectoryTest, LimitsWhatAllAnnounce) {
  Directory directory(Directory::Options{.max_announced_all = 3});
  const auto alice = *directory.connect("192.0.2.1", "alice", kChallenge);
  const auto bob = *directory.connect("192.0.2.2", "bob", kChallenge);
  for (const auto id : {alice, bob}) directory.handle_message(now_, id, to_json(ClientMessage{Join{}}));
  directory.handle_message(now_, alice, to_json(ClientMessage{Announce{numbered_cids(0, 2)}}));
  directory.handle_message(now_, bob, to_json(ClientMessage{Announce{numbered_cids(0, 2)}}));
  EXPECT_EQ(directory.announced(), 3U);
  directory.disconnect(alice);
  EXPECT_EQ(directory.announced(), 1U);
}

TEST_F(DirectoryTest, LimitsConnectionsOfAnAddress) {
  ConnectionId last;
  for (int i = 0; i < 256; ++i) last = connect("a" + std::to_string(i), "192.0.2.1");
  const auto refused = directory_.connect("192.0.2.1", "one-more", kChallenge);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("192.0.2.1"));
  connect("other", "192.0.2.2");
  directory_.disconnect(last);
  connect("one-more", "192.0.2.1");
}

TEST_F(DirectoryTest, LetsLoopbackHaveMore) {
  for (int i = 0; i < 4096; ++i) connect("a" + std::to_string(i), "127.0.0.1");
  EXPECT_FALSE(directory_.connect("127.0.0.1", "one-more", kChallenge).has_value());
}

TEST_F(DirectoryTest, LimitsTheRateAndClosesWhoGoesOn) {
  const auto alice = connect("alice");
  const auto ask = [&] { say(alice, Find{1, numbered_cid(1)}); };
  for (int i = 0; i < 600; ++i) ask();
  EXPECT_THAT(heard_by(alice), Each(testing::VariantWith<Providers>(testing::_)));
  ask();
  EXPECT_EQ(refusal_of(alice), "rate-limited");
  now_ += std::chrono::seconds(1);
  for (int i = 0; i < 60; ++i) ask();
  EXPECT_THAT(heard_by(alice), Each(testing::VariantWith<Providers>(testing::_)));
  for (int i = 0; i < 998; ++i) {
    now_ += std::chrono::microseconds(16);  // A thousand times as fast as the bucket fills.
    ask();
  }
  EXPECT_EQ(directory_.connections(), 1U);
  while (directory_.connections() == 1 && now_ < Time(std::chrono::hours(2))) {
    now_ += std::chrono::microseconds(16);
    ask();
  }
  const auto outputs = take();
  EXPECT_EQ(std::get<Close>(outputs.back()).code, CloseCode::kPolicy);
  ask();
  directory_.disconnect(alice);
  EXPECT_THAT(take(), IsEmpty());
}

TEST_F(DirectoryTest, ForgivesWhatWasRefusedOnceTheBucketIsFull) {
  const auto alice = connect("alice");
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 600 + 999; ++i) say(alice, Find{1, numbered_cid(1)});
    now_ += std::chrono::seconds(10);
  }
  EXPECT_EQ(directory_.connections(), 1U);
}

TEST_F(DirectoryTest, ClosesOnAMessageOver64KiB) {
  const auto alice = connect("alice");
  say_text(alice, std::string(kMaxMessage + 1, ' '));
  const auto outputs = take();
  ASSERT_THAT(outputs, SizeIs(1));
  EXPECT_EQ(std::get<Close>(outputs[0]).code, CloseCode::kTooBig);
}

TEST_F(DirectoryTest, DoesNotPassOnWhatWouldBeOver64KiBThen) {
  const auto alice = connect("a-peer-with-a-long-name");
  const auto bob = connect("bob");
  Offer offer{"bob", "s1", ""};
  offer.sdp.assign(kMaxMessage - to_json(ClientMessage{offer}).size(), 'x');
  say(alice, offer);
  auto outputs = take();
  ASSERT_THAT(outputs, SizeIs(1));
  EXPECT_EQ(std::get<Send>(outputs[0]).connection, alice);
  EXPECT_THAT(std::get<Send>(outputs[0]).text, HasSubstr("too-large"));
  offer.sdp.resize(offer.sdp.size() - 100);
  say(alice, offer);
  heard_one<Offer>(bob);
}

TEST_F(DirectoryTest, RefusesWhatIsMalformed) {
  const auto alice = connect("alice");
  const std::string cid = numbered_cid(1).to_string();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "malformed"},
      {"nonsense", "malformed"},
      {"[]", "malformed"},
      {"null", "malformed"},
      {"{}", "malformed"},
      {R"({"type":1})", "malformed"},
      {R"({"type":"welcome"})", "unknown-type"},
      {R"({"type":"find"} {})", "malformed"},
      {"{\"type\":\"\xff\"}", "malformed"},
      {R"({"type":"find","id":1})", "malformed"},
      {R"({"type":"find","id":-1,"cid":")" + cid + "\"}", "malformed"},
      {R"({"type":"find","id":1e3,"cid":")" + cid + "\"}", "malformed"},
      {R"({"type":"find","id":9007199254740992,"cid":")" + cid + "\"}", "malformed"},
      {R"({"type":"find","id":1e999,"cid":")" + cid + "\"}", "malformed"},
      {R"({"type":"find","id":1,"cid":["x"]})", "malformed"},
      {R"({"type":"find","id":1,"cid":"Qm"})", "malformed"},
      {R"({"type":"find","id":1,"cid":")" + std::string(513, 'b') + "\"}", "too-large"},
      {R"({"type":"announce","cids":{}})", "malformed"},
      {R"({"type":"announce","cids":["x"]})", "malformed"},
      {R"({"type":"announce","cids":[)" + std::string(512, '1') + "]}", "malformed"},
      {R"({"type":"withdraw"})", "malformed"},
      {R"({"type":"offer","to":"","session":"s","sdp":""})", "malformed"},
      {R"({"type":"offer","to":"b b","session":"s","sdp":""})", "malformed"},
      {R"({"type":"offer","to":"bob","session":")" + std::string(65, 's') + R"(","sdp":""})", "malformed"},
      {R"({"type":"offer","to":"bob","session":"s","sdp":null})", "malformed"},
      {R"({"type":"answer","to":"bob","session":"s"})", "malformed"},
      {R"({"type":"candidate","to":"bob","session":"s","mid":"0"})", "malformed"},
      {std::string(kMaxMessage, '['), "malformed"},
      {R"({"type":)" + std::string(30'000, '[') + std::string(30'000, ']') + "}", "malformed"},
  };
  for (const auto& [text, code] : cases) {
    say_text(alice, text);
    EXPECT_EQ(refusal_of(alice), code) << text.substr(0, 200);
  }
  std::string many = R"({"type":"announce","cids":[)";
  for (int i = 0; i < 257; ++i) many += "\"" + cid + "\",";
  many.back() = ']';
  say_text(alice, many + "}");
  EXPECT_EQ(refusal_of(alice), "too-large");
}

TEST_F(DirectoryTest, IgnoresUnknownMembersHoweverDeep) {
  const auto alice = connect("alice");
  say_text(alice, R"({"type":"find","id":1,"cid":")" + numbered_cid(1).to_string() + R"(","new":)" +
                      std::string(20'000, '[') + std::string(20'000, ']') + R"(,"other":{"a":[1,{"b":2}]}})");
  heard_one<Providers>(alice);
}

TEST_F(DirectoryTest, RefusesAFindByItsNumber) {
  const auto alice = connect("alice");
  say_text(alice, R"({"type":"find","id":7,"cid":"nonsense"})");
  EXPECT_EQ(heard_one<Refusal>(alice).id, 7U);
}

TEST_F(DirectoryTest, SurvivesMutationsOfValidMessages) {
  std::mt19937 random(20240607);
  const auto pick = [&](std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random); };
  std::vector<ConnectionId> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(connect("p" + std::to_string(i)));
  const std::vector<ClientMessage> valid = {
      Announce{numbered_cids(0, 3)},  Withdraw{numbered_cids(1, 2)},       Find{3, numbered_cid(1)},
      Offer{"p1", "s1", "v=0\r\n"},   Answer{"p0", "s1", "v=0\r\n\u00fc"}, Candidate{"p1", "s1", "candidate:1", "0"},
      Candidate{"p2", "s2", "", "0"}, Offer{"p2", "s2", "\"\\"},
  };
  constexpr std::string_view kPieces[] = {"{", "}", "[", "]", "\"", "\\u", "\\", ":", ",", "null", "1e9", "\xc3", "p3"};
  for (int round = 0; round < 20'000; ++round) {
    now_ += std::chrono::milliseconds(20);
    std::string text = to_json(valid[pick(valid.size())]);
    for (std::size_t change = pick(4); change > 0; --change) {
      const std::size_t at = pick(text.size());
      switch (pick(4)) {
        case 0: text[at] = static_cast<char>(pick(256)); break;
        case 1: text.erase(at, pick(8)); break;
        case 2: text.insert(at, kPieces[pick(std::size(kPieces))]); break;
        default: text.insert(at, text.substr(pick(text.size()), pick(32))); break;
      }
      if (text.empty()) text = "{";
    }
    const std::size_t who = pick(ids.size());
    if (pick(200) == 0) {
      directory_.disconnect(ids[who]);
      ids[who] = connect("p" + std::to_string(who));
    }
    say_text(ids[who], text);
    for (const Output& output : take()) {
      if (const auto* send = std::get_if<Send>(&output)) {
        ASSERT_TRUE(parse_server_message(send->text).has_value()) << text << " -> " << send->text;
      }
    }
  }
  for (const auto id : ids) directory_.disconnect(id);
  EXPECT_EQ(directory_.announced(), 0U);
  EXPECT_EQ(directory_.sessions(), 0U);
  EXPECT_EQ(directory_.connections(), 0U);
}

TEST(ServerMessage, NamesProvidersInJsonWhateverTheyAreCalled) {
  const std::string cid = numbered_cid(1).to_string();
  EXPECT_EQ(to_json(ServerMessage{Providers{7, numbered_cid(1), {}}}),
            R"({"cid":")" + cid + R"(","id":7,"peers":[],"type":"providers"})");
  EXPECT_EQ(to_json(ServerMessage{Providers{7, numbered_cid(1), {"a", "b-_9"}, {}, true}}),
            R"({"cid":")" + cid + R"(","id":7,"more":true,"peers":["a","b-_9"],"type":"providers"})");
  EXPECT_EQ(to_json(ServerMessage{Providers{7, numbered_cid(1), {R"(a"b)"}}}),
            R"({"cid":")" + cid + R"(","id":7,"peers":["a\"b"],"type":"providers"})")
      << "no name of a peer's, but JSON";
  EXPECT_EQ(to_json(ServerMessage{Providers{7, numbered_cid(1), {"a"}, {{"b", "ws://x/"}}}}),
            R"({"cid":")" + cid +
                R"(","elsewhere":[{"peer":"b","rendezvous":"ws://x/"}],"id":7,"peers":["a"],"type":"providers"})");
}

TEST(ParseServerMessage, RefusesAnotherVersionAndWhatIsUnknown) {
  EXPECT_EQ(parse_server_message(R"({"type":"welcome","version":2,"peer":"a","maxAnnounced":1})").error().code,
            ErrorCode::kUnsupported);
  EXPECT_EQ(parse_server_message(R"({"type":"surprise"})").error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(parse_server_message(R"({"type":"unreachable","peer":"a b","session":"s"})").error().code,
            ErrorCode::kMalformed);
  EXPECT_EQ(parse_server_message(std::string(kMaxMessage + 1, ' ')).error().code, ErrorCode::kTooLarge);
}

TEST(ParseServerMessage, LeavesOutProvidersElsewhereThatAreMalformed) {
  std::string text = R"({"type":"providers","id":1,"cid":")" + numbered_cid(1).to_string() +
                     R"(","peers":[],"more":1,"elsewhere":[7,{},{"peer":"a b","rendezvous":"ws://x/"},)"
                     R"({"peer":"a","rendezvous":"https://x/"},{"peer":"b"},)"
                     R"({"peer":"c","rendezvous":"wss://example.net/rendezvous"})";
  for (int i = 0; i < 30; ++i) text += R"(,{"peer":"p","rendezvous":"ws://x/"})";
  const auto message = parse_server_message(text + "]}");
  ASSERT_TRUE(message.has_value());
  const auto& providers = std::get<Providers>(*message);
  EXPECT_THAT(providers.elsewhere, SizeIs(16));
  EXPECT_EQ(providers.elsewhere[0], (Elsewhere{"c", "wss://example.net/rendezvous"}));
  EXPECT_FALSE(providers.more);
  EXPECT_EQ(std::get<Providers>(parse_server_message(to_json(ServerMessage{providers})).value()).elsewhere,
            providers.elsewhere);
}

TEST(ParseServerMessage, TakesIceServersInEitherFormAndLeavesOutOthers) {
  const auto message = parse_server_message(
      R"({"type":"welcome","version":1,"peer":"a","maxAnnounced":1,
          "challenge":"AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","iceServers":[
          {"urls":"stun:one"},{"urls":["turn:two"],"username":"u","credential":"c"},{"urls":7},"x"]})");
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(std::get<Welcome>(*message),
            (Welcome{"a", {{{"stun:one"}, "", ""}, {{"turn:two"}, "u", "c"}}, 1, kChallenge}));
}

}  // namespace
}  // namespace codio::rendezvous
