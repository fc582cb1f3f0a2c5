#include "content_id/unixfs/car_walk.h"

#include <gtest/gtest.h>

#include "content_id/unixfs/data.h"
#include "content_id/unixfs/testing.h"

namespace codio::content_id::unixfs {
namespace {

class CarWalkTest : public testing::Test {
 protected:
  /// The CIDs that are sent, in order; or the error's message alone.
  std::vector<std::string> walk(const ContentId& root, CarWalkOptions options) {
    CarWalk walk(root, std::move(options));
    std::vector<std::string> sent;
    while (walk.wanted()) {
      const ContentId cid = *walk.wanted();
      ++read_;
      if (!blocks_.contains(cid)) return {"missing " + name(cid)};
      const auto is_new = walk.handle_block(blocks_.at(cid));
      if (!is_new) return {is_new.error().message};
      if (*is_new) sent.push_back(name(cid));
      if (sent.size() > 10'000) return {"too many"};
    }
    if (walk.error()) return {walk.error()->message};
    return sent;
  }

  std::string name(const ContentId& cid) const {
    const auto found = names_.find(cid);
    return found == names_.end() ? cid.to_string() : found->second;
  }

  ContentId put(std::string name, Codec codec, Bytes bytes) {
    const ContentId cid = ContentId::v1(codec, sha256(bytes));
    blocks_[cid] = share(std::move(bytes));
    names_[cid] = std::move(name);
    return cid;
  }

  ContentId leaf(const std::string& text) { return put(text, Codec::kRaw, Bytes(text.begin(), text.end())); }

  struct Part {
    ContentId cid;
    std::uint64_t size;
  };
  ContentId file(const std::string& name, const std::vector<Part>& parts) {
    Data data{.type = DataType::kFile};
    std::vector<DagPbLink> links;
    std::uint64_t size = 0;
    for (const Part& part : parts) {
      data.block_sizes.push_back(part.size);
      links.push_back({.cid = part.cid, .name = "", .size = part.size});
      size += part.size;
    }
    data.file_size = size;
    const Bytes message = encode_data(data);
    return put(name, Codec::kDagPb, encode_dag_pb(links, BytesView(message)));
  }

  ContentId directory(const std::string& name, const std::vector<std::pair<std::string, ContentId>>& entries) {
    std::vector<DagPbLink> links;
    for (const auto& [entry, cid] : entries) links.push_back({.cid = cid, .name = entry, .size = 1});
    const Bytes message = encode_data({.type = DataType::kDirectory});
    return put(name, Codec::kDagPb, encode_dag_pb(links, BytesView(message)));
  }

  Blocks blocks_;
  std::map<ContentId, std::string> names_;
  std::size_t read_ = 0;
};

using Names = std::vector<std::string>;

TEST_F(CarWalkTest, GoesDepthFirstBelowThePath) {
  const auto left = file("left", {{leaf("aa"), 2}, {leaf("bb"), 2}});
  const auto big = file("big", {{left, 4}, {leaf("cc"), 2}});
  const auto sub = directory("sub", {{"big", big}, {"small", leaf("dd")}});
  const auto root = directory("root", {{"other", leaf("ee")}, {"sub", sub}});
  EXPECT_EQ(walk(root, {.path = {"sub"}}), (Names{"root", "sub", "big", "left", "aa", "bb", "cc", "dd"}));
  EXPECT_EQ(walk(root, {.path = {"sub"}, .scope = Scope::kBlock}), (Names{"root", "sub"}));
  EXPECT_EQ(walk(root, {.path = {"sub"}, .scope = Scope::kEntity}), (Names{"root", "sub"}));
  EXPECT_EQ(walk(root, {.path = {"sub", "big"}, .scope = Scope::kEntity}),
            (Names{"root", "sub", "big", "left", "aa", "bb", "cc"}));
  EXPECT_EQ(walk(root, {}), (Names{"root", "ee", "sub", "big", "left", "aa", "bb", "cc", "dd"}));
}

TEST_F(CarWalkTest, TakesTheBlocksOfTheRangeOnly) {
  const auto left = file("left", {{leaf("aa"), 2}, {leaf("bb"), 2}});
  const auto right = file("right", {{leaf("cc"), 2}, {leaf("dd"), 2}});
  const auto root = file("root", {{left, 4}, {right, 4}});
  const auto bytes = [&](std::int64_t from, std::optional<std::int64_t> to) {
    return walk(root, {.scope = Scope::kEntity, .bytes = EntityBytes{from, to}});
  };
  EXPECT_EQ(bytes(0, 1), (Names{"root", "left", "aa"}));
  EXPECT_EQ(bytes(3, 4), (Names{"root", "left", "bb", "right", "cc"}));
  EXPECT_EQ(bytes(-2, std::nullopt), (Names{"root", "right", "dd"}));
  EXPECT_EQ(bytes(-4, -3), (Names{"root", "right", "cc"}));
  EXPECT_EQ(bytes(100, std::nullopt), (Names{"root"}));
  EXPECT_EQ(bytes(0, -100), (Names{"root"}));
}

TEST_F(CarWalkTest, NeedsNothingBeyondTheRange) {
  const auto lost = leaf("bb");
  const auto root = file("root", {{leaf("aa"), 2}, {lost, 2}});
  blocks_.erase(lost);
  EXPECT_EQ(walk(root, {.scope = Scope::kEntity, .bytes = EntityBytes{0, 1}}), (Names{"root", "aa"}));
  EXPECT_EQ(walk(root, {}), (Names{"missing bb"}));
}

TEST_F(CarWalkTest, SendsABlockOnceOrAsOftenAsItStands) {
  const auto root = directory("root", {{"a", leaf("xx")}, {"b", leaf("yy")}, {"c", leaf("xx")}});
  EXPECT_EQ(walk(root, {}), (Names{"root", "xx", "yy"}));
  EXPECT_EQ(walk(root, {.duplicates = true}), (Names{"root", "xx", "yy", "xx"}));
}

TEST_F(CarWalkTest, APartThatWasSentInPartIsSentWholeLater) {
  const auto part = file("part", {{leaf("aa"), 2}, {leaf("bb"), 2}});
  const auto root = file("root", {{part, 4}, {part, 4}});
  EXPECT_EQ(walk(root, {.scope = Scope::kEntity, .bytes = EntityBytes{2, 7}}), (Names{"root", "part", "bb", "aa"}));
}

TEST_F(CarWalkTest, ADoublingDagIsReadOnce) {
  ContentId cid = leaf("x");
  for (int level = 0; level < 60; ++level) {
    cid = directory("level " + std::to_string(level), {{"a", cid}, {"b", cid}});
  }
  EXPECT_EQ(walk(cid, {}).size(), 61u);
  EXPECT_EQ(read_, 61u);
}

TEST_F(CarWalkTest, ADoublingFileIsReadOnceInARangeToo) {
  std::uint64_t size = 1;
  ContentId cid = leaf("x");
  for (int level = 0; level < 60; ++level) {
    cid = file("level " + std::to_string(level), {{cid, size}, {cid, size}});
    size *= 2;
  }
  EXPECT_EQ(walk(cid, {.scope = Scope::kEntity, .bytes = EntityBytes{1, -2}}).size(), 61u);
  EXPECT_LT(read_, 400u);
}

/// A chain of blocks with links, without names for each.
class CarWalkLimits : public testing::Test {
 protected:
  ContentId put(const std::vector<ContentId>& links) {
    std::vector<DagPbLink> all;
    for (const ContentId& cid : links) all.push_back({.cid = cid, .name = "", .size = 1});
    Bytes bytes = encode_dag_pb(all, std::nullopt);
    const ContentId cid = ContentId::v1(Codec::kDagPb, sha256(bytes));
    blocks_.emplace(cid, share(std::move(bytes)));
    return cid;
  }

  /// How many blocks are sent, or the error.
  Result<std::size_t> walk(const ContentId& root) {
    CarWalk walk(root, {});
    std::size_t sent = 0;
    while (walk.wanted()) {
      const auto is_new = walk.handle_block(blocks_.at(*walk.wanted()));
      if (!is_new) return std::unexpected(is_new.error());
      if (*is_new) ++sent;
    }
    return sent;
  }

  Blocks blocks_;
};

TEST_F(CarWalkLimits, SoManyBlocksWithLinksAreRememberedAndNoMore) {
  constexpr std::size_t kMost = 262'144;
  ContentId cid = put({});
  for (std::size_t level = 1; level < kMost; ++level) cid = put({cid});
  EXPECT_EQ(walk(cid).value_or(0), kMost);
  const auto over = walk(put({cid}));
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, ErrorCode::kTooLarge);
}

TEST_F(CarWalkLimits, SoManyLinksMayWaitOnTheWayDown) {
  constexpr std::size_t kLinks = 40'000;  // Of a block of 1.6 MB.
  const ContentId leaf = put({});
  ContentId cid = leaf;
  const auto level = [&] {
    std::vector<ContentId> links(kLinks, leaf);
    links.front() = cid;  // The others wait for what is below it.
    return put(links);
  };
  for (int i = 0; i < 26; ++i) cid = level();
  EXPECT_EQ(walk(cid).value_or(0), 27u);
  const auto over = walk(cid = level());
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, ErrorCode::kTooLarge);
}

TEST_F(CarWalkTest, FindsAPathThroughAShardAndListsIt) {
  std::vector<Link> entries;
  for (int i = 0; i < 7000; ++i)
    entries.push_back(named("file number " + std::to_string(i), build_file(kUnixfsV1_2025, as_bytes("x"), blocks_)));
  const Link root = build_directory(kUnixfsV1_2025, entries, blocks_);
  const auto path = walk(root.cid, {.path = {"file number 70"}, .scope = Scope::kBlock});
  EXPECT_GE(path.size(), 3u);
  EXPECT_LE(path.size(), 5u);
  EXPECT_EQ(path.front(), root.cid.to_string());
  const auto shards = walk(root.cid, {.scope = Scope::kEntity});
  EXPECT_GT(shards.size(), 200u);
  EXPECT_EQ(walk(root.cid, {}).size(), shards.size() + 1);
  EXPECT_EQ(walk(root.cid, {.path = {"no such file"}}).size(), 1u);
}

TEST_F(CarWalkTest, NeverSendsWhatIsInACid) {
  const auto inlined = ContentId::v1(Codec::kRaw, *Multihash::make(HashCode::kIdentity, as_bytes("hi")));
  EXPECT_EQ(walk(inlined, {}), Names{});
  const auto root = directory("root", {{"a", inlined}, {"b", leaf("bb")}});
  EXPECT_EQ(walk(root, {}), (Names{"root", "bb"}));
  EXPECT_EQ(walk(root, {.path = {"a"}}), (Names{"root"}));
}

TEST_F(CarWalkTest, OtherCodecsAndBadNodesAreBlocks) {
  const auto cbor = put("cbor", Codec::kDagCbor, Bytes{0xa0});
  EXPECT_EQ(walk(cbor, {}), (Names{"cbor"}));
  const auto bad = put("bad", Codec::kDagPb, Bytes{0xff});
  EXPECT_EQ(walk(bad, {.scope = Scope::kBlock}), (Names{"bad"}));
  EXPECT_EQ(walk(bad, {}).size(), 1u);
  EXPECT_NE(walk(bad, {}), (Names{"bad"}));
}

TEST_F(CarWalkTest, APartThatIsNotWhatItsParentSaysEndsIt) {
  const auto part = file("part", {{leaf("aa"), 2}});
  const auto root = file("root", {{part, 5}});
  EXPECT_EQ(walk(root, {.scope = Scope::kEntity}), (Names{"UnixFS: a file's part is not what its parent says"}));
}

}  // namespace
}  // namespace codio::content_id::unixfs
