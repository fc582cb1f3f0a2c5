#include "store/block_store.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>
#include <rocksdb/db.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "common/varint.h"
#include "store/testing.h"

namespace codio::store {
namespace {

using content_id::Codec;
using content_id::ContentId;
using content_id::Digest256;
using content_id::HashCode;
using content_id::Multihash;
using testing::AllOf;
using testing::HasSubstr;

namespace fs = std::filesystem;

/// A folder that is gone with the test.
/// The store does not hash, so a digest may be any bytes.
Digest256 digest_of(std::uint32_t number) {
  Digest256 digest{};
  std::mt19937 random(number);
  std::ranges::generate(digest, [&] { return static_cast<std::uint8_t>(random()); });
  return digest;
}

ContentId cid_of(std::uint32_t number) { return ContentId::v1(Codec::kRaw, digest_of(number)); }

/// From some bytes, which stay out of the blob files, to 64 KiB.
Bytes block_of(std::uint32_t number) {
  std::uint32_t random = number * 2654435761U + 1;
  const auto next = [&random] { return (random = random * 1664525U + 1013904223U) >> 16; };
  Bytes block(number % 4 == 0 ? next() % 2048 : 32 * 1024 + next() % (32 * 1024));
  std::ranges::generate(block, [&] { return static_cast<std::uint8_t>(next()); });
  return block;
}

std::unique_ptr<BlockStore> open(const TemporaryFolder& folder) {
  auto store = BlockStore::open(folder.path());
  if (!store) {
    ADD_FAILURE() << store.error().message;
    std::abort();
  }
  return *std::move(store);
}

Error open_error(const TemporaryFolder& folder) {
  const auto store = BlockStore::open(folder.path());
  return store ? Error{ErrorCode::kIo, "it opened"} : store.error();
}

Result<void> put_blocks(BlockStore& store, std::uint32_t first, std::uint32_t count) {
  std::vector<Bytes> blocks;
  for (std::uint32_t i = 0; i < count; ++i) blocks.push_back(block_of(first + i));
  std::vector<BlockStore::Entry> entries;
  for (std::uint32_t i = 0; i < count; ++i) entries.push_back({cid_of(first + i), blocks[i]});
  return store.put_many(entries);
}

void expect_blocks(const BlockStore& store, std::uint32_t first, std::uint32_t count) {
  for (std::uint32_t i = first; i < first + count; ++i) {
    const auto found = store.get(cid_of(i));
    ASSERT_TRUE(found) << found.error().message;
    ASSERT_TRUE(*found) << "block " << i << " is lost";
    ASSERT_EQ(***found, block_of(i)) << "block " << i;
    ASSERT_EQ(*store.size(cid_of(i)), block_of(i).size());
  }
}

std::vector<fs::path> files(const TemporaryFolder& folder, std::string_view extension) {
  std::vector<fs::path> found;
  for (const auto& file : fs::directory_iterator(folder.path())) {
    if (file.path().extension() == extension) found.push_back(file.path());
  }
  return found;
}

void overwrite(const fs::path& file, std::uintmax_t offset, std::string_view bytes) {
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(static_cast<std::streamoff>(offset));
  out << bytes;
  ASSERT_TRUE(out.flush()) << file;
}

TEST(BlockStore, GivesBackWhatWasPut) {
  const TemporaryFolder folder;
  const auto store = open(folder);
  for (std::uint32_t i = 0; i < 8; ++i) ASSERT_TRUE(store->put(cid_of(i), block_of(i)));
  expect_blocks(*store, 0, 8);
}

/// Bytes that this process has written to files.
std::uint64_t written() {
  std::ifstream counters("/proc/self/io");
  for (std::string name, number; counters >> name >> number;) {
    if (name == "wchar:") return std::stoull(number);
  }
  return 0;
}

TEST(BlockStore, WritesEachBlockOnce) {
  if (written() == 0) GTEST_SKIP() << "needs /proc/self/io";
  const TemporaryFolder folder;
  // Small, for the database to have cause to put its files together many times.
  const auto store = *BlockStore::open(folder.path(), {.write_buffer = 256 << 10});
  const std::uint64_t before = written();
  for (std::uint32_t i = 0; i < 1000; i += 10) ASSERT_TRUE(put_blocks(*store, i, 10));
  ASSERT_TRUE(store->sync());
  const std::uint64_t size = store->usage()->bytes;
  EXPECT_LT(written() - before, size + size / 4);
}

TEST(BlockStore, HasNothingForABlockThatIsNotThere) {
  const TemporaryFolder folder;
  const auto store = open(folder);
  EXPECT_EQ(*store->get(cid_of(1)), std::nullopt);
  EXPECT_FALSE(*store->has(cid_of(1)));
  EXPECT_EQ(*store->size(cid_of(1)), std::nullopt);
  EXPECT_TRUE(store->remove(cid_of(1)));
}

TEST(BlockStore, KeepsAnEmptyBlock) {
  const TemporaryFolder folder;
  const auto store = open(folder);
  ASSERT_TRUE(store->put(cid_of(1), {}));
  EXPECT_TRUE(*store->has(cid_of(1)));
  EXPECT_EQ(*store->size(cid_of(1)), 0U);
  EXPECT_EQ(***store->get(cid_of(1)), Bytes());
}

TEST(BlockStore, SharesABlockBetweenAllCidsOfItsHash) {
  const TemporaryFolder folder;
  const auto store = open(folder);
  ASSERT_TRUE(store->put(ContentId::v0(digest_of(1)), block_of(1)));
  EXPECT_TRUE(*store->has(ContentId::v1(Codec::kDagPb, digest_of(1))));
  EXPECT_EQ(***store->get(ContentId::v1(Codec::kRaw, digest_of(1))), block_of(1));
}

TEST(BlockStore, TellsHashesOfDifferentFunctionsApart) {
  const TemporaryFolder folder;
  const auto store = open(folder);
  const auto blake3 = *Multihash::make(HashCode::kBlake3, digest_of(1));
  ASSERT_TRUE(store->put(cid_of(1), block_of(1)));
  EXPECT_FALSE(*store->has(ContentId::v1(Codec::kRaw, blake3)));
}

TEST(BlockStore, ReadsAnIdentityBlockFromItsCid) {
  const TemporaryFolder folder;
  const auto store = open(folder);
  const auto cid = ContentId::v1(Codec::kRaw, *Multihash::make(HashCode::kIdentity, as_bytes("hello")));
  EXPECT_EQ(as_text(***store->get(cid)), "hello");
  EXPECT_TRUE(*store->has(cid));
  EXPECT_EQ(*store->size(cid), 5U);

  ASSERT_TRUE(store->put(cid, as_bytes("hello")));
  ASSERT_TRUE(store->put_many({{{cid, as_bytes("hello")}}}));
  ASSERT_TRUE(store->for_each([](const Multihash&, std::uint64_t) { FAIL() << "it was stored"; }));
}

TEST(BlockStore, PutsManyAtOnce) {
  const TemporaryFolder folder;
  const auto store = open(folder);
  ASSERT_TRUE(put_blocks(*store, 0, 40));
  ASSERT_TRUE(put_blocks(*store, 20, 40));
  expect_blocks(*store, 0, 60);
}

TEST(BlockStore, ForgetsARemovedBlock) {
  const TemporaryFolder folder;
  const auto store = open(folder);
  ASSERT_TRUE(put_blocks(*store, 0, 8));
  ASSERT_TRUE(store->remove(cid_of(3)));
  EXPECT_EQ(*store->get(cid_of(3)), std::nullopt);
  EXPECT_FALSE(*store->has(cid_of(3)));
  expect_blocks(*store, 4, 4);
  ASSERT_TRUE(store->put(cid_of(3), block_of(3)));
  expect_blocks(*store, 0, 8);
}

TEST(BlockStore, VisitsItsBlocksWhileTheyChange) {
  const TemporaryFolder folder;
  const auto store = open(folder);
  ASSERT_TRUE(put_blocks(*store, 0, 20));
  std::vector<std::pair<Bytes, std::uint64_t>> expected;
  for (std::uint32_t i = 0; i < 20; ++i) {
    const auto digest = digest_of(i);
    expected.emplace_back(Bytes(digest.begin(), digest.end()), block_of(i).size());
  }
  std::ranges::sort(expected);

  std::vector<std::pair<Bytes, std::uint64_t>> visited;
  ASSERT_TRUE(store->for_each([&](const Multihash& hash, std::uint64_t size) {
    visited.emplace_back(Bytes(hash.digest().begin(), hash.digest().end()), size);
    EXPECT_TRUE(store->remove(ContentId::v1(Codec::kRaw, hash)));
  }));
  EXPECT_EQ(visited, expected);
  EXPECT_FALSE(*store->has(cid_of(7)));
}

TEST(BlockStore, ListsRoots) {
  const TemporaryFolder folder;
  const auto store = open(folder);
  EXPECT_TRUE(store->roots()->empty());
  const Root file{cid_of(1), "holiday.mp4", 1'700'000'000, 123'456'789'000};
  const Root directory{ContentId::v0(digest_of(2)), "", 1'700'000'001, 0};
  ASSERT_TRUE(store->add_root(file));
  ASSERT_TRUE(store->add_root(directory));
  EXPECT_THAT(*store->roots(), testing::UnorderedElementsAre(file, directory));

  const Root renamed{cid_of(1), "summer.mp4", 1'700'000'002, 123'456'789'000};
  ASSERT_TRUE(store->add_root(renamed));
  EXPECT_THAT(*store->roots(), testing::UnorderedElementsAre(renamed, directory));
  ASSERT_TRUE(store->remove_root(cid_of(1)));
  EXPECT_THAT(*store->roots(), testing::ElementsAre(directory));
}

TEST(BlockStore, KeepsEverythingWhenClosedWithoutSync) {
  const TemporaryFolder folder;
  {
    const auto store = open(folder);
    ASSERT_TRUE(put_blocks(*store, 0, 20));
    ASSERT_TRUE(store->put(cid_of(20), block_of(20)));
  }
  expect_blocks(*open(folder), 0, 21);
}

TEST(BlockStore, ServesManyThreads) {
  const TemporaryFolder folder;
  const auto store = open(folder);
  std::vector<std::jthread> threads;
  for (std::uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint32_t i = 0; i < 10; ++i) {
        EXPECT_TRUE(put_blocks(*store, i * 4, 8));
        EXPECT_TRUE(store->add_root({.cid = cid_of(t * 100 + i)}));
        expect_blocks(*store, i * 4, 8);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(store->roots()->size(), 40U);
}

TEST(BlockStore, SaysThatAnotherProcessHasItOpen) {
  const TemporaryFolder folder;
  open(folder).reset();
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t other = ::fork();
  if (other == 0) {
    struct flock lock{};
    lock.l_type = F_WRLCK;
    const int file = ::open((folder.path() / "LOCK").c_str(), O_RDWR);
    const char locked = ::fcntl(file, F_SETLK, &lock) == 0 ? 'y' : 'n';
    if (::write(ready[1], &locked, 1) == 1) ::pause();
    ::_exit(1);
  }
  char locked = 0;
  ASSERT_EQ(::read(ready[0], &locked, 1), 1);
  ASSERT_EQ(locked, 'y');
  const Error error = open_error(folder);
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);

  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
  EXPECT_EQ(error.message, "the block store in " + folder.path().string() +
                               " is in use by another codio process: stop that one, or use another folder");
  open(folder);
}

TEST(BlockStore, CannotBeOpenedTwiceInOneProcess) {
  const TemporaryFolder folder;
  const auto store = open(folder);
  EXPECT_THAT(open_error(folder).message, HasSubstr("is in use"));
}

TEST(BlockStore, SaysWhatIsInTheWayOfItsFolder) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() / "file") << "not a folder";
  const auto store = BlockStore::open(folder.path() / "file" / "store");
  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().message, AllOf(HasSubstr((folder.path() / "file").string()), HasSubstr("Not a directory")));
}

TEST(BlockStore, RefusesAFormatOfTheFuture) {
  const TemporaryFolder folder;
  open(folder).reset();
  std::ofstream(folder.path() / "FORMAT") << "3\n";
  EXPECT_THAT(open_error(folder).message, AllOf(HasSubstr(folder.path().string()), HasSubstr("format")));
}

TEST(BlockStore, OpensWhatTheFirstVersionWrote) {
  const TemporaryFolder folder;
  {
    rocksdb::DBOptions options;
    options.create_if_missing = options.create_missing_column_families = true;
    const rocksdb::ColumnFamilyOptions column;
    std::vector<rocksdb::ColumnFamilyHandle*> columns;
    rocksdb::DB* database = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, folder.path().string(),
                                  {{"default", column}, {"blocks", column}, {"sizes", column}, {"roots", column}},
                                  &columns, &database)
                    .ok());
    for (std::uint32_t i = 0; i < 8; ++i) {
      const ContentId cid = cid_of(i);
      const std::string key(as_text(cid.multihash().bytes()));
      const Bytes block = block_of(i);
      Bytes size;
      append_varint(size, block.size());
      ASSERT_TRUE(database->Put({}, columns[1], key, std::string(as_text(block))).ok());
      ASSERT_TRUE(database->Put({}, columns[2], key, std::string(as_text(size))).ok());
    }
    ASSERT_TRUE(database->Put({}, columns[3], std::string(as_text(cid_of(1).bytes())), "\x0a\x04name").ok());
    for (auto* const handle : columns) ASSERT_TRUE(database->DestroyColumnFamilyHandle(handle).ok());
    delete database;
    std::ofstream(folder.path() / "FORMAT") << "1\n";
  }
  const auto store = open(folder);
  expect_blocks(*store, 0, 8);
  EXPECT_THAT(*store->roots(), testing::ElementsAre(Root{.cid = cid_of(1), .name = "name"}));
  EXPECT_EQ(store->collect({})->removed, 7U);
  expect_blocks(*store, 1, 1);
}

TEST(BlockStore, OpensWhatACrashLeftHalfMade) {
  const TemporaryFolder folder;
  open(folder).reset();
  fs::remove(folder.path() / "FORMAT");
  open(folder).reset();
  EXPECT_TRUE(fs::exists(folder.path() / "FORMAT"));
}

TEST(BlockStore, DoesNotMakeANewStoreOverADamagedOne) {
  const TemporaryFolder folder;
  {
    const auto store = open(folder);
    ASSERT_TRUE(put_blocks(*store, 0, 8));
  }
  const std::string current = [&] {
    std::ifstream in(folder.path() / "CURRENT");
    return std::string(std::istreambuf_iterator<char>(in), {});
  }();
  fs::remove(folder.path() / "CURRENT");
  EXPECT_THAT(open_error(folder).message, AllOf(HasSubstr(folder.path().string()), HasSubstr("damaged")));
  std::ofstream(folder.path() / "CURRENT") << current;
  expect_blocks(*open(folder), 0, 8);
}

TEST(BlockStore, SaysThatItsListOfFilesIsDamaged) {
  const TemporaryFolder folder;
  {
    const auto store = open(folder);
    ASSERT_TRUE(put_blocks(*store, 0, 8));
  }
  for (const auto& file : fs::directory_iterator(folder.path())) {
    if (file.path().filename().string().starts_with("MANIFEST")) overwrite(file.path(), 20, "garbage");
  }
  EXPECT_THAT(open_error(folder).message, AllOf(HasSubstr(folder.path().string()), HasSubstr("damaged")));
}

TEST(BlockStore, NeverHandsOutADamagedBlock) {
  const TemporaryFolder folder;
  {
    const auto store = open(folder);
    ASSERT_TRUE(put_blocks(*store, 1, 3));
  }
  const auto blobs = files(folder, ".blob");
  ASSERT_EQ(blobs.size(), 1U);
  for (std::uintmax_t at = 4096; at < fs::file_size(blobs[0]); at += 8192) overwrite(blobs[0], at, "garbage");

  const auto store = open(folder);
  const auto found = store->get(cid_of(2));
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message,
              AllOf(HasSubstr(cid_of(2).to_string()), HasSubstr(folder.path().string()), HasSubstr("damaged")));

  ASSERT_TRUE(store->put(cid_of(2), block_of(2)));
  expect_blocks(*store, 2, 1);
}

TEST(BlockStore, SaysThatABlobFileIsGone) {
  const TemporaryFolder folder;
  {
    const auto store = open(folder);
    ASSERT_TRUE(put_blocks(*store, 1, 3));
  }
  for (const auto& file : files(folder, ".blob")) fs::remove(file);
  auto store = BlockStore::open(folder.path());
  const Error error = store ? (*store)->get(cid_of(1)).error() : store.error();
  EXPECT_EQ(error.code, ErrorCode::kIo);
  EXPECT_THAT(error.message, HasSubstr(folder.path().string()));
}

/// Makes the disk under a folder small: a file system of its own where that is allowed, else a limit on every file.
class SmallDisk {
 public:
  explicit SmallDisk(const TemporaryFolder& folder) : folder_(folder.path()), file_system_(folder_, "16m") {
    if (is_mounted()) return;
    std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    set_limit(4 << 20);
  }
  ~SmallDisk() {
    if (!is_mounted()) set_limit(before_.rlim_cur);
  }

  bool is_mounted() const { return file_system_.is_mounted(); }
  void grow() {
    if (is_mounted()) {
      ASSERT_EQ(::mount("tmpfs", folder_.c_str(), "tmpfs", MS_REMOUNT, "size=1g"), 0);
    } else {
      set_limit(before_.rlim_cur);
    }
  }

 private:
  void set_limit(rlim_t bytes) {
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }

  const fs::path folder_;
  const SmallFileSystem file_system_;
  rlimit before_{};
};

/// Adds `stored`/10-th root with its ten blocks.
Result<void> add_ten(BlockStore& store, std::uint32_t stored, bool one_by_one) {
  if (one_by_one) {
    for (std::uint32_t i = stored; i < stored + 10; ++i) {
      if (auto put = store.put(cid_of(i), block_of(i)); !put) return put;
    }
  } else if (auto put = put_blocks(store, stored, 10); !put) {
    return put;
  }
  return store.add_root({.cid = cid_of(stored)});
}

class BlockStoreOnASmallDisk : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Put, BlockStoreOnASmallDisk, testing::Bool(),
                         [](const auto& mode) { return mode.param ? "OneByOne" : "Many"; });

TEST_P(BlockStoreOnASmallDisk, StopsBeforeTheDiskIsFullAndGoesOnWhenItIsNot) {
  const TemporaryFolder folder;
  SmallDisk disk(folder);
  if (!disk.is_mounted()) GTEST_SKIP() << "needs the right to mount a tmpfs";
  const auto store = *BlockStore::open(folder.path(), {.min_free_space = 8 << 20});
  std::uint32_t stored = 0;
  Result<void> added = add_ten(*store, 0, GetParam());
  for (; added && stored < 2000; added = add_ten(*store, stored, GetParam())) stored += 10;
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, ErrorCode::kIo);
  EXPECT_THAT(added.error().message, AllOf(HasSubstr(folder.path().string()), HasSubstr("free some space")));
  expect_blocks(*store, 0, stored);

  disk.grow();
  added = add_ten(*store, stored, GetParam());
  ASSERT_TRUE(added) << added.error().message;
  expect_blocks(*store, 0, stored + 10);
}

TEST_P(BlockStoreOnASmallDisk, LosesNothingWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  SmallDisk disk(folder);
  std::uint32_t stored = 0;
  {
    const auto store = *BlockStore::open(folder.path(), {.min_free_space = 0});
    Result<void> added = add_ten(*store, 0, GetParam());
    for (; added && stored < 2000; added = add_ten(*store, stored, GetParam())) stored += 10;
    for (int again = 0; again < 5; ++again) {
      ASSERT_FALSE(added);
      EXPECT_EQ(added.error().code, ErrorCode::kIo);
      EXPECT_THAT(added.error().message, HasSubstr(folder.path().string()));
      if (disk.is_mounted()) {
        EXPECT_THAT(added.error().message, HasSubstr("the disk is full"));
      }
      added = add_ten(*store, stored + 20, GetParam());
    }
    EXPECT_FALSE(store->add_root({.cid = cid_of(stored)}));
    expect_blocks(*store, 0, stored);
  }
  disk.grow();
  const auto store = open(folder);
  expect_blocks(*store, 0, stored);
  EXPECT_EQ(store->roots()->size(), stored / 10);
  const auto added = add_ten(*store, stored, GetParam());
  ASSERT_TRUE(added) << added.error().message;
  expect_blocks(*store, 0, stored + 10);
}

constexpr std::uint32_t kBlocksOfRoot = 24;
constexpr int kReportFile = 3;
constexpr const char* kCrashFolder = "CODIO_STORE_TEST_CRASH_FOLDER";
constexpr const char* kCrashFirst = "CODIO_STORE_TEST_CRASH_FIRST";

/// Not a test but the process that the next test kills: adds roots and reports the number of each that is safe.
TEST(BlockStoreCrash, DISABLED_AddsRootsUntilKilled) {
  const char* folder = std::getenv(kCrashFolder);
  if (folder == nullptr) GTEST_SKIP() << "only BlockStoreCrash.KeepsEveryRootThatWasReported runs this";
  const auto store = BlockStore::open(folder);
  ASSERT_TRUE(store) << store.error().message;
  for (auto root = static_cast<std::uint32_t>(std::atoi(std::getenv(kCrashFirst)));; ++root) {
    const std::uint32_t first = root * kBlocksOfRoot;
    for (std::uint32_t i = 0; i < kBlocksOfRoot; i += kBlocksOfRoot / 2) {
      // Roots differ in how they are stored, so that the log and the flushes interleave.
      if (root % 3 == 0) {
        for (std::uint32_t j = 0; j < kBlocksOfRoot / 2; ++j) {
          ASSERT_TRUE((*store)->put(cid_of(first + i + j), block_of(first + i + j)));
        }
      } else {
        ASSERT_TRUE(put_blocks(**store, first + i, kBlocksOfRoot / 2));
      }
    }
    ASSERT_TRUE((*store)->add_root({.cid = cid_of(first), .size = root}));
    ASSERT_EQ(::write(kReportFile, &root, sizeof root), static_cast<ssize_t>(sizeof root));
  }
}

TEST(BlockStoreCrash, KeepsEveryRootThatWasReported) {
  const TemporaryFolder folder;
  std::mt19937 random(20240229);
  std::uint32_t reported = 0;  // Roots, over all the kills.
  for (int kill = 0; kill < 12; ++kill) {
    int out[2];
    ASSERT_EQ(::pipe2(out, O_CLOEXEC), 0);
    const std::string first = std::to_string(reported);
    // A process of its own: RocksDB's threads do not survive a fork.
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(out[1], kReportFile);
      ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
      ::setenv(kCrashFolder, folder.path().c_str(), 1);
      ::setenv(kCrashFirst, first.c_str(), 1);
      ::execl("/proc/self/exe", "crash", "--gtest_also_run_disabled_tests", "--gtest_brief=1",
              "--gtest_filter=BlockStoreCrash.DISABLED_AddsRootsUntilKilled", nullptr);
      ::_exit(1);
    }
    ::close(out[1]);
    std::jthread killer;
    std::uint32_t root = 0;
    const std::uint32_t last = reported + static_cast<std::uint32_t>(random() % 12);
    const std::chrono::microseconds later(random() % 30'000);
    while (::read(out[0], &root, sizeof root) == static_cast<ssize_t>(sizeof root)) {
      reported = root + 1;
      if (root == last) {
        killer = std::jthread([child, later] {
          std::this_thread::sleep_for(later);
          ::kill(child, SIGKILL);
        });
      }
    }
    killer = {};
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ::close(out[0]);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the child ended by itself: " << status;

    const auto store = open(folder);
    const auto roots = store->roots();
    ASSERT_TRUE(roots) << roots.error().message;
    ASSERT_GE(roots->size(), reported);
    // Also of a root that was killed just before its report.
    for (const Root& kept : *roots) {
      expect_blocks(*store, static_cast<std::uint32_t>(kept.size) * kBlocksOfRoot, kBlocksOfRoot);
    }
    reported = static_cast<std::uint32_t>(roots->size());
  }
}

}  // namespace
}  // namespace codio::store
