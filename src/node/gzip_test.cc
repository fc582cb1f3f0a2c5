#include "node/gzip.h"

#include <gtest/gtest.h>
#include <zlib.h>

namespace codio::node {
namespace {

Bytes unpack(const Bytes& packed, std::size_t most) {
  z_stream z{};
  EXPECT_EQ(inflateInit2(&z, 15 + 16), Z_OK);
  Bytes out(most);
  Bytes in = packed;
  z.next_in = in.data();
  z.avail_in = static_cast<uInt>(in.size());
  z.next_out = out.data();
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  inflateEnd(&z);
  return out;
}

TEST(Gzip, PiecesMakeOneStream) {
  Gzip gzip;
  Bytes all;
  Bytes packed;
  for (int i = 0; i < 5000; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    append(all, as_bytes(line));
    append(packed, gzip.add(as_bytes(line)));
  }
  append(packed, gzip.end());
  EXPECT_LT(packed.size(), all.size() / 2);
  EXPECT_EQ(unpack(packed, all.size() + 1), all);
}

TEST(Gzip, NothingIsAStreamToo) {
  Gzip gzip;
  EXPECT_TRUE(unpack(gzip.end(), 1).empty());
}

TEST(CompressedFiles, KeepWhatWasUsedLast) {
  CompressedFiles files(100);
  const Bytes text(1000, 'a');
  const SharedBytes a = files.compress("a", text);
  EXPECT_LT(a->size(), 34u) << "three of them fit";
  EXPECT_EQ(unpack(*a, 2000), text);
  EXPECT_EQ(files.find("a"), a);
  for (const char* key : {"b", "c", "d"}) {
    files.compress(key, text);
    EXPECT_EQ(files.find("a"), a);
  }
  EXPECT_EQ(files.find("b"), nullptr);
  EXPECT_NE(files.find("d"), nullptr);
}

TEST(CompressedFiles, DoNotKeepWhatIsTooLarge) {
  CompressedFiles files(10);
  EXPECT_NE(files.compress("a", Bytes(1000, 'a')), nullptr);
  EXPECT_EQ(files.find("a"), nullptr);
}

}  // namespace
}  // namespace codio::node
