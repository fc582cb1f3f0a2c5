#include "common/varint.h"

#include <gtest/gtest.h>
#include <limits>

namespace codio {
namespace {

TEST(Varint, ReadsBackWhatItWrites) {
  for (const std::uint64_t value : {0ULL, 1ULL, 127ULL, 128ULL, 300ULL, 16384ULL, (1ULL << 62) + 5}) {
    Bytes out;
    append_varint(out, value);
    EXPECT_EQ(out.size(), varint_size(value));
    out.push_back(0xff);
    const auto read = read_varint(out);
    ASSERT_TRUE(read) << value;
    EXPECT_EQ(read->value, value);
    EXPECT_EQ(read->size, out.size() - 1);
  }
}

TEST(Varint, RefusesWhatMultiformatsRefuses) {
  EXPECT_FALSE(read_varint({}));
  EXPECT_FALSE(read_varint(Bytes{0x80}));
  EXPECT_FALSE(read_varint(Bytes{0x81, 0x00})) << "not the shortest form";
  EXPECT_FALSE(read_varint(Bytes(10, 0xff))) << "over 9 bytes";
  EXPECT_FALSE(read_varint(Bytes{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01})) << "64 bits";
}

}  // namespace
}  // namespace codio
