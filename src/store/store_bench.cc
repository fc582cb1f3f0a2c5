// Writing 1 MiB blocks, to the disk and not just to the system: beside each other the store's two ways and a bare file.
// The folder is in $TMPDIR, or /tmp. Seen on a shared virtual disk, 1 to 2 GiB each, MB/s: bare file 340–950, put_many
// 360–400, put 160–310: what is not logged is written once, and as fast as the disk takes it.
#include <algorithm>
#include <benchmark/benchmark.h>
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

#include "store/block_store.h"

namespace codio::store {
namespace {

using content_id::Codec;
using content_id::ContentId;
using content_id::Digest256;

constexpr std::size_t kBlockSize = 1 << 20;
constexpr std::size_t kBlocks = 1024;
constexpr std::size_t kBatch = 8;

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("codio-store-bench-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Leaves out of an iteration's time what making and removing its folder takes.
class Stopwatch {
 public:
  explicit Stopwatch(benchmark::State& state) : state_(state) {}
  void stop() const {
    state_.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count());
  }

 private:
  benchmark::State& state_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

Bytes random_block() {
  Bytes block(kBlockSize);
  std::mt19937_64 random(1);
  std::ranges::generate(block, [&] { return static_cast<std::uint8_t>(random()); });
  return block;
}

ContentId cid_of(std::size_t number) {
  Digest256 digest{};
  std::mt19937_64 random(number);
  std::ranges::generate(digest, [&] { return static_cast<std::uint8_t>(random()); });
  return ContentId::v1(Codec::kRaw, digest);
}

void count_bytes(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kBlocks * kBlockSize));
}

template <class Result>
void require(benchmark::State& state, const Result& result) {
  if (!result) state.SkipWithError(result.error().message.c_str());
}

void write_store(benchmark::State& state, std::size_t batch_size) {
  const Bytes block = random_block();
  std::vector<ContentId> cids;
  for (std::size_t i = 0; i < kBlocks; ++i) cids.push_back(cid_of(i));
  for (auto _ : state) {
    const Folder folder;
    auto store = BlockStore::open(folder.path());
    require(state, store);
    const Stopwatch stopwatch(state);
    for (std::size_t i = 0; i < kBlocks; i += batch_size) {
      if (batch_size == 1) {
        require(state, (*store)->put(cids[i], block));
        continue;
      }
      std::vector<BlockStore::Entry> entries;
      for (std::size_t j = i; j < i + batch_size; ++j) entries.push_back({cids[j], block});
      require(state, (*store)->put_many(entries));
    }
    require(state, (*store)->sync());
    stopwatch.stop();
  }
  count_bytes(state);
}

void put(benchmark::State& state) { write_store(state, 1); }
void put_many(benchmark::State& state) { write_store(state, kBatch); }

void bare_file(benchmark::State& state) {
  const Bytes block = random_block();
  for (auto _ : state) {
    const Folder folder;
    const Stopwatch stopwatch(state);
    const int file = ::open((folder.path() / "file").c_str(), O_CREAT | O_WRONLY, 0600);
    for (std::size_t i = 0; i < kBlocks; ++i) {
      if (::write(file, block.data(), block.size()) != static_cast<ssize_t>(block.size())) {
        state.SkipWithError("short write");
      }
    }
    if (::fdatasync(file) != 0) state.SkipWithError("fdatasync failed");
    stopwatch.stop();
    ::close(file);
  }
  count_bytes(state);
}

void get(benchmark::State& state) {
  const Bytes block = random_block();
  const Folder folder;
  auto store = BlockStore::open(folder.path());
  require(state, store);
  for (std::size_t i = 0; i < kBlocks; ++i) require(state, (*store)->put_many({{{cid_of(i), block}}}));
  require(state, (*store)->sync());
  for (auto _ : state) {
    for (std::size_t i = 0; i < kBlocks; ++i) {
      const auto found = (*store)->get(cid_of(i));
      require(state, found);
      benchmark::DoNotOptimize(found);
    }
  }
  count_bytes(state);
}

BENCHMARK(bare_file)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(3);
BENCHMARK(put_many)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(3);
BENCHMARK(put)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(3);
BENCHMARK(get)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(3);

}  // namespace
}  // namespace codio::store
