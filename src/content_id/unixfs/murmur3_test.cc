#include "content_id/unixfs/murmur3.h"

#include <gtest/gtest.h>

namespace codio::content_id::unixfs {
namespace {

TEST(Murmur3, PlacesANameWhereIpfsDoes) { EXPECT_EQ(murmur3("470.txt"), 0x006e88df5847e67c); }

TEST(Murmur3, HashesEveryKindOfTail) {
  // Computed with murmur364 of the npm package @multiformats/murmur3.
  constexpr std::string_view kText = "the quick brown fox jumps over the lazy dog";
  const std::pair<std::size_t, std::uint64_t> vectors[] = {
      {0, 0},
      {1, 0x687dbc70630a4ce6},
      {2, 0x1591dd29783ebedc},
      {7, 0x1794ae2799901128},
      {8, 0x7532de51b17b383d},
      {9, 0xc337098c80e0c07d},
      {15, 0x3e5a835476857036},
      {16, 0xd523478d7552e419},
      {17, 0xadf75d634650a5f8},
      {23, 0xfeb1a0f559ab75cf},
      {24, 0x183f9085f720cb5d},
      {25, 0x90accf024387340d},
      {31, 0xb95b5c6f19875768},
      {32, 0x0e61740c901f5205},
      {33, 0xde9f34e948bfd342},
      {43, 0xbce4e9fee2ad86b3},
  };
  for (const auto& [size, hash] : vectors) EXPECT_EQ(murmur3(kText.substr(0, size)), hash) << size;
}

}  // namespace
}  // namespace codio::content_id::unixfs
