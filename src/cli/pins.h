// What the commands that keep content share.
#pragma once

#include "common/result.h"
#include "content_id/cid.h"
#include "store/block_store.h"

namespace codio::cli {

/// The pin of the same content, whichever version its CID is written in.
Result<store::Root> find_pin(const store::BlockStore& store, const content_id::ContentId& cid);

}  // namespace codio::cli
