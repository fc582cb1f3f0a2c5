// Whether bytes are the block that a CID names.
#pragma once

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"

namespace codio::gateway {

/// kMismatch if `bytes` do not hash to the CID's digest (which may be the beginning of a longer one), kUnsupported if
/// the hash function is none of content_id::is_verifiable().
Result<void> verify(const content_id::ContentId& cid, BytesView bytes);

}  // namespace codio::gateway
