#include "transfer/exchange.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>
#include <tuple>
#include <utility>

#include "transfer/testing.h"

namespace codio::transfer {
namespace {

using content_id::ContentId;
using content_id::HashCode;
using content_id::Multihash;
using std::chrono::milliseconds;
using std::chrono::seconds;
using wire::WantId;
using wire::WantKind;

constexpr PeerId kA{1};
constexpr PeerId kB{2};

/// An engine and a host that answers at once, from its store, and keeps all that comes out.
class Host {
 public:
  explicit Host(const ExchangeOptions& options = {}) : exchange(options) {}

  void connect(PeerId peer, std::optional<TransferId> provides = {}, const Introduction& introduction = {}) {
    exchange.handle_peer_connected(now, peer, provides, introduction);
    drain();
  }

  /// Connects a peer that has said HELLO.
  void meet(PeerId peer, std::optional<TransferId> provides = {}) {
    connect(peer, provides);
    handle(peer, wire::Hello{.credit = 1 << 24});
  }

  TransferId download(const ContentId& root, DownloadOptions options = {}) {
    const TransferId id = exchange.download(now, root, std::move(options));
    drain();
    return id;
  }

  /// Nobody else provides the transfer.
  void end_search(TransferId transfer) {
    exchange.handle_providers(now, transfer, 0);
    drain();
  }

  void handle(PeerId peer, const wire::Message& message) { handle_bytes(peer, wire::encode(message)); }

  void handle_bytes(PeerId peer, BytesView message) {
    exchange.handle_message(now, peer, message);
    drain();
  }

  void answer_proof(PeerId peer, bool is_proven) {
    exchange.handle_verified(now, peer, is_proven);
    drain();
  }

  void disconnect(PeerId peer) {
    exchange.handle_peer_disconnected(now, peer);
    drain();
  }

  /// Sends a whole block, in one frame.
  void give(PeerId peer, WantId want, BytesView block) {
    handle(peer, wire::BlockChunk{want, 0, static_cast<std::uint32_t>(block.size()), block});
  }

  void wait(Duration duration) {
    const Time end = now + duration;
    while (wakeup && *wakeup < end) {
      now = std::max(*wakeup, now);
      wakeup.reset();
      exchange.handle_wakeup(now);
      drain();
    }
    now = end;
  }

  void drain() {
    int count = 0;
    while (auto output = exchange.poll_output()) {
      ASSERT_LT(++count, 10'000);
      std::visit([&](auto& body) { carry_out(body); }, *output);
    }
  }

  /// Every message of that kind that was sent to the peer.
  template <class Kind>
  std::vector<Kind> sent_to(PeerId peer) const {
    std::vector<Kind> result;
    const auto found = sent.find(peer);
    if (found == sent.end()) return result;
    for (const Bytes& frame : found->second) {
      const auto message = wire::decode(frame);
      EXPECT_TRUE(message && *message) << "an engine sends only what an engine reads";
      if (!message || !*message) continue;
      if (const auto* kind = std::get_if<Kind>(&**message)) result.push_back(*kind);
    }
    return result;
  }

  /// All entries of all WANTs for blocks to the peer.
  std::vector<wire::WantEntry> wanted(PeerId peer, WantKind kind = WantKind::kBlock) const {
    std::vector<wire::WantEntry> result;
    for (const wire::Want& want : sent_to<wire::Want>(peer)) {
      for (const wire::WantEntry& entry : want.entries) {
        if (entry.kind == kind) result.push_back(entry);
      }
    }
    return result;
  }

  Exchange exchange;
  Time now = Time{} + seconds(1000);
  Blocks store;
  bool answers_loads = true;
  bool consumes = true;

  std::map<PeerId, std::vector<Bytes>> sent;
  std::vector<ClosePeer> closed;
  std::vector<VerifyPeer> unproven;
  std::vector<LoadBlock> loads;
  std::vector<AskGateway> asked;
  std::vector<RequestId> cancelled;
  std::vector<FindProviders> searches;
  std::vector<EntityFound> entities;
  std::map<TransferId, Bytes> data;
  std::vector<content_id::unixfs::DirectoryEntry> entries;
  std::vector<BlockReceived> received;
  std::vector<Progress> progress;
  std::vector<TransferId> finished;
  std::vector<Failed> failed;
  std::optional<Time> wakeup;

 private:
  void carry_out(SendMessage& output) {
    sent[output.peer].push_back(std::move(output.message));
    exchange.handle_buffered_amount(now, output.peer, 0);
  }
  void carry_out(ClosePeer& output) { closed.push_back(std::move(output)); }
  void carry_out(VerifyPeer& output) { unproven.push_back(output); }
  void carry_out(LoadBlock& output) {
    loads.push_back(output);
    if (!answers_loads) return;
    const auto found = store.find(output.cid);
    exchange.handle_loaded(now, output.request, found == store.end() ? nullptr : found->second);
  }
  void carry_out(StoreBlock& output) { store.emplace(output.cid, output.block); }
  void carry_out(HashBytes& output) { exchange.handle_hashed(now, output.request, digest_of(*output.bytes)); }
  void carry_out(AskGateway& output) { asked.push_back(output); }
  void carry_out(CancelGateway& output) { cancelled.push_back(output.request); }
  void carry_out(SetWakeup& output) { wakeup = output.at; }
  void carry_out(FindProviders& output) { searches.push_back(output); }
  void carry_out(EntityFound& output) { entities.push_back(std::move(output)); }
  void carry_out(Data& output) {
    append(data[output.transfer], output.segment.view());
    if (consumes) exchange.consume(now, output.transfer, output.segment.size);
  }
  void carry_out(EntryFound& output) { entries.push_back(std::move(output.entry)); }
  void carry_out(BlockReceived& output) { received.push_back(output); }
  void carry_out(ProgressMade& output) { progress.push_back(std::move(output.progress)); }
  void carry_out(Finished& output) { finished.push_back(output.transfer); }
  void carry_out(Failed& output) { failed.push_back(std::move(output)); }
};

/// Carries messages from host `a`, whom the other knows as kA, to host `b` and back until neither has more to say.
void exchange_messages(Host& a, Host& b) {
  for (bool more = true; more;) {
    more = false;
    for (const auto& [from, to, remote, local] :
         {std::tuple<Host*, Host*, PeerId, PeerId>{&a, &b, kB, kA}, {&b, &a, kA, kB}}) {
      for (const Bytes& message : std::exchange(from->sent[remote], {})) {
        to->handle_bytes(local, message);
        more = true;
      }
    }
  }
}

// Connections.

TEST(Exchange, BothSidesSayHelloFirst) {
  Host a;
  Host b;
  const Content file = make_file(1, 1, 1000);
  const TransferId transfer = a.download(file.root);
  a.connect(kB, transfer);
  b.connect(kA);
  for (const auto& [host, peer] : {std::pair(&a, kB), std::pair(&b, kA)}) {
    ASSERT_FALSE(host->sent[peer].empty());
    EXPECT_EQ(host->sent[peer].front()[0], 1);
    const auto hello = host->sent_to<wire::Hello>(peer);
    ASSERT_EQ(hello.size(), 1U);
    EXPECT_EQ(hello.front().version, 1U);
    EXPECT_EQ(hello.front().max_frame, 65536U);
    EXPECT_EQ(hello.front().credit, 262144U);
  }
  EXPECT_EQ(a.wanted(kB).size(), 1U) << "without waiting for the other's";
}

TEST(Exchange, AFileGoesFromOneEngineToAnother) {
  Host a;
  Host b;
  const Content file = make_file(1, 40, 30'000);
  b.store = file.blocks;
  const TransferId transfer = a.download(file.root);
  a.connect(kB, transfer);
  b.connect(kA);
  exchange_messages(a, b);
  EXPECT_EQ(a.finished, std::vector{transfer});
  EXPECT_TRUE(a.data[transfer] == file.bytes);
  EXPECT_EQ(a.store.size(), file.blocks.size());
  EXPECT_EQ(a.exchange.totals().duplicates, 0U);
  EXPECT_EQ(a.exchange.totals().from_peers, b.exchange.totals().uploaded);
  EXPECT_EQ(a.exchange.peer_stats(a.now, kB)->downloaded, b.exchange.peer_stats(b.now, kA)->uploaded);
  EXPECT_TRUE(a.asked.empty());
  EXPECT_EQ(a.exchange.transfer_count(), 0U);
}

TEST(Exchange, RefusesAVersionBelowTheFirst) {
  Host host;
  host.connect(kA);
  host.handle(kA, wire::Hello{.version = 0});
  ASSERT_EQ(host.closed.size(), 1U);
  EXPECT_EQ(host.closed.front().reason.code, ErrorCode::kUnsupported);
  EXPECT_EQ(host.sent_to<wire::Goodbye>(kA).front().code, wire::GoodbyeCode::kUnsupportedVersion);
}

TEST(Exchange, SpeaksWithALaterVersion) {
  Host host;
  host.connect(kA);
  host.handle(kA, wire::Hello{.version = 7, .features = 0xff});
  EXPECT_TRUE(host.closed.empty());
}

constexpr wire::Proof kProof{.key = {1}, .signature = {2}};

TEST(Exchange, SaysWhoItIs) {
  Host host;
  host.connect(kA, {}, {.proof = kProof});
  host.connect(kB);
  EXPECT_EQ(host.sent_to<wire::Hello>(kA).front().proof, kProof);
  EXPECT_EQ(host.sent_to<wire::Hello>(kB).front().proof, std::nullopt);
}

TEST(Exchange, APeerCountsOnceItHasProvenWhoItIs) {
  Host host;
  const Content file = make_file(1, 1, 1000);
  host.store = file.blocks;
  const TransferId transfer = host.download(numbered_cid(7));
  host.connect(kA, transfer, {.must_prove = true});
  EXPECT_EQ(host.wanted(kA).size(), 1U) << "no request waits for it";
  host.handle(kA, wire::Hello{.credit = 1 << 20, .proof = kProof});
  ASSERT_EQ(host.unproven.size(), 1U);
  EXPECT_EQ(host.unproven.front().peer, kA);
  EXPECT_EQ(host.unproven.front().proof, kProof);
  host.answer_proof(kA, true);
  host.handle(kA, wire::Want{{{WantId{1}, file.root, WantKind::kBlock}}});
  EXPECT_TRUE(host.closed.empty());
  EXPECT_FALSE(host.sent_to<wire::BlockChunk>(kA).empty()) << "the credit of the HELLO is good";
  host.handle(kA, wire::Hello{.proof = kProof});
  EXPECT_EQ(host.closed.front().reason.code, ErrorCode::kMalformed) << "a second HELLO is one still";
}

TEST(Exchange, WhoProvesNothingIsSentAway) {
  for (const auto& proof : {std::optional<wire::Proof>(), std::optional(kProof)}) {
    Host host;
    const TransferId transfer = host.download(numbered_cid(7));
    host.connect(kA, transfer, {.must_prove = true});
    host.handle(kA, wire::Hello{.credit = 1 << 20, .proof = proof});
    EXPECT_EQ(host.unproven.size(), proof ? 1U : 0U);
    if (proof) host.answer_proof(kA, false);
    ASSERT_EQ(host.closed.size(), 1U);
    EXPECT_EQ(host.closed.front().reason.code, ErrorCode::kForged);
    EXPECT_EQ(host.sent_to<wire::Goodbye>(kA).front().code, wire::GoodbyeCode::kNotProven);
    EXPECT_FALSE(host.exchange.peer_stats(host.now, kA));
    host.connect(kB, transfer);
    EXPECT_EQ(host.wanted(kB).size(), 1U) << "what it was asked is asked of another";
  }
}

TEST(Exchange, WhoIsUnprovenBreaksTheProtocolInNobodysName) {
  for (const Bytes& frame : {wire::encode(wire::Credit{1}), Bytes{2, 0xff}, Bytes(65537), Bytes()}) {
    Host host;
    host.connect(kA, {}, {.must_prove = true});
    host.handle_bytes(kA, frame);
    ASSERT_EQ(host.closed.size(), 1U);
    EXPECT_EQ(host.closed.front().reason.code, ErrorCode::kForged);
  }
}

TEST(Exchange, AProofThatNobodyAskedForIsIgnored) {
  Host host;
  host.connect(kA);
  host.handle(kA, wire::Hello{.proof = kProof});
  EXPECT_TRUE(host.unproven.empty());
  EXPECT_TRUE(host.closed.empty());
  host.answer_proof(kA, false);
  EXPECT_TRUE(host.closed.empty());
}

TEST(Exchange, AnAnswerAboutAPeerThatLeftIsIgnored) {
  Host host;
  host.connect(kA, {}, {.must_prove = true});
  host.handle(kA, wire::Hello{.proof = kProof});
  host.disconnect(kA);
  host.answer_proof(kA, true);
  host.answer_proof(kB, true);
  EXPECT_TRUE(host.closed.empty());
}

TEST(Exchange, WhoeverBreaksTheProtocolIsSentAway) {
  const Bytes hello = wire::encode(wire::Hello{});
  const Bytes zeros(65537);
  struct Breach {
    const char* what;
    std::vector<Bytes> frames;
  };
  Bytes oversize(65537);
  oversize[0] = 0x7f;
  const std::vector<Breach> breaches = {
      {"a frame before HELLO", {wire::encode(wire::Credit{1})}},
      {"a second HELLO", {hello, hello}},
      {"a frame over the agreed size", {hello, oversize}},
      {"an empty frame", {hello, {}}},
      {"garbage", {{2, 0xff}}},
      {"garbage after HELLO", {hello, {4, 0x0a, 0x7f}}},
      {"a want's id used twice",
       {hello, wire::encode(wire::Want{{{WantId{1}, numbered_cid(1), WantKind::kBlock}}}),
        wire::encode(wire::Want{{{WantId{1}, numbered_cid(2), WantKind::kBlock}}})}},
      {"a block that nobody wanted",
       {hello, wire::encode(wire::BlockChunk{WantId{1}, 0, 65537, BytesView(zeros).first(9)})}},
      {"an answer to no want", {hello, wire::encode(wire::Have{{WantId{1}}})}},
      {"a refusal of no want", {hello, wire::encode(wire::DontHave{.ids = {WantId{1}}})}},
  };
  for (const Breach& breach : breaches) {
    Host host;
    host.connect(kA);
    for (const Bytes& frame : breach.frames) host.handle_bytes(kA, frame);
    ASSERT_EQ(host.closed.size(), 1U) << breach.what;
    EXPECT_EQ(host.closed.front().peer, kA);
    EXPECT_EQ(host.closed.front().reason.code, ErrorCode::kMalformed) << breach.what;
    const auto goodbye = host.sent_to<wire::Goodbye>(kA);
    ASSERT_EQ(goodbye.size(), 1U) << breach.what;
    EXPECT_EQ(goodbye.front().code, wire::GoodbyeCode::kProtocolError) << breach.what;
    EXPECT_FALSE(host.exchange.peer_stats(host.now, kA)) << breach.what;
    host.handle(kA, wire::Credit{5});
    EXPECT_EQ(host.closed.size(), 1U) << "what still comes from it is ignored";
  }
}

TEST(Exchange, HaveIsNoAnswerToAWantForABlock) {
  Host host;
  const Content file = make_file(1, 1, 1000);
  const TransferId transfer = host.download(file.root);
  host.meet(kA, transfer);
  host.handle(kA, wire::Have{{host.wanted(kA).front().id}});
  ASSERT_EQ(host.closed.size(), 1U);
  EXPECT_EQ(host.closed.front().reason.code, ErrorCode::kMalformed);
}

TEST(Exchange, IgnoresFramesOfUnknownTypes) {
  Host host;
  host.meet(kA);
  host.handle_bytes(kA, Bytes{0x7f, 1, 2, 3});
  EXPECT_TRUE(host.closed.empty());
  EXPECT_TRUE(host.exchange.peer_stats(host.now, kA));
}

TEST(Exchange, AGoodbyeClosesTheChannel) {
  Host host;
  host.meet(kA);
  host.handle(kA, wire::Goodbye{wire::GoodbyeCode::kLeaving, "closing time"});
  ASSERT_EQ(host.closed.size(), 1U);
  EXPECT_EQ(host.closed.front().reason.code, ErrorCode::kUnavailable);
  EXPECT_NE(host.closed.front().reason.message.find("closing time"), std::string::npos);
}

// Serving.

TEST(Exchange, AnswersQuestionsFromItsStore) {
  Host host;
  const Content file = make_file(1, 1, 1000);
  host.store = file.blocks;
  host.meet(kA);
  host.handle(kA, wire::Want{{{WantId{1}, file.root, WantKind::kHave}, {WantId{2}, numbered_cid(2), WantKind::kHave}}});
  ASSERT_EQ(host.sent_to<wire::Have>(kA).size(), 1U);
  EXPECT_EQ(host.sent_to<wire::Have>(kA).front().ids, std::vector{WantId{1}});
  EXPECT_EQ(host.sent_to<wire::DontHave>(kA).front().ids, std::vector{WantId{2}});
  EXPECT_EQ(host.sent_to<wire::DontHave>(kA).front().reason, wire::DontHaveReason::kNotHere);
}

TEST(Exchange, IsBusyForTheWantAfter256) {
  for (const WantKind kind : {WantKind::kBlock, WantKind::kHave}) {
    Host host;
    host.answers_loads = false;
    host.meet(kA);
    wire::Want wants;
    for (std::uint32_t id = 1; id <= 256; ++id) wants.entries.push_back({WantId{id}, numbered_cid(id), kind});
    host.handle(kA, wants);
    EXPECT_TRUE(host.sent_to<wire::DontHave>(kA).empty());
    host.handle(kA, wire::Want{{{WantId{257}, numbered_cid(257), kind}}});
    ASSERT_EQ(host.sent_to<wire::DontHave>(kA).size(), 1U);
    EXPECT_EQ(host.sent_to<wire::DontHave>(kA).front().ids, std::vector{WantId{257}});
    EXPECT_EQ(host.sent_to<wire::DontHave>(kA).front().reason, wire::DontHaveReason::kBusy);
    EXPECT_TRUE(host.closed.empty());

    host.exchange.handle_loaded(host.now, host.loads.front().request, nullptr);
    host.drain();
    host.handle(kA, wire::Want{{{WantId{258}, numbered_cid(258), kind}}});
    EXPECT_EQ(host.sent_to<wire::DontHave>(kA).back().ids, std::vector{WantId{1}}) << "room for one more";
  }
}

TEST(Exchange, SendsNoFrameLargerThanThePeerTakes) {
  Host host({.max_frame = wire::kMaxFrame});
  const Content file = make_file(1, 1, 1'000'000);
  host.store = file.blocks;
  host.connect(kA);
  host.handle(kA, wire::Hello{.max_frame = wire::kMinFrame, .credit = 1 << 24});
  host.handle(kA, wire::Want{{{WantId{1}, file.root, WantKind::kBlock}}});
  EXPECT_EQ(host.exchange.totals().uploaded, 1'000'000U);
  for (const Bytes& frame : host.sent[kA]) EXPECT_LE(frame.size(), wire::kMinFrame);
}

// Downloads.

TEST(Exchange, BlocksInTheStoreCostNoNetwork) {
  Host host;
  const Content file = make_file(1, 10, 1000);
  host.store = file.blocks;
  host.meet(kA);
  const TransferId transfer = host.download(file.root);
  EXPECT_EQ(host.finished, std::vector{transfer});
  EXPECT_EQ(host.data[transfer], file.bytes);
  EXPECT_TRUE(host.searches.empty());
  EXPECT_TRUE(host.asked.empty());
  EXPECT_TRUE(host.sent_to<wire::Want>(kA).empty());
  ASSERT_EQ(host.received.size(), file.blocks.size());
  for (const BlockReceived& block : host.received) EXPECT_EQ(block.source, SourceKind::kStore);
}

/// Hashing takes a host milliseconds, in which a peer without credit would wait.
TEST(Exchange, MessagesComeBeforeAllElse) {
  Host host;
  const Content file = make_file(1, 1, 60'000);
  const TransferId transfer = host.download(file.root);
  host.meet(kA, transfer);
  const WantId want = host.wanted(kA).front().id;
  host.exchange.handle_message(host.now, kA, wire::encode(wire::BlockChunk{want, 0, 60'000, file.bytes}));
  const auto first = host.exchange.poll_output();
  ASSERT_TRUE(first && std::holds_alternative<SendMessage>(*first));
  EXPECT_TRUE(std::holds_alternative<wire::Credit>(**wire::decode(std::get<SendMessage>(*first).message)));
  const auto second = host.exchange.poll_output();
  EXPECT_TRUE(second && std::holds_alternative<HashBytes>(*second));
}

TEST(Exchange, ABlockThatDoesNotMatchIsAskedElsewhereAndItsSenderSentAway) {
  Host host;
  const Content file = make_file(1, 1, 1000);
  const TransferId transfer = host.download(file.root);
  host.meet(kA, transfer);
  host.meet(kB, transfer);
  ASSERT_EQ(host.wanted(kA).size(), 1U);
  EXPECT_TRUE(host.wanted(kB).empty());
  host.give(kA, host.wanted(kA).front().id, Bytes(1000));
  ASSERT_EQ(host.closed.size(), 1U);
  EXPECT_EQ(host.closed.front().peer, kA);
  EXPECT_EQ(host.closed.front().reason.code, ErrorCode::kMismatch);
  EXPECT_EQ(host.sent_to<wire::Goodbye>(kA).front().code, wire::GoodbyeCode::kBadBlock);
  EXPECT_EQ(host.exchange.totals().duplicates, 1000U);
  ASSERT_EQ(host.wanted(kB).size(), 1U);
  EXPECT_EQ(host.wanted(kB).front().cid, file.root);
  host.give(kB, host.wanted(kB).front().id, file.bytes);
  EXPECT_EQ(host.finished, std::vector{transfer});
  EXPECT_EQ(host.received.front().peer, kB);
}

TEST(Exchange, BlocksOfALeavingPeerAreAskedOfTheGateway) {
  Host host;
  const Content file = make_file(1, 1, 1000);
  const TransferId transfer = host.download(file.root);
  host.meet(kA, transfer);
  host.end_search(transfer);
  EXPECT_TRUE(host.asked.empty());
  host.disconnect(kA);
  ASSERT_EQ(host.asked.size(), 1U);
  host.exchange.handle_gateway_block(host.now, host.asked.front().request, file.blocks.at(file.root));
  host.drain();
  EXPECT_EQ(host.finished, std::vector{transfer});
  EXPECT_EQ(host.exchange.totals().from_gateways, 1000U);
  EXPECT_EQ(host.received.front().source, SourceKind::kGateway);
}

TEST(Exchange, CancelTakesBackWhatItAsked) {
  Host host({.policy = Policy::kFastest});
  const Content file = make_file(1, 40, 1000);
  const TransferId transfer = host.download(file.root);
  ASSERT_EQ(host.asked.size(), 1U) << "the gateway, as there is no peer yet";
  host.exchange.cancel(host.now, transfer);
  host.drain();
  EXPECT_EQ(host.cancelled, std::vector{host.asked.front().request});
  host.exchange.handle_gateway_block(host.now, host.asked.front().request, file.blocks.at(file.root));
  host.drain();
  EXPECT_TRUE(host.received.empty());

  Host other;
  const TransferId second = other.download(file.root);
  other.meet(kA, second);
  const WantId want = other.wanted(kA).front().id;
  other.exchange.cancel(other.now, second);
  other.drain();
  ASSERT_EQ(other.sent_to<wire::Cancel>(kA).size(), 1U);
  EXPECT_EQ(other.sent_to<wire::Cancel>(kA).front().ids, std::vector{want});
  other.give(kA, want, *file.blocks.at(file.root));
  EXPECT_EQ(other.exchange.totals().duplicates, file.blocks.at(file.root)->size()) << "it crossed the CANCEL";
  EXPECT_TRUE(other.closed.empty());
  for (const Host* over : {&host, &other}) {
    EXPECT_TRUE(over->finished.empty());
    EXPECT_TRUE(over->failed.empty());
    EXPECT_EQ(over->exchange.transfer_count(), 0U);
  }
}

TEST(Exchange, AWantCancelledBeforeItWentOutIsNotSent) {
  Host host({.policy = Policy::kP2pOnly, .missing_timeout = seconds(0)});
  const Content file = make_file(1, 40, 1000);
  const TransferId transfer = host.download(file.root);
  host.meet(kA, transfer);
  host.end_search(transfer);
  host.give(kA, host.wanted(kA).front().id, *file.blocks.at(file.root));
  const auto before = host.wanted(kA);
  // Makes room for another want, which is taken back at once: without the block the download fails.
  host.handle(kA, wire::DontHave{.ids = {before.back().id}});
  ASSERT_EQ(host.failed.size(), 1U);
  EXPECT_EQ(host.failed.front().error.code, ErrorCode::kNotFound);
  EXPECT_EQ(host.wanted(kA).size(), before.size());
  std::set<WantId> open;
  for (const wire::WantEntry& entry : before) open.insert(entry.id);
  for (const wire::Cancel& cancel : host.sent_to<wire::Cancel>(kA)) {
    for (const WantId id : cancel.ids) EXPECT_TRUE(open.contains(id)) << id.value;
  }
}

TEST(Exchange, TwoDownloadsShareWants) {
  Host host;
  const Content file = make_file(1, 4, 1000);
  const TransferId first = host.download(file.root);
  const TransferId second = host.download(file.root);
  host.meet(kA, first);
  std::size_t given = 0;
  for (int round = 0; round < 20; ++round) {
    const auto wanted = host.wanted(kA);
    for (; given < wanted.size(); ++given) host.give(kA, wanted[given].id, *file.blocks.at(wanted[given].cid));
  }
  EXPECT_EQ(given, file.blocks.size()) << "each block was wanted once";
  EXPECT_EQ(host.finished.size(), 2U);
  EXPECT_EQ(host.data[first], file.bytes);
  EXPECT_EQ(host.data[second], file.bytes);
}

TEST(Exchange, CancellingOneOfTwoDownloadsKeepsTheSharedWant) {
  Host host;
  const Content file = make_file(1, 1, 1000);
  const TransferId first = host.download(file.root);
  const TransferId second = host.download(file.root);
  host.meet(kA, first);
  host.exchange.handle_peer_provides(host.now, kA, second);
  host.exchange.cancel(host.now, first);
  host.drain();
  EXPECT_TRUE(host.sent_to<wire::Cancel>(kA).empty());
  host.give(kA, host.wanted(kA).front().id, file.bytes);
  EXPECT_EQ(host.finished, std::vector{second});
}

TEST(Exchange, APeerThatCameForAnotherReasonIsAskedOnceForTheRoot) {
  Host host;
  const Content file = make_file(1, 1, 1000);
  host.meet(kA);
  const TransferId transfer = host.download(file.root);
  host.meet(kB);
  for (const PeerId peer : {kA, kB}) {
    const auto questions = host.wanted(peer, WantKind::kHave);
    ASSERT_EQ(questions.size(), 1U);
    EXPECT_EQ(questions.front().cid, file.root);
    EXPECT_TRUE(host.wanted(peer).empty());
  }
  host.handle(kB, wire::Have{{host.wanted(kB, WantKind::kHave).front().id}});
  ASSERT_EQ(host.wanted(kB).size(), 1U);
  host.give(kB, host.wanted(kB).front().id, file.bytes);
  EXPECT_EQ(host.finished, std::vector{transfer});
}

TEST(Exchange, WhoeverMissedABlockHearsOfItWhenItComes) {
  Host host;
  const Content file = make_file(1, 1, 1000);
  host.meet(kB);
  host.handle(kB, wire::Want{{{WantId{1}, file.root, WantKind::kBlock},
                              {WantId{2}, numbered_cid(7), WantKind::kBlock},
                              {WantId{3}, numbered_cid(8), WantKind::kHave}}});
  EXPECT_EQ(host.sent_to<wire::DontHave>(kB).size(), 3U);
  EXPECT_TRUE(host.sent_to<wire::Have>(kB).empty());
  const TransferId transfer = host.download(file.root);
  host.meet(kA, transfer);
  host.give(kA, host.wanted(kA).front().id, file.bytes);
  const auto told = host.sent_to<wire::Have>(kB);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told.front().ids, std::vector{WantId{1}});
  host.handle(kB, wire::Want{{{WantId{4}, file.root, WantKind::kBlock}}});
  ASSERT_EQ(host.sent_to<wire::BlockChunk>(kB).size(), 1U);
  EXPECT_EQ(host.sent_to<wire::BlockChunk>(kB).front().id, WantId{4});
}

TEST(Exchange, AHaveThatFollowsDontHaveIsAskedFor) {
  Host host({.policy = Policy::kP2pOnly, .missing_timeout = seconds(0)});
  const Content file = make_file(1, 2, 1000);
  const TransferId transfer = host.download(file.root);
  host.meet(kA);
  host.end_search(transfer);
  const WantId question = host.wanted(kA, WantKind::kHave).front().id;
  host.meet(kB, transfer);
  host.handle(kA, wire::DontHave{.ids = {question}});
  host.handle(kA, wire::Have{{question}});
  host.disconnect(kB);
  ASSERT_EQ(host.wanted(kA).size(), 1U) << "it provides the root now";
  host.give(kA, host.wanted(kA).front().id, *file.blocks.at(file.root));
  ASSERT_EQ(host.wanted(kA).size(), 3U);
  const wire::WantEntry lacked = host.wanted(kA)[1];
  host.meet(PeerId{3}, transfer);
  host.handle(kA, wire::DontHave{.ids = {lacked.id}});
  host.disconnect(PeerId{3});
  EXPECT_TRUE(host.failed.size() == 1) << "nobody has it";
}

TEST(Exchange, WhatAPeerLackedIsAskedOfItAgainWhenItHasIt) {
  Host host({.policy = Policy::kP2pOnly});
  const Content file = make_file(1, 2, 1000);
  const TransferId transfer = host.download(file.root);
  host.meet(kA, transfer);
  host.meet(kB, transfer);
  host.give(kA, host.wanted(kA).front().id, *file.blocks.at(file.root));
  const wire::WantEntry lacked = host.wanted(kA)[1];
  host.handle(kA, wire::DontHave{.ids = {lacked.id}});
  host.wait(seconds(1));
  const std::size_t before = host.wanted(kA).size();
  host.handle(kA, wire::Have{{lacked.id}});
  host.disconnect(kB);
  const auto wanted = host.wanted(kA);
  ASSERT_GT(wanted.size(), before);
  EXPECT_TRUE(std::any_of(wanted.begin() + static_cast<std::ptrdiff_t>(before), wanted.end(),
                          [&](const wire::WantEntry& entry) { return entry.cid == lacked.cid; }));
  EXPECT_TRUE(host.closed.empty());
  host.handle(kA, wire::Have{{lacked.id}});
  EXPECT_TRUE(host.closed.empty()) << "said again, it says nothing";
}

/// A download from kA, which gave the root and lacks the second of two leaves.
struct OneMissing {
  Host host{{.policy = Policy::kP2pOnly}};
  Content file = make_file(1, 2, 1000);
  TransferId transfer = host.download(file.root);
  wire::WantEntry missing = begin();

  wire::WantEntry begin() {
    host.meet(kA, transfer);
    host.end_search(transfer);
    host.give(kA, host.wanted(kA).front().id, *file.blocks.at(file.root));
    const auto leaves = host.wanted(kA);
    host.handle(kA, wire::DontHave{.ids = {leaves[2].id}});
    host.give(kA, leaves[1].id, *file.blocks.at(leaves[1].cid));
    return leaves[2];
  }
};

TEST(Missing, IsAwaitedFromWhoLacksIt) {
  OneMissing it;
  it.host.wait(seconds(9));
  EXPECT_TRUE(it.host.failed.empty());
  it.host.handle(kA, wire::Have{{it.missing.id}});
  const wire::WantEntry again = it.host.wanted(kA).back();
  EXPECT_EQ(again.cid, it.missing.cid);
  it.host.give(kA, again.id, *it.file.blocks.at(again.cid));
  EXPECT_EQ(it.host.finished, std::vector{it.transfer});
}

TEST(Missing, IsSearchedAtOthers) {
  OneMissing it;
  it.host.wait(seconds(4));
  ASSERT_EQ(it.host.searches.size(), 2U);
  it.host.meet(kB, it.transfer);
  ASSERT_EQ(it.host.wanted(kB).size(), 1U);
  it.host.give(kB, it.host.wanted(kB).front().id, *it.file.blocks.at(it.missing.cid));
  EXPECT_EQ(it.host.finished, std::vector{it.transfer});
}

TEST(Missing, FailsTheDownloadWhenNobodyBringsIt) {
  OneMissing it;
  for (int i = 0; i < 99; ++i) {
    it.host.wait(milliseconds(100));
    it.host.end_search(it.transfer);
    ASSERT_TRUE(it.host.failed.empty()) << i;
  }
  it.host.wait(milliseconds(200));
  ASSERT_EQ(it.host.failed.size(), 1U);
  EXPECT_EQ(it.host.failed.front().error.code, ErrorCode::kNotFound);
  EXPECT_EQ(it.host.failed.front().error.message,
            "no peer has " + it.missing.cid.to_string() + ", and in 10 s none came that has it");
  EXPECT_LE(it.host.searches.size(), 5U) << "others are not asked all the time";
}

TEST(Missing, IsNotGivenUpWhileASearchRuns) {
  OneMissing it;
  it.host.wait(seconds(14));
  ASSERT_EQ(it.host.searches.size(), 2U);
  EXPECT_TRUE(it.host.failed.empty());
  it.host.end_search(it.transfer);
  EXPECT_EQ(it.host.failed.size(), 1U);
}

TEST(Missing, AllOfItIsWhenTheOnlyProviderLeavesWhoMayBeBack) {
  Host host({.policy = Policy::kP2pOnly});
  const Content file = make_file(1, 2, 1000);
  const TransferId transfer = host.download(file.root);
  host.meet(kA, transfer);
  host.end_search(transfer);
  host.give(kA, host.wanted(kA).front().id, *file.blocks.at(file.root));
  host.wait(seconds(5));
  host.disconnect(kA);
  EXPECT_EQ(host.searches.size(), 2U) << "at once";
  EXPECT_TRUE(host.failed.empty());
  host.meet(kB, transfer);
  for (const wire::WantEntry& entry : host.wanted(kB)) host.give(kB, entry.id, *file.blocks.at(entry.cid));
  EXPECT_EQ(host.finished, std::vector{transfer});
}

TEST(Exchange, WhatIsStoredWhileItIsLookedUpForAPeerIsLookedUpAgain) {
  Host host;
  const Content file = make_file(1, 1, 1000);
  const TransferId transfer = host.download(file.root);
  host.meet(kA, transfer);
  host.meet(kB);
  host.answers_loads = false;
  host.loads.clear();
  host.handle(kB, wire::Want{{{WantId{1}, file.root, WantKind::kBlock}, {WantId{2}, file.root, WantKind::kHave}}});
  ASSERT_EQ(host.loads.size(), 2U);
  // The store says no to both, and has it before it is heard.
  host.give(kA, host.wanted(kA).front().id, file.bytes);
  ASSERT_EQ(host.store.size(), 1U);
  const auto lookups = std::exchange(host.loads, {});
  host.answers_loads = true;
  for (const LoadBlock& load : lookups) host.exchange.handle_loaded(host.now, load.request, nullptr);
  host.drain();
  EXPECT_EQ(host.loads.size(), 2U);
  EXPECT_EQ(host.sent_to<wire::BlockChunk>(kB).size(), 1U);
  EXPECT_EQ(host.sent_to<wire::Have>(kB).size(), 1U);
  EXPECT_TRUE(host.sent_to<wire::DontHave>(kB).empty());
}

TEST(Exchange, WhatIsNotToBeGivenIsRefusedAndNeverTold) {
  Host host;
  const Content file = make_file(1, 1, 1000);
  const TransferId transfer = host.download(file.root);
  host.meet(kA, transfer);
  host.meet(kB);
  host.answers_loads = false;
  host.loads.clear();
  host.handle(kB, wire::Want{{{WantId{1}, file.root, WantKind::kBlock}, {WantId{2}, file.root, WantKind::kHave}}});
  ASSERT_EQ(host.loads.size(), 2U);
  for (const LoadBlock& load : host.loads) {
    EXPECT_TRUE(load.for_peer);
    host.exchange.handle_refused(host.now, load.request);
  }
  host.drain();
  std::set<WantId> refused;
  for (const wire::DontHave& answer : host.sent_to<wire::DontHave>(kB)) {
    EXPECT_EQ(answer.reason, wire::DontHaveReason::kRefused);
    refused.insert(answer.ids.begin(), answer.ids.end());
  }
  EXPECT_EQ(refused, (std::set{WantId{1}, WantId{2}}));
  host.give(kA, host.wanted(kA).front().id, file.bytes);
  EXPECT_TRUE(host.sent_to<wire::Have>(kB).empty());
  EXPECT_TRUE(host.closed.empty());
}

TEST(Exchange, WhatTheStoreDidNotTakeIsLookedUpOnlyTwice) {
  Host host;
  const Content file = make_file(1, 1, 1000);
  const TransferId transfer = host.download(file.root);
  host.meet(kA, transfer);
  host.meet(kB);
  host.answers_loads = false;
  host.loads.clear();
  host.handle(kB, wire::Want{{{WantId{1}, file.root, WantKind::kBlock}}});
  host.give(kA, host.wanted(kA).front().id, file.bytes);
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_EQ(host.loads.size(), i + 1);
    host.exchange.handle_loaded(host.now, host.loads[i].request, nullptr);
    host.drain();
  }
  EXPECT_EQ(host.loads.size(), 2U);
  EXPECT_EQ(host.sent_to<wire::DontHave>(kB).size(), 1U);
}

TEST(Exchange, NoPeerIsAskedWhileTheStoreMayHaveTheRoot) {
  Host host;
  host.answers_loads = false;
  const Content file = make_file(1, 1, 1000);
  host.download(file.root);
  host.meet(kA);
  EXPECT_TRUE(host.sent_to<wire::Want>(kA).empty());
  host.exchange.handle_loaded(host.now, host.loads.front().request, nullptr);
  host.drain();
  EXPECT_EQ(host.wanted(kA, WantKind::kHave).size(), 1U);
}

TEST(Exchange, GatewayOnlyTellsNoPeer) {
  Host host({.policy = Policy::kGatewayOnly});
  const Content file = make_file(1, 1, 1000);
  host.meet(kA);
  const TransferId transfer = host.download(file.root);
  host.meet(kB, transfer);
  host.wait(seconds(5));
  EXPECT_TRUE(host.searches.empty());
  for (const PeerId peer : {kA, kB}) EXPECT_TRUE(host.sent_to<wire::Want>(peer).empty());
  EXPECT_EQ(host.asked.size(), 1U);
}

TEST(Exchange, WaitsForTheAnswerOfAPeerThatMayHaveTheRoot) {
  Host host({.policy = Policy::kP2pOnly});
  const Content file = make_file(1, 1, 1000);
  host.meet(kA);
  const TransferId transfer = host.download(file.root);
  host.end_search(transfer);
  EXPECT_TRUE(host.failed.empty());
  host.handle(kA, wire::DontHave{.ids = {host.wanted(kA, WantKind::kHave).front().id}});
  ASSERT_EQ(host.failed.size(), 1U);
  EXPECT_EQ(host.failed.front().error.code, ErrorCode::kNotFound);
}

TEST(Exchange, FailsWithWhatTheGatewaySaid) {
  Host host({.policy = Policy::kGatewayOnly});
  host.download(make_file(1, 1, 1000).root);
  host.exchange.handle_gateway_failed(host.now, host.asked.front().request, {ErrorCode::kUnavailable, "out to lunch"});
  host.drain();
  ASSERT_EQ(host.failed.size(), 1U);
  EXPECT_EQ(host.failed.front().error, (Error{ErrorCode::kUnavailable, "out to lunch"}));
}

TEST(Exchange, FailsWhenNoByteComes) {
  Host host({.policy = Policy::kP2pOnly, .stall_timeout = seconds(30)});
  const TransferId transfer = host.download(make_file(1, 1, 1000).root);
  host.meet(kA, transfer);
  host.wait(seconds(29));
  EXPECT_TRUE(host.failed.empty());
  host.wait(seconds(2));
  ASSERT_EQ(host.failed.size(), 1U);
  EXPECT_EQ(host.failed.front().error.code, ErrorCode::kTimeout);
  EXPECT_EQ(host.sent_to<wire::Cancel>(kA).size(), 1U);
}

TEST(Exchange, SearchesAgainWhileNobodyProvides) {
  Host host({.policy = Policy::kP2pOnly});
  host.download(make_file(1, 1, 1000).root);
  EXPECT_EQ(host.searches.size(), 1U);
  host.wait(seconds(25));
  EXPECT_EQ(host.searches.size(), 3U);
}

TEST(Exchange, GivesOutNoMoreThanIsConsumed) {
  Host host;
  host.consumes = false;
  const Content file = make_file(1, 10, 1000);
  host.store = file.blocks;
  DownloadOptions options;
  options.unconsumed = 2500;
  const TransferId transfer = host.download(file.root, options);
  EXPECT_EQ(host.data[transfer].size(), 3000U);
  host.exchange.consume(host.now, transfer, 400);
  host.drain();
  EXPECT_EQ(host.data[transfer].size(), 3000U);
  host.exchange.consume(host.now, transfer, 200);
  host.drain();
  EXPECT_EQ(host.data[transfer].size(), 4000U);
  EXPECT_TRUE(host.finished.empty());
  host.exchange.consume(host.now, transfer, UINT64_MAX);
  host.drain();
  host.exchange.consume(host.now, transfer, UINT64_MAX);
  host.drain();
  host.exchange.consume(host.now, transfer, UINT64_MAX);
  host.drain();
  EXPECT_EQ(host.finished, std::vector{transfer});
  EXPECT_EQ(host.data[transfer], file.bytes);
}

TEST(Exchange, AReaderMayPauseForLongerThanTheStallTimeout) {
  Host host({.policy = Policy::kP2pOnly, .stall_timeout = seconds(30)});
  host.consumes = false;
  const Content file = make_file(1, 20, 1000);
  DownloadOptions options;
  options.unconsumed = 1000;
  options.traversal.window = 2000;
  const TransferId transfer = host.download(file.root, options);
  host.meet(kA, transfer);
  std::size_t given = 0;
  const auto give_all = [&] {
    for (auto wanted = host.wanted(kA); given < wanted.size(); wanted = host.wanted(kA), ++given) {
      host.give(kA, wanted[given].id, *file.blocks.at(wanted[given].cid));
    }
  };
  give_all();
  EXPECT_LT(host.data[transfer].size(), file.bytes.size());
  host.wait(seconds(600));
  while (host.data[transfer].size() < file.bytes.size() && host.failed.empty()) {
    host.exchange.consume(host.now, transfer, 1000);
    host.drain();
    give_all();
  }
  EXPECT_TRUE(host.failed.empty()) << host.failed.front().error.message;
  EXPECT_EQ(host.data[transfer], file.bytes);
}

// Peers that do nothing, progress, limits.

TEST(Exchange, APeerThatDoesNothingIsForgottenAfterAWhile) {
  Host host;
  host.meet(kA);
  host.wait(ExchangeOptions().idle_timeout - seconds(1));
  EXPECT_TRUE(host.closed.empty());
  host.wait(ExchangeOptions().idle_timeout);
  ASSERT_EQ(host.closed.size(), 1U);
  EXPECT_EQ(host.closed.front().peer, kA);
  EXPECT_EQ(host.closed.front().reason.code, ErrorCode::kUnavailable) << "it may come back";
  ASSERT_EQ(host.sent_to<wire::Goodbye>(kA).size(), 1U);
  EXPECT_EQ(host.sent_to<wire::Goodbye>(kA).front().code, wire::GoodbyeCode::kLeaving);
}

TEST(Exchange, APeerThatIsAskedOrAsksIsNotForgotten) {
  Host host({.policy = Policy::kP2pOnly, .stall_timeout = std::chrono::hours(1)});
  const TransferId transfer = host.download(numbered_cid(1));
  host.meet(kA, transfer);
  host.meet(kB);
  for (std::uint32_t i = 1; i <= 10; ++i) {
    host.wait(ExchangeOptions().idle_timeout / 2);
    host.handle(kB, wire::Want{{{WantId{i}, numbered_cid(2), WantKind::kHave}}});
  }
  EXPECT_TRUE(host.closed.empty());
}

TEST(Exchange, ProgressSaysWhatCameAndFromWhom) {
  Host host({.policy = Policy::kP2pOnly});
  const Content file = make_file(1, 4, 1000);
  const Bytes& root = *file.blocks.at(file.root);
  host.store.emplace(raw_cid(BytesView(file.bytes).first(1000)),
                     share(Bytes(file.bytes.begin(), file.bytes.begin() + 1000)));
  const TransferId transfer = host.download(file.root);
  const auto before = host.exchange.progress(host.now, transfer);
  ASSERT_TRUE(before);
  EXPECT_FALSE(before->total);
  EXPECT_FALSE(before->remaining);
  host.meet(kA, transfer);
  host.now += seconds(1);
  host.give(kA, host.wanted(kA).front().id, root);
  host.now += seconds(1);
  const auto wanted = host.wanted(kA);
  ASSERT_EQ(wanted.size(), 4U) << "the root and three leaves; one is here";
  host.give(kA, wanted[1].id, BytesView(file.bytes).subspan(1000, 1000));
  const auto after = host.exchange.progress(host.now, transfer);
  ASSERT_TRUE(after);
  EXPECT_EQ(after->total, 4000U);
  EXPECT_EQ(after->received, 2000U);
  EXPECT_EQ(after->verified, root.size() + 2000);
  EXPECT_EQ(after->from_store, 1000U);
  EXPECT_EQ(after->from_peers, root.size() + 1000);
  EXPECT_EQ(after->from_gateways, 0U);
  EXPECT_EQ(after->duplicates, 0U);
  EXPECT_DOUBLE_EQ(after->average_rate, static_cast<double>(root.size() + 1000) / 2);
  EXPECT_GT(after->rate, 0);
  ASSERT_TRUE(after->remaining);
  EXPECT_GT(*after->remaining, Duration(0));
  ASSERT_EQ(after->peers.size(), 1U);
  EXPECT_EQ(after->peers.front().peer, kA);
  EXPECT_EQ(after->peers.front().bytes, root.size() + 1000);
  EXPECT_GT(after->peers.front().rate, 0);

  for (std::size_t i = 2; i < 4; ++i) host.give(kA, wanted[i].id, BytesView(file.bytes).subspan(i * 1000, 1000));
  EXPECT_EQ(host.finished, std::vector{transfer});
  ASSERT_FALSE(host.progress.empty());
  EXPECT_EQ(host.progress.back().received, 4000U) << "told once more before the end";
  EXPECT_EQ(host.progress.back().remaining, Duration(0));
  EXPECT_FALSE(host.exchange.progress(host.now, transfer));
}

TEST(Exchange, ABlockThatDoesNotMatchCountsAsADuplicate) {
  Host host;
  const Content file = make_file(1, 1, 1000);
  const TransferId transfer = host.download(file.root);
  host.meet(kA, transfer);
  host.give(kA, host.wanted(kA).front().id, numbered_bytes(9, 1000));
  EXPECT_EQ(host.exchange.progress(host.now, transfer)->duplicates, 1000U);
  EXPECT_EQ(host.exchange.totals().duplicates, 1000U);
}

/// Block data that went to the peer.
std::uint64_t uploaded(const Host& host, PeerId peer) {
  std::uint64_t sum = 0;
  for (const auto& chunk : host.sent_to<wire::BlockChunk>(peer)) sum += chunk.bytes.size();
  return sum;
}

TEST(Exchange, UploadsKeepToTheirRateAndTheRateMayChange) {
  Host host({.limits = {.upload_rate = 100'000}});
  const Content file = make_file(1, 1, 1'000'000);
  host.store = file.blocks;
  host.meet(kA);
  host.handle(kA, wire::Want{{{WantId{1}, file.root, WantKind::kBlock}}});
  host.wait(seconds(4));
  EXPECT_GE(uploaded(host, kA), 340'000U);
  EXPECT_LE(uploaded(host, kA), 400'000U);
  host.exchange.set_limits(host.now, {.upload_rate = 200'000});
  host.wait(seconds(2));
  EXPECT_GE(uploaded(host, kA), 700'000U);
  EXPECT_LE(uploaded(host, kA), 800'000U);
  host.exchange.set_limits(host.now, {});
  host.drain();
  EXPECT_EQ(uploaded(host, kA), 1'000'000U);
}

TEST(Exchange, AnUploadRateOfZeroRefusesWhatIsWantedAndWhatWillBe) {
  Host host({.limits = {.upload_rate = 100'000}});
  const Content file = make_file(1, 1, 1'000'000);
  host.store = file.blocks;
  host.meet(kA);
  host.handle(kA, wire::Want{{{WantId{1}, file.root, WantKind::kBlock}}});
  host.exchange.set_limits(host.now, {.upload_rate = 0});
  host.drain();
  host.handle(kA, wire::Want{{{WantId{2}, file.root, WantKind::kBlock}, {WantId{3}, file.root, WantKind::kHave}}});
  std::vector<WantId> refused;
  for (const auto& answer : host.sent_to<wire::DontHave>(kA)) {
    EXPECT_EQ(answer.reason, wire::DontHaveReason::kRefused);
    refused.insert(refused.end(), answer.ids.begin(), answer.ids.end());
  }
  EXPECT_EQ(refused, (std::vector{WantId{1}, WantId{2}, WantId{3}}));
  const std::uint64_t before = uploaded(host, kA);
  host.wait(seconds(5));
  EXPECT_EQ(uploaded(host, kA), before);
}

TEST(Exchange, DownloadsGrantNoMoreThanTheirRate) {
  Host host({.policy = Policy::kP2pOnly, .limits = {.download_rate = 50'000}});
  const Content file = make_file(1, 20, 100'000);
  const TransferId transfer = host.download(file.root);
  host.meet(kA, transfer);
  host.give(kA, host.wanted(kA).front().id, *file.blocks.at(file.root));
  const Time begin = host.now;
  std::uint64_t sent = file.blocks.at(file.root)->size();
  const std::uint64_t at_first = sent;
  std::size_t next = 1;
  std::uint32_t offset = 0;
  // Sends at once whatever it may.
  while (host.now < begin + seconds(20)) {
    std::uint64_t limit = host.sent_to<wire::Hello>(kA).front().credit;
    for (const auto& credit : host.sent_to<wire::Credit>(kA)) limit = std::max(limit, credit.limit);
    const auto wanted = host.wanted(kA);
    while (sent < limit && next < wanted.size()) {
      const Bytes& block = *file.blocks.at(wanted[next].cid);
      const std::uint64_t size = std::min<std::uint64_t>({limit - sent, block.size() - offset, 16'000});
      host.handle(kA, wire::BlockChunk{wanted[next].id, offset, static_cast<std::uint32_t>(block.size()),
                                       BytesView(block).subspan(offset, size)});
      sent += size;
      offset += static_cast<std::uint32_t>(size);
      if (offset == block.size()) offset = 0, ++next;
    }
    host.wait(milliseconds(100));
  }
  EXPECT_GE(sent - at_first, 20 * 50'000 * 8 / 10);
  EXPECT_LE(sent - at_first, 20 * 50'000 + 64 * 1024);
}

TEST(Exchange, ListsADirectory) {
  Host host;
  std::vector<content_id::unixfs::Link> links;
  for (const char* name : {"a.txt", "b.txt", "c.txt"}) {
    links.push_back({.name = name, .cid = raw_cid(as_bytes(name)), .cumulative_size = 5, .file_size = 5});
  }
  content_id::unixfs::DirectoryBuilder builder(content_id::unixfs::kUnixfsV1_2025, links);
  Blocks blocks;
  build_blocks(builder, blocks);
  const ContentId root = builder.root()->cid;

  DownloadOptions options;
  options.traversal.scope = content_id::unixfs::Scope::kEntity;
  const TransferId transfer = host.download(root, options);
  host.meet(kA, transfer);
  host.give(kA, host.wanted(kA).front().id, *blocks.at(root));
  ASSERT_EQ(host.entities.size(), 1U);
  EXPECT_EQ(host.entities.front().entity.type, content_id::unixfs::EntityType::kDirectory);
  ASSERT_EQ(host.entries.size(), 3U);
  EXPECT_EQ(host.entries[1].name, "b.txt");
  EXPECT_EQ(host.entries[1].cid, links[1].cid);
  EXPECT_EQ(host.wanted(kA).size(), 1U) << "not its children";
  EXPECT_EQ(host.finished, std::vector{transfer});
}

TEST(Exchange, AHashFunctionThatNobodyCanCheckFailsTheDownload) {
  Host host;
  const Bytes digest(32, 7);
  const ContentId root = ContentId::v1(content_id::Codec::kRaw, *Multihash::make(HashCode::kBlake2b256, digest));
  host.download(root);
  ASSERT_EQ(host.failed.size(), 1U);
  EXPECT_EQ(host.failed.front().error.code, ErrorCode::kUnsupported);
  EXPECT_NE(host.failed.front().error.message.find("hash function"), std::string::npos);
  EXPECT_NE(host.failed.front().error.message.find(root.to_string()), std::string::npos);
  EXPECT_TRUE(host.searches.empty());
}

TEST(Exchange, AnIdentityCidIsItsOwnBlock) {
  Host host;
  const ContentId root =
      ContentId::v1(content_id::Codec::kRaw, *Multihash::make(HashCode::kIdentity, as_bytes("hello")));
  host.meet(kA);
  const TransferId transfer = host.download(root);
  EXPECT_EQ(as_text(host.data[transfer]), "hello");
  EXPECT_EQ(host.finished, std::vector{transfer});
  EXPECT_TRUE(host.loads.empty());
  EXPECT_TRUE(host.searches.empty());
  EXPECT_TRUE(host.sent_to<wire::Want>(kA).empty());
}

TEST(Exchange, ADagThatIsNotUnixfsFailsTheDownload) {
  Host host;
  const Bytes nonsense = {0xff, 0xff, 0xff};
  const ContentId root = ContentId::v1(content_id::Codec::kDagPb, digest_of(nonsense));
  const TransferId transfer = host.download(root);
  host.meet(kA, transfer);
  host.give(kA, host.wanted(kA).front().id, nonsense);
  ASSERT_EQ(host.failed.size(), 1U);
  EXPECT_EQ(host.failed.front().error.code, ErrorCode::kMalformed);
  EXPECT_TRUE(host.closed.empty()) << "the peer only passed on what was asked for";
}

TEST(Exchange, WhatIsOverIsIgnored) {
  Host host;
  const TransferId over{77};
  host.exchange.cancel(host.now, over);
  host.exchange.consume(host.now, over, 1);
  host.exchange.handle_providers(host.now, over, 1);
  host.exchange.handle_peer_provides(host.now, kA, over);
  host.exchange.handle_peer_disconnected(host.now, kA);
  host.exchange.handle_message(host.now, kA, Bytes{1});
  host.exchange.handle_buffered_amount(host.now, kA, 1);
  host.exchange.handle_loaded(host.now, RequestId{9}, nullptr);
  host.exchange.handle_hashed(host.now, RequestId{9}, {});
  host.exchange.handle_gateway_block(host.now, RequestId{9}, share({}));
  host.exchange.handle_gateway_failed(host.now, RequestId{9}, {ErrorCode::kIo, ""});
  host.exchange.handle_wakeup(host.now);
  EXPECT_FALSE(host.exchange.poll_output());
}

}  // namespace
}  // namespace codio::transfer
