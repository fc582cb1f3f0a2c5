#include "content_id/unixfs/traversal.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>

#include "content_id/dag_pb.h"
#include "content_id/unixfs/data.h"
#include "content_id/unixfs/testing.h"

namespace codio::content_id::unixfs {
namespace {

/// Small blocks, so that small files have tall trees.
Profile small_profile(bool raw_leaves) {
  Profile profile = raw_leaves ? kUnixfsV1_2025 : kUnixfsV0_2015;
  profile.chunk_size = 100;
  profile.width = 4;
  profile.hamt_threshold = 2000;
  return profile;
}

/// Fetches for a walk from a map, in random order, and keeps all that comes out.
struct Reader {
  const Blocks& blocks;
  std::mt19937 random{1};
  std::size_t max_outstanding = 8;

  std::vector<ContentId> asked{};
  Bytes bytes{};
  std::uint64_t begin = 0;
  std::vector<DirectoryEntry> entries{};
  std::optional<Error> error{};

  void drain(Traversal& walk) {
    while (const auto segment = walk.poll_segment()) {
      if (bytes.empty()) begin = segment->offset;
      EXPECT_EQ(segment->offset, begin + bytes.size()) << "segments are gapless";
      EXPECT_GT(segment->size, 0U);
      append(bytes, segment->view());
    }
    while (auto entry = walk.poll_entry()) entries.push_back(*std::move(entry));
  }

  /// Runs the walk to its end, or until it is stuck.
  void run(Traversal& walk) {
    std::vector<ContentId> outstanding;
    while (true) {
      for (ContentId& cid : walk.poll_wants(max_outstanding - outstanding.size())) {
        asked.push_back(cid);
        outstanding.push_back(std::move(cid));
      }
      if (outstanding.empty()) break;
      std::swap(outstanding[random() % outstanding.size()], outstanding.back());
      const ContentId cid = outstanding.back();
      outstanding.pop_back();
      ASSERT_TRUE(blocks.contains(cid)) << cid.to_string();
      if (auto handled = walk.handle_block(cid, blocks.at(cid)); !handled) {
        error = handled.error();
        break;
      }
      drain(walk);
    }
  }
};

Bytes slice(const Bytes& bytes, std::uint64_t begin, std::uint64_t end) {
  begin = std::min<std::uint64_t>(begin, bytes.size());
  end = std::clamp<std::uint64_t>(end, begin, bytes.size());
  return {bytes.begin() + static_cast<std::ptrdiff_t>(begin), bytes.begin() + static_cast<std::ptrdiff_t>(end)};
}

ContentId put(Blocks& blocks, Bytes block) {
  const ContentId cid = ContentId::v1(Codec::kDagPb, sha256(block));
  blocks.emplace(cid, share(std::move(block)));
  return cid;
}

/// A file node with those parts.
ContentId put_file(Blocks& blocks, const std::vector<std::pair<ContentId, std::uint64_t>>& parts,
                   std::string_view inline_bytes = {}) {
  Data data{.type = DataType::kFile};
  if (!inline_bytes.empty()) data.data = as_bytes(inline_bytes);
  std::uint64_t size = inline_bytes.size();
  std::vector<DagPbLink> links;
  for (const auto& [cid, part] : parts) {
    links.push_back({cid, "", part});
    data.block_sizes.push_back(part);
    size += part;
  }
  data.file_size = size;
  return put(blocks, encode_dag_pb(links, encode_data(data)));
}

ContentId put_raw(Blocks& blocks, BytesView bytes) {
  const ContentId cid = ContentId::v1(Codec::kRaw, sha256(bytes));
  blocks.emplace(cid, share(Bytes(bytes.begin(), bytes.end())));
  return cid;
}

ContentId identity(Codec codec, BytesView bytes) {
  return ContentId::v1(codec, *Multihash::make(HashCode::kIdentity, bytes));
}

TEST(Traversal, GivesTheBytesOfAFileWhateverTheOrderWindowAndRange) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const std::size_t size = random() % 6000;
    const Bytes content = random_bytes("file" + std::to_string(round), size);
    Blocks blocks;
    const Link root = build_file(small_profile(round % 2 == 0), content, blocks);
    TraversalOptions options;
    options.window = random() % 2 == 0 ? 1 + random() % 1500 : options.window;
    if (random() % 3 != 0) options.range = {random() % (size + 10), random() % (size + 1000)};
    Traversal walk(root.cid, options);
    Reader reader{.blocks = blocks, .random = std::mt19937(round), .max_outstanding = 1 + random() % 20};
    reader.run(walk);
    ASSERT_FALSE(reader.error) << reader.error->message;
    EXPECT_TRUE(walk.finished());
    EXPECT_EQ(walk.entity()->size, size);
    const Bytes expected = slice(content, options.range.begin, options.range.end);
    EXPECT_EQ(reader.bytes, expected) << "round " << round;
    if (!expected.empty()) {
      EXPECT_EQ(reader.begin, options.range.begin);
    }
    const std::set<ContentId> distinct(reader.asked.begin(), reader.asked.end());
    EXPECT_EQ(distinct.size(), reader.asked.size()) << "nothing is asked for twice";
  }
}

TEST(Traversal, AsksOnlyForTheBlocksOfTheRange) {
  const Bytes content = random_bytes("range", 100 * 64);
  Blocks blocks;
  const Link root = build_file(small_profile(true), content, blocks);
  Traversal walk(root.cid, {.range = {3250, 3260}});
  Reader reader{.blocks = blocks};
  reader.run(walk);
  EXPECT_EQ(reader.bytes, slice(content, 3250, 3260));
  EXPECT_EQ(reader.asked.size(), 4U) << "the root, two branches and one leaf";
}

TEST(Traversal, KeepsLeavesWithinTheWindow) {
  const Bytes content = random_bytes("window", 100 * 64);
  Blocks blocks;
  const Link root = build_file(small_profile(true), content, blocks);
  Traversal walk(root.cid, {.window = 450});
  // Handles everything but never polls a segment.
  std::size_t leaves = 0;
  for (auto wants = walk.poll_wants(100); !wants.empty(); wants = walk.poll_wants(100)) {
    for (const ContentId& cid : wants) {
      leaves += cid.codec() == Codec::kRaw ? 1 : 0;
      ASSERT_TRUE(walk.handle_block(cid, blocks.at(cid)));
    }
  }
  EXPECT_EQ(leaves, 5U);
  ASSERT_TRUE(walk.poll_segment());
  EXPECT_EQ(walk.poll_wants(100).size(), 1U) << "the window moved by one leaf";
}

TEST(Traversal, AsksForLargeBranchesBeforeLeaves) {
  // Two branches of 3 MiB: too large to be leaves.
  Blocks blocks;
  Profile profile = kUnixfsV1_2025;
  profile.width = 3;
  const Link root = build_file(profile, random_bytes("branches", 6 << 20), blocks);
  Traversal walk(root.cid, {.window = 2 << 20});
  const ContentId first = walk.poll_wants(10).at(0);
  ASSERT_TRUE(walk.handle_block(first, blocks.at(first)));
  const auto branches = walk.poll_wants(10);
  ASSERT_EQ(branches.size(), 2U) << "the second one is beyond the window, but within two";
  ASSERT_TRUE(walk.handle_block(branches[1], blocks.at(branches[1])));
  EXPECT_TRUE(walk.poll_wants(10).empty()) << "its leaves are not";
  ASSERT_TRUE(walk.handle_block(branches[0], blocks.at(branches[0])));
  const auto leaves = walk.poll_wants(10);
  ASSERT_EQ(leaves.size(), 2U);
  const auto node = decode_dag_pb(*blocks.at(branches[0]));
  EXPECT_EQ(leaves[0], node->links[0].cid);
  EXPECT_EQ(leaves[1], node->links[1].cid);
}

TEST(Traversal, AsksOnceForABlockThatStandsInManyPlaces) {
  for (const bool raw_leaves : {false, true}) {
    const Bytes zeros(100 * 64);
    Blocks blocks;
    const Link root = build_file(small_profile(raw_leaves), zeros, blocks);
    for (const std::uint64_t window : {1, 100, 250, 1 << 20}) {
      Traversal walk(root.cid, {.window = window});
      Reader reader{.blocks = blocks};
      reader.run(walk);
      EXPECT_TRUE(walk.finished());
      EXPECT_EQ(reader.bytes, zeros);
      if (window == 1 << 20) {
        EXPECT_EQ(reader.asked.size(), blocks.size());
      }
      const auto leaf = std::ranges::find_if(blocks, [](const auto& item) { return item.second->size() < 130; })->first;
      EXPECT_EQ(std::ranges::count(reader.asked, leaf), 1) << window;
    }
  }
}

TEST(Traversal, WalksEmptyFilesAndEmptyRanges) {
  for (const bool raw_leaves : {false, true}) {
    Blocks blocks;
    const Link root = build_file(small_profile(raw_leaves), {}, blocks);
    Traversal walk(root.cid, {});
    EXPECT_FALSE(walk.finished());
    Reader reader{.blocks = blocks};
    reader.run(walk);
    EXPECT_TRUE(walk.finished());
    EXPECT_EQ(walk.entity()->size, 0U);
    EXPECT_TRUE(reader.bytes.empty());
  }
  Blocks blocks;
  const Link root = build_file(small_profile(true), random_bytes("x", 1000), blocks);
  for (const ByteRange range : {ByteRange{1000, 2000}, ByteRange{5, 5}, ByteRange{9, 3}, ByteRange{5000, ~0ULL}}) {
    Traversal walk(root.cid, {.range = range});
    Reader reader{.blocks = blocks};
    reader.run(walk);
    EXPECT_TRUE(walk.finished());
    EXPECT_EQ(reader.asked.size(), 1U) << "only the root, for the size";
    EXPECT_TRUE(reader.bytes.empty());
  }
}

TEST(Traversal, GivesForeignBlocksAsTheyAre) {
  const Bytes block{0xa1, 0x61, 0x61, 0x01};
  const ContentId cid = ContentId::v1(Codec::kDagCbor, sha256(block));
  const Blocks blocks{{cid, share(block)}};
  for (const Scope scope : {Scope::kBytes, Scope::kEntity, Scope::kAll}) {
    Traversal walk(cid, {.scope = scope});
    Reader reader{.blocks = blocks};
    reader.run(walk);
    EXPECT_TRUE(walk.finished());
    EXPECT_EQ(reader.bytes, scope == Scope::kBytes ? block : Bytes{});
    EXPECT_EQ(reader.asked.size(), 1U);
  }
}

TEST(Traversal, ReadsBytesInsideInnerNodes) {
  Blocks blocks;
  const ContentId leaf = put_raw(blocks, as_bytes("world"));
  const ContentId inner = put_file(blocks, {{leaf, 5}}, "small ");
  const ContentId root = put_file(blocks, {{inner, 11}, {leaf, 5}}, "hello ");
  Traversal walk(root, {});
  Reader reader{.blocks = blocks};
  reader.run(walk);
  EXPECT_EQ(as_text(reader.bytes), "hello small worldworld");
  EXPECT_TRUE(walk.finished());
}

TEST(Traversal, TakesIdentityBlocksFromTheirCids) {
  Blocks blocks;
  const ContentId leaf = put_raw(blocks, as_bytes("fetched"));
  const Bytes inner_block = [&] {
    Blocks inner;
    return *inner.at(put_file(inner, {{leaf, 7}}));
  }();
  const ContentId root =
      put_file(blocks, {{identity(Codec::kRaw, as_bytes("inline ")), 7}, {identity(Codec::kDagPb, inner_block), 7}});
  for (const Scope scope : {Scope::kBytes, Scope::kAll}) {
    Traversal walk(root, {.scope = scope});
    Reader reader{.blocks = blocks};
    reader.run(walk);
    EXPECT_TRUE(walk.finished());
    EXPECT_EQ(reader.asked, (std::vector{root, leaf}));
    if (scope == Scope::kBytes) {
      EXPECT_EQ(as_text(reader.bytes), "inline fetched");
    }
  }

  Traversal whole(identity(Codec::kRaw, as_bytes("all of it")), {});
  EXPECT_TRUE(whole.poll_wants(10).empty());
  EXPECT_EQ(as_text(whole.poll_segment()->view()), "all of it");
  EXPECT_TRUE(whole.finished());

  Traversal broken(identity(Codec::kDagPb, as_bytes("?")), {});
  EXPECT_TRUE(broken.poll_wants(10).empty());
  EXPECT_FALSE(broken.finished());
  EXPECT_EQ(broken.error()->code, ErrorCode::kMalformed);
}

TEST(Traversal, IgnoresBlocksNobodyAskedFor) {
  Blocks blocks;
  const Link root = build_file(small_profile(true), random_bytes("x", 1000), blocks);
  Traversal walk(root.cid, {});
  EXPECT_TRUE(walk.handle_block(root.cid, blocks.at(root.cid))) << "not asked for yet";
  EXPECT_FALSE(walk.entity());
  Reader reader{.blocks = blocks};
  reader.run(walk);
  EXPECT_EQ(reader.bytes.size(), 1000U);
  for (const auto& [cid, block] : blocks) EXPECT_TRUE(walk.handle_block(cid, block));
  EXPECT_TRUE(walk.finished());
}

/// /docs/readme, /docs/link -> readme, /many/0…299 (sharded), /file
struct Tree {
  Blocks blocks;
  Bytes readme = random_bytes("readme", 777);
  Link root;

  explicit Tree(bool raw_leaves) : root(build(raw_leaves)) {}

 private:
  Link build(bool raw_leaves) {
    const Profile profile = small_profile(raw_leaves);
    const ContentId link = put(blocks, encode_symlink("readme"));
    const Link docs = build_directory(
        profile, {named("readme", build_file(profile, readme, blocks)), {"link", link, blocks.at(link)->size()}},
        blocks);
    std::vector<Link> entries;
    for (int i = 0; i < 300; ++i) {
      const std::string name = std::to_string(i) + ".txt";
      entries.push_back(named(name, build_file(profile, as_bytes("content of " + name), blocks)));
    }
    const Link many = build_directory(profile, entries, blocks);
    return build_directory(
        profile,
        {named("docs", docs), named("many", many), named("file", build_file(profile, as_bytes("just a file"), blocks))},
        blocks);
  }
};

TEST(Traversal, FollowsAPathThroughDirectories) {
  for (const bool raw_leaves : {false, true}) {
    const Tree tree(raw_leaves);
    Traversal walk(tree.root.cid, {.path = {"docs", "readme"}, .range = {100, 500}});
    Reader reader{.blocks = tree.blocks};
    reader.run(walk);
    EXPECT_TRUE(walk.finished());
    EXPECT_EQ(walk.entity()->type, EntityType::kFile);
    EXPECT_EQ(reader.bytes, slice(tree.readme, 100, 500));
  }
}

TEST(Traversal, FollowsAPathThroughShards) {
  const Tree tree(true);
  for (int i = 0; i < 300; ++i) {
    const std::string name = std::to_string(i) + ".txt";
    Traversal walk(tree.root.cid, {.path = {"many", name}});
    Reader reader{.blocks = tree.blocks};
    reader.run(walk);
    EXPECT_EQ(as_text(reader.bytes), "content of " + name);
    EXPECT_LE(reader.asked.size(), 6U);
  }
}

TEST(Traversal, SaysWhereAPathEnds) {
  const Tree tree(true);
  const auto error_of = [&](std::vector<std::string> path) {
    Traversal walk(tree.root.cid, {.path = std::move(path)});
    Reader reader{.blocks = tree.blocks};
    reader.run(walk);
    EXPECT_FALSE(walk.finished());
    EXPECT_EQ(walk.error(), reader.error);
    EXPECT_TRUE(walk.poll_wants(10).empty());
    return reader.error.value_or(Error{ErrorCode::kIo, ""});
  };
  const std::string root = tree.root.cid.to_string();
  EXPECT_EQ(error_of({"doc"}), (Error{ErrorCode::kNotFound, "there is no \"doc\" in " + root}));
  EXPECT_EQ(error_of({"many", "x.txt"}), (Error{ErrorCode::kNotFound, "there is no \"x.txt\" in " + root + "/many"}));
  EXPECT_EQ(error_of({"file", "a", "b"}),
            (Error{ErrorCode::kNotFound, "there is no \"a\" in " + root + "/file, which is a file"}));
  EXPECT_EQ(error_of({"docs", "link", "b"}),
            (Error{ErrorCode::kNotFound, "there is no \"b\" in " + root + "/docs/link, which is a symlink"}));
  EXPECT_EQ(error_of({"docs"}), (Error{ErrorCode::kUnsupported, root + "/docs is a directory, not a file"}));
  EXPECT_EQ(error_of({"many"}), (Error{ErrorCode::kUnsupported, root + "/many is a directory, not a file"}));
  EXPECT_EQ(error_of({"docs", "link"}), (Error{ErrorCode::kUnsupported, root + "/docs/link is a symlink, not a file"}));
}

TEST(Traversal, KnowsWhatADirectoryIsThoughItHasNoBytes) {
  const Tree tree(true);
  Traversal walk(tree.root.cid, {.path = {"docs", "link"}});
  Reader reader{.blocks = tree.blocks};
  reader.run(walk);
  EXPECT_EQ(walk.entity()->type, EntityType::kSymlink);
  EXPECT_EQ(walk.entity()->symlink_target, "readme");
}

TEST(Traversal, ListsADirectoryFromItsOwnBlocks) {
  const Tree tree(true);
  Traversal basic(tree.root.cid, {.path = {"docs"}, .scope = Scope::kEntity});
  Reader basic_reader{.blocks = tree.blocks};
  basic_reader.run(basic);
  EXPECT_TRUE(basic.finished());
  ASSERT_EQ(basic_reader.entries.size(), 2U);
  EXPECT_EQ(basic_reader.entries[0].name, "link");
  EXPECT_EQ(basic_reader.entries[1].name, "readme");
  EXPECT_EQ(basic_reader.asked.size(), 2U);

  Traversal sharded(tree.root.cid, {.path = {"many"}, .scope = Scope::kEntity});
  Reader reader{.blocks = tree.blocks};
  reader.run(sharded);
  EXPECT_TRUE(sharded.finished());
  EXPECT_EQ(sharded.entity()->type, EntityType::kDirectory);
  std::set<std::string> names;
  for (const DirectoryEntry& entry : reader.entries) names.insert(entry.name);
  EXPECT_EQ(reader.entries.size(), 300U);
  EXPECT_EQ(names.size(), 300U);
  EXPECT_TRUE(names.contains("299.txt"));
}

TEST(Traversal, VisitsTheBlocksOfOneFileOnly) {
  const Tree tree(false);
  Traversal walk(tree.root.cid, {.path = {"docs", "readme"}, .scope = Scope::kEntity});
  Reader reader{.blocks = tree.blocks};
  reader.run(walk);
  EXPECT_TRUE(walk.finished());
  EXPECT_EQ(reader.asked.size(), 2U + 1U + 2U + 8U) << "the path, the file's root, two branches, eight leaves";
  EXPECT_TRUE(reader.bytes.empty());
}

TEST(Traversal, VisitsEveryBlockBelowTheRootOnce) {
  for (const bool raw_leaves : {false, true}) {
    const Tree tree(raw_leaves);
    for (const std::size_t max_outstanding : {1, 7, 1000}) {
      Traversal walk(tree.root.cid, {.scope = Scope::kAll});
      Reader reader{.blocks = tree.blocks, .max_outstanding = max_outstanding};
      reader.run(walk);
      EXPECT_TRUE(walk.finished());
      EXPECT_EQ(reader.asked.size(), tree.blocks.size());
      EXPECT_TRUE(reader.entries.empty());
      EXPECT_TRUE(reader.bytes.empty());
    }
  }
}

TEST(Traversal, IsNotMadeToDoubleItsWorkWithEveryLevel) {
  Blocks blocks;
  const ContentId leaf = put_raw(blocks, as_bytes("x"));
  std::uint64_t size = 1;
  ContentId root = leaf;
  for (int level = 0; level < 30; ++level, size *= 2) root = put_file(blocks, {{root, size}, {root, size}});
  Traversal all(root, {.scope = Scope::kAll});
  Reader reader{.blocks = blocks};
  reader.run(all);
  EXPECT_TRUE(all.finished());
  EXPECT_EQ(reader.asked.size(), 31U);

  // As a file it is 2^30 bytes long; any range of them costs no more than a range.
  Traversal file(root, {.range = {123'456'789, 123'456'795}, .window = 4});
  Reader file_reader{.blocks = blocks};
  file_reader.run(file);
  EXPECT_EQ(as_text(file_reader.bytes), "xxxxxx");
  EXPECT_LT(file_reader.asked.size(), 200U);
}

TEST(Traversal, RefusesFilesWhosePartsContradictThem) {
  const auto error_code = [](const ContentId& root, const Blocks& blocks) -> std::optional<ErrorCode> {
    Traversal walk(root, {});
    Reader reader{.blocks = blocks};
    reader.run(walk);
    if (reader.error) return reader.error->code;
    return std::nullopt;
  };
  Blocks blocks;
  const ContentId leaf = put_raw(blocks, as_bytes("12345"));
  const ContentId dag_pb_leaf = put_file(blocks, {}, "12345");
  const ContentId directory = put(blocks, encode_dag_pb({}, encode_data({.type = DataType::kDirectory})));
  const DagPbLink link{leaf, "", 5};
  const auto node = [&](const Data& data) { return put(blocks, encode_dag_pb({&link, 1}, encode_data(data))); };

  EXPECT_EQ(error_code(put_file(blocks, {{leaf, 5}, {dag_pb_leaf, 5}}), blocks), std::nullopt);
  EXPECT_EQ(error_code(node({.type = DataType::kFile, .block_sizes = {5}}), blocks), std::nullopt) << "no total";
  EXPECT_EQ(error_code(put_file(blocks, {{leaf, 4}}), blocks), ErrorCode::kMalformed);
  EXPECT_EQ(error_code(put_file(blocks, {{leaf, 6}}), blocks), ErrorCode::kMalformed);
  EXPECT_EQ(error_code(put_file(blocks, {{dag_pb_leaf, 6}}), blocks), ErrorCode::kMalformed);
  EXPECT_EQ(error_code(put_file(blocks, {{directory, 5}}), blocks), ErrorCode::kMalformed);
  EXPECT_EQ(error_code(put_file(blocks, {{identity(Codec::kRaw, as_bytes("1")), 2}}), blocks), ErrorCode::kMalformed);
  EXPECT_EQ(error_code(put_file(blocks, {{identity(Codec::kDagCbor, as_bytes("1")), 1}}), blocks),
            ErrorCode::kMalformed);
  EXPECT_EQ(error_code(node({.type = DataType::kFile, .file_size = 5}), blocks), ErrorCode::kMalformed);
  EXPECT_EQ(error_code(node({.type = DataType::kFile, .file_size = 6, .block_sizes = {5}}), blocks),
            ErrorCode::kMalformed);
  EXPECT_EQ(error_code(node({.type = DataType::kFile, .block_sizes = {5, 0}}), blocks), ErrorCode::kMalformed);
  EXPECT_EQ(error_code(put_file(blocks, {{leaf, ~0ULL}, {leaf, 2}}), blocks), ErrorCode::kMalformed);
  EXPECT_EQ(error_code(node({.type = DataType::kMetadata}), blocks), ErrorCode::kUnsupported);
  EXPECT_EQ(error_code(node({.type = DataType::kSymlink}), blocks), ErrorCode::kMalformed);
  EXPECT_EQ(error_code(put(blocks, encode_dag_pb({&link, 1}, {})), blocks), ErrorCode::kMalformed) << "no data";
  EXPECT_EQ(error_code(put(blocks, Bytes{0xff}), blocks), ErrorCode::kMalformed);
}

TEST(Traversal, RefusesADagThatIsTooDeep) {
  Blocks blocks;
  ContentId root = put_raw(blocks, as_bytes("x"));
  for (int level = 0; level < 40; ++level) root = put_file(blocks, {{root, 1}});
  Traversal walk(root, {});
  Reader reader{.blocks = blocks};
  reader.run(walk);
  EXPECT_EQ(reader.error->code, ErrorCode::kTooLarge);
}

TEST(Traversal, RefusesAWindowOfTooManyParts) {
  Blocks blocks;
  const ContentId leaf = put_raw(blocks, as_bytes("x"));
  ContentId root = put_file(blocks, std::vector<std::pair<ContentId, std::uint64_t>>(300, {leaf, 1}));
  root = put_file(blocks, std::vector<std::pair<ContentId, std::uint64_t>>(300, {root, 300}));
  Traversal walk(root, {});
  std::vector<ContentId> wants = walk.poll_wants(1);
  ASSERT_TRUE(walk.handle_block(wants[0], blocks.at(wants[0])));
  wants = walk.poll_wants(10);
  ASSERT_EQ(wants.size(), 1U);
  const auto handled = walk.handle_block(wants[0], blocks.at(wants[0]));
  ASSERT_FALSE(handled);
  EXPECT_EQ(handled.error().code, ErrorCode::kTooLarge);

  Traversal narrow(root, {.window = 1000});
  Reader reader{.blocks = blocks};
  reader.run(narrow);
  EXPECT_EQ(reader.bytes.size(), 90'000U);
}

TEST(Traversal, RefusesBrokenShards) {
  Blocks blocks;
  const ContentId leaf = put_raw(blocks, as_bytes("x"));
  const auto shard = [&](const Data& data, std::string_view name, const ContentId& child) {
    const DagPbLink link{child, name, 1};
    return put(blocks, encode_dag_pb({&link, 1}, encode_data(data)));
  };
  const Data good{.type = DataType::kHamtShard, .data = as_bytes("\1"), .hash_type = 0x22, .fanout = 256};
  const auto list = [&](const ContentId& root) -> std::optional<ErrorCode> {
    Traversal walk(root, {.scope = Scope::kEntity});
    Reader reader{.blocks = blocks};
    reader.run(walk);
    if (reader.error) return reader.error->code;
    return std::nullopt;
  };
  EXPECT_EQ(list(shard(good, "00a", leaf)), std::nullopt);
  EXPECT_EQ(list(shard(good, "0", leaf)), ErrorCode::kMalformed) << "no bucket";
  EXPECT_EQ(list(shard(good, "00", leaf)), ErrorCode::kMalformed) << "a sub-shard that is none";
  Data other = good;
  other.hash_type = 0x12;
  EXPECT_EQ(list(shard(other, "00a", leaf)), ErrorCode::kUnsupported);
  for (const std::uint64_t fanout : {0, 1, 255, 2048}) {
    other = good;
    other.fanout = fanout;
    EXPECT_EQ(list(shard(other, "00a", leaf)), ErrorCode::kMalformed) << fanout;
  }
}

TEST(Traversal, EndsALookupInShardsThatNeverEnd) {
  // Each level's shard holds every bucket and leads all names one level down, further than a hash has bits.
  Blocks blocks;
  ContentId root = put_raw(blocks, as_bytes("x"));
  const Data data{.type = DataType::kHamtShard, .data = as_bytes("\1"), .hash_type = 0x22, .fanout = 256};
  for (int level = 0; level < 12; ++level) {
    std::vector<std::string> names;
    for (int bucket = 0; bucket < 256; ++bucket) {
      names.push_back({"0123456789ABCDEF"[bucket / 16], "0123456789ABCDEF"[bucket % 16]});
    }
    std::vector<DagPbLink> links;
    for (const std::string& name : names) links.push_back({root, name, 1});
    root = put(blocks, encode_dag_pb(links, encode_data(data)));
  }
  Traversal walk(root, {.path = {"name"}});
  Reader reader{.blocks = blocks};
  reader.run(walk);
  EXPECT_EQ(reader.error->code, ErrorCode::kNotFound);
  EXPECT_EQ(reader.asked.size(), 9U);
}

TEST(Traversal, CanBeMoved) {
  Blocks blocks;
  const Link root = build_file(small_profile(true), random_bytes("x", 1000), blocks);
  Traversal first(root.cid, {});
  const auto wants = first.poll_wants(1);
  Traversal walk = std::move(first);
  ASSERT_TRUE(walk.handle_block(wants[0], blocks.at(wants[0])));
  Reader reader{.blocks = blocks};
  reader.run(walk);
  EXPECT_EQ(reader.bytes.size(), 1000U);
}

}  // namespace
}  // namespace codio::content_id::unixfs
