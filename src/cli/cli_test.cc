// The commands as a user runs them, in this process, on a repo of their own and without a network.
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <unistd.h>

#include "cli/content.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/testing.h"
#include "content_id/car.h"

namespace codio::cli {
namespace {

using testing::HasSubstr;

TEST_F(Cli, GetsADirectoryAsItWasAdded) {
  const std::string cid = add(make_site());
  ASSERT_TRUE(get(cid, folder_ / "copy"));
  EXPECT_EQ(read_file(folder_ / "copy/index.html"), "<h1>Hello</h1>");
  EXPECT_EQ(read_file(folder_ / "copy/img/large.bin"), some_bytes(3'000'000, 1));
  EXPECT_EQ(fs::file_size(folder_ / "copy/none.txt"), 0U);
  EXPECT_TRUE(fs::is_directory(folder_ / "copy/img/empty"));
  EXPECT_EQ(fs::read_symlink(folder_ / "copy/latest"), "img/large.bin");
  EXPECT_FALSE(fs::exists(folder_ / "copy/.hidden"));
  EXPECT_EQ(add(folder_ / "copy"), cid);
}

TEST_F(Cli, GetsAFileOfADirectoryAndSaysWhereItsBytesCameFrom) {
  const std::string cid = add(make_site());
  const fs::path copy = folder_ / "copy.bin";
  const std::string printed = run([&] { return cli::get(common_, {.path = cid + "/img/large.bin", .output = copy}); });
  ASSERT_TRUE(last_);
  const json summary = json::parse(printed);
  EXPECT_EQ(summary.at("size"), 3'000'000);
  EXPECT_EQ(summary.at("path"), copy.string());
  EXPECT_GE(summary.at("fromStore"), 3'000'000);
  EXPECT_EQ(summary.at("fromGateways"), 0);
  EXPECT_EQ(read_file(copy), some_bytes(3'000'000, 1));
}

TEST_F(Cli, IdIsThatOfTheKeyInTheRepo) {
  const json first = json::parse(run([&] { return id(common_); }));
  EXPECT_TRUE(identity::key_of(first.at("peer").get<std::string>()));
  EXPECT_EQ(identity::Key::load_or_make(common_.repo / "identity.pem").value().peer_id(), first.at("peer"));
  common_.json = false;
  EXPECT_EQ(run([&] { return id(common_); }), first.at("peer").get<std::string>() + "\n");
  common_.repo = folder_ / "another";
  EXPECT_NE(run([&] { return id(common_); }), first.at("peer").get<std::string>() + "\n");
}

TEST_F(Cli, AddsHiddenNamesOnlyIfAsked) {
  const fs::path site = make_site();
  const std::string cid = add(site, {.hidden = true});
  EXPECT_NE(cid, add(site));
  EXPECT_EQ(cat(cid + "/.hidden"), "secret");
}

TEST_F(Cli, OnlyHashesWithoutTouchingTheRepo) {
  const fs::path file = folder_ / "hello";
  write_file(file, "hello world");
  EXPECT_EQ(add(file, {.only_hash = true}), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
  EXPECT_FALSE(fs::exists(common_.repo));
}

TEST_F(Cli, AddsInTheProfileOfOlderPrograms) {
  const fs::path file = folder_ / "hello";
  write_file(file, "hello world");
  EXPECT_EQ(add(file, {.only_hash = true, .profile = "unixfs-v0-2015"}),
            "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD");
}

TEST_F(Cli, CatsRangesAsHttpHasThem) {
  write_file(folder_ / "ten", "0123456789");
  const std::string cid = add(folder_ / "ten");
  EXPECT_EQ(cat(cid), "0123456789");
  EXPECT_EQ(cat(cid, "2-4"), "234");
  EXPECT_EQ(cat(cid, "7-"), "789");
  EXPECT_EQ(cat(cid, "-3"), "789");
  EXPECT_EQ(cat(cid, "0-0"), "0");
  EXPECT_EQ(cat(cid, "8-99"), "89");
  EXPECT_EQ(cat(cid, "-99"), "0123456789");
  EXPECT_EQ(cat(cid, "10-"), "");
  EXPECT_EQ(last_.error().code, ErrorCode::kNotFound);
}

TEST_F(Cli, RefusesWhatIsNoRange) {
  for (const char* text : {"", "-", "5", "a-b", "4-2", "-0", "1-2-3", "0x1-2", " 1-2", "99999999999999999999-"}) {
    EXPECT_FALSE(RangeText::parse(text)) << text;
  }
}

TEST_F(Cli, ListsADirectoryAndTheRoots) {
  const std::string cid = add(make_site());
  const json entries = json::parse(run([&] { return ls(common_, cid); }));
  std::vector<std::string> names;
  for (const json& entry : entries) names.push_back(entry.at("name"));
  EXPECT_THAT(names, testing::ElementsAre("img", "index.html", "latest", "none.txt"));
  const json roots = json::parse(run([&] { return ls(common_, ""); }));
  ASSERT_EQ(roots.size(), 1U);
  EXPECT_EQ(roots[0].at("cid"), cid);
  EXPECT_EQ(roots[0].at("name"), "site");
}

TEST_F(Cli, ListsNoFile) {
  write_file(folder_ / "file", "x");
  const std::string cid = add(folder_ / "file");
  run([&] { return ls(common_, cid); });
  ASSERT_FALSE(last_);
  EXPECT_THAT(last_.error().message, HasSubstr("is not a directory"));
}

TEST_F(Cli, StatTellsWhetherContentIsWhole) {
  const std::string cid = add(make_site());
  const json whole = stat(cid);
  EXPECT_EQ(whole.at("type"), "directory");
  EXPECT_EQ(whole.at("whole"), true);
  const std::string leaf = add(folder_ / "site/index.html");
  ASSERT_TRUE((*open_store(common_))->remove(*ContentId::parse(leaf)));
  const json part = stat(cid);
  EXPECT_EQ(part.at("whole"), false);
  EXPECT_EQ(part.at("blocks").get<int>(), whole.at("blocks").get<int>() - 1);
}

TEST_F(Cli, RemovesNoBlockThatAnotherRootNeeds) {
  const fs::path site = make_site();
  const std::string whole = add(site);
  const std::string image = add(site / "img/large.bin");
  ASSERT_TRUE(rm(whole));
  EXPECT_EQ(cat(image), some_bytes(3'000'000, 1));
  EXPECT_TRUE(stat(whole).contains("error"));
  ASSERT_TRUE(rm(image));
  int left = 0;
  ASSERT_TRUE((*open_store(common_))->for_each([&](const auto&, std::uint64_t) { ++left; }));
  EXPECT_EQ(left, 0);
}

TEST_F(Cli, RemovesOnlyWhatWasAdded) {
  const std::string cid = add(make_site());
  const std::string entry = json::parse(run([&] { return ls(common_, cid); }))[0].at("cid");
  ASSERT_FALSE(rm(entry));
  EXPECT_EQ(last_.error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(stat(cid).at("whole"));
}

TEST_F(Cli, GetNeverOverwrites) {
  write_file(folder_ / "file", "new");
  const std::string cid = add(folder_ / "file");
  write_file(folder_ / "taken", "old");
  fs::create_symlink("nowhere", folder_ / "dangling");
  for (const char* name : {"taken", "dangling", "repo"}) {
    ASSERT_FALSE(get(cid, folder_ / name)) << name;
    EXPECT_THAT(last_.error().message, HasSubstr((folder_ / name).string()));
    EXPECT_THAT(last_.error().message, HasSubstr("-o"));
  }
  EXPECT_EQ(read_file(folder_ / "taken"), "old");
}

TEST_F(Cli, GetLeavesNothingBehindWhenItFails) {
  const std::string cid = add(make_site());
  const std::string leaf = add(folder_ / "site/index.html");
  ASSERT_TRUE((*open_store(common_))->remove(*ContentId::parse(leaf)));
  ASSERT_FALSE(get(cid, folder_ / "copy"));
  EXPECT_FALSE(fs::exists(folder_ / "copy"));
  EXPECT_FALSE(fs::exists(folder_ / ".copy.codio-part"));
}

TEST_F(Cli, GetRefusesNamesThatLeadOutOfItsFolder) {
  write_file(folder_ / "file", "bad");
  const std::string cid = add(folder_ / "file");
  for (const std::string& name : {std::string(".."), std::string("."), std::string(), std::string("../evil"),
                                  std::string("/tmp/evil"), std::string("a/b"), std::string("nul\0byte", 8)}) {
    ASSERT_FALSE(get(put_directory(name, cid), folder_ / "copy")) << name;
    EXPECT_FALSE(fs::exists(folder_ / "copy"));
    EXPECT_FALSE(fs::exists(folder_ / "evil"));
  }
}

TEST_F(Cli, GetWritesNothingThroughASymlink) {
  fs::create_directories(folder_ / "in" / "sub");
  fs::create_directory(folder_ / "outside");
  fs::create_directory_symlink(folder_ / "outside", folder_ / "in" / "sub" / "link");
  const std::string cid = add(folder_ / "in");
  ASSERT_TRUE(get(cid, folder_ / "copy"));
  EXPECT_TRUE(fs::is_symlink(folder_ / "copy/sub/link"));
  EXPECT_TRUE(fs::is_empty(folder_ / "outside"));
}

class CliCar : public Cli {
 protected:
  void SetUp() override {
    Cli::SetUp();
    cid_ = add(make_site());
    run([&] { return car_export(common_, {.cid = cid_, .file = folder_ / "site.car"}); });
    ASSERT_TRUE(last_) << last_.error().message;
    archive_ = read_file(folder_ / "site.car");
    common_.repo = folder_ / "other";
  }

  Result<void> import(const std::string& archive) {
    write_file(folder_ / "in.car", archive);
    printed_ = run([&] { return car_import(common_, {.cid = {}, .file = folder_ / "in.car"}); });
    return last_;
  }

  std::string cid_;
  std::string archive_;
  std::string printed_;
};

TEST_F(CliCar, ImportsWhatWasExported) {
  ASSERT_TRUE(import(archive_));
  EXPECT_EQ(json::parse(printed_).at("roots"), json({{{"cid", cid_}, {"whole", true}}}));
  EXPECT_TRUE(stat(cid_).at("whole"));
  EXPECT_EQ(cat(cid_ + "/index.html"), "<h1>Hello</h1>");
  EXPECT_EQ(json::parse(run([&] { return ls(common_, ""); }))[0].at("name"), "in");
}

TEST_F(CliCar, RefusesACorruptedBlock) {
  archive_[archive_.size() / 2] ^= 1;
  ASSERT_FALSE(import(archive_));
  EXPECT_EQ(last_.error().code, ErrorCode::kMismatch);
  EXPECT_THAT(last_.error().message, HasSubstr("in.car"));
  EXPECT_EQ(run([&] { return ls(common_, ""); }), "[]\n");
}

TEST_F(CliCar, RefusesATruncatedArchive) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{30}, archive_.size() - 1}) {
    ASSERT_FALSE(import(archive_.substr(0, size))) << size;
    EXPECT_THAT(last_.error().message, HasSubstr("in.car")) << size;
  }
}

TEST_F(CliCar, DoesNotRecordARootThatIsNotWhole) {
  const auto header = content_id::car_header({*ContentId::parse(cid_)});
  ASSERT_TRUE(import(std::string(as_text(header))));
  EXPECT_EQ(json::parse(printed_).at("roots"), json({{{"cid", cid_}, {"whole", false}}}));
  EXPECT_EQ(run([&] { return ls(common_, ""); }), "[]\n");
}

TEST_F(CliCar, RefusesHashesThatItCannotVerify) {
  const auto hash = *content_id::Multihash::make(content_id::HashCode::kBlake3, Bytes(32, 7));
  const auto cid = ContentId::v1(Codec::kRaw, hash);
  Bytes archive = content_id::car_header({cid});
  append(archive, content_id::car_section_prefix(cid, 1));
  archive.push_back(0);
  ASSERT_FALSE(import(std::string(as_text(archive))));
  EXPECT_EQ(last_.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(last_.error().message, HasSubstr(cid.to_string()));
}

TEST_F(CliCar, DoesNotExportOverAFile) {
  common_.repo = folder_ / "repo";
  run([&] { return car_export(common_, {.cid = cid_, .file = folder_ / "site.car"}); });
  ASSERT_FALSE(last_);
  EXPECT_EQ(read_file(folder_ / "site.car"), archive_);
}

TEST(DhtOptions, OfACommandThatSoonEndsLeaveNoNodeBehind) {
  CommonOptions common;
  for (const char* bootstrap : {"", "127.0.0.1:6881", "192.0.2.1:6881"}) {
    common.dht_bootstrap.clear();
    if (*bootstrap != 0) common.dht_bootstrap.emplace_back(bootstrap);
    const auto options = dht_options(common);
    ASSERT_TRUE(options);
    EXPECT_TRUE(options->read_only) << bootstrap;
  }
}

TEST(NewPath, RemovesWhatAKilledCommandLeft) {
  const fs::path folder = fs::temp_directory_path() / ("codio_new_path." + std::to_string(::getpid()));
  fs::create_directories(folder / ".x.codio-part" / "old");
  {
    auto place = NewPath::make(folder / "x");
    ASSERT_TRUE(place);
    EXPECT_FALSE(fs::exists(folder / ".x.codio-part"));
    write_file(place->part(), "whole");
    ASSERT_TRUE(place->commit());
  }
  EXPECT_EQ(read_file(folder / "x"), "whole");
  fs::remove_all(folder);
}

}  // namespace
}  // namespace codio::cli
