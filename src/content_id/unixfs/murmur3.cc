#include "content_id/unixfs/murmur3.h"

#include <algorithm>
#include <bit>
#include <cstddef>

namespace codio::content_id::unixfs {
namespace {

constexpr std::size_t kLane = 8;

/// Up to 8 bytes, little-endian.
std::uint64_t read_lane(std::string_view bytes) {
  std::uint64_t lane = 0;
  for (std::size_t i = 0; i < std::min(bytes.size(), kLane); ++i) {
    lane |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return lane;
}

constexpr std::uint64_t kC1 = 0x87c37b91114253d5;
constexpr std::uint64_t kC2 = 0x4cf5ad432745937f;

std::uint64_t mix_first(std::uint64_t lane) { return std::rotl(lane * kC1, 31) * kC2; }
std::uint64_t mix_second(std::uint64_t lane) { return std::rotl(lane * kC2, 33) * kC1; }

std::uint64_t finish(std::uint64_t h) {
  h = (h ^ h >> 33) * 0xff51afd7ed558ccd;
  h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53;
  return h ^ h >> 33;
}

}  // namespace

std::uint64_t murmur3(std::string_view text) {
  std::uint64_t h1 = 0;
  std::uint64_t h2 = 0;
  std::string_view rest = text;
  for (; rest.size() >= 2 * kLane; rest.remove_prefix(2 * kLane)) {
    h1 = (std::rotl(h1 ^ mix_first(read_lane(rest)), 27) + h2) * 5 + 0x52dce729;
    h2 = (std::rotl(h2 ^ mix_second(read_lane(rest.substr(kLane))), 31) + h1) * 5 + 0x38495ab5;
  }
  if (rest.size() > kLane) h2 ^= mix_second(read_lane(rest.substr(kLane)));
  h1 ^= mix_first(read_lane(rest));

  h1 ^= text.size();
  h2 ^= text.size();
  h1 += h2;
  h2 += h1;
  return finish(h1) + finish(h2);
}

}  // namespace codio::content_id::unixfs
