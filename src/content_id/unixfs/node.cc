#include "content_id/unixfs/node.h"

#include <algorithm>
#include <bit>
#include <string>

#include "content_id/unixfs/data.h"
#include "content_id/unixfs/murmur3.h"

namespace codio::content_id::unixfs {
namespace {

constexpr std::uint64_t kMurmur3 = static_cast<std::uint64_t>(HashCode::kMurmur3X64_64);
constexpr std::uint64_t kMaxFanout = 1024;
constexpr unsigned kHashBits = 64;

Result<void> malformed(std::string_view why) { return fail(ErrorCode::kMalformed, "UnixFS", why); }

Result<void> read_file(Data& data, Node& node) {
  node.kind = Node::Kind::kFile;
  if (data.block_sizes.size() != node.links.size()) return malformed("a file's block sizes do not match its links");
  std::uint64_t total = node.content.size();
  for (const std::uint64_t size : data.block_sizes) {
    if (total + size < total) return malformed("a file's block sizes add up to over 64 bits");
    total += size;
  }
  if (data.file_size && *data.file_size != total) return malformed("a file's size is not that of its parts");
  node.file_size = total;
  node.block_sizes = std::move(data.block_sizes);
  return {};
}

Result<void> read_shard(const Data& data, Node& node) {
  node.kind = Node::Kind::kShard;
  if (data.hash_type != kMurmur3) {
    return fail(ErrorCode::kUnsupported, "UnixFS: a sharded directory uses a hash other than murmur3-x64-64");
  }
  const std::uint64_t fanout = data.fanout.value_or(0);
  if (fanout < 8 || fanout > kMaxFanout || !std::has_single_bit(fanout)) {
    return malformed("a sharded directory's fanout is not a power of two from 8 to 1024");
  }
  node.bits_per_level = static_cast<unsigned>(std::countr_zero(fanout));
  node.prefix_size = (node.bits_per_level + 3) / 4;
  return {};
}

Result<void> read_dag_pb(BytesView block, Node& node) {
  auto dag_pb = decode_dag_pb(block);
  if (!dag_pb) return std::unexpected(std::move(dag_pb.error()));
  if (!dag_pb->data) return malformed("a dag-pb block has no data");
  auto data = decode_data(*dag_pb->data);
  if (!data) return std::unexpected(std::move(data.error()));

  node.links = std::move(dag_pb->links);
  node.content = data->data.value_or(BytesView{});
  switch (data->type) {
    case DataType::kRaw:
    case DataType::kFile: return read_file(*data, node);
    case DataType::kDirectory: return {};
    case DataType::kHamtShard: return read_shard(*data, node);
    case DataType::kSymlink:
      node.kind = Node::Kind::kSymlink;
      if (!node.links.empty()) return malformed("a symlink has links");
      return {};
    case DataType::kMetadata: break;
  }
  return fail(ErrorCode::kUnsupported, "UnixFS: a metadata node");
}

/// The bits of the name's hash that choose the link on that level, as upper-case hex digits.
std::string link_prefix(const Node& shard, std::string_view name, unsigned level) {
  const unsigned used = level * shard.bits_per_level;
  const std::uint64_t bucket = murmur3(name) << used >> (kHashBits - shard.bits_per_level);
  std::string prefix(shard.prefix_size, '0');
  for (std::size_t i = 0; i < prefix.size(); ++i) {
    prefix[i] = "0123456789ABCDEF"[bucket >> (4 * (prefix.size() - 1 - i)) & 0xf];
  }
  return prefix;
}

}  // namespace

Result<Node> decode_node(Codec codec, BytesView block) {
  if (codec != Codec::kDagPb) return Node{.kind = Node::Kind::kFile, .content = block, .file_size = block.size()};
  Node node{.kind = Node::Kind::kDirectory};
  if (auto read = read_dag_pb(block, node); !read) return std::unexpected(std::move(read.error()));
  return node;
}

std::string_view to_string(Node::Kind kind) {
  using namespace std::string_view_literals;
  switch (kind) {
    case Node::Kind::kFile: return "file"sv;
    case Node::Kind::kSymlink: return "symlink"sv;
    default: return "directory"sv;
  }
}

std::optional<std::string_view> entry_name(const Node& shard, const DagPbLink& link) {
  if (link.name.size() < shard.prefix_size) return std::nullopt;
  return link.name.substr(shard.prefix_size);
}

const DagPbLink* find_link(const Node& directory, std::string_view name, unsigned level) {
  std::string prefix;
  if (directory.kind == Node::Kind::kShard) {
    if ((level + 1) * directory.bits_per_level > kHashBits) return nullptr;
    prefix = link_prefix(directory, name, level);
  }
  for (const DagPbLink& link : directory.links) {
    if (!link.name.starts_with(prefix)) continue;
    const std::string_view rest = link.name.substr(prefix.size());
    if (rest == name || (rest.empty() && directory.kind == Node::Kind::kShard)) return &link;
  }
  return nullptr;
}

}  // namespace codio::content_id::unixfs
