#include "content_id/car.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>

#include "common/varint.h"
#include "content_id/multibase.h"
#include "content_id/unixfs/testing.h"
#include "content_id/unixfs/traversal.h"

namespace codio::content_id {
namespace {

using unixfs::sha256;

Bytes hex(std::string_view text) { return *multibase_decode("f" + std::string(text)); }

struct Archive {
  std::vector<ContentId> roots;
  unixfs::Blocks blocks;
  std::vector<ContentId> order;
  std::optional<Error> error;
  bool at_boundary = false;
};

Archive read(BytesView bytes, std::size_t piece) {
  Archive archive;
  CarReader reader;
  for (std::size_t at = 0; at < bytes.size() && !archive.error; at += piece) {
    reader.append(bytes.subspan(at, std::min(piece, bytes.size() - at)));
    while (true) {
      auto block = reader.poll_block();
      if (!block) {
        archive.error = block.error();
        EXPECT_EQ(reader.poll_block().error(), block.error());
        break;
      }
      if (!*block) break;
      archive.order.push_back((*block)->cid);
      archive.blocks.emplace((*block)->cid, (*block)->bytes);
    }
  }
  if (reader.roots()) archive.roots = *reader.roots();
  archive.at_boundary = reader.at_boundary();
  return archive;
}

ContentId add_section(Bytes& car, std::string_view content) {
  const ContentId cid = ContentId::v1(Codec::kRaw, sha256(as_bytes(content)));
  append(car, car_section_prefix(cid, content.size()));
  append(car, as_bytes(content));
  return cid;
}

Bytes as_v2(const Bytes& v1, std::size_t padding, std::string_view index) {
  Bytes car = hex("0aa16776657273696f6e02");
  car.resize(car.size() + 16);
  for (const std::uint64_t number : {51 + padding, v1.size(), index.empty() ? 0 : 51 + padding + v1.size()}) {
    for (int shift = 0; shift < 64; shift += 8) car.push_back(static_cast<std::uint8_t>(number >> shift));
  }
  car.resize(car.size() + padding);
  append(car, v1);
  append(car, as_bytes(index));
  return car;
}

TEST(Car, WritesTheHeaderOfIpfs) {
  // 38 a2 65 "roots" 81 d8 2a 58 23 00 <CID> 67 "version" 01
  const auto root = *ContentId::parse("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG");
  const Bytes header = car_header({root});
  Bytes expected = hex("38a265726f6f747381d82a582300");
  append(expected, root.bytes());
  append(expected, hex("6776657273696f6e01"));
  EXPECT_EQ(header, expected);
  EXPECT_EQ(car_header({}), hex("11a265726f6f7473806776657273696f6e01"));
}

TEST(Car, ReadsBackWhatItWritesInPiecesOfAnySize) {
  std::vector<ContentId> roots;
  for (std::uint8_t i = 0; i < 30; ++i) roots.push_back(ContentId::v1(Codec::kDagPb, Digest256{i}));
  Bytes car = car_header(roots);
  std::vector<ContentId> order;
  for (const std::string_view content : {"a", "", "some longer content", "a"}) {
    order.push_back(add_section(car, content));
  }
  for (const std::size_t piece : {1, 2, 7, 100, 100'000}) {
    const Archive archive = read(car, piece);
    EXPECT_FALSE(archive.error);
    EXPECT_EQ(archive.roots, roots);
    EXPECT_EQ(archive.order, order);
    EXPECT_TRUE(archive.at_boundary);
    EXPECT_EQ(as_text(*archive.blocks.at(order[2])), "some longer content");
  }
}

TEST(Car, ReadsThePayloadOfVersion2) {
  Bytes car = car_header({});
  const ContentId cid = add_section(car, "content");
  for (const std::size_t padding : {0, 13}) {
    for (const std::string_view index : {"", "an index, whatever it is"}) {
      const Bytes v2 = as_v2(car, padding, index);
      for (const std::size_t piece : {1, 1000}) {
        const Archive archive = read(v2, piece);
        EXPECT_FALSE(archive.error);
        EXPECT_EQ(archive.order, std::vector{cid});
        EXPECT_TRUE(archive.at_boundary);
      }
    }
  }
}

TEST(Car, KnowsWhereTheInputMayEnd) {
  Bytes car = car_header({});
  const std::size_t header_end = car.size();
  add_section(car, "content");
  for (std::size_t size = 0; size <= car.size(); ++size) {
    const Archive archive = read(BytesView(car).first(size), 5);
    EXPECT_FALSE(archive.error);
    EXPECT_EQ(archive.at_boundary, size == header_end || size == car.size()) << size;
  }
  const Bytes v2 = as_v2(car, 3, "index");
  for (std::size_t size = 0; size <= v2.size(); ++size) {
    EXPECT_EQ(read(BytesView(v2).first(size), 5).at_boundary, size >= 54 + car.size()) << size;
  }
}

TEST(Car, RefusesMalformedHeaders) {
  for (const std::string_view text : {
           "00",                                              // Empty.
           "ffffffffffffffffff",                              // A length over 9 bytes.
           "8100",                                            // A length not in its shortest form.
           "01a0",                                            // No version.
           "0aa16776657273696f6e01",                          // No roots.
           "0aa16776657273696f6e03",                          // An unknown version.
           "11a265726f6f7473806776657273696f6e03",            // The same.
           "12a265726f6f7473806776657273696f6e0100",          // A byte follows.
           "11a365726f6f7473806776657273696f6e01",            // A field is missing.
           "10a265726f6f7473a06776657273696f6e01",            // Roots that are a map.
           "12a265726f6f747381006776657273696f6e01",          // A root that is a number.
           "16a265726f6f747381d82a4200016776657273696f6e01",  // A root that is no CID.
           "11bf65726f6f7473806776657273696f6e01",            // Of indefinite length.
           "14a26776657273696f6e016776657273696f6e0100",      // The version twice.
       }) {
    EXPECT_TRUE(read(hex(text), 3).error) << text;
  }
}

TEST(Car, RefusesMalformedSections) {
  const Bytes header = car_header({});
  const auto error_of = [&](const Bytes& section) -> std::optional<ErrorCode> {
    Bytes car = header;
    append(car, section);
    const Archive archive = read(car, 1000);
    if (archive.error) return archive.error->code;
    return std::nullopt;
  };
  EXPECT_EQ(error_of({0}), ErrorCode::kMalformed) << "empty";
  EXPECT_EQ(error_of({2, 1, 0x55}), ErrorCode::kMalformed) << "half a CID";
  EXPECT_EQ(error_of({4, 2, 0x55, 0, 0}), ErrorCode::kMalformed) << "CID version 2";
  Bytes large;
  append_varint(large, kMaxBlockSize + 1000);
  EXPECT_EQ(error_of(large), ErrorCode::kTooLarge) << "refused before it is read";
  large = car_section_prefix(ContentId::v1(Codec::kRaw, Digest256{}), kMaxBlockSize + 1);
  large.resize(large.size() + kMaxBlockSize + 1);
  EXPECT_EQ(error_of(large), ErrorCode::kTooLarge);
}

TEST(Car, RefusesImpossibleOffsetsOfVersion2) {
  Bytes v1 = car_header({});
  add_section(v1, "content");
  const Bytes good = as_v2(v1, 0, "");
  const auto with = [&](std::size_t at, std::uint8_t value) {
    Bytes car = good;
    car[at] = value;
    return read(car, 1000);
  };
  EXPECT_FALSE(with(27, 51).error);
  EXPECT_TRUE(with(27, 50).error) << "the payload begins inside the header";
  EXPECT_TRUE(with(35, static_cast<std::uint8_t>(v1.size() - 1)).error) << "the payload ends inside a section";
  EXPECT_FALSE(with(42, 0x80).at_boundary) << "a payload of 2^63 bytes";
  Bytes overflow = good;
  std::fill(overflow.begin() + 27, overflow.begin() + 43, std::uint8_t{0xff});
  EXPECT_TRUE(read(overflow, 1000).error);
  EXPECT_TRUE(read(as_v2(good, 0, ""), 1000).error) << "a version 2 inside a version 2";
}

Bytes read_fixture(const std::string& name) {
  std::ifstream file(std::filesystem::path(CODIO_FIXTURES_DIR) / name, std::ios::binary);
  const std::vector<char> chars{std::istreambuf_iterator<char>(file), {}};
  return {chars.begin(), chars.end()};
}

TEST(Car, ReadsArchivesOfOthersWithTheRightHashes) {
  if (!std::filesystem::exists(CODIO_FIXTURES_DIR)) GTEST_SKIP() << "there are no fixtures in " CODIO_FIXTURES_DIR;
  for (const auto& entry : std::filesystem::directory_iterator(CODIO_FIXTURES_DIR)) {
    if (entry.path().extension() != ".car") continue;
    const Bytes car = read_fixture(entry.path().filename().string());
    const Archive archive = read(car, 1000);
    EXPECT_FALSE(archive.error) << entry.path() << ": " << archive.error->message;
    EXPECT_TRUE(archive.at_boundary) << entry.path();
    EXPECT_FALSE(archive.roots.empty());
    EXPECT_FALSE(archive.blocks.empty());
    for (const auto& [cid, block] : archive.blocks) {
      ASSERT_EQ(cid.multihash().code(), HashCode::kSha2_256);
      EXPECT_TRUE(std::ranges::equal(cid.multihash().digest(), sha256(*block))) << cid.to_string();
    }
    // Every block is found from the root, none besides.
    unixfs::Traversal walk(archive.roots[0], {.scope = unixfs::Scope::kAll});
    std::size_t visited = 0;
    for (auto wants = walk.poll_wants(1); !wants.empty(); wants = walk.poll_wants(1), ++visited) {
      ASSERT_TRUE(archive.blocks.contains(wants[0])) << wants[0].to_string();
      ASSERT_TRUE(walk.handle_block(wants[0], archive.blocks.at(wants[0])));
    }
    EXPECT_TRUE(walk.finished());
    EXPECT_EQ(visited, archive.blocks.size()) << entry.path();
  }
}

TEST(Car, HoldsTheSixFilesOfTheWelcomeDirectory) {
  if (!std::filesystem::exists(CODIO_FIXTURES_DIR)) GTEST_SKIP() << "there are no fixtures in " CODIO_FIXTURES_DIR;
  const Archive archive = read(read_fixture("QmYwAPJz.car"), 4096);
  const auto root = *ContentId::parse("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG");
  EXPECT_EQ(archive.roots, std::vector{root});
  EXPECT_EQ(archive.blocks.at(root)->size(), 309U);
  struct File {
    std::string name;
    std::uint64_t size;
    std::string_view cid;
  };
  const File files[] = {
      {"about", 1677, "QmZTR5bcpQD7cFgTorqxZDYaew1Wqgfbd2ud9QqGPAkK2V"},
      {"contact", 189, "QmYCvbfNbCwFR45HiNP45rwJgvatpiW38D961L5qAhUM5Y"},
      {"help", 311, "QmY5heUM5qgRubMDD1og9fhCPA6QdkMp3QCwd4s7gJsyE7"},
      {"quick-start", 1717, "QmdncfsVm2h5Kqq9hPmU7oAVX2zTSVP3L869tgTbPYnsha"},
      {"readme", 1091, "QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB"},
      {"security-notes", 1016, "QmTumTjvcYCAvRRwQ8sDRxh8ezmrcr88YFU7iYNroGGTBZ"},
  };
  for (const File& file : files) {
    unixfs::Traversal walk(root, {.path = {file.name}});
    Bytes bytes;
    for (auto wants = walk.poll_wants(10); !wants.empty(); wants = walk.poll_wants(10)) {
      for (const ContentId& cid : wants) ASSERT_TRUE(walk.handle_block(cid, archive.blocks.at(cid)));
      while (const auto segment = walk.poll_segment()) append(bytes, segment->view());
    }
    EXPECT_TRUE(walk.finished());
    EXPECT_EQ(walk.entity()->cid.to_string(), file.cid);
    EXPECT_EQ(walk.entity()->size, file.size);
    EXPECT_EQ(bytes.size(), file.size);

    unixfs::Blocks built;
    EXPECT_EQ(unixfs::build_file(unixfs::kUnixfsV0_2015, bytes, built).cid.to_string(), file.cid);
  }
}

}  // namespace
}  // namespace codio::content_id
