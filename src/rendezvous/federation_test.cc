// Several directories on a simulated bus.
#include "rendezvous/federation.h"

#include <deque>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <random>
#include <utility>

namespace codio::rendezvous {
namespace {

using content_id::Codec;
using content_id::ContentId;
using content_id::Digest256;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

ContentId numbered_cid(std::uint8_t number) { return ContentId::v1(Codec::kRaw, Digest256{number}); }

struct Client {
  std::size_t node;
  ConnectionId connection;
  std::vector<ServerMessage> heard = {};
};

class FederationTest : public testing::Test {
 protected:
  struct Node {
    explicit Node(const std::string& name)
        : directory({.searchers = 1, .can_locate = true}), federation({.node = name}, directory) {}

    Directory directory;
    Federation federation;
    bool is_dead = false;
    bool is_on_bus = false;
  };

  std::size_t add_node() {
    nodes_.push_back(std::make_unique<Node>("node" + std::to_string(nodes_.size())));
    join(nodes_.size() - 1);
    return nodes_.size() - 1;
  }

  void join(std::size_t node) {
    nodes_[node]->is_on_bus = true;
    nodes_[node]->federation.handle_connected(now_);
    run();
  }

  void lose_bus(std::size_t node) {
    nodes_[node]->is_on_bus = false;
    nodes_[node]->federation.handle_disconnected();
    run();
  }

  Client& connect(std::size_t node, const std::string& peer) {
    const auto id = nodes_[node]->directory.connect("192.0.2.1", peer, Challenge{});
    EXPECT_TRUE(id.has_value());
    Client& client = clients_.emplace_back(Client{node, *id});
    say(client, Join{});
    client.heard.clear();
    return client;
  }

  void say(const Client& client, const ClientMessage& message) {
    nodes_[client.node]->directory.handle_message(now_, client.connection, to_json(message));
    run();
  }

  void pass(Duration time) {
    now_ += time;
    for (const auto& node : nodes_) {
      if (node->is_dead) continue;
      node->directory.handle_wakeup(now_);
      node->federation.handle_wakeup(now_);
    }
    run();
  }

  // All that was found, until the last answer.
  std::vector<std::string> find(Client& client, const ContentId& cid) {
    client.heard.clear();
    say(client, Find{1, cid});
    std::vector<std::string> peers;
    bool is_last = false;
    for (const ServerMessage& message : std::exchange(client.heard, {})) {
      const auto& answer = std::get<Providers>(message);
      EXPECT_FALSE(is_last);
      is_last = !answer.more;
      peers.insert(peers.end(), answer.peers.begin(), answer.peers.end());
    }
    EXPECT_TRUE(is_last);
    return peers;
  }

  template <class Message>
  Message heard_one(Client& client) {
    EXPECT_THAT(client.heard, SizeIs(1));
    if (client.heard.size() != 1 || !std::holds_alternative<Message>(client.heard[0])) {
      ADD_FAILURE() << "another message" << (client.heard.empty() ? "" : ": " + to_json(client.heard[0]));
      std::abort();
    }
    return std::get<Message>(std::exchange(client.heard, {})[0]);
  }

  // What a server does: carries outputs until there are none.
  void run() {
    bool is_busy = true;
    while (is_busy) {
      is_busy = false;
      for (std::size_t i = 0; i < nodes_.size(); ++i) {
        Node& node = *nodes_[i];
        while (auto output = node.directory.poll_output()) {
          is_busy = true;
          std::visit([&](auto& one) { carry_out(i, one); }, *output);
        }
        while (auto output = node.federation.poll_output()) {
          is_busy = true;
          if (node.is_on_bus && !node.is_dead) deliver(i, *output);
        }
      }
    }
  }

  void deliver(std::size_t from, const Publish& output) {
    EXPECT_LE(output.text.size(), kMaxBusMessage);
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      Node& node = *nodes_[i];
      if (i == from || node.is_dead || !node.is_on_bus) continue;
      if (output.node.empty() || output.node == node.federation.node()) {
        node.federation.handle_bus_message(now_, output.text);
      }
    }
    ++published_;
  }

  void carry_out(std::size_t node, Send& output) {
    if (nodes_[node]->is_dead || nodes_[node]->federation.handle_send(now_, output)) return;
    for (Client& client : clients_) {
      if (client.node != node || client.connection != output.connection) continue;
      auto message = parse_server_message(output.text);
      ASSERT_TRUE(message.has_value()) << output.text;
      client.heard.push_back(*std::move(message));
    }
  }
  void carry_out(std::size_t node, Close& output) { nodes_[node]->federation.handle_close(output); }
  void carry_out(std::size_t node, Search& output) { nodes_[node]->federation.handle_search(now_, output); }
  void carry_out(std::size_t node, Locate& output) { nodes_[node]->federation.handle_locate(now_, std::move(output)); }

  std::vector<std::unique_ptr<Node>> nodes_;
  std::deque<Client> clients_;
  std::size_t published_ = 0;
  Time now_{std::chrono::hours(1)};
};

TEST_F(FederationTest, FindsPeersOfAllNodes) {
  for (int i = 0; i < 3; ++i) add_node();
  EXPECT_EQ(nodes_[0]->federation.nodes(), 2U);
  Client& alice = connect(0, "alice");
  say(connect(0, "local"), Announce{{numbered_cid(1)}});
  say(connect(1, "bob"), Announce{{numbered_cid(1)}});
  say(connect(2, "carol"), Announce{{numbered_cid(1), numbered_cid(2)}});
  EXPECT_THAT(find(alice, numbered_cid(1)), UnorderedElementsAre("local", "bob", "carol"));
  EXPECT_THAT(find(alice, numbered_cid(2)), ElementsAre("carol"));
  EXPECT_THAT(find(alice, numbered_cid(3)), IsEmpty());
}

TEST_F(FederationTest, AsksNobodyWhenEnoughAreHere) {
  add_node();
  add_node();
  for (const auto* name : {"a", "b", "c", "d"}) say(connect(0, name), Announce{{numbered_cid(1)}});
  Client& alice = connect(0, "alice");
  published_ = 0;
  EXPECT_THAT(find(alice, numbered_cid(1)), SizeIs(4));
  EXPECT_EQ(published_, 0U);
}

TEST_F(FederationTest, PassesOfferAnswerAndCandidatesBetweenNodes) {
  add_node();
  add_node();
  Client& alice = connect(0, "alice");
  Client& bob = connect(1, "bob");
  say(bob, Announce{{numbered_cid(1)}});
  EXPECT_THAT(find(alice, numbered_cid(1)), ElementsAre("bob"));
  say(alice, Offer{"bob", "s1", "the \"offer\"\n"});
  EXPECT_EQ(heard_one<Offer>(bob), (Offer{"alice", "s1", "the \"offer\"\n"}));
  say(alice, Candidate{"bob", "s1", "candidate:1", "0"});
  EXPECT_EQ(heard_one<Candidate>(bob), (Candidate{"alice", "s1", "candidate:1", "0"}));
  say(bob, Answer{"alice", "s1", "answer"});
  EXPECT_EQ(heard_one<Answer>(alice), (Answer{"bob", "s1", "answer"}));
  say(bob, Candidate{"alice", "s1", "", ""});
  EXPECT_EQ(heard_one<Candidate>(alice), (Candidate{"bob", "s1", "", ""}));
}

TEST_F(FederationTest, LetsBothOfferAtOnce) {
  add_node();
  add_node();
  Client& alice = connect(0, "alice");
  Client& bob = connect(1, "bob");
  say(alice, Offer{"bob", "s1", "offer"});
  say(bob, Offer{"alice", "s2", "offer"});
  bob.heard.clear();
  alice.heard.clear();
  say(alice, Answer{"bob", "s2", "answer"});
  EXPECT_EQ(heard_one<Answer>(bob).session, "s2");
  say(alice, Candidate{"bob", "s1", "candidate:1", "0"});
  EXPECT_EQ(heard_one<Candidate>(bob).session, "s1");
  say(bob, Candidate{"alice", "s2", "candidate:1", "0"});
  EXPECT_EQ(heard_one<Candidate>(alice).session, "s2");
}

TEST_F(FederationTest, LocatesAPeerThatNobodyAskedFor) {
  for (int i = 0; i < 3; ++i) add_node();
  Client& alice = connect(0, "alice");
  Client& bob = connect(2, "bob");
  say(alice, Offer{"bob", "s1", "offer"});
  EXPECT_EQ(heard_one<Offer>(bob), (Offer{"alice", "s1", "offer"}));
  EXPECT_THAT(alice.heard, IsEmpty());
}

TEST_F(FederationTest, KeepsTheOrderOfWhatWaitsForALocation) {
  add_node();
  Client& alice = connect(0, "alice");
  lose_bus(0);
  nodes_.push_back(std::make_unique<Node>("node1"));
  join(1);
  Client& bob = connect(1, "bob");
  join(0);
  // Said before the answer of the other node is back.
  auto& directory = nodes_[0]->directory;
  directory.handle_message(now_, alice.connection, to_json(ClientMessage{Offer{"bob", "s1", "offer"}}));
  directory.handle_message(now_, alice.connection, to_json(ClientMessage{Candidate{"bob", "s1", "candidate:1", "0"}}));
  run();
  ASSERT_THAT(bob.heard, SizeIs(2));
  EXPECT_TRUE(std::holds_alternative<Offer>(bob.heard[0]));
  EXPECT_TRUE(std::holds_alternative<Candidate>(bob.heard[1]));
}

TEST_F(FederationTest, SaysWhoIsUnreachable) {
  add_node();
  add_node();
  Client& alice = connect(0, "alice");
  Client& bob = connect(1, "bob");
  say(alice, Offer{"nobody", "s1", "offer"});
  EXPECT_THAT(alice.heard, IsEmpty());
  pass(std::chrono::seconds(1));
  EXPECT_EQ(heard_one<Unreachable>(alice), (Unreachable{"nobody", "s1"}));

  say(alice, Offer{"bob", "s2", "offer"});
  nodes_[1]->directory.disconnect(bob.connection);
  say(alice, Candidate{"bob", "s2", "candidate:1", "0"});
  EXPECT_EQ(heard_one<Unreachable>(alice), (Unreachable{"bob", "s2"}));
  say(alice, Candidate{"bob", "s2", "candidate:2", "0"});
  EXPECT_EQ(heard_one<Unreachable>(alice), (Unreachable{"bob", "s2"}));
}

TEST_F(FederationTest, DoesNotPassWhatNobodyOffered) {
  for (int i = 0; i < 3; ++i) add_node();
  Client& alice = connect(0, "alice");
  Client& bob = connect(1, "bob");
  Client& mallory = connect(2, "mallory");
  say(alice, Offer{"bob", "s1", "offer"});
  bob.heard.clear();
  say(mallory, Offer{"alice", "s9", "offer"});
  alice.heard.clear();
  say(mallory, Answer{"alice", "s1", "answer"});
  say(mallory, Candidate{"alice", "s1", "candidate:1", "0"});
  EXPECT_THAT(alice.heard, IsEmpty());
  EXPECT_THAT(mallory.heard, SizeIs(2));
  for (const auto& message : mallory.heard) EXPECT_EQ(std::get<Refusal>(message).code, "no-session");
}

TEST_F(FederationTest, IgnoresANodeThatSpeaksForPeersThatAreHere) {
  add_node();
  Client& alice = connect(0, "alice");
  Client& bob = connect(0, "bob");
  auto& federation = nodes_[0]->federation;
  federation.handle_bus_message(now_, to_json(BusMessage{"rogue", BusSignal{"bob", Offer{"alice", "s1", "offer"}}}));
  federation.handle_bus_message(now_, to_json(BusMessage{"rogue", BusSignal{"bob", Answer{"carol", "s1", "answer"}}}));
  federation.handle_bus_message(now_, to_json(BusMessage{"rogue", BusSignal{"bob", Unreachable{"alice", "s1"}}}));
  federation.handle_bus_message(now_, to_json(BusMessage{"rogue", BusFound{1, {"carol"}}}));
  run();
  EXPECT_THAT(alice.heard, IsEmpty());
  EXPECT_THAT(bob.heard, IsEmpty());
}

TEST_F(FederationTest, LosesOnlyThePeersOfANodeThatDies) {
  for (int i = 0; i < 3; ++i) add_node();
  Client& alice = connect(0, "alice");
  say(connect(1, "bob"), Announce{{numbered_cid(1)}});
  Client& carol = connect(2, "carol");
  say(carol, Announce{{numbered_cid(1)}});
  EXPECT_THAT(find(alice, numbered_cid(1)), UnorderedElementsAre("bob", "carol"));
  nodes_[1]->is_dead = true;

  say(alice, Find{2, numbered_cid(1)});
  ASSERT_THAT(alice.heard, SizeIs(2));
  EXPECT_THAT(std::get<Providers>(alice.heard[1]).peers, ElementsAre("carol"));
  pass(std::chrono::seconds(1));  // The last answer does not wait for the dead one for longer.
  ASSERT_THAT(alice.heard, SizeIs(3));
  EXPECT_FALSE(std::get<Providers>(alice.heard[2]).more);
  say(alice, Offer{"carol", "s1", "offer"});
  EXPECT_EQ(heard_one<Offer>(carol).peer, "alice");

  for (int i = 0; i < 4; ++i) pass(std::chrono::seconds(10));
  EXPECT_EQ(nodes_[0]->federation.nodes(), 1U);
  EXPECT_THAT(find(alice, numbered_cid(1)), ElementsAre("carol"));
}

TEST_F(FederationTest, LosesOnlyThePeersOfANodeThatLeaves) {
  add_node();
  add_node();
  Client& alice = connect(0, "alice");
  say(connect(1, "bob"), Announce{{numbered_cid(1)}});
  EXPECT_THAT(find(alice, numbered_cid(1)), ElementsAre("bob"));
  nodes_[1]->federation.leave();
  run();
  EXPECT_EQ(nodes_[0]->federation.nodes(), 0U);
  EXPECT_EQ(nodes_[0]->federation.remotes(), 0U);
  EXPECT_THAT(find(alice, numbered_cid(1)), IsEmpty());
}

TEST_F(FederationTest, GoesOnAloneWithoutTheBusAndTogetherWhenItIsBack) {
  add_node();
  add_node();
  Client& alice = connect(0, "alice");
  Client& local = connect(0, "local");
  Client& bob = connect(1, "bob");
  say(local, Announce{{numbered_cid(1)}});
  say(bob, Announce{{numbered_cid(1)}});
  EXPECT_THAT(find(alice, numbered_cid(1)), UnorderedElementsAre("local", "bob"));
  lose_bus(0);
  lose_bus(1);
  EXPECT_THAT(find(alice, numbered_cid(1)), ElementsAre("local"));
  say(alice, Offer{"local", "s1", "offer"});
  EXPECT_EQ(heard_one<Offer>(local).peer, "alice");
  say(alice, Offer{"bob", "s2", "offer"});
  EXPECT_EQ(heard_one<Unreachable>(alice).peer, "bob");
  join(0);
  join(1);
  EXPECT_THAT(find(alice, numbered_cid(1)), UnorderedElementsAre("local", "bob"));
}

TEST_F(FederationTest, EndsWhatWaitsWhenTheBusIsLost) {
  add_node();
  add_node();
  Client& alice = connect(0, "alice");
  nodes_[1]->is_dead = true;
  say(alice, Find{1, numbered_cid(1)});
  say(alice, Offer{"bob", "s1", "offer"});
  ASSERT_THAT(alice.heard, SizeIs(1));
  lose_bus(0);
  ASSERT_THAT(alice.heard, SizeIs(3));
  EXPECT_EQ(nodes_[0]->federation.next_wakeup(), std::nullopt);
}

TEST_F(FederationTest, FollowsAPeerThatMoves) {
  for (int i = 0; i < 3; ++i) add_node();
  Client& alice = connect(0, "alice");
  Client& before = connect(1, "bob");
  say(alice, Offer{"bob", "s1", "offer"});
  heard_one<Offer>(before);
  nodes_[1]->directory.disconnect(before.connection);
  Client& after = connect(2, "bob");
  say(after, Announce{{numbered_cid(1)}});
  EXPECT_THAT(find(alice, numbered_cid(1)), ElementsAre("bob"));
  say(alice, Offer{"bob", "s2", "offer"});
  EXPECT_EQ(heard_one<Offer>(after).session, "s2");
  nodes_[2]->directory.disconnect(after.connection);
  Client& here = connect(0, "bob");
  say(alice, Offer{"bob", "s3", "offer"});
  EXPECT_EQ(heard_one<Offer>(here).session, "s3");
}

TEST_F(FederationTest, ForgetsPeersElsewhereThatNobodyMentions) {
  add_node();
  add_node();
  Client& alice = connect(0, "alice");
  say(connect(1, "bob"), Announce{{numbered_cid(1)}});
  find(alice, numbered_cid(1));
  EXPECT_EQ(nodes_[0]->federation.remotes(), 1U);
  EXPECT_EQ(nodes_[0]->directory.connections(), 1U);
  for (int i = 0; i < 12; ++i) pass(std::chrono::seconds(10));
  EXPECT_EQ(nodes_[0]->federation.remotes(), 0U);
}

TEST_F(FederationTest, BoundsWhatARogueOnTheBusCanMakeItKeep) {
  add_node();
  Client& alice = connect(0, "alice");
  auto& federation = nodes_[0]->federation;
  for (int i = 0; i < 1000; ++i) {
    federation.handle_bus_message(now_, to_json(BusMessage{"rogue" + std::to_string(i), BusHello{}}));
  }
  EXPECT_EQ(federation.nodes(), 256U);
  for (int i = 0; i < 70'000; ++i) {
    const std::string peer = "peer" + std::to_string(i);
    federation.handle_bus_message(now_, to_json(BusMessage{"rogue0", BusSignal{"alice", Offer{peer, "s", "x"}}}));
    while (nodes_[0]->directory.poll_output()) continue;
    while (federation.poll_output()) continue;
  }
  EXPECT_EQ(federation.remotes(), 65'536U);
  for (int i = 0; i < 200; ++i) {
    nodes_[0]->directory.handle_message(
        now_, alice.connection, to_json(ClientMessage{Offer{"no" + std::to_string(i), "s", std::string(60'000, 'x')}}));
  }
  run();
  // What is over the bound is refused at once: 4 MiB of 60,000 bytes are held.
  EXPECT_THAT(alice.heard, SizeIs(200 - (4 << 20) / 60'256));
}

TEST(ParseBusMessage, RefusesWhatIsMalformedOrTooLarge) {
  const std::string cid = numbered_cid(1).to_string();
  const std::string head = R"({"version":1,"node":"n",)";
  const std::string offer = R"({"type":"offer","from":"a","session":"s","sdp":"x"})";
  for (const std::string& text : {
           std::string(),
           std::string("nonsense"),
           std::string("[]"),
           std::string("{}"),
           std::string(R"({"version":2,"node":"n","type":"hello"})"),
           std::string(R"({"version":1,"node":"a b","type":"hello"})"),
           std::string(R"({"version":1,"node":"n"})"),
           head + R"("type":"dance"})",
           head + R"("type":"find","id":1})",
           head + R"("type":"find","id":-1,"cid":")" + cid + "\"}",
           head + R"("type":"find","id":1,"cid":"Qm"})",
           head + R"("type":"found","id":1,"peers":["a b"]})",
           head + R"("type":"found","id":1,"peers":7})",
           head + R"("type":"where"})",
           head + R"("type":"here","peer":""})",
           head + R"("type":"signal","to":"b"})",
           head + R"("type":"signal","to":"b"})" + "\n",
           head + R"("type":"signal","to":"b b"})" + "\n" + offer,
           head + R"("type":"signal","to":"b"})" + "\n" + R"({"type":"unreachable","peer":"a b","session":"s"})",
           head + R"("type":"signal","to":"b"})" + "\n" + R"({"type":"moving","afterMs":1})",
           head + R"("type":"signal","to":"b"})" + "\n" + R"({"type":"error","code":"c"})",
           head + R"("type":"hello","x":")" + std::string(9000, 'x') + "\"}",
           head + R"("type":"hello"})" + "\n" + std::string(kMaxBusMessage, 'x'),
           std::string(5000, '['),
       }) {
    EXPECT_FALSE(parse_bus_message(text).has_value()) << text.substr(0, 200);
  }
  std::string many = head + R"("type":"found","id":1,"peers":["p")";
  for (int i = 0; i < 32; ++i) many += R"(,"p")";
  EXPECT_FALSE(parse_bus_message(many + "]}").has_value());
  EXPECT_TRUE(parse_bus_message(head + R"("type":"signal","to":"b"})" + "\n" + offer).has_value());
}

TEST(ParseBusMessage, SurvivesMutations) {
  std::mt19937 random(7);
  const auto pick = [&](std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random); };
  const std::vector<BusMessage> valid = {
      {"n1", BusHello{}},
      {"n1", BusFind{1, numbered_cid(1)}},
      {"n1", BusFound{1, {"a", "b"}}},
      {"n1", BusWhere{"a"}},
      {"n1", BusHere{"a"}},
      {"n1", BusSignal{"a", Offer{"b", "s", "sdp"}}},
      {"n1", BusSignal{"a", Candidate{"b", "s", "c", "0"}}},
      {"n1", BusSignal{"a", Unreachable{"b", "s"}}},
  };
  for (int round = 0; round < 20'000; ++round) {
    std::string text = to_json(valid[pick(valid.size())]);
    for (std::size_t change = pick(4); change > 0; --change) {
      const std::size_t at = pick(text.size());
      switch (pick(3)) {
        case 0: text[at] = static_cast<char>(pick(256)); break;
        case 1: text.erase(at, pick(8)); break;
        default: text.insert(at, text.substr(pick(text.size()), pick(32))); break;
      }
      if (text.empty()) text = "{";
    }
    if (const auto message = parse_bus_message(text)) {
      ASSERT_TRUE(parse_bus_message(to_json(*message)).has_value()) << text;
    }
  }
}

}  // namespace
}  // namespace codio::rendezvous
