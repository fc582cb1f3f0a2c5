#include "content_id/unixfs/data.h"

#include <gtest/gtest.h>

#include "content_id/multibase.h"

namespace codio::content_id::unixfs {
namespace {

Bytes hex(std::string_view text) { return *multibase_decode("f" + std::string(text)); }

TEST(UnixfsData, ReadsAndWritesMessagesOfIpfs) {
  const std::pair<std::string_view, Data> vectors[] = {
      {"08021800", {.type = DataType::kFile, .file_size = 0}},
      {"0802120b68656c6c6f20776f726c64180b",
       {.type = DataType::kFile, .data = as_bytes("hello world"), .file_size = 11}},
      {"0801", {.type = DataType::kDirectory}},
      {"08041203666f6f", {.type = DataType::kSymlink, .data = as_bytes("foo")}},
      {"080218818040208080402001", {.type = DataType::kFile, .file_size = 1'048'577, .block_sizes = {1'048'576, 1}}},
      {"0805120201022822308002",
       {.type = DataType::kHamtShard, .data = as_bytes("\x01\x02"), .hash_type = 0x22, .fanout = 256}},
      {"080238a403", {.type = DataType::kFile, .mode = 0644}},
  };
  for (const auto& [text, data] : vectors) {
    const Bytes message = hex(text);
    const auto read = decode_data(message);
    ASSERT_TRUE(read) << text << ": " << read.error().message;
    EXPECT_EQ(read->type, data.type) << text;
    EXPECT_EQ(as_text(read->data.value_or(BytesView{})), as_text(data.data.value_or(BytesView{}))) << text;
    EXPECT_EQ(read->file_size, data.file_size) << text;
    EXPECT_EQ(read->block_sizes, data.block_sizes) << text;
    EXPECT_EQ(read->hash_type, data.hash_type) << text;
    EXPECT_EQ(read->fanout, data.fanout) << text;
    EXPECT_EQ(read->mode, data.mode) << text;
    EXPECT_EQ(encode_data(*read), message) << text;
  }
}

TEST(UnixfsData, ReadsTheTimeOfModification) {
  const Bytes message = encode_data({.type = DataType::kFile, .mtime = ModificationTime{-1, 999'999'999}});
  EXPECT_EQ(decode_data(message)->mtime, (ModificationTime{-1, 999'999'999}));
  EXPECT_EQ(decode_data(hex("080242020805"))->mtime, (ModificationTime{5, 0}));
  EXPECT_FALSE(
      decode_data(hex("08024205"
                      "1501000000")))
      << "no seconds";
  EXPECT_FALSE(
      decode_data(hex("08024207080515"
                      "00ca9a3b")))
      << "a whole second of nanoseconds";
}

TEST(UnixfsData, ReadsPackedBlockSizes) {
  EXPECT_EQ(decode_data(hex("0802"
                            "2204"
                            "80804001"))
                ->block_sizes,
            (std::vector<std::uint64_t>{1'048'576, 1}));
  EXPECT_FALSE(
      decode_data(hex("0802"
                      "2201"
                      "80")))
      << "ends within a number";
}

TEST(UnixfsData, SkipsUnknownFields) {
  EXPECT_TRUE(
      decode_data(hex("0801"
                      "4805"
                      "520161")));
}

TEST(UnixfsData, RefusesMalformedMessages) {
  for (const std::string_view text : {
           "",                  // No type.
           "1800",              // No type.
           "0806",              // Unknown type.
           "0a00",              // The type's wire type.
           "08021001",          // The data's wire type.
           "08021a00",          // The size's wire type.
           "0802120568",        // Ends within the data.
           "0802388080808010",  // A mode over 32 bits.
       }) {
    EXPECT_FALSE(decode_data(hex(text))) << text;
  }
}

}  // namespace
}  // namespace codio::content_id::unixfs
