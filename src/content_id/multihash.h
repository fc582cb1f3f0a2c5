// Self-describing digests. https://github.com/multiformats/multihash
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/inline_bytes.h"

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

/// Whether hosts can check bytes against digests of this function; a CID of another one cannot be fetched.
bool is_verifiable(HashCode code);

/// A hash function's code and a digest. Limits: 20 to 128 bytes, of identity 0 to 128.
class Multihash {
 public:
  static Multihash sha2_256(const Digest256& digest);
  static Result<Multihash> make(HashCode code, BytesView digest);

  /// Reads the multihash at the start of `bytes`; `bytes` is moved past it.
  static Result<Multihash> take(BytesView& bytes);

  HashCode code() const;
  BytesView digest() const;  ///< Valid as long as this object.
  BytesView bytes() const;   ///< The binary form. Valid as long as this object.

 private:
  friend class ContentId;

  Multihash(BytesView storage, std::size_t begin, std::size_t digest_begin);
  /// Reads the multihash that starts at `begin` of `bytes`; what precedes it is kept in front of it.
  static Result<Multihash> read(BytesView bytes, std::size_t begin);

  InlineBytes storage_;  ///< In a ContentId the CID's version and codec precede the multihash: one buffer for both.
  std::uint8_t begin_;
  std::uint8_t digest_begin_;
};

}  // namespace codio::content_id
