// What the tests of this module share: hashing, reproducible content, and a store of the blocks that builders make.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/bytes.h"
#include "common/check.h"
#include "content_id/unixfs/builder.h"

namespace codio::content_id::unixfs {

inline Digest256 sha256(BytesView bytes) {
  Digest256 digest;
  SHA256(bytes.data(), bytes.size(), digest.data());
  return digest;
}

/// The ChaCha20 keystream whose key is the seed's SHA-256, with nonce and counter 0: the content of IPIP-499's vectors.
class ChaChaStream {
 public:
  explicit ChaChaStream(std::string_view seed) : context_(EVP_CIPHER_CTX_new()) {
    const Digest256 key = sha256(as_bytes(seed));
    const std::array<std::uint8_t, 16> iv{};
    check(EVP_EncryptInit_ex(context_, EVP_chacha20(), nullptr, key.data(), iv.data()) == 1);
  }
  ChaChaStream(const ChaChaStream&) = delete;
  ChaChaStream& operator=(const ChaChaStream&) = delete;
  ~ChaChaStream() { EVP_CIPHER_CTX_free(context_); }

  Bytes take(std::size_t size) {
    Bytes bytes(size);
    int written = 0;
    check(EVP_EncryptUpdate(context_, bytes.data(), &written, bytes.data(), static_cast<int>(size)) == 1);
    return bytes;
  }

 private:
  EVP_CIPHER_CTX* context_;
};

inline Bytes random_bytes(std::string_view seed, std::size_t size) { return ChaChaStream(seed).take(size); }

using Blocks = std::map<ContentId, SharedBytes>;

/// Hashes all blocks that a builder has ready, and those that this makes ready, newest first: an order that no builder
/// may rely on.
template <class Builder>
void hash_blocks(Builder& builder, Blocks& blocks) {
  std::vector<PendingBlock> pending;
  while (true) {
    while (auto block = builder.poll_block()) pending.push_back(*std::move(block));
    if (pending.empty()) return;
    const PendingBlock block = std::move(pending.back());
    pending.pop_back();
    blocks.emplace(builder.handle_digest(block.id, sha256(*block.bytes)), block.bytes);
  }
}

inline Link build_file(const Profile& profile, BytesView content, Blocks& blocks) {
  FileBuilder builder(profile);
  builder.append(content);
  builder.finish();
  hash_blocks(builder, blocks);
  return *builder.root();
}

inline Link build_directory(const Profile& profile, std::vector<Link> entries, Blocks& blocks) {
  DirectoryBuilder builder(profile, std::move(entries));
  hash_blocks(builder, blocks);
  return *builder.root();
}

inline Link named(std::string name, Link link) {
  link.name = std::move(name);
  return link;
}

}  // namespace codio::content_id::unixfs
