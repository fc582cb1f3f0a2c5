#include "sim/content.h"

#include <algorithm>
#include <openssl/sha.h>
#include <random>

namespace codio::sim {

content_id::Digest256 sha256(BytesView bytes) {
  content_id::Digest256 digest;
  SHA256(bytes.data(), bytes.size(), digest.data());
  return digest;
}

File make_file(std::uint64_t seed, std::size_t size, const content_id::unixfs::Profile& profile) {
  std::mt19937_64 random(seed);
  Bytes bytes(size);
  std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<std::uint8_t>(random()); });

  content_id::unixfs::FileBuilder builder(profile);
  Blocks blocks;
  builder.append(bytes);
  builder.finish();
  while (const auto block = builder.poll_block()) {
    blocks.emplace(builder.handle_digest(block->id, sha256(*block->bytes)), block->bytes);
  }
  return {builder.root()->cid, std::move(bytes), std::move(blocks)};
}

}  // namespace codio::sim
