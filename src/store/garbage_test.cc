// What stays and what goes: collection, eviction, holds, and references to files.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <openssl/sha.h>
#include <random>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "content_id/dag_pb.h"
#include "store/block_store.h"
#include "store/testing.h"

namespace codio::store {
namespace {

using content_id::Codec;
using content_id::ContentId;
using content_id::DagPbLink;
using content_id::Digest256;
using content_id::Multihash;
using testing::AllOf;
using testing::HasSubstr;

namespace fs = std::filesystem;

constexpr std::uint64_t kMinute = 60'000'000;

Bytes some_bytes(std::size_t size, std::uint32_t seed) {
  Bytes bytes(size);
  std::mt19937 random(seed);
  std::ranges::generate(bytes, [&] { return static_cast<std::uint8_t>(random()); });
  return bytes;
}

ContentId cid_of(Codec codec, BytesView bytes) {
  Digest256 digest;
  SHA256(bytes.data(), bytes.size(), digest.data());
  return ContentId::v1(codec, digest);
}

class Garbage : public testing::Test {
 protected:
  Garbage() { open({}); }

  void open(BlockStore::Options options) {
    store_.reset();
    options.clock = [this] { return time_.load(); };
    auto opened = BlockStore::open(folder_.path() / "store", options);
    if (!opened) {
      ADD_FAILURE() << opened.error().message;
      std::abort();
    }
    store_ = *std::move(opened);
  }

  ContentId put_leaf(std::uint32_t seed, std::size_t size = 5000) {
    const Bytes bytes = some_bytes(size, seed);
    const ContentId cid = cid_of(Codec::kRaw, bytes);
    const auto put = store_->put(cid, bytes);
    EXPECT_TRUE(put) << put.error().message;
    return cid;
  }

  ContentId put_node(const std::vector<ContentId>& children) {
    std::vector<DagPbLink> links;
    for (const ContentId& child : children) links.push_back({.cid = child, .name = {}, .size = 1});
    const Bytes block = content_id::encode_dag_pb(links, {});
    const ContentId cid = cid_of(Codec::kDagPb, block);
    EXPECT_TRUE(store_->put(cid, block));
    return cid;
  }

  bool has(const ContentId& cid) const { return *store_->has(cid); }

  Collection collect(const CollectOptions& options = {}) {
    const auto done = store_->collect(options);
    EXPECT_TRUE(done) << done.error().message;
    return done.value_or(Collection{});
  }

  /// Leaves of one file after the other, as add --nocopy has them.
  std::vector<ContentId> refer(const fs::path& path, std::size_t leaf) {
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    std::vector<BlockStore::ReferenceEntry> entries;
    std::vector<ContentId> cids;
    for (std::size_t at = 0; at < text.size(); at += leaf) {
      const BytesView bytes = as_bytes(std::string_view(text).substr(at, leaf));
      cids.push_back(cid_of(Codec::kRaw, bytes));
      entries.push_back({cids.back(),
                         bytes.size(),
                         {.path = path.string(),
                          .offset = at,
                          .file_size = text.size(),
                          .modified = static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000 +
                                      static_cast<std::uint64_t>(status.st_mtim.tv_nsec)}});
    }
    EXPECT_TRUE(store_->put_references(entries));
    return cids;
  }

  fs::path write_file(const std::string& name, BytesView bytes) {
    const fs::path path = folder_.path() / name;
    std::ofstream(path, std::ios::binary) << as_text(bytes);
    return path;
  }

  TemporaryFolder folder_;
  std::atomic<std::uint64_t> time_ = 1'000'000 * kMinute;
  std::unique_ptr<BlockStore> store_;
};

TEST_F(Garbage, RemovesWhatNoRootReaches) {
  const auto shared = put_leaf(1);
  const auto kept = put_leaf(2);
  const auto loose = put_leaf(3);
  const auto root = put_node({put_node({shared, kept}), shared});
  const auto other = put_node({shared, loose});
  ASSERT_TRUE(store_->add_root({.cid = root}));
  const Collection done = collect();
  EXPECT_EQ(done.kept, 4U);
  EXPECT_EQ(done.examined, 6U);
  EXPECT_EQ(done.removed, 2U);
  EXPECT_GT(done.removed_bytes, 5000U);
  for (const auto& cid : {shared, kept, root}) EXPECT_TRUE(has(cid));
  for (const auto& cid : {loose, other}) {
    EXPECT_FALSE(has(cid));
    EXPECT_EQ(*store_->get(cid), std::nullopt);
  }
  EXPECT_EQ(collect().removed, 0U);
}

TEST_F(Garbage, RemovesNothingInADryRun) {
  const auto loose = put_leaf(1);
  EXPECT_EQ(collect({.dry_run = true}), (Collection{.examined = 1, .removed = 1, .removed_bytes = 5000}));
  EXPECT_TRUE(has(loose));
  EXPECT_EQ(store_->usage()->blocks, 1U);
}

TEST_F(Garbage, RemovesOnlyBelowWhatItIsTold) {
  const auto shared = put_leaf(1);
  const auto below = put_leaf(2);
  const auto elsewhere = put_leaf(3);
  const auto kept = put_node({shared});
  const auto doomed = put_node({shared, put_node({below})});
  ASSERT_TRUE(store_->add_root({.cid = kept}));
  EXPECT_EQ(collect({.below = doomed}).removed, 3U);
  EXPECT_TRUE(has(shared) && has(elsewhere) && has(kept));
  EXPECT_FALSE(has(below));
  EXPECT_FALSE(has(doomed));
}

TEST_F(Garbage, FollowsLinksInsideOfCids) {
  const auto leaf = put_leaf(1);
  const Bytes node = content_id::encode_dag_pb(std::vector<DagPbLink>{{.cid = leaf, .name = {}, .size = 1}}, {});
  const auto hash = *Multihash::make(content_id::HashCode::kIdentity, node);
  ASSERT_TRUE(store_->add_root({.cid = ContentId::v1(Codec::kDagPb, hash)}));
  EXPECT_EQ(collect().removed, 0U);
  EXPECT_TRUE(has(leaf));
}

TEST_F(Garbage, ExpandsABlockThatIsAlsoPinnedAsRawBytes) {
  const auto leaf = put_leaf(1);
  const auto node = put_node({leaf});
  const auto raw = ContentId::v1(Codec::kRaw, node.multihash());
  // In this order of marking whatever the order of the roots.
  ASSERT_TRUE(store_->add_root({.cid = put_node({raw, node})}));
  ASSERT_TRUE(store_->add_root({.cid = put_node({node, raw})}));
  EXPECT_EQ(collect().removed, 0U);
  EXPECT_TRUE(has(leaf));
}

TEST_F(Garbage, RemovesNothingWhenARootIsNotWhole) {
  const auto loose = put_leaf(1);
  const auto inner = put_node({put_leaf(2)});
  const auto root = put_node({inner});
  ASSERT_TRUE(store_->add_root({.cid = root}));
  ASSERT_TRUE(store_->remove(inner));
  const auto done = store_->collect({});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(done.error().message,
              AllOf(HasSubstr(root.to_string()), HasSubstr(inner.to_string()), HasSubstr("codio verify --repair")));
  EXPECT_TRUE(has(loose));
}

TEST_F(Garbage, KeepsWhatIsHeld) {
  const auto before = put_leaf(1);
  const auto read = put_leaf(2);
  const auto touched = put_leaf(3);
  const auto again = put_leaf(4);
  auto hold = *store_->hold();
  const auto during = put_leaf(5);
  ASSERT_TRUE(*store_->get(read));
  ASSERT_TRUE(*store_->touch(touched));
  put_leaf(4);
  EXPECT_EQ(collect().in_use, 4U);
  EXPECT_FALSE(has(before));
  for (const auto& cid : {read, touched, again, during}) EXPECT_TRUE(has(cid));
  // What was read counts for all of the hold's life, however often it is collected.
  EXPECT_EQ(collect().in_use, 4U);
  hold.reset();
  EXPECT_EQ(collect().removed, 4U);
}

TEST_F(Garbage, KeepsWhatIsPutReadOrPinnedMeanwhile) {
  const auto read = put_leaf(1);
  const auto again = put_leaf(2);
  const auto leaf = put_leaf(3);
  const auto pinned = put_node({leaf});
  const auto loose = put_leaf(4);
  std::optional<ContentId> fresh;
  const auto meanwhile = [&](const Collection& done) {
    if (fresh || done.examined > 0) return true;
    fresh = put_leaf(5);
    put_leaf(2);
    EXPECT_TRUE(*store_->get(read));
    const auto hold = *store_->hold();
    EXPECT_TRUE(*store_->touch(leaf) && *store_->touch(pinned));
    EXPECT_TRUE(store_->add_root({.cid = pinned}));
    return true;
  };
  ASSERT_TRUE(store_->add_root({.cid = put_node({put_leaf(6)})}));
  collect({.on_progress = meanwhile});
  ASSERT_TRUE(fresh);
  for (const auto& cid : {read, again, leaf, pinned, *fresh}) EXPECT_TRUE(has(cid));
  EXPECT_FALSE(has(loose));
}

TEST_F(Garbage, EndsWhenTold) {
  for (std::uint32_t i = 0; i < 600; ++i) put_leaf(i, 100);
  const auto done = store_->collect({.on_progress = [](const Collection& so_far) { return so_far.removed == 0; }});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(store_->usage()->blocks, 600U - 256U);
  EXPECT_EQ(collect().removed, 600U - 256U);
}

TEST_F(Garbage, IsCollectedOnceAtATime) {
  put_leaf(1);
  std::optional<Result<Collection>> second;
  collect({.on_progress = [&](const Collection&) {
    std::jthread([&] { second = store_->collect({}); }).join();
    return true;
  }});
  ASSERT_TRUE(second && !*second);
  EXPECT_EQ(second->error().code, ErrorCode::kUnavailable);
}

TEST_F(Garbage, IsTornFromNobodyWhoPutsAndReadsAllTheTime) {
  // Each thread puts a small DAG, reads it and pins it, all under a hold, while another collects without pause.
  std::atomic<int> running = 4;
  std::vector<std::jthread> threads;
  for (std::uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint32_t i = 0; i < 40; ++i) {
        const auto hold = *store_->hold();
        // Half of the leaves are shared with the other threads' DAGs, pinned, held or garbage as it happens.
        const std::vector<ContentId> leaves{put_leaf(i % 7), put_leaf(1000 * t + i)};
        const auto root = put_node(leaves);
        for (const auto& leaf : leaves) EXPECT_TRUE(*store_->get(leaf)) << t << " " << i;
        EXPECT_TRUE(store_->add_root({.cid = root}));
        for (const auto& leaf : leaves) EXPECT_TRUE(*store_->has(leaf)) << t << " " << i;
        EXPECT_TRUE(*store_->get(root));
        EXPECT_TRUE(store_->remove_root(root));
      }
      --running;
    });
  }
  while (running > 0) EXPECT_TRUE(store_->collect({}));
  threads.clear();
  collect();
  EXPECT_EQ(store_->usage()->blocks, 0U);
}

TEST_F(Garbage, GivesItsDiskSpaceBack) {
  const auto root = put_node({put_leaf(0, 1 << 20)});
  ASSERT_TRUE(store_->add_root({.cid = root}));
  for (std::uint32_t i = 1; i < 32; ++i) put_leaf(i, 1 << 20);
  ASSERT_TRUE(store_->sync());
  open({});
  ASSERT_GT(store_->usage()->disk_bytes, 32U << 20);
  collect();
  // Files that are not needed any more go when the database finds time.
  open({});
  EXPECT_LT(store_->usage()->disk_bytes, 8U << 20);
  EXPECT_TRUE(*store_->get(root));
}

TEST_F(Garbage, GivesSpaceBackOnADiskWithoutRoomForAllThatStays) {
  store_.reset();
  const SmallFileSystem disk(folder_.path() / "store", "54m");
  if (!disk.is_mounted()) GTEST_SKIP() << "needs the right to mount a tmpfs";
  const BlockStore::Options options{.min_free_space = 2 << 20, .write_buffer = 4 << 20};
  open(options);
  std::vector<ContentId> kept;
  for (std::uint32_t i = 0; i < 36; ++i) {
    const Bytes bytes = some_bytes(1 << 20, i);
    const ContentId cid = cid_of(Codec::kRaw, bytes);
    ASSERT_TRUE(store_->put_many({{{cid, bytes}}}));
    if (i % 2 == 0) kept.push_back(cid);
  }
  const auto root = put_node(kept);
  ASSERT_TRUE(store_->add_root({.cid = root}));
  ASSERT_GT(store_->usage()->disk_bytes, 36U << 20);
  EXPECT_EQ(collect().removed, 18);
  open(options);
  EXPECT_LT(store_->usage()->disk_bytes, 34U << 20);
  for (const ContentId& cid : kept) EXPECT_TRUE(*store_->get(cid));
}

TEST_F(Garbage, CountsWhatIsThere) {
  EXPECT_EQ(store_->usage()->blocks, 0U);
  put_leaf(1, 3000);
  put_leaf(1, 3000);
  const auto second = put_leaf(2, 4000);
  const auto cids = refer(write_file("file", some_bytes(2500, 3)), 1000);
  ASSERT_TRUE(store_->add_root({.cid = second}));
  const auto expect = [&](std::uint64_t blocks, std::uint64_t bytes, std::uint64_t references,
                          std::uint64_t reference_bytes) {
    const Usage usage = *store_->usage();
    EXPECT_EQ(usage.blocks, blocks);
    EXPECT_EQ(usage.bytes, bytes);
    EXPECT_EQ(usage.references, references);
    EXPECT_EQ(usage.reference_bytes, reference_bytes);
    EXPECT_EQ(usage.pins, 1U);
    EXPECT_GT(usage.disk_bytes, 0U);
    EXPECT_EQ(usage.folder, (folder_.path() / "store").string());
  };
  expect(5, 7000, 3, 2500);
  ASSERT_TRUE(store_->remove(cids[2]));
  expect(4, 7000, 2, 2000);
  // A copy takes a reference's place.
  ASSERT_TRUE(store_->put(cids[0], BytesView(some_bytes(2500, 3)).first(1000)));
  expect(4, 8000, 1, 1000);
  collect();
  expect(1, 4000, 0, 0);
  open({});
  expect(1, 4000, 0, 0);
}

using Evict = Garbage;

TEST_F(Evict, RemovesWhatWasUsedLeastRecently) {
  open({.limit = 100'000});
  std::vector<ContentId> cids;
  for (std::uint32_t i = 0; i < 10; ++i) {
    cids.push_back(put_leaf(i, 10'000));
    time_ += 2 * kMinute;
  }
  ASSERT_TRUE(*store_->get(cids[0]));
  time_ += 2 * kMinute;
  put_leaf(100, 10'000);
  EXPECT_TRUE(has(cids[0]));
  EXPECT_FALSE(has(cids[1]));
  EXPECT_FALSE(has(cids[2]));
  for (std::size_t i = 3; i < 10; ++i) EXPECT_TRUE(has(cids[i])) << i;
  EXPECT_EQ(store_->usage()->bytes, 90'000U);
}

TEST_F(Evict, RemembersReadsWhenItIsOpenedAgain) {
  std::vector<ContentId> cids;
  for (std::uint32_t i = 0; i < 10; ++i) cids.push_back(put_leaf(i, 10'000));
  time_ += 2 * kMinute;
  for (std::size_t i = 0; i < 10; i += 2) ASSERT_TRUE(*store_->get(cids[i]));
  time_ += 2 * kMinute;
  open({.limit = 60'000});
  put_leaf(100, 1000);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(has(cids[i]), i % 2 == 0) << i;
}

TEST_F(Evict, NeverRemovesWhatIsPinnedOrHeld) {
  open({.limit = 60'000});
  const auto pinned = put_leaf(1, 20'000);
  ASSERT_TRUE(store_->add_root({.cid = put_node({pinned})}));
  auto hold = *store_->hold();
  const auto held = put_leaf(2, 20'000);
  time_ += 10 * kMinute;
  const Bytes large = some_bytes(30'000, 3);
  const auto cid = cid_of(Codec::kRaw, large);
  const auto put = store_->put(cid, large);
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::kTooLarge);
  EXPECT_THAT(put.error().message, AllOf(HasSubstr("60000"), HasSubstr("--store-limit"), HasSubstr("codio pin rm")));
  EXPECT_TRUE(has(pinned) && has(held));
  EXPECT_FALSE(has(cid));
  hold.reset();
  EXPECT_TRUE(store_->put(cid, large));
  EXPECT_TRUE(has(pinned));
  EXPECT_FALSE(has(held));
}

TEST_F(Evict, TakesALimitAtAnyTime) {
  for (std::uint32_t i = 0; i < 10; ++i) put_leaf(i, 10'000);
  ASSERT_TRUE(store_->set_limit(50'000));
  EXPECT_EQ(store_->usage()->limit, 50'000U);
  put_leaf(100, 1000);
  EXPECT_LE(store_->usage()->bytes, 50'000U);
  ASSERT_TRUE(store_->set_limit({}));
  for (std::uint32_t i = 0; i < 10; ++i) put_leaf(i, 10'000);
  EXPECT_EQ(store_->usage()->bytes, 101'000U);
}

TEST_F(Evict, RefusesWhatCanNeverFit) {
  open({.limit = 50'000});
  const auto small = put_leaf(1, 10'000);
  const Bytes large = some_bytes(60'000, 2);
  EXPECT_EQ(store_->put(cid_of(Codec::kRaw, large), large).error().code, ErrorCode::kTooLarge);
  EXPECT_TRUE(has(small));
}

TEST_F(Evict, GivesDiskSpaceBackToo) {
  constexpr std::size_t kSize = 1 << 20;
  open({.write_buffer = 4 << 20, .limit = 16 * kSize});
  for (std::uint32_t i = 0; i < 100; ++i) {
    put_leaf(i, kSize);
    time_ += kMinute;
  }
  EXPECT_LE(store_->usage()->bytes, 16 * kSize);
  open({});
  EXPECT_LT(store_->usage()->disk_bytes, 32 * kSize);
}

TEST_F(Evict, DoesNotCountReferences) {
  open({.limit = 10'000});
  const auto cids = refer(write_file("file", some_bytes(50'000, 1)), 10'000);
  put_leaf(2, 9000);
  put_leaf(3, 9000);
  for (const auto& cid : cids) EXPECT_TRUE(has(cid));
}

using References = Garbage;

TEST_F(References, AreReadFromTheFile) {
  const Bytes bytes = some_bytes(25'000, 1);
  const fs::path file = write_file("file", bytes);
  const auto cids = refer(file, 10'000);
  ASSERT_EQ(cids.size(), 3U);
  open({});
  EXPECT_EQ(***store_->get(cids[1]), Bytes(bytes.begin() + 10'000, bytes.begin() + 20'000));
  EXPECT_EQ(***store_->get(cids[2]), Bytes(bytes.begin() + 20'000, bytes.end()));
  EXPECT_EQ(*store_->size(cids[2]), 5000U);
  EXPECT_EQ((*store_->reference(cids[1]))->path, file.string());
  EXPECT_EQ((*store_->reference(cids[1]))->offset, 10'000U);
  EXPECT_LT(store_->usage()->bytes, 1U);
}

TEST_F(References, AreNeverServedFromAChangedFile) {
  const Bytes bytes = some_bytes(20'000, 1);
  const fs::path file = write_file("file", bytes);
  const auto cids = refer(file, 10'000);
  const auto expect_refusal = [&](const std::string& why) {
    const auto found = store_->get(cids[1]);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code, ErrorCode::kMismatch);
    EXPECT_THAT(found.error().message,
                AllOf(HasSubstr(file.string()), HasSubstr(cids[1].to_string()), HasSubstr(why), HasSubstr("repair")));
  };
  Bytes edited = bytes;
  edited[15'000] ^= 1;
  write_file("file", edited);
  expect_refusal("changed since it was added");
  EXPECT_TRUE(*store_->get(cids[0])) << "what is the same is still served";

  write_file("file", BytesView(bytes).first(12'000));
  expect_refusal("changed since it was added");
  fs::remove(file);
  expect_refusal("No such file");
  fs::create_directory(file);
  expect_refusal("changed since it was added");
  fs::remove(file);
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  expect_refusal("changed since it was added");
  fs::remove(file);
  write_file("file", bytes);
  EXPECT_TRUE(*store_->get(cids[1]));
}

TEST_F(References, TellAFailingDiskFromAnEdit) {
  const fs::path file = write_file("file", some_bytes(10'000, 1));
  const auto before = fs::last_write_time(file);
  const auto cids = refer(file, 10'000);
  write_file("file", some_bytes(10'000, 2));
  fs::last_write_time(file, before);
  EXPECT_THAT(store_->get(cids[0]).error().message, HasSubstr("disk may be failing"));
}

TEST_F(References, FollowAFileThatIsAddedAgain) {
  const fs::path file = write_file("file", some_bytes(10'000, 1));
  const auto cids = refer(file, 10'000);
  const fs::path moved = folder_.path() / "moved";
  fs::rename(file, moved);
  EXPECT_FALSE(store_->get(cids[0]));
  refer(moved, 10'000);
  EXPECT_TRUE(*store_->get(cids[0]));
  EXPECT_EQ(store_->usage()->references, 1U);
}

TEST_F(References, DoNotReplaceCopies) {
  const Bytes bytes = some_bytes(10'000, 1);
  const auto cid = cid_of(Codec::kRaw, bytes);
  ASSERT_TRUE(store_->put(cid, bytes));
  const fs::path file = write_file("file", bytes);
  refer(file, 10'000);
  fs::remove(file);
  EXPECT_EQ(***store_->get(cid), bytes);
  EXPECT_EQ(*store_->reference(cid), std::nullopt);
}

TEST_F(References, BecomeCopiesWhenTheBlockIsPut) {
  const Bytes bytes = some_bytes(10'000, 1);
  const fs::path file = write_file("file", bytes);
  const auto cids = refer(file, 10'000);
  fs::remove(file);
  ASSERT_FALSE(store_->get(cids[0]));
  ASSERT_TRUE(store_->put(cids[0], bytes));
  EXPECT_EQ(***store_->get(cids[0]), bytes);
}

TEST_F(References, AreCollectedAndTheFileStays) {
  const fs::path file = write_file("file", some_bytes(20'000, 1));
  const auto cids = refer(file, 10'000);
  ASSERT_TRUE(store_->add_root({.cid = put_node({cids[0]})}));
  const Collection done = collect();
  EXPECT_EQ(done.removed, 1U);
  EXPECT_EQ(done.removed_bytes, 0U);
  EXPECT_TRUE(*store_->get(cids[0]));
  EXPECT_FALSE(has(cids[1]));
  EXPECT_EQ(fs::file_size(file), 20'000U);
}

constexpr int kReportFile = 3;
constexpr const char* kCrashFolder = "CODIO_GARBAGE_TEST_CRASH_FOLDER";

/// Not a test but the process that the next test kills: collects over and over, beside one who adds and refers.
TEST(GarbageCrash, DISABLED_CollectsUntilKilled) {
  const char* folder = std::getenv(kCrashFolder);
  if (folder == nullptr) GTEST_SKIP() << "only GarbageCrash.LosesNothingThatIsPinned runs this";
  const auto store = *BlockStore::open(fs::path(folder) / "store");
  const fs::path file = fs::path(folder) / "file";
  std::jthread adder([&](const std::stop_token&) {
    for (std::uint32_t i = 0;; ++i) {
      const auto hold = *store->hold();
      const Bytes leaf = some_bytes(20'000, static_cast<std::uint32_t>(::getpid()) * 1000 + i);
      const auto cid = cid_of(Codec::kRaw, leaf);
      EXPECT_TRUE(store->put_many({{{cid, leaf}}}));
      const auto referred = cid_of(Codec::kRaw, some_bytes(20'000, 1));
      EXPECT_TRUE(store->put_references({{{referred, 20'000, {.path = file.string()}}}}));
      const std::vector<DagPbLink> links{{.cid = cid, .name = {}, .size = 1}, {.cid = referred, .name = {}, .size = 1}};
      const Bytes node = content_id::encode_dag_pb(links, {});
      const auto root = cid_of(Codec::kDagPb, node);
      EXPECT_TRUE(store->put_many({{{root, node}}}));
      // Two of three are garbage: the first is never pinned, the second not for long.
      if (i % 3 == 0) continue;
      EXPECT_TRUE(store->add_root({.cid = root}));
      if (i % 3 == 1) {
        EXPECT_TRUE(store->remove_root(root));
      }
    }
  });
  for (char report = 'c';;) {
    EXPECT_TRUE(store->collect({}));
    ASSERT_EQ(::write(kReportFile, &report, 1), 1);
  }
}

TEST(GarbageCrash, LosesNothingThatIsPinned) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "file";
  std::ofstream(file, std::ios::binary) << as_text(some_bytes(20'000, 1));
  std::mt19937 random(7);
  for (int kill = 0; kill < 8; ++kill) {
    int out[2];
    ASSERT_EQ(::pipe2(out, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(out[1], kReportFile);
      ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
      ::setenv(kCrashFolder, folder.path().c_str(), 1);
      ::execl("/proc/self/exe", "crash", "--gtest_also_run_disabled_tests", "--gtest_brief=1",
              "--gtest_filter=GarbageCrash.DISABLED_CollectsUntilKilled", nullptr);
      ::_exit(1);
    }
    ::close(out[1]);
    char report = 0;
    for (auto left = 1 + random() % 4; left > 0; --left) ASSERT_EQ(::read(out[0], &report, 1), 1);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 30'000));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ::close(out[0]);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << status;

    const auto store = *BlockStore::open(folder.path() / "store");
    const auto roots = store->roots();
    ASSERT_TRUE(roots);
    std::uint64_t pinned = 0;
    for (const Root& root : *roots) {
      const auto node = store->get(root.cid);
      ASSERT_TRUE(node && *node) << root.cid.to_string();
      const auto links = content_id::decode_dag_pb(***node)->links;
      for (const auto& link : links) {
        const auto leaf = store->get(link.cid);
        ASSERT_TRUE(leaf) << leaf.error().message;
        ASSERT_TRUE(*leaf) << link.cid.to_string();
      }
      ++pinned;
    }
    const auto done = store->collect({});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(store->usage()->blocks, pinned == 0 ? 0 : 2 * pinned + 1);
  }
}

}  // namespace
}  // namespace codio::store
