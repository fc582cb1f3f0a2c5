#include "sim/content.h"

#include <algorithm>
#include <cstring>
#include <openssl/sha.h>
#include <random>
#include <tuple>
#include <utility>

namespace codio::sim {
namespace {

struct Known {
  SharedBytes bytes;
  content_id::Digest256 digest;
};

std::multimap<std::uint64_t, Known>& known_blocks() {
  static std::multimap<std::uint64_t, Known> known;
  return known;
}

/// Tells blocks of random bytes apart at a glance.
std::uint64_t fingerprint(BytesView bytes) {
  std::uint64_t middle = 0;
  if (bytes.size() >= 16) std::memcpy(&middle, bytes.data() + bytes.size() / 2, sizeof middle);
  return middle ^ bytes.size();
}

content_id::Digest256 compute_sha256(BytesView bytes) {
  content_id::Digest256 digest;
  SHA256(bytes.data(), bytes.size(), digest.data());
  return digest;
}

}  // namespace

content_id::Digest256 sha256(BytesView bytes) {
  const auto [begin, end] = known_blocks().equal_range(fingerprint(bytes));
  for (auto known = begin; known != end; ++known) {
    if (std::ranges::equal(*known->second.bytes, bytes)) return known->second.digest;
  }
  return compute_sha256(bytes);
}

File make_file(std::uint64_t seed, std::size_t size, const content_id::unixfs::Profile& profile) {
  std::mt19937_64 random(seed);
  Bytes bytes(size);
  for (std::size_t at = 0; at < size; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + at, &word, std::min(sizeof word, size - at));
  }

  content_id::unixfs::FileBuilder builder(profile);
  Blocks blocks;
  builder.append(bytes);
  builder.finish();
  while (const auto block = builder.poll_block()) {
    blocks.emplace(builder.handle_digest(block->id, compute_sha256(*block->bytes)), block->bytes);
  }
  return {builder.root()->cid, std::move(bytes), std::move(blocks)};
}

const File& shared_file(std::size_t size, std::uint32_t chunk, std::uint64_t number) {
  static std::map<std::tuple<std::size_t, std::uint32_t, std::uint64_t>, File> files;
  const auto key = std::make_tuple(size, chunk, number);
  const auto found = files.find(key);
  if (found != files.end()) return found->second;
  content_id::unixfs::Profile profile = content_id::unixfs::kUnixfsV1_2025;
  profile.chunk_size = chunk;
  const File& file = files.emplace(key, make_file(size + chunk + 1'000'003 * number, size, profile)).first->second;
  for (const auto& [cid, block] : file.blocks) {
    known_blocks().emplace(fingerprint(*block), Known{block, compute_sha256(*block)});
  }
  return file;
}

}  // namespace codio::sim
