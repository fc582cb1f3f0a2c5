// Content identifiers, exactly as IPFS has them. https://github.com/multiformats/cid
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/multibase.h"
#include "content_id/multihash.h"

namespace codio::content_id {

/// What the bytes of a block are. Other codecs are carried as they are.
enum class Codec : std::uint64_t { kRaw = 0x55, kDagPb = 0x70, kDagCbor = 0x71, kDagJson = 0x0129 };

/// A CID: version, codec and multihash. A value type; always well-formed.
class ContentId {
 public:
  /// Version 0 is dag-pb with SHA-256 only; it aborts on anything else.
  static ContentId v0(Digest256 sha256);
  static ContentId v1(Codec codec, Multihash hash);
  static ContentId v1(Codec codec, const Digest256& sha256);

  /// Reads text: `Qm…` (v0) or a multibase prefix and v1. Refuses all that facts of the specification refuse: see
  /// cid_test.cc.
  static Result<ContentId> parse(std::string_view text);

  /// Reads binary that is one whole CID.
  static Result<ContentId> decode(BytesView bytes);

  /// Reads the CID at the start of `bytes`, as a CAR section has it, and says how long it is.
  struct Prefix;
  static Result<Prefix> decode_prefix(BytesView bytes);

  int version() const;
  Codec codec() const;
  const Multihash& multihash() const;

  /// `Qm…` for v0, base32 lower case for v1.
  std::string to_string() const;
  /// In another base; a v0 CID is always base58btc and ignores `base`.
  std::string to_string(Multibase base) const;
  /// The binary form.
  BytesView bytes() const;
  /// The same content as v1, for places that need base32 (subdomains).
  ContentId to_v1() const;

  bool operator==(const ContentId&) const;
  std::strong_ordering operator<=>(const ContentId&) const;  ///< By binary form.
};

}  // namespace codio::content_id
