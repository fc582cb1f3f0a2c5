// Self-describing digests. https://github.com/multiformats/multihash
#pragma once

#include <array>
#include <cstdint>

#include "common/bytes.h"
#include "common/result.h"

namespace codio::content_id {

using Digest256 = std::array<std::uint8_t, 32>;

enum class HashCode : std::uint64_t {
  kIdentity = 0x00,
  kSha1 = 0x11,
  kSha2_256 = 0x12,
  kSha2_512 = 0x13,
  kBlake3 = 0x1e,
  kMurmur3X64_64 = 0x22,
  kBlake2b256 = 0xb220,
};

/// A hash function's code and a digest. Limits: 20 to 128 bytes, of identity 0 to 128.
class Multihash {
 public:
  static Multihash sha2_256(const Digest256& digest);
  static Result<Multihash> make(HashCode code, BytesView digest);

  /// Reads the multihash at the start of `bytes`; `bytes` is moved past it.
  static Result<Multihash> take(BytesView& bytes);

  HashCode code() const;
  BytesView digest() const;
};

}  // namespace codio::content_id
