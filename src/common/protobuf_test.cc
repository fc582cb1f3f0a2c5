#include "common/protobuf.h"

#include <gtest/gtest.h>

namespace codio {
namespace {

TEST(Protobuf, ReadsBackWhatItWrites) {
  Bytes out;
  ProtobufWriter writer(out);
  writer.write_varint(1, 300);
  writer.write_bytes(2, as_bytes("hello"));
  writer.write_fixed32(8, 0xdeadbeef);
  EXPECT_EQ(out, (Bytes{0x08, 0xac, 0x02, 0x12, 0x05, 'h', 'e', 'l', 'l', 'o', 0x45, 0xef, 0xbe, 0xad, 0xde}));

  ProtobufReader reader(out);
  const auto integer = *reader.next();
  EXPECT_EQ(integer->number, 1U);
  EXPECT_EQ(integer->integer, 300U);
  const auto bytes = *reader.next();
  EXPECT_EQ(as_text(bytes->bytes), "hello");
  const auto fixed = *reader.next();
  EXPECT_EQ(fixed->type, WireType::kFixed32);
  EXPECT_EQ(fixed->integer, 0xdeadbeefU);
  EXPECT_FALSE(reader.next()->has_value());
}

TEST(Protobuf, RefusesInputThatEndsWithinAField) {
  const Bytes whole{0x12, 0x05, 'h', 'e', 'l', 'l', 'o'};
  for (std::size_t size = 1; size < whole.size(); ++size) {
    ProtobufReader reader(BytesView(whole).first(size));
    EXPECT_FALSE(reader.next()) << size;
  }
}

TEST(Protobuf, RefusesGroupsAndFieldZero) {
  EXPECT_FALSE(ProtobufReader(Bytes{0x0b}).next());
  EXPECT_FALSE(ProtobufReader(Bytes{0x02, 0x00}).next());
}

TEST(Protobuf, RefusesAVarintOver64Bits) {
  Bytes in{0x08};
  in.resize(10, 0xff);
  in.push_back(0x02);
  EXPECT_FALSE(ProtobufReader(in).next());
}

}  // namespace
}  // namespace codio
