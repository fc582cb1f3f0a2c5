// The dag-pb block format: a list of named links, and bytes. https://ipld.io/specs/codecs/dag-pb/spec/
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"

namespace codio::content_id {

struct DagPbLink {
  ContentId cid;
  std::string_view name;   ///< Any bytes; empty if the block has none.
  std::uint64_t size = 0;  ///< Tsize: the bytes of all blocks below. What the author claims, nothing more.
};

struct DagPbNode {
  std::vector<DagPbLink> links;  ///< In block order.
  std::optional<BytesView> data;
};

/// Reads a block; names and data point into it. Strict, as the specification demands: unknown, repeated and
/// out-of-order fields and links without a CID are kMalformed.
Result<DagPbNode> decode_dag_pb(BytesView block);

/// Writes a block, its links sorted by name (stable).
Bytes encode_dag_pb(std::span<const DagPbLink> links, std::optional<BytesView> data);

}  // namespace codio::content_id
