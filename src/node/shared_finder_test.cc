#include "node/shared_finder.h"

#include <chrono>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <string>
#include <vector>
#include <boost/asio/io_context.hpp>

namespace codio::node {
namespace {

using namespace std::chrono_literals;
using content_id::ContentId;
using testing::ElementsAre;
using testing::IsEmpty;

/// Finds what the test says.
class ToldFinder : public ProviderFinder {
 public:
  FindId find(const ContentId& root, Duration /*deadline*/, OnFound on_found, OnEnd on_end) override {
    const FindId id{++begun};
    searches.emplace(root.to_string(), Search{id, std::move(on_found), std::move(on_end)});
    return id;
  }
  void cancel(FindId find) override {
    std::erase_if(searches, [&](const auto& entry) { return entry.second.id == find; });
    ++cancelled;
  }

  void give(const ContentId& root, const std::string& peer) {
    searches.at(root.to_string()).on_found({.peer = peer, .address = {}, .rendezvous = {}, .gateways = {}});
  }
  void end(const ContentId& root) { searches.extract(root.to_string()).mapped().on_end({.candidates = 7}); }

  struct Search {
    FindId id;
    OnFound on_found;
    OnEnd on_end;
  };
  std::map<std::string, Search> searches;
  std::uint64_t begun = 0;
  std::uint64_t cancelled = 0;
};

/// Who looks for something, and what it heard.
struct Seeker {
  FindId id;
  std::vector<std::string> peers = {};
  std::size_t ends = 0;
};

class SharedFinderTest : public testing::Test {
 protected:
  void look(SharedFinder& finder, Seeker& seeker, const ContentId& root, Duration deadline = 1h) {
    seeker.id = finder.find(
        root, deadline, [&](const Provider& provider) { seeker.peers.push_back(provider.peer); },
        [&](const FindSummary&) { ++seeker.ends; });
  }

  /// What was posted.
  void settle() {
    io_.restart();
    io_.poll();
  }

  boost::asio::io_context io_;
  std::shared_ptr<ToldFinder> told_ = std::make_shared<ToldFinder>();
  SharedFinder finder_{io_.get_executor(), told_, {}};
  const ContentId root_ = *ContentId::parse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
  const ContentId other_ = *ContentId::parse("bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am");
};

TEST_F(SharedFinderTest, SearchesOnceForAllWhoLookForTheSame) {
  Seeker first;
  Seeker second;
  Seeker stranger;
  look(finder_, first, root_);
  told_->give(root_, "a");
  look(finder_, second, root_);
  look(finder_, stranger, other_);
  settle();
  told_->give(root_, "b");
  told_->end(root_);
  EXPECT_EQ(told_->begun, 2u);
  for (const Seeker* seeker : {&first, &second}) {
    EXPECT_THAT(seeker->peers, ElementsAre("a", "b"));
    EXPECT_EQ(seeker->ends, 1u);
  }
  EXPECT_THAT(stranger.peers, IsEmpty());
  EXPECT_EQ(stranger.ends, 0u);
}

TEST_F(SharedFinderTest, TellsTheNextDownloadWhatTheLastOneFound) {
  Seeker first;
  look(finder_, first, root_);
  told_->give(root_, "a");
  finder_.cancel(first.id);
  Seeker next;
  look(finder_, next, root_);
  EXPECT_THAT(next.peers, IsEmpty()) << "never from within the call";
  settle();
  EXPECT_THAT(next.peers, ElementsAre("a"));
  told_->give(root_, "b");
  told_->end(root_);
  EXPECT_THAT(next.peers, ElementsAre("a", "b"));
  Seeker last;
  look(finder_, last, root_);
  settle();
  EXPECT_THAT(last.peers, ElementsAre("a", "b"));
  EXPECT_EQ(last.ends, 1u);
  EXPECT_EQ(told_->begun, 1u);
  EXPECT_THAT(first.peers, ElementsAre("a"));
  EXPECT_EQ(first.ends, 0u);
}

TEST_F(SharedFinderTest, SearchesAgainForWhatNobodyHadOrWhatIsOld) {
  Seeker seeker;
  look(finder_, seeker, root_);
  told_->end(root_);
  EXPECT_EQ(seeker.ends, 1u);
  look(finder_, seeker, root_);
  EXPECT_EQ(told_->begun, 2u);

  SharedFinder forgetful(io_.get_executor(), told_, {.remembered = 0s});
  look(forgetful, seeker, other_);
  told_->give(other_, "a");
  told_->end(other_);
  look(forgetful, seeker, other_);
  EXPECT_EQ(told_->begun, 4u);
}

TEST_F(SharedFinderTest, EndsForWhoHasNoMoreTime) {
  Seeker hurried;
  Seeker patient;
  look(finder_, hurried, root_, 1ms);
  look(finder_, patient, root_);
  while (hurried.ends == 0) io_.run_one();
  EXPECT_EQ(patient.ends, 0u);
  told_->end(root_);
  EXPECT_EQ(patient.ends, 1u);
  EXPECT_EQ(hurried.ends, 1u);
}

TEST_F(SharedFinderTest, OneWhoLeavesInACallbackIsToldNoMore) {
  std::vector<std::string> peers;
  FindId id;
  id = finder_.find(
      root_, 1h,
      [&](const Provider& provider) {
        peers.push_back(provider.peer);
        finder_.cancel(id);
      },
      [](const FindSummary&) { FAIL(); });
  Seeker other;
  look(finder_, other, root_);
  told_->give(root_, "a");
  told_->give(root_, "b");
  told_->end(root_);
  EXPECT_THAT(peers, ElementsAre("a"));
  EXPECT_THAT(other.peers, ElementsAre("a", "b"));
}

TEST_F(SharedFinderTest, OnlySoManySearchesGoOnForNobody) {
  constexpr std::uint64_t kMany = 100;
  for (std::uint64_t i = 0; i < kMany; ++i) {
    content_id::Digest256 digest{};
    digest[0] = static_cast<std::uint8_t>(i);
    Seeker seeker;
    look(finder_, seeker, ContentId::v1(content_id::Codec::kRaw, digest));
    finder_.cancel(seeker.id);
  }
  EXPECT_EQ(told_->begun, kMany);
  EXPECT_EQ(told_->begun - told_->cancelled, 64u);
}

TEST_F(SharedFinderTest, CancelsWhatRunsWhenItGoes) {
  Seeker seeker;
  {
    SharedFinder finder(io_.get_executor(), told_, {});
    look(finder, seeker, root_);
  }
  EXPECT_EQ(told_->cancelled, 1u);
  settle();
  EXPECT_EQ(seeker.ends, 0u);
}

}  // namespace
}  // namespace codio::node
