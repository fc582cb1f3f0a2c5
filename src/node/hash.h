// Hashing with OpenSSL, for the multihash functions that the core verifies.
#pragma once

#include "common/bytes.h"
#include "content_id/cid.h"

namespace codio::node {

content_id::Digest256 sha256(BytesView bytes);

/// The digest of `bytes` with kSha2_256 or kSha2_512; aborts on another function: the engine asks for no other.
Bytes hash(content_id::HashCode code, BytesView bytes);

}  // namespace codio::node
