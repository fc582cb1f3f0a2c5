#include "content_id/unixfs/builder.h"

#include <gtest/gtest.h>

#include "content_id/dag_pb.h"
#include "content_id/multibase.h"
#include "content_id/unixfs/murmur3.h"
#include "content_id/unixfs/testing.h"

namespace codio::content_id::unixfs {
namespace {

std::string cid_of(const Profile& profile, BytesView content) {
  Blocks blocks;
  return build_file(profile, content, blocks).cid.to_string();
}

/// The CID of a file too large to hold: the first `size` bytes of the stream.
std::string cid_of_stream(const Profile& profile, std::string_view seed, std::uint64_t size) {
  ChaChaStream stream(seed);
  FileBuilder builder(profile);
  const auto hash_all = [&] {
    while (const auto block = builder.poll_block()) builder.handle_digest(block->id, sha256(*block->bytes));
  };
  for (std::uint64_t left = size; left > 0;) {
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(left, 300'000));
    builder.append(stream.take(part));
    hash_all();
    left -= part;
  }
  builder.finish();
  hash_all();
  EXPECT_EQ(builder.root()->file_size, size);
  return builder.root()->cid.to_string();
}

/// `count` entries with names of `size` characters, all the file "x".
std::vector<Link> vector_entries(const Profile& profile, std::size_t count, std::size_t size, std::size_t last_size) {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz01234567890-_";
  Blocks blocks;
  const Link x = build_file(profile, as_bytes("x"), blocks);
  ChaChaStream stream("hamt-" + std::string(profile.name));
  std::vector<Link> entries;
  for (std::size_t i = 0; i < count; ++i) {
    std::string name;
    for (const std::uint8_t byte : stream.take(i + 1 < count ? size : last_size)) {
      name.push_back(kAlphabet[byte % kAlphabet.size()]);
    }
    entries.push_back(named(name, x));
  }
  return entries;
}

std::string cid_of_directory(const Profile& profile, std::vector<Link> entries) {
  Blocks blocks;
  return build_directory(profile, std::move(entries), blocks).cid.to_string();
}

TEST(FileBuilder, MakesTheCidsOfProfileV0) {
  const Profile& v0 = kUnixfsV0_2015;
  EXPECT_EQ(cid_of(v0, as_bytes("hello world")), "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD");
  EXPECT_EQ(cid_of(v0, {}), "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH");
  EXPECT_EQ(cid_of(v0, Bytes(10 << 20)), "QmaJ6kN9fW3TKpVkpf1NuW7cjhHjNp5Jwr3cQuHzsoZWkJ");
  const std::uint64_t chunk = v0.chunk_size;
  const std::uint64_t full = chunk * v0.width;
  EXPECT_EQ(cid_of_stream(v0, "chunk-v0-seed", chunk), "QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE");
  EXPECT_EQ(cid_of_stream(v0, "chunk-v0-seed", chunk + 1), "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ");
  EXPECT_EQ(cid_of_stream(v0, "v0-seed", full), "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2");
  EXPECT_EQ(cid_of_stream(v0, "v0-seed", full + 1), "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW");
}

TEST(FileBuilder, MakesTheCidsOfProfileV1) {
  const Profile& v1 = kUnixfsV1_2025;
  EXPECT_EQ(cid_of(v1, as_bytes("hello world")), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");
  EXPECT_EQ(cid_of(v1, {}), "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
  EXPECT_EQ(cid_of(v1, Bytes(10 << 20)), "bafybeibfjdi66hrbmooad7adyrxlrjsn6cizfqmiyupkpye7nropwx4rya");
  EXPECT_EQ(cid_of(v1, Bytes((1 << 20) + 1)), "bafybeihd4yzq7n5umhjngdum4r6k2to7egxfkf2jz6thvwzf6djus22cmq");
  EXPECT_EQ(cid_of_stream(v1, "chunk-v1-seed", v1.chunk_size),
            "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta");
  EXPECT_EQ(cid_of_stream(v1, "chunk-v1-seed", v1.chunk_size + 1),
            "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64");
}

TEST(FileBuilder, MakesTheCidsOfAGibibyteInProfileV1) {
  const std::uint64_t full = std::uint64_t{kUnixfsV1_2025.chunk_size} * kUnixfsV1_2025.width;
  EXPECT_EQ(cid_of_stream(kUnixfsV1_2025, "v1-2025-seed", full),
            "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm");
  EXPECT_EQ(cid_of_stream(kUnixfsV1_2025, "v1-2025-seed", full + 1),
            "bafybeibdsi225ugbkmpbdohnxioyab6jsqrmkts3twhpvfnzp77xtzpyhe");
}

TEST(FileBuilder, MakesTheSameBlocksFromPiecesOfAnySize) {
  Profile profile = kUnixfsV0_2015;
  profile.chunk_size = 1000;
  profile.width = 3;
  for (const bool raw_leaves : {false, true}) {
    profile.raw_leaves = raw_leaves;
    for (const std::size_t size : {0, 1, 999, 1000, 1001, 3000, 3001, 9000, 9001, 30'500}) {
      const Bytes content = random_bytes("pieces", size);
      Blocks expected;
      const Link root = build_file(profile, content, expected);
      for (const std::size_t piece : {1, 7, 999, 1000, 1001, 2500}) {
        FileBuilder builder(profile);
        for (std::size_t at = 0; at < size; at += piece) {
          builder.append(BytesView(content).subspan(at, std::min(piece, size - at)));
        }
        builder.finish();
        Blocks blocks;
        hash_blocks(builder, blocks);
        EXPECT_EQ(builder.root()->cid, root.cid) << size << " in pieces of " << piece;
        EXPECT_EQ(blocks.size(), expected.size());
      }
    }
  }
}

TEST(FileBuilder, TakesDigestsInAnyOrder) {
  Profile profile = kUnixfsV1_2025;
  profile.chunk_size = 100;
  profile.width = 4;
  const Bytes content = random_bytes("order", 100 * 77 + 5);
  Blocks expected;
  const Link root = build_file(profile, content, expected);
  std::mt19937 random(5);
  for (int round = 0; round < 20; ++round) {
    FileBuilder builder(profile);
    builder.append(content);
    builder.finish();
    std::vector<PendingBlock> pending;
    Blocks blocks;
    while (!builder.root()) {
      while (auto block = builder.poll_block()) pending.push_back(*std::move(block));
      ASSERT_FALSE(pending.empty());
      std::swap(pending[random() % pending.size()], pending.back());
      blocks.emplace(builder.handle_digest(pending.back().id, sha256(*pending.back().bytes)), pending.back().bytes);
      pending.pop_back();
    }
    EXPECT_EQ(builder.root()->cid, root.cid);
    EXPECT_EQ(builder.root()->cumulative_size, root.cumulative_size);
    EXPECT_TRUE(std::ranges::equal(blocks, expected, {}, &Blocks::value_type::first, &Blocks::value_type::first));
  }
}

TEST(FileBuilder, CountsTheBytesOfAllItsBlocks) {
  Profile profile = kUnixfsV0_2015;
  profile.chunk_size = 100;
  profile.width = 4;
  Blocks blocks;
  const Link root = build_file(profile, random_bytes("sizes", 5000), blocks);
  std::uint64_t total = 0;
  for (const auto& [cid, block] : blocks) total += block->size();
  EXPECT_EQ(root.cumulative_size, total);
  EXPECT_EQ(root.file_size, 5000U);
}

TEST(FileBuilder, HasNoRootBeforeTheLastDigest) {
  FileBuilder builder(kUnixfsV1_2025);
  builder.append(as_bytes("hello"));
  EXPECT_FALSE(builder.poll_block()) << "the chunk may grow";
  builder.finish();
  EXPECT_FALSE(builder.root());
  const auto block = builder.poll_block();
  EXPECT_FALSE(builder.root());
  builder.handle_digest(block->id, sha256(*block->bytes));
  EXPECT_TRUE(builder.root());
}

TEST(FileBuilder, AbortsOnADigestNobodyAskedFor) {
  FileBuilder builder(kUnixfsV1_2025);
  EXPECT_DEATH(builder.handle_digest(PendingBlockId{0}, {}), "");
}

TEST(DirectoryBuilder, MakesTheCidsOfTheProfilesAroundTheThreshold) {
  const Profile& v0 = kUnixfsV0_2015;
  const Profile& v1 = kUnixfsV1_2025;
  EXPECT_EQ(cid_of_directory(v0, {}), "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn");
  EXPECT_EQ(cid_of_directory(v1, {}), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354");
  EXPECT_EQ(cid_of_directory(v0, vector_entries(v0, 4096, 30, 30)), "QmX5GtRk3TSSEHtdrykgqm4eqMEn3n2XhfkFAis5fjyZmN");
  EXPECT_EQ(cid_of_directory(v0, vector_entries(v0, 4033, 31, 31)), "QmeMiJzmhpJAUgynAcxTQYek5PPKgdv3qEvFsdV3XpVnvP");
  EXPECT_EQ(cid_of_directory(v1, vector_entries(v1, 4766, 11, 21)),
            "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4");
  EXPECT_EQ(cid_of_directory(v1, vector_entries(v1, 4766, 11, 22)),
            "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu");
}

TEST(DirectoryBuilder, SortsItsEntries) {
  Blocks blocks;
  const Link file = build_file(kUnixfsV1_2025, as_bytes("x"), blocks);
  const Link a = build_directory(kUnixfsV1_2025, {named("b", file), named("a", file), named("B", file)}, blocks);
  const Link b = build_directory(kUnixfsV1_2025, {named("B", file), named("b", file), named("a", file)}, blocks);
  EXPECT_EQ(a.cid, b.cid);
  const auto node = decode_dag_pb(*blocks.at(a.cid));
  EXPECT_EQ(node->links[0].name, "B");
  EXPECT_EQ(a.cumulative_size, blocks.at(a.cid)->size() + 3);
  EXPECT_EQ(a.file_size, 0U);
}

TEST(DirectoryBuilder, CountsTheBytesOfAllShards) {
  Blocks blocks;
  Profile profile = kUnixfsV1_2025;
  profile.hamt_threshold = 100;
  const Link file = build_file(profile, as_bytes("x"), blocks);
  std::vector<Link> entries;
  for (int i = 0; i < 2000; ++i) entries.push_back(named(std::to_string(i) + ".txt", file));
  const Link root = build_directory(profile, entries, blocks);
  EXPECT_GT(blocks.size(), 100U);
  std::uint64_t total = entries.size();  // Of "x".
  for (const auto& [cid, block] : blocks) total += cid == file.cid ? 0 : block->size();
  EXPECT_EQ(root.cumulative_size, total);
}

TEST(DirectoryBuilder, SaysThatNamesOfTheSameHashCannotBeSharded) {
  // Two names made to have the hash 1234567812345678.
  const Bytes a = *multibase_decode("f0f7cacf6b116c72188882f9e3ef9097e");
  const Bytes b = *multibase_decode("ff52c27862c408d1d702082d4eac2511a");
  ASSERT_EQ(murmur3(as_text(a)), murmur3(as_text(b)));
  Blocks blocks;
  Profile profile = kUnixfsV1_2025;
  const Link file = build_file(profile, as_bytes("x"), blocks);
  const std::vector<Link> entries{named(std::string(as_text(a)), file), named(std::string(as_text(b)), file)};
  EXPECT_FALSE(DirectoryBuilder(profile, entries).error()) << "one block holds them";

  profile.hamt_threshold = 10;
  DirectoryBuilder builder(profile, entries);
  EXPECT_EQ(builder.error()->code, ErrorCode::kUnsupported);
  EXPECT_FALSE(builder.poll_block());
  EXPECT_FALSE(builder.root());
}

TEST(DirectoryBuilder, AbortsOnDuplicateNames) {
  Blocks blocks;
  const Link file = named("a", build_file(kUnixfsV1_2025, as_bytes("x"), blocks));
  EXPECT_DEATH(DirectoryBuilder(kUnixfsV1_2025, {file, file}), "");
}

TEST(Symlink, IsTheBlockOfIpfs) {
  const Bytes block = encode_symlink("foo");
  EXPECT_EQ(block, (Bytes{0x0a, 0x07, 0x08, 0x04, 0x12, 0x03, 'f', 'o', 'o'}));
  EXPECT_EQ(ContentId::v0(sha256(block)).to_string(), "QmTB8BaCJdCH5H3k7GrxJsxgDNmNYGGR71C58ERkivXoj5");
}

TEST(Profile, IsFoundByName) {
  EXPECT_EQ(find_profile("unixfs-v1-2025")->chunk_size, 1'048'576U);
  EXPECT_EQ(find_profile("unixfs-v0-2015")->width, 174U);
  EXPECT_FALSE(find_profile("unixfs-v2"));
}

}  // namespace
}  // namespace codio::content_id::unixfs
