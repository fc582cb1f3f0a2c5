// One verified block, understood as a part of a UnixFS DAG.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"
#include "content_id/dag_pb.h"

namespace codio::content_id::unixfs {

struct Node {
  enum class Kind : std::uint8_t { kFile, kDirectory, kShard, kSymlink } kind;
  std::vector<DagPbLink> links;
  /// Of kFile: file bytes below each link. As many as there are links.
  std::vector<std::uint64_t> block_sizes;
  /// Of kFile: the bytes that precede those of the links. Of kSymlink: the target.
  BytesView content;
  std::uint64_t file_size = 0;  ///< Of kFile: `content` and `block_sizes` together.
  unsigned bits_per_level = 0;  ///< Of kShard: bits of the name's hash that choose the link.
  std::size_t prefix_size = 0;  ///< Of kShard: hex digits before the name in a link's name.
};

/// Reads a block by its CID's codec: dag-pb as UnixFS, all others as that many bytes of a file. The result points into
/// the block. Sizes that contradict each other are kMalformed; a kind of node that nothing makes is kUnsupported.
Result<Node> decode_node(Codec codec, BytesView block);

/// "file", "directory" or "symlink".
std::string_view to_string(Node::Kind kind);

/// What a shard's link leads to: an entry's name, or a sub-shard if that is empty. Nothing if the link's name has no
/// prefix.
std::optional<std::string_view> entry_name(const Node& shard, const DagPbLink& link);

/// The link of `name` in a directory or in a shard `level` levels below its root. In a shard it may be a sub-shard's;
/// then the entry is to be sought there. Null if there is none.
const DagPbLink* find_link(const Node& directory, std::string_view name, unsigned level);

}  // namespace codio::content_id::unixfs
