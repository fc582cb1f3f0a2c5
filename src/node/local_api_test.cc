// A node's socket with a store and a TransferManager behind it, and the client that commands use.
#include "node/local_api.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>

#include "content_id/dag_pb.h"
#include "node/hash.h"
#include "node/local_protocol.h"
#include "node/remote_store.h"

namespace codio::node {
namespace {

namespace fs = std::filesystem;
using content_id::Codec;
using content_id::ContentId;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

Bytes block_of(std::uint8_t number, std::size_t size = 5000) {
  Bytes block(size, number);
  for (std::size_t i = 0; i < size; ++i) block[i] = static_cast<std::uint8_t>(block[i] * 31 + i * i);
  return block;
}

ContentId cid_of(BytesView block) { return ContentId::v1(Codec::kRaw, sha256(block)); }

class LocalApiTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "codio-local-api-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    store_ = *store::BlockStore::open(folder_ / "blocks");
    start();
  }
  void TearDown() override {
    stop();
    fs::remove_all(folder_);
  }

  void start() {
    io_ = std::make_unique<boost::asio::io_context>(1);
    work_.emplace(io_->get_executor());
    transfers_ = *TransferManager::make(io_->get_executor(), store_, transfer_options_);
    LocalApiOptions options;
    options.path = folder_ / kLocalSocket;
    options.about = [] { return json{{"http", "http://127.0.0.1:1"}}; };
    options.on_pinned = [this](const ContentId& cid) { pinned_.push_back(cid); };
    options.on_unpinned = [this](const ContentId& cid) { unpinned_.push_back(cid); };
    auto api = LocalApi::listen(*io_, store_, *transfers_, std::move(options));
    ASSERT_TRUE(api) << api.error().message;
    api_ = *std::move(api);
    thread_ = std::jthread([this] { io_->run(); });
    client_ = *LocalClient::connect(folder_);
    remote_ = std::make_unique<RemoteStore>(*LocalClient::connect(folder_));
  }

  void stop() {
    if (!io_) return;
    io_->stop();
    thread_ = {};
    api_.reset();
    transfers_.reset();
    work_.reset();
    io_.reset();
  }

  fs::path folder_;
  std::shared_ptr<store::BlockStore> store_;
  TransferManagerOptions transfer_options_;
  std::unique_ptr<boost::asio::io_context> io_;
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
  std::unique_ptr<TransferManager> transfers_;
  std::unique_ptr<LocalApi> api_;
  std::vector<ContentId> pinned_;  ///< Look at them when the answer has come.
  std::vector<ContentId> unpinned_;
  std::jthread thread_;
  std::unique_ptr<LocalClient> client_;
  std::unique_ptr<RemoteStore> remote_;
};

TEST_F(LocalApiTest, IsOnlyItsOwners) {
  struct stat status{};
  ASSERT_EQ(::stat((folder_ / kLocalSocket).c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  stop();
  EXPECT_FALSE(fs::exists(folder_ / kLocalSocket));
}

TEST_F(LocalApiTest, TakesThePlaceOfAKilledNodesSocket) {
  stop();
  // What kill -9 leaves: a name that nobody listens behind.
  const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (folder_ / kLocalSocket).string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(dead, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(dead);
  ASSERT_FALSE(LocalClient::connect(folder_));
  start();
  EXPECT_TRUE(LocalClient::connect(folder_));
}

TEST_F(LocalApiTest, SaysThatNoNodeRuns) {
  stop();
  const auto client = LocalClient::connect(folder_);
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(client.error().message, testing::AllOf(HasSubstr(folder_.string()), HasSubstr("codio serve")));
}

TEST_F(LocalApiTest, SaysThatTheNodeWentAway) {
  stop();
  const auto got = remote_->get(cid_of(block_of(1)));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kIo);
  EXPECT_THAT(got.error().message, HasSubstr("went away"));
}

TEST_F(LocalApiTest, ListensInAFolderWithALongName) {
  stop();
  const fs::path before = folder_;
  folder_ /= std::string(120, 'x');
  fs::create_directory(folder_);
  start();
  EXPECT_TRUE(LocalClient::connect(folder_));
  EXPECT_TRUE(fs::exists(folder_ / kLocalSocket));
  stop();
  folder_ = before;
}

TEST_F(LocalApiTest, PutsAndGetsBlocks) {
  const Bytes one = block_of(1);
  const Bytes two = block_of(2, 1 << 20);
  const Bytes none;
  ASSERT_TRUE(remote_->put(cid_of(one), one));
  ASSERT_TRUE(remote_->put_many({{{cid_of(two), two}, {cid_of(none), none}}}));
  ASSERT_TRUE(remote_->sync());
  for (const Bytes& block : {one, two, none}) {
    EXPECT_EQ(***store_->get(cid_of(block)), block);
    EXPECT_EQ(***remote_->get(cid_of(block)), block);
    EXPECT_EQ(*remote_->size(cid_of(block)), block.size());
    EXPECT_TRUE(*remote_->has(cid_of(block)));
    EXPECT_TRUE(*remote_->touch(cid_of(block)));
  }
  ASSERT_TRUE(remote_->remove(cid_of(one)));
  EXPECT_EQ(*remote_->get(cid_of(one)), std::nullopt);
  EXPECT_EQ(*remote_->size(cid_of(one)), std::nullopt);
  EXPECT_FALSE(*remote_->touch(cid_of(one)));
  EXPECT_FALSE(*store_->has(cid_of(one)));
}

TEST_F(LocalApiTest, TakesABatchAsImportsMakeThem) {
  std::vector<Bytes> blocks;
  for (std::uint8_t i = 0; i < 8; ++i) blocks.push_back(block_of(i, 1 << 20));
  std::vector<store::BlockStore::Entry> entries;
  for (const Bytes& block : blocks) entries.push_back({cid_of(block), block});
  const auto put = remote_->put_many(entries);
  ASSERT_TRUE(put) << put.error().message;
  EXPECT_EQ(remote_->usage()->bytes, 8U << 20);
}

TEST_F(LocalApiTest, ListsBlocksAPageAtATime) {
  std::vector<Bytes> hashes;
  for (std::uint8_t i = 0; i < 20; ++i) {
    const Bytes block = block_of(i, 100);
    ASSERT_TRUE(store_->put(cid_of(block), block));
    const ContentId cid = cid_of(block);
    const BytesView bytes = cid.multihash().bytes();
    hashes.emplace_back(bytes.begin(), bytes.end());
  }
  std::ranges::sort(hashes);
  const auto first = remote_->list({}, 12);
  ASSERT_TRUE(first) << first.error().message;
  const auto rest = remote_->list(first->back().hash, 12);
  ASSERT_EQ(first->size(), 12U);
  ASSERT_EQ(rest->size(), 8U);
  std::vector<Bytes> listed;
  for (const auto& page : {*first, *rest}) {
    for (const store::BlockInfo& block : page) {
      listed.emplace_back(block.hash.bytes().begin(), block.hash.bytes().end());
      EXPECT_EQ(block.size, 100U);
      EXPECT_GT(block.used, 0U);
    }
  }
  EXPECT_EQ(listed, hashes);
}

TEST_F(LocalApiTest, PinsAndTellsTheNode) {
  const store::Root root{cid_of(block_of(1)), "caf\xe9", 1'700'000'000, 5000};
  ASSERT_TRUE(remote_->add_root(root));
  EXPECT_THAT(*remote_->roots(), ElementsAre(root));
  EXPECT_THAT(*store_->roots(), ElementsAre(root));
  EXPECT_THAT(pinned_, ElementsAre(root.cid));
  ASSERT_TRUE(remote_->remove_root(root.cid));
  EXPECT_TRUE(remote_->roots()->empty());
  EXPECT_THAT(unpinned_, ElementsAre(root.cid));
}

TEST_F(LocalApiTest, PutsReferencesToNamesOfAnyBytes) {
  const Bytes block = block_of(1);
  const fs::path file = folder_ / "caf\xe9\n";
  std::ofstream(file, std::ios::binary) << as_text(block);
  const store::Reference reference{file.string(), 0, block.size(), 7};
  ASSERT_TRUE(remote_->put_references({{{cid_of(block), block.size(), reference}}}));
  EXPECT_EQ(*remote_->reference(cid_of(block)), reference);
  EXPECT_EQ(***remote_->get(cid_of(block)), block);
  fs::remove(file);
  const auto gone = remote_->get(cid_of(block));
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::kMismatch);
}

TEST_F(LocalApiTest, HoldsForAsLongAsTheCommandLives) {
  auto command = std::make_unique<RemoteStore>(*LocalClient::connect(folder_));
  auto hold = *command->hold();
  const Bytes block = block_of(1);
  ASSERT_TRUE(command->put(cid_of(block), block));
  EXPECT_EQ(remote_->collect({})->in_use, 1U);
  EXPECT_TRUE(*store_->has(cid_of(block)));
  // As when it is killed.
  hold.reset();
  command.reset();
  while (*store_->has(cid_of(block))) ASSERT_TRUE(remote_->collect({}));
}

TEST_F(LocalApiTest, CollectsAndTellsHowFarItIs) {
  for (std::uint8_t i = 0; i < 100; ++i) {
    const Bytes block = block_of(i, 100);
    ASSERT_TRUE(store_->put(cid_of(block), block));
  }
  const Bytes kept = block_of(1, 100);
  ASSERT_TRUE(store_->add_root({.cid = cid_of(kept)}));
  const auto dry = remote_->collect({.dry_run = true});
  ASSERT_TRUE(dry) << dry.error().message;
  EXPECT_EQ(dry->removed, 99U);
  EXPECT_EQ(store_->usage()->blocks, 100U);
  const Bytes one = block_of(2, 100);
  EXPECT_EQ(remote_->collect({.below = cid_of(one)})->removed, 1U);
  const auto done = remote_->collect({});
  EXPECT_EQ(*done, (store::Collection{.kept = 1, .examined = 99, .in_use = 0, .removed = 98, .removed_bytes = 9800}));
  EXPECT_TRUE(*store_->has(cid_of(kept)));
}

TEST_F(LocalApiTest, PassesTheStoresErrorsOn) {
  const Bytes node = content_id::encode_dag_pb({}, {});
  const auto missing = ContentId::v1(Codec::kDagPb, sha256(node));
  ASSERT_TRUE(store_->add_root({.cid = missing}));
  const auto done = remote_->collect({});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(done.error().message, HasSubstr(missing.to_string()));
}

TEST_F(LocalApiTest, TellsItsStats) {
  const Bytes block = block_of(1);
  ASSERT_TRUE(store_->put(cid_of(block), block));
  const auto stats = client_->ask_json("GET", "/v1/stats");
  ASSERT_TRUE(stats) << stats.error().message;
  EXPECT_EQ(stats->at("http"), "http://127.0.0.1:1");
  EXPECT_EQ(stats->at("connections"), 0);
  EXPECT_EQ(stats->at("uploaded"), 0);
  EXPECT_EQ(stats->at("store").at("blocks"), 1);
  EXPECT_EQ(stats->at("store").at("bytes"), 5000);
  EXPECT_GT(stats->at("memory"), 1 << 20);
  EXPECT_GE(stats->at("uptime"), 0);
  EXPECT_TRUE(stats->at("transfers").empty());
  EXPECT_EQ(client_->ask_json("GET", "/v1/peers"), json::array());
}

TEST_F(LocalApiTest, TellsOfTransfersUnderWay) {
  stop();
  boost::asio::io_context unused;
  // A gateway that takes requests and never answers.
  const boost::asio::ip::tcp::acceptor silent(unused, {boost::asio::ip::address_v4::loopback(), 0});
  transfer_options_.gateway.emplace().primary =
      "http://127.0.0.1:" + std::to_string(silent.local_endpoint().port()) + "/ipfs/";
  start();
  const auto cid = cid_of(block_of(9));
  std::promise<transfer::TransferId> begun;
  boost::asio::post(*io_, [&] { begun.set_value(transfers_->download(cid, {}, {})); });
  const auto transfer = begun.get_future().get();
  const auto stats = client_->ask_json("GET", "/v1/stats");
  ASSERT_TRUE(stats);
  ASSERT_EQ(stats->at("transfers").size(), 1U);
  const json& one = stats->at("transfers")[0];
  EXPECT_EQ(one.at("cid"), cid.to_string());
  EXPECT_EQ(one.at("verified"), 0);
  EXPECT_TRUE(one.at("total").is_null());
  boost::asio::post(*io_, [&] { transfers_->cancel(transfer); });
}

TEST_F(LocalApiTest, ChangesLimitsWhileItRuns) {
  const auto before = client_->ask_json("GET", "/v1/limits");
  ASSERT_TRUE(before);
  EXPECT_TRUE(before->at("maxUpload").is_null());
  const auto after = client_->ask_json("PATCH", "/v1/limits", {{"maxUpload", 1000}, {"storeLimit", 1 << 20}});
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->at("maxUpload"), 1000);
  EXPECT_TRUE(after->at("maxDownload").is_null());
  EXPECT_EQ(after->at("uploadSlots"), before->at("uploadSlots"));
  EXPECT_EQ(store_->usage()->limit, 1U << 20);
  ASSERT_TRUE(client_->ask_json("PATCH", "/v1/limits", {{"maxUpload", nullptr}, {"uploadSlots", 3}}));
  std::promise<transfer::Limits> limits;
  boost::asio::post(*io_, [&] { limits.set_value(transfers_->limits()); });
  EXPECT_EQ(limits.get_future().get(), (transfer::Limits{.upload_slots = 3}));
  ASSERT_TRUE(remote_->set_limit({}));
  EXPECT_EQ(remote_->usage()->limit, std::nullopt);
}

TEST_F(LocalApiTest, RefusesWhatItDoesNotUnderstand) {
  const auto code = [&](std::string_view method, const std::string& target, BytesView body = {}) {
    const auto answer = client_->ask(method, target, body);
    return answer ? "" : std::string(to_string(answer.error().code));
  };
  EXPECT_EQ(code("GET", "/"), "not-found");
  EXPECT_EQ(code("GET", "/v1/nothing"), "not-found");
  EXPECT_EQ(code("POST", "/v1/peers"), "not-found");
  EXPECT_EQ(code("GET", "/v1/blocks/notacid"), "malformed");
  EXPECT_EQ(code("GET", "/v1/blocks?after=zzz&max=1"), "malformed");
  EXPECT_EQ(code("POST", "/v1/blocks", as_bytes("no archive")), "malformed");
  EXPECT_EQ(code("POST", "/v1/references", as_bytes("\xff\xff")), "malformed");
  EXPECT_EQ(code("POST", "/v1/references", to_cbor({{{"cid", 1}}})), "malformed");
  EXPECT_EQ(code("POST", "/v1/references", to_cbor({{"not", "a list"}})), "malformed");
  EXPECT_EQ(code("PUT", "/v1/pins", to_cbor({{"cid", "text"}})), "malformed");
  EXPECT_EQ(code("PUT", "/v1/pins"), "malformed");
  for (const char* text : {"", "[]", "{", R"({"maxUpload":-1})", R"({"maxUpload":"1"})", R"({"uploadSlots":0})"}) {
    EXPECT_EQ(code("PATCH", "/v1/limits", as_bytes(text)), "malformed") << text;
  }
  EXPECT_EQ(code("POST", "/v1/collect?below=x"), "malformed");
  EXPECT_TRUE(store_->roots()->empty());
  EXPECT_TRUE(client_->ask_json("GET", "/v1/peers")) << "it still answers";
}

TEST_F(LocalApiTest, SurvivesWhatIsNoHttp) {
  for (const std::string_view text :
       {"\n", "GET", "\x16\x03\x01", "PUT /v1/blocks HTTP/1.1\r\nContent-Length: 9e9\r\n\r\n"}) {
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (folder_ / kLocalSocket).string().copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::write(socket, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::shutdown(socket, SHUT_WR);
    char byte = 0;
    while (::read(socket, &byte, 1) > 0) {
    }
    ::close(socket);
  }
  EXPECT_TRUE(client_->ask_json("GET", "/v1/peers"));
}

TEST_F(LocalApiTest, RefusesABodyThatIsTooLarge) {
  const auto cid = cid_of(block_of(1));
  const Bytes large(kMaxLocalBody + 1);
  EXPECT_FALSE(client_->ask("PUT", "/v1/blocks/" + cid.to_string(), large));
  EXPECT_FALSE(*store_->has(cid));
  EXPECT_TRUE(client_->ask_json("GET", "/v1/peers"));
}

TEST_F(LocalApiTest, AnswersManyCommandsAtOnce) {
  std::vector<std::jthread> threads;
  for (std::uint8_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint8_t i = 0; i < 20; ++i) {
        const Bytes block = block_of(static_cast<std::uint8_t>(t * 20 + i), 50'000);
        EXPECT_TRUE(remote_->put(cid_of(block), block));
        EXPECT_EQ(***remote_->get(cid_of(block)), block);
      }
    });
  }
  threads.clear();
  EXPECT_EQ(remote_->usage()->blocks, 160U);
}

}  // namespace
}  // namespace codio::node
