// What bounds a TransferManager, over real channels: bans, caps, and a store that is slower than the network.
#include <atomic>
#include <chrono>
#include <future>
#include <gtest/gtest.h>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "node/transfer_testing.h"

namespace codio::node {
namespace {

using content_id::ContentId;
using std::chrono::steady_clock;

constexpr std::size_t kMiB = 1024 * 1024;
/// What a bucket may be overdrawn by: a frame.
constexpr double kOverdraft = 64 * 1024;

class TransferLimits : public PeersAtARendezvous {
 protected:
  /// A peer that announces nothing and gives other bytes than the CID's.
  std::string add_liar(const ContentId& cid) {
    Peer& liar = add_peer();
    EXPECT_TRUE(liar.store->put(cid, random_bytes(99, 1000)));
    return id(liar);
  }

  static ContentId some_cid() {
    const TemporaryFolder folder;
    const auto store = *store::BlockStore::open(folder.path());
    return put_file(*store, random_bytes(1, 1000));
  }

  static TransferManagerOptions with_limits(const transfer::Limits& limits) {
    TransferManagerOptions options;
    options.exchange.limits = limits;
    return options;
  }

  /// Asserts again and again that no more than the rate allows has come through since `began`, until the download
  /// ended. A slow machine only makes it less.
  template <class Count>
  void expect_rate(steady_clock::time_point began, double rate, double ahead, std::future<Result<Bytes>>& end,
                   Count count) {
    for (bool over = false; !over;) {
      over = end.wait_for(std::chrono::milliseconds(10)) == std::future_status::ready;
      const auto bytes = static_cast<double>(loop_.run(count));
      const double elapsed = std::chrono::duration<double>(steady_clock::now() - began).count();
      ASSERT_LE(bytes, rate * elapsed + ahead) << "after " << elapsed << " s";
    }
  }
};

TEST_F(TransferLimits, WhoSentBadBytesIsBanned) {
  const ContentId cid = some_cid();
  const std::string liar = add_liar(cid);
  TransferManagerOptions options;
  options.exchange.missing_timeout = Duration(0);
  Peer& downloader = add_peer(std::move(options));
  EXPECT_FALSE(downloader.transfers->download_from_peer(liar, cid).get());
  const auto connected = downloader.transfers->connect_to_peer(liar).get();
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().message, "it sent bad bytes, or did not prove who it is, before");
}

TEST_F(TransferLimits, ABanExpires) {
  const ContentId cid = some_cid();
  const std::string liar = add_liar(cid);
  TransferManagerOptions options;
  options.exchange.missing_timeout = Duration(0);
  options.ban = std::chrono::microseconds(1);
  Peer& downloader = add_peer(std::move(options));
  EXPECT_FALSE(downloader.transfers->download_from_peer(liar, cid).get());
  const auto connected = downloader.transfers->connect_to_peer(liar).get();
  EXPECT_TRUE(connected) << connected.error().message;
}

TEST_F(TransferLimits, TheCapOnUploadsHolds) {
  constexpr double kRate = 512 * 1024;
  const auto began = steady_clock::now();
  Peer& seeder = add_peer(with_limits({.upload_rate = static_cast<std::uint64_t>(kRate), .download_rate = {}}));
  const Bytes content = random_bytes(2, 3 * kMiB / 2);
  const ContentId cid = put_file(*seeder.store, content);
  // Two at once share it.
  Peer& one = add_peer();
  Peer& other = add_peer();
  auto first = one.transfers->download_from_peer(id(seeder), cid);
  auto second = other.transfers->download_from_peer(id(seeder), cid);
  const auto uploaded = [&] { return seeder.transfers->totals().uploaded; };
  expect_rate(began, kRate, kOverdraft, first, uploaded);
  expect_rate(began, kRate, kOverdraft, second, uploaded);
  for (auto* end : {&first, &second}) {
    const auto bytes = end->get();
    ASSERT_TRUE(bytes) << bytes.error().message;
    EXPECT_TRUE(*bytes == content);
  }
}

TEST_F(TransferLimits, TheCapOnDownloadsHolds) {
  constexpr double kRate = 512 * 1024;
  const Bytes content = random_bytes(3, 2 * kMiB);
  std::vector<std::string> seeders;
  ContentId cid = some_cid();
  for (int i = 0; i < 2; ++i) {
    Peer& seeder = add_peer();
    cid = put_file(*seeder.store, content);
    seeders.push_back(id(seeder));
  }
  const auto began = steady_clock::now();
  Peer& downloader = add_peer(with_limits({.upload_rate = {}, .download_rate = static_cast<std::uint64_t>(kRate)}));
  auto end = downloader.transfers->download_from_multiple_peers(seeders, cid);
  // Each may send the first window before it is granted more.
  const double ahead = 2 * static_cast<double>(transfer::CreditWindowOptions().initial) + kOverdraft;
  expect_rate(began, kRate, ahead, end, [&] { return downloader.transfers->totals().from_peers; });
  const auto bytes = end.get();
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_TRUE(*bytes == content);
}

TEST_F(TransferLimits, ACapMayBeLiftedWhileBytesFlow) {
  // It would take ten minutes.
  Peer& seeder = add_peer(with_limits({.upload_rate = 16 * 1024, .download_rate = {}}));
  Peer& downloader = add_peer();
  const Bytes content = random_bytes(4, 10 * kMiB);
  const ContentId cid = put_file(*seeder.store, content);
  auto end = downloader.transfers->download_from_peer(id(seeder), cid);
  while (loop_.run([&] { return seeder.transfers->totals().uploaded == 0; })) std::this_thread::yield();
  loop_.run([&] { seeder.transfers->set_limits({}); });
  const auto bytes = end.get();
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_TRUE(*bytes == content);
}

/// A store on a disk that needs its time for each block.
class SlowStore : public store::BlockStore {
 public:
  explicit SlowStore(std::shared_ptr<store::BlockStore> store) : store_(std::move(store)) {}

  std::uint64_t stored() const { return stored_; }

  Result<void> put(const ContentId& cid, BytesView bytes) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    auto put = store_->put(cid, bytes);
    stored_ += bytes.size();
    return put;
  }
  Result<void> put_many(std::span<const Entry> entries) override { return store_->put_many(entries); }
  Result<void> put_references(std::span<const ReferenceEntry> entries) override {
    return store_->put_references(entries);
  }
  Result<void> sync() override { return store_->sync(); }
  Result<std::optional<SharedBytes>> get(const ContentId& cid) const override { return store_->get(cid); }
  Result<bool> touch(const ContentId& cid) const override { return store_->touch(cid); }
  Result<std::optional<std::uint64_t>> size(const ContentId& cid) const override { return store_->size(cid); }
  Result<std::optional<store::Reference>> reference(const ContentId& cid) const override {
    return store_->reference(cid);
  }
  Result<void> remove(const ContentId& cid) override { return store_->remove(cid); }
  Result<std::vector<store::BlockInfo>> list(const std::optional<content_id::Multihash>& after,
                                             std::size_t max) const override {
    return store_->list(after, max);
  }
  Result<void> add_root(const store::Root& root) override { return store_->add_root(root); }
  Result<void> remove_root(const ContentId& cid) override { return store_->remove_root(cid); }
  Result<std::vector<store::Root>> roots() const override { return store_->roots(); }
  Result<store::Hold> hold() override { return store_->hold(); }
  Result<store::Collection> collect(const store::CollectOptions& options) override { return store_->collect(options); }
  Result<void> set_limit(std::optional<std::uint64_t> limit) override { return store_->set_limit(limit); }
  Result<store::Usage> usage() const override { return store_->usage(); }

 private:
  std::shared_ptr<store::BlockStore> store_;
  std::atomic<std::uint64_t> stored_ = 0;
};

TEST_F(TransferLimits, AStoreThatIsBehindBoundsWhatComesAndStopsNothing) {
  Peer& seeder = add_peer();
  std::shared_ptr<SlowStore> slow;
  TransferManagerOptions options;
  options.exchange.memory = 8 * kMiB;
  Peer& downloader =
      add_peer(std::move(options), [&](auto store) { return slow = std::make_shared<SlowStore>(std::move(store)); });
  const Bytes content = random_bytes(5, 64 * kMiB);
  const ContentId cid = put_file(*seeder.store, content);
  loop_.run([&] { seeder.transfers->announce_content(cid); });
  std::promise<Result<void>> promise;
  auto end = promise.get_future();
  std::uint64_t received = 0;
  loop_.run([&] {
    downloader.transfers->download(cid, {},
                                   {.on_data = [&](const auto& segment) { received += segment.view().size(); },
                                    .on_end = [&](Result<void> result) { promise.set_value(std::move(result)); }});
  });
  // What may wait to be stored, the engine's memory, and what is on the way.
  constexpr std::uint64_t kMost = (32 + 8 + 4) * kMiB;
  while (end.wait_for(std::chrono::milliseconds(5)) != std::future_status::ready) {
    const std::uint64_t sent = loop_.run([&] { return seeder.transfers->totals().uploaded; });
    ASSERT_LE(sent, slow->stored() + kMost);
  }
  const auto result = end.get();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(received, content.size());
}

}  // namespace
}  // namespace codio::node
