#include "common/protobuf.h"

#include <gtest/gtest.h>

namespace codio {
namespace {

/// What is malformed about the first field.
std::string_view problem_of(BytesView message) {
  ProtobufReader reader(message);
  ProtobufField field;
  if (reader.next(field)) return "";
  EXPECT_FALSE(reader.next(field)) << "nothing is read from there on";
  return reader.problem();
}

TEST(Protobuf, ReadsBackWhatItWrites) {
  Bytes out;
  ProtobufWriter writer(out);
  writer.write_varint(1, 300);
  writer.write_bytes(2, as_bytes("hello"));
  writer.write_fixed32(8, 0xdeadbeef);
  EXPECT_EQ(out, (Bytes{0x08, 0xac, 0x02, 0x12, 0x05, 'h', 'e', 'l', 'l', 'o', 0x45, 0xef, 0xbe, 0xad, 0xde}));

  ProtobufReader reader(out);
  ProtobufField field;
  ASSERT_TRUE(reader.next(field));
  EXPECT_EQ(field.number, 1U);
  EXPECT_EQ(field.integer, 300U);
  ASSERT_TRUE(reader.next(field));
  EXPECT_EQ(as_text(field.bytes), "hello");
  ASSERT_TRUE(reader.next(field));
  EXPECT_EQ(field.type, WireType::kFixed32);
  EXPECT_EQ(field.integer, 0xdeadbeefU);
  EXPECT_FALSE(reader.next(field));
  EXPECT_EQ(reader.problem(), "");
}

TEST(Protobuf, RefusesInputThatEndsWithinAField) {
  const Bytes whole{0x12, 0x05, 'h', 'e', 'l', 'l', 'o'};
  for (std::size_t size = 1; size < whole.size(); ++size) {
    EXPECT_NE(problem_of(BytesView(whole).first(size)), "") << size;
  }
}

TEST(Protobuf, RefusesGroupsAndFieldZero) {
  EXPECT_EQ(problem_of(Bytes{0x0b}), "protobuf: unknown wire type");
  EXPECT_EQ(problem_of(Bytes{0x02, 0x00}), "protobuf: bad field number");
}

TEST(Protobuf, RefusesAVarintOver64Bits) {
  Bytes in{0x08};
  in.resize(10, 0xff);
  in.push_back(0x02);
  EXPECT_EQ(problem_of(in), "protobuf: bad varint");
}

}  // namespace
}  // namespace codio
