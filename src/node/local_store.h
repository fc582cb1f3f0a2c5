// What commands beside the node do with its store: blocks, references and pins.
#pragma once

#include "node/local_reply.h"
#include "store/block_store.h"

namespace codio::node {

/// What LocalApi's table has of blocks, references, pins and usage. Blocks on the disk.
LocalReply answer_store(store::BlockStore& store, const LocalRequest& request);

}  // namespace codio::node
