// The commands that keep content, each on a repo that is free and on one that a running node has open.
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "cli/options.h"
#include "cli/session.h"
#include "cli/testing.h"
#include "cli/testing_node.h"

namespace codio::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class Keeping : public Cli, public testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    Cli::SetUp();
    if (GetParam()) node_.emplace(common_);
  }
  void TearDown() override {
    node_.reset();
    elsewhere_.reset();
    Cli::TearDown();
  }

  std::shared_ptr<store::BlockStore> store() { return *open_store(common_); }

  /// Adds the path on another node, which is asked as a gateway from then on.
  std::string add_elsewhere(const fs::path& path) {
    CommonOptions other = common_;
    other.repo = folder_ / "elsewhere";
    elsewhere_.emplace(other);
    std::swap(common_.repo, other.repo);
    std::string cid = add(path);
    std::swap(common_.repo, other.repo);
    common_.no_gateway = false;
    common_.gateways = {elsewhere_->gateway()};
    return cid;
  }

  json gc(bool dry_run = false) {
    const std::string printed = run([&] { return cli::gc(common_, dry_run); });
    return last_ ? json::parse(printed) : json{{"error", last_.error().message}};
  }

  json repo_stat() {
    return json::parse(run([&] { return cli::repo_stat(common_); }));
  }

  json pins() {
    return json::parse(run([&] { return cli::pin_ls(common_); }));
  }

  /// The events and, at the end, the summary.
  std::vector<json> verify(const VerifyOptions& options = {}) {
    std::istringstream printed(run([&] { return cli::verify(common_, options); }));
    std::vector<json> lines;
    for (std::string line; std::getline(printed, line);) lines.push_back(json::parse(line));
    return lines;
  }

  std::optional<Node> node_;
  std::optional<Node> elsewhere_;
};

INSTANTIATE_TEST_SUITE_P(Repo, Keeping, testing::Bool(),
                         [](const auto& mode) { return mode.param ? "OfARunningNode" : "ThatIsFree"; });

TEST_P(Keeping, GivesBackWhatWasAdded) {
  const std::string cid = add(make_site());
  EXPECT_EQ(cat(cid + "/index.html"), "<h1>Hello</h1>");
  EXPECT_TRUE(stat(cid).at("whole"));
  ASSERT_TRUE(get(cid, folder_ / "copy")) << last_.error().message;
  EXPECT_EQ(read_file(folder_ / "copy/img/large.bin"), some_bytes(3'000'000, 1));
  run([&] { return car_export(common_, {.cid = cid, .file = folder_ / "site.car"}); });
  ASSERT_TRUE(last_);
  ASSERT_TRUE(rm(cid));
  EXPECT_EQ(repo_stat().at("blocks"), 0);
  run([&] { return car_import(common_, {.cid = {}, .file = folder_ / "site.car"}); });
  ASSERT_TRUE(last_) << last_.error().message;
  EXPECT_TRUE(stat(cid).at("whole"));
}

TEST_P(Keeping, PinsWhatIsAdded) {
  const std::string cid = add(make_site());
  ASSERT_EQ(pins().size(), 1U);
  EXPECT_EQ(pins()[0].at("cid"), cid);
  EXPECT_EQ(pins()[0].at("name"), "site");
  EXPECT_EQ(gc().at("removed"), 0);
  run([&] { return pin_rm(common_, {.cids = {cid}, .name = {}}); });
  ASSERT_TRUE(last_);
  EXPECT_TRUE(pins().empty());
  EXPECT_TRUE(stat(cid).at("whole")) << "until gc";
  const json dry = gc(true);
  const json done = gc();
  EXPECT_EQ(dry.at("removed"), done.at("removed"));
  EXPECT_EQ(dry.at("removedBytes"), done.at("removedBytes"));
  EXPECT_GT(done.at("removedBytes"), 3'000'000);
  EXPECT_EQ(repo_stat().at("blocks"), 0);
}

TEST_P(Keeping, PinsAPartOfWhatIsHere) {
  const std::string cid = add(make_site());
  const std::string image = stat(cid + "/img").at("cid");
  run([&] { return pin_add(common_, {.cids = {image}, .name = "image"}); });
  ASSERT_TRUE(last_) << last_.error().message;
  run([&] { return pin_rm(common_, {.cids = {cid}, .name = {}}); });
  ASSERT_EQ(pins().size(), 1U);
  EXPECT_EQ(pins()[0].at("name"), "image");
  EXPECT_GT(gc().at("removed"), 0);
  EXPECT_EQ(cat(image + "/large.bin"), some_bytes(3'000'000, 1));
  EXPECT_TRUE(stat(cid).contains("error"));
}

TEST_P(Keeping, FetchesWhatIsPinned) {
  const std::string cid = add_elsewhere(make_site());
  const std::string printed = run([&] { return pin_add(common_, {.cids = {cid}, .name = {}}); });
  ASSERT_TRUE(last_) << last_.error().message;
  EXPECT_GT(json::parse(printed).at("size"), 3'000'000);
  EXPECT_EQ(gc().at("removed"), 0);
  common_.no_gateway = true;
  EXPECT_EQ(cat(cid + "/img/large.bin"), some_bytes(3'000'000, 1));
}

TEST_P(Keeping, PinsNothingThatNobodyHas) {
  write_file(folder_ / "file", "x");
  const std::string cid = add(folder_ / "file", {.only_hash = true});
  run([&] { return pin_add(common_, {.cids = {cid}, .name = {}}); });
  ASSERT_FALSE(last_);
  EXPECT_TRUE(pins().empty());
}

TEST_P(Keeping, SaysWhatIsNoPin) {
  const std::string cid = add(make_site());
  run([&] { return pin_rm(common_, {.cids = {"nonsense"}, .name = {}}); });
  EXPECT_EQ(last_.error().code, ErrorCode::kMalformed);
  const std::string inner = stat(cid + "/img").at("cid");
  run([&] { return pin_rm(common_, {.cids = {cid, inner}, .name = {}}); });
  ASSERT_FALSE(last_);
  EXPECT_EQ(last_.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(last_.error().message, AllOf(HasSubstr(inner), HasSubstr("codio pin ls")));
  EXPECT_EQ(pins().size(), 1U) << "all or nothing";
}

TEST_P(Keeping, VerifiesThatAllIsWell) {
  add(make_site());
  const auto lines = verify();
  ASSERT_TRUE(last_) << last_.error().message;
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].at("bad"), 0);
  EXPECT_EQ(lines[0].at("missing"), 0);
  EXPECT_EQ(lines[0].at("blocks"), repo_stat().at("blocks"));
  EXPECT_EQ(lines[0].at("bytes"), repo_stat().at("bytes"));
}

TEST_P(Keeping, ListsWhatIsMissingUnderAPin) {
  const std::string cid = add(make_site());
  const std::string leaf = stat(cid + "/index.html").at("cid");
  ASSERT_TRUE(store()->remove(*ContentId::parse(leaf)));
  const auto lines = verify();
  ASSERT_FALSE(last_);
  EXPECT_EQ(last_.error().code, ErrorCode::kMismatch);
  EXPECT_THAT(last_.error().message, AllOf(HasSubstr("missing: 1"), HasSubstr("--repair")));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0].at("event"), "missing");
  EXPECT_EQ(lines[0].at("cid"), leaf);
  EXPECT_THAT(lines[0].at("reason").get<std::string>(), HasSubstr(cid));
  EXPECT_EQ(lines[1].at("event"), "damaged");
  EXPECT_EQ(lines[1].at("cid"), cid);
  EXPECT_EQ(lines[2].at("missing"), 1);
}

TEST_P(Keeping, FindsABlockThatIsNotWhatItsCidSays) {
  const std::string cid = add(make_site());
  const auto leaf = *ContentId::parse(stat(cid + "/index.html").at("cid").get<std::string>());
  ASSERT_TRUE(store()->remove(leaf));
  ASSERT_TRUE(store()->put(leaf, as_bytes("<h1>Hullo</h1>")));
  const auto lines = verify();
  ASSERT_FALSE(last_);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0].at("event"), "bad");
  EXPECT_EQ(lines[0].at("cid"), leaf.to_string());
  EXPECT_EQ(lines[2].at("bad"), 1);
  EXPECT_EQ(verify({.cids = {leaf.to_string()}}).back().at("bad"), 1);
  EXPECT_EQ(verify({.cids = {stat(cid + "/img").at("cid").get<std::string>()}}).back().at("bad"), 0);
  EXPECT_TRUE(last_);
}

TEST_P(Keeping, RepairsFromElsewhere) {
  const fs::path site = make_site();
  add_elsewhere(site);
  const std::string cid = add(site);
  const auto leaf = *ContentId::parse(stat(cid + "/index.html").at("cid").get<std::string>());
  const auto inner = *ContentId::parse(stat(cid + "/img").at("cid").get<std::string>());
  ASSERT_TRUE(store()->remove(leaf));
  ASSERT_TRUE(store()->put(leaf, as_bytes("<h1>Hullo</h1>")));
  ASSERT_TRUE(store()->remove(inner));
  verify();
  ASSERT_FALSE(last_);
  const auto lines = verify({.repair = true});
  ASSERT_TRUE(last_) << last_.error().message;
  EXPECT_EQ(lines.back().at("repaired"), 2);
  EXPECT_EQ(lines.back().at("bad"), 0);
  EXPECT_EQ(verify().back().at("missing"), 0);
  EXPECT_TRUE(last_);
  common_.no_gateway = true;
  EXPECT_EQ(cat(cid + "/index.html"), "<h1>Hello</h1>");
}

TEST_P(Keeping, SaysWhatItCouldNotRepair) {
  const std::string cid = add(make_site());
  const std::string leaf = stat(cid + "/index.html").at("cid");
  ASSERT_TRUE(store()->remove(*ContentId::parse(leaf)));
  const auto lines = verify({.repair = true});
  ASSERT_FALSE(last_);
  EXPECT_EQ(lines.back().at("missing"), 1);
  EXPECT_THAT(last_.error().message, HasSubstr("nobody who was asked has them"));
}

TEST_P(Keeping, RemovesABadBlockThatNobodyNeeds) {
  const auto cid = ContentId::v1(Codec::kRaw, node::sha256(as_bytes("right")));
  ASSERT_TRUE(store()->put(cid, as_bytes("wrong")));
  const auto lines = verify({.repair = true});
  ASSERT_TRUE(last_) << last_.error().message;
  EXPECT_EQ(lines.back().at("repaired"), 1);
  EXPECT_FALSE(*store()->has(cid));
}

TEST_P(Keeping, RefersToFilesInsteadOfCopying) {
  const fs::path site = make_site();
  const std::string cid = add(site, {.nocopy = true});
  EXPECT_EQ(add(site, {.only_hash = true}), cid) << "the same CID as with copies";
  const json stats = repo_stat();
  EXPECT_EQ(stats.at("referenceBytes"), 3'000'000 + 14);
  EXPECT_LT(stats.at("bytes"), 1000);
  EXPECT_EQ(cat(cid + "/img/large.bin"), some_bytes(3'000'000, 1));
  EXPECT_EQ(cat(cid + "/none.txt"), "");
  ASSERT_TRUE(get(cid, folder_ / "copy"));
  EXPECT_EQ(read_file(folder_ / "copy/img/large.bin"), some_bytes(3'000'000, 1));
  verify();
  EXPECT_TRUE(last_);
  EXPECT_EQ(gc().at("removed"), 0);
  run([&] { return pin_rm(common_, {.cids = {cid}, .name = {}}); });
  EXPECT_EQ(gc().at("kept"), 0);
  EXPECT_EQ(repo_stat().at("references"), 0);
  EXPECT_EQ(fs::file_size(site / "img/large.bin"), 3'000'000U);
}

TEST_P(Keeping, NeverServesAFileThatWasChanged) {
  const fs::path file = folder_ / "file";
  write_file(file, some_bytes(3'000'000, 1));
  const std::string cid = add(file, {.nocopy = true});
  std::string edited = some_bytes(3'000'000, 1);
  edited[2'500'000] ^= 1;
  write_file(file, edited);
  EXPECT_LT(cat(cid).size(), 3'000'000U);
  ASSERT_FALSE(last_);
  EXPECT_THAT(last_.error().message, HasSubstr(file.string() + ": the file was changed since it was added"));
  const auto lines = verify();
  ASSERT_FALSE(last_);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_THAT(lines[0].at("reason").get<std::string>(),
              AllOf(HasSubstr(file.string()), HasSubstr("was changed since it was added")));
  // Added again, it is another file; the old one is still not served.
  EXPECT_NE(add(file, {.nocopy = true}), cid);
  verify({.cids = {cid}});
  EXPECT_FALSE(last_);
}

TEST_P(Keeping, RepairsAChangedFileWithACopy) {
  const fs::path file = folder_ / "file";
  write_file(file, some_bytes(3'000'000, 1));
  add_elsewhere(file);
  const std::string cid = add(file, {.nocopy = true});
  write_file(file, some_bytes(3'000'000, 2));
  const auto lines = verify({.repair = true});
  ASSERT_TRUE(last_) << last_.error().message;
  EXPECT_EQ(lines.back().at("repaired"), 3);
  common_.no_gateway = true;
  EXPECT_EQ(cat(cid), some_bytes(3'000'000, 1));
  EXPECT_EQ(read_file(file), some_bytes(3'000'000, 2)) << "the user's file stays as it is";
}

TEST_P(Keeping, RefersOnlyInAProfileThatAllowsIt) {
  write_file(folder_ / "file", "x");
  AddOptions options{.nocopy = true, .profile = "unixfs-v0-2015"};
  options.paths = {folder_ / "file"};
  run([&] { return cli::add(common_, options); });
  ASSERT_FALSE(last_);
  EXPECT_EQ(last_.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(last_.error().message, HasSubstr("unixfs-v1-2025"));
}

TEST_P(Keeping, CountsWhatTheRepoHolds) {
  write_file(folder_ / "one", some_bytes(100'000, 1));
  write_file(folder_ / "two", some_bytes(50'000, 2));
  add(folder_ / "one");
  add(folder_ / "two", {.nocopy = true});
  const json stats = repo_stat();
  EXPECT_EQ(stats.at("path"), common_.repo.string());
  EXPECT_EQ(stats.at("pins"), 2);
  EXPECT_EQ(stats.at("blocks"), 2);
  EXPECT_EQ(stats.at("bytes"), 100'000);
  EXPECT_EQ(stats.at("references"), 1);
  EXPECT_EQ(stats.at("referenceBytes"), 50'000);
  EXPECT_GT(stats.at("diskBytes"), 0);
  EXPECT_TRUE(stats.at("limit").is_null());
}

class KeepingLess : public Keeping {};
INSTANTIATE_TEST_SUITE_P(Repo, KeepingLess, testing::Values(false), [](const auto&) { return "ThatIsFree"; });

TEST_P(KeepingLess, GetsAFileThatIsLargerThanTheLimit) {
  const fs::path file = folder_ / "file";
  write_file(file, some_bytes(12'000'000, 1));
  const std::string cid = add_elsewhere(file);
  common_.store_limit = "4M";
  ASSERT_TRUE(get(cid, folder_ / "copy")) << last_.error().message;
  EXPECT_EQ(read_file(folder_ / "copy"), some_bytes(12'000'000, 1));
  EXPECT_LE(repo_stat().at("bytes"), 4 << 20);
  EXPECT_GT(repo_stat().at("bytes"), 1 << 20);
}

TEST_P(KeepingLess, EvictsWhatIsNotPinned) {
  write_file(folder_ / "pinned", some_bytes(2'000'000, 1));
  const std::string pinned = add(folder_ / "pinned");
  common_.store_limit = "5M";
  for (const unsigned seed : {2U, 3U, 4U}) {
    write_file(folder_ / "file", some_bytes(2'000'000, seed));
    const std::string cid = add(folder_ / "file");
    run([&] { return pin_rm(common_, {.cids = {cid}, .name = {}}); });
  }
  EXPECT_LE(repo_stat().at("bytes"), 5 << 20);
  EXPECT_EQ(cat(pinned), some_bytes(2'000'000, 1));
}

TEST_P(KeepingLess, SaysThatAnAddDoesNotFit) {
  write_file(folder_ / "file", some_bytes(9'000'000, 1));
  common_.store_limit = "4M";
  AddOptions options;
  options.paths = {folder_ / "file"};
  run([&] { return cli::add(common_, options); });
  ASSERT_FALSE(last_);
  EXPECT_EQ(last_.error().code, ErrorCode::kTooLarge);
  EXPECT_THAT(last_.error().message, HasSubstr("--store-limit"));
  EXPECT_TRUE(pins().empty());
}

TEST_P(KeepingLess, GetsNoDirectoryThatIsLargerThanTheLimit) {
  const std::string cid = add_elsewhere(make_site());
  common_.store_limit = "2M";
  ASSERT_FALSE(get(cid, folder_ / "copy"));
  EXPECT_THAT(last_.error().message, HasSubstr("--store-limit"));
}

class BesideANode : public Keeping {};
INSTANTIATE_TEST_SUITE_P(Repo, BesideANode, testing::Values(true), [](const auto&) { return "OfARunningNode"; });

TEST_P(BesideANode, AsksTheNodeWhatItDoes) {
  add(make_site());
  const json stats = json::parse(run([&] { return cli::stats(common_); }));
  EXPECT_EQ(stats.at("store").at("pins"), 1);
  EXPECT_EQ(json::parse(run([&] { return cli::peers(common_); })), json::array());
  common_.json = false;
  EXPECT_THAT(run([&] { return cli::stats(common_); }),
              AllOf(HasSubstr("stored        2.9 MiB in "), HasSubstr("pins          1")));
  EXPECT_EQ(run([&] { return cli::peers(common_); }), "no peer is connected\n");
}

TEST_P(BesideANode, ChangesTheNodesLimits) {
  common_.max_upload = "2M";
  common_.upload_slots = 7;
  common_.store_limit = "1G";
  const json changed = json::parse(run([&] { return cli::limits(common_); }));
  EXPECT_EQ(changed,
            json({{"maxUpload", 2 << 20}, {"maxDownload", nullptr}, {"uploadSlots", 7}, {"storeLimit", 1 << 30}}));
  common_.max_upload = "none";
  common_.upload_slots.reset();
  common_.store_limit.clear();
  const json after = json::parse(run([&] { return cli::limits(common_); }));
  EXPECT_TRUE(after.at("maxUpload").is_null());
  EXPECT_EQ(after.at("uploadSlots"), 7);
  EXPECT_EQ(repo_stat().at("limit"), 1 << 30);
}

TEST_P(BesideANode, TellsStrangersNothingOfItsFiles) {
  const fs::path file = folder_ / "file";
  write_file(file, some_bytes(1000, 1));
  const std::string cid = add(file, {.nocopy = true});
  fs::remove(file);
  for (const char* const query : {"", "?format=raw"}) {
    const std::string answer = node_->fetch("/ipfs/" + cid + query);
    EXPECT_THAT(answer, HasSubstr(" 500 "));
    EXPECT_THAT(answer, testing::Not(HasSubstr(folder_.string())));
  }
}

TEST_P(BesideANode, TakesNoLimitOfItsOwn) {
  common_.store_limit = "1G";
  run([&] { return cli::repo_stat(common_); });
  ASSERT_FALSE(last_);
  EXPECT_THAT(last_.error().message, HasSubstr("codio limits --store-limit"));
}

TEST_P(BesideANode, StartsNoSecondNode) {
  run([&] { return cli::serve(common_, {.paths = {}, .http = "127.0.0.1:0", .web_root = {}}); });
  ASSERT_FALSE(last_);
  EXPECT_EQ(last_.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(last_.error().message, AllOf(HasSubstr(common_.repo.string()), HasSubstr("--repo")));
}

TEST_F(Cli, SaysThatACommandNeedsARunningNode) {
  for (const auto& command : {&cli::peers, &cli::stats, &cli::limits}) {
    run([&] { return command(common_); });
    ASSERT_FALSE(last_);
    EXPECT_EQ(last_.error().code, ErrorCode::kUnavailable);
    EXPECT_THAT(last_.error().message, AllOf(HasSubstr(common_.repo.string()), HasSubstr("codio serve")));
  }
}

TEST_F(Cli, SaysThatAnotherCommandHasTheRepo) {
  const auto other = open_own_store(common_);
  run([&] { return ls(common_, ""); });
  ASSERT_FALSE(last_);
  EXPECT_EQ(last_.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(last_.error().message, HasSubstr("another codio command works on the repo"));
}

TEST(Size, IsReadAsPeopleWriteIt) {
  EXPECT_EQ(*parse_size("10"), 10U);
  EXPECT_EQ(*parse_size("1.5K"), 1536U);
  EXPECT_EQ(*parse_size("500M"), 500U << 20);
  EXPECT_EQ(*parse_size("2GiB"), 2ULL << 30);
  EXPECT_EQ(*parse_size("1TB"), 1ULL << 40);
  EXPECT_EQ(*parse_size("none"), std::nullopt);
  for (const char* text : {"", "x", "-1", "1X", "1K/s", "nan", "1e99"}) EXPECT_FALSE(parse_size(text)) << text;
}

}  // namespace
}  // namespace codio::cli
