// Content identifiers, exactly as IPFS has them. https://github.com/multiformats/cid
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/multibase.h"
#include "content_id/multihash.h"

namespace codio::content_id {

/// What the bytes of a block are. Other codecs are carried as they are.
enum class Codec : std::uint64_t { kRaw = 0x55, kDagPb = 0x70, kDagCbor = 0x71, kDagJson = 0x0129 };

/// A CID: version, codec and multihash. A value type; always well-formed; 64 bytes and cheap to copy and compare.
class ContentId {
 public:
  /// Version 0 is always dag-pb with SHA-256.
  static ContentId v0(const Digest256& sha256);
  static ContentId v1(Codec codec, const Multihash& hash);
  static ContentId v1(Codec codec, const Digest256& sha256);

  /// Reads text: `Qm…` (v0) or a multibase prefix and v1. Refuses all that the specification refuses:
  /// cid_test.cc lists it. An error's message names the text and says why it is not a CID.
  static Result<ContentId> parse(std::string_view text);

  /// Reads binary that is one whole CID.
  static Result<ContentId> decode(BytesView bytes);

  /// Reads the CID at the start of `bytes`, as a CAR section has it, and says how long it is.
  struct Prefix;
  static Result<Prefix> decode_prefix(BytesView bytes);

  int version() const;
  Codec codec() const;
  const Multihash& multihash() const;  ///< Valid as long as this object.

  /// `Qm…` for v0, base32 lower case for v1.
  std::string to_string() const;
  /// In another base; a v0 CID is always base58btc and ignores `base`.
  std::string to_string(Multibase base) const;
  /// The binary form. Valid as long as this object.
  BytesView bytes() const;
  /// The same content as v1, for places that need base32 (subdomains).
  ContentId to_v1() const;

  bool operator==(const ContentId& other) const;
  std::strong_ordering operator<=>(const ContentId& other) const;  ///< By binary form.

 private:
  explicit ContentId(Multihash hash) : hash_(std::move(hash)) {}

  Multihash hash_;  ///< Its storage holds the whole CID.
};

struct ContentId::Prefix {
  ContentId cid;
  std::size_t size;  ///< Bytes it took.
};

}  // namespace codio::content_id
