#include "node/hash.h"

#include <openssl/sha.h>

#include "common/check.h"

namespace codio::node {

content_id::Digest256 sha256(BytesView bytes) {
  content_id::Digest256 digest;
  SHA256(bytes.data(), bytes.size(), digest.data());
  return digest;
}

Bytes hash(content_id::HashCode code, BytesView bytes) {
  if (code == content_id::HashCode::kSha2_512) {
    Bytes digest(SHA512_DIGEST_LENGTH);
    SHA512(bytes.data(), bytes.size(), digest.data());
    return digest;
  }
  check(code == content_id::HashCode::kSha2_256);
  Bytes digest(SHA256_DIGEST_LENGTH);
  SHA256(bytes.data(), bytes.size(), digest.data());
  return digest;
}

}  // namespace codio::node
