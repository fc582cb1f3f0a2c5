// What the tests of this module share: content under made-up digests. The engine never hashes, so neither do its tests.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/bytes.h"
#include "content_id/cid.h"
#include "content_id/unixfs/builder.h"

namespace codio::transfer {

using Blocks = std::map<content_id::ContentId, SharedBytes>;

/// Stands in for SHA-256: FNV-1a, four times with different starts.
inline content_id::Digest256 digest_of(BytesView bytes) {
  content_id::Digest256 digest;
  for (std::size_t lane = 0; lane < 4; ++lane) {
    std::uint64_t hash = 0xcbf29ce484222325 + lane;
    for (const std::uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3;
    for (std::size_t i = 0; i < 8; ++i) digest[8 * lane + i] = static_cast<std::uint8_t>(hash >> (8 * i));
  }
  return digest;
}

inline Bytes numbered_bytes(std::uint32_t seed, std::size_t size) {
  Bytes bytes(size);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>((seed = seed * 1664525 + 1013904223) >> 24);
  return bytes;
}

inline content_id::ContentId raw_cid(BytesView bytes) {
  return content_id::ContentId::v1(content_id::Codec::kRaw, digest_of(bytes));
}

/// A CID that differs for each number.
inline content_id::ContentId numbered_cid(std::uint32_t number) { return raw_cid(as_bytes(std::to_string(number))); }

struct Content {
  content_id::ContentId root;
  Bytes bytes;
  Blocks blocks;
};

template <class Builder>
void build_blocks(Builder& builder, Blocks& blocks) {
  while (const auto block = builder.poll_block()) {
    blocks.emplace(builder.handle_digest(block->id, digest_of(*block->bytes)), block->bytes);
  }
}

/// A file of `leaves` raw blocks below one root; one leaf is the root itself.
inline Content make_file(std::uint32_t seed, std::uint32_t leaves, std::uint32_t leaf_size) {
  content_id::unixfs::Profile profile = content_id::unixfs::kUnixfsV1_2025;
  profile.chunk_size = leaf_size;
  content_id::unixfs::FileBuilder builder(profile);
  Bytes bytes = numbered_bytes(seed, std::size_t{leaves} * leaf_size);
  builder.append(bytes);
  builder.finish();
  Blocks blocks;
  build_blocks(builder, blocks);
  return {builder.root()->cid, std::move(bytes), std::move(blocks)};
}

}  // namespace codio::transfer
