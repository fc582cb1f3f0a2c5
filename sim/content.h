// Content for simulations and for tests of the engine.
#pragma once

#include <cstdint>
#include <map>

#include "common/bytes.h"
#include "content_id/cid.h"
#include "content_id/unixfs/builder.h"

namespace codio::sim {

using Blocks = std::map<content_id::ContentId, SharedBytes>;

struct File {
  content_id::ContentId root;
  Bytes bytes;
  Blocks blocks;
};

/// `size` random bytes, as a file of the profile.
File make_file(std::uint64_t seed, std::size_t size,
               const content_id::unixfs::Profile& profile = content_id::unixfs::kUnixfsV1_2025);

/// The same, in chunks of `chunk` bytes, made once for each size and number: what is in a file matters to no scenario.
const File& shared_file(std::size_t size, std::uint32_t chunk, std::uint64_t number = 0);

/// Remembers the digests of the blocks of shared_file(): comparing bytes is cheaper than hashing them.
content_id::Digest256 sha256(BytesView bytes);

}  // namespace codio::sim
