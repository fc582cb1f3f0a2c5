#include "content_id/dag_pb.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/concat.h"
#include "common/protobuf.h"

namespace codio::content_id {
namespace {

enum NodeField : std::uint8_t { kData = 1, kLinks = 2 };
enum LinkField : std::uint8_t { kHash = 1, kName = 2, kTsize = 3 };

Result<void> malformed(std::string_view why) { return fail(ErrorCode::kMalformed, "dag-pb", why); }

Result<void> read_link(BytesView bytes, std::vector<DagPbLink>& links) {
  std::optional<DagPbLink> link;
  std::uint32_t last = 0;
  ProtobufReader reader(bytes);
  for (ProtobufField field; reader.next(field);) {
    if (field.number > kTsize) return malformed("unknown field in a link");
    if (field.number <= last) return malformed("repeated or out-of-order field in a link");
    if (field.type != (field.number == kTsize ? WireType::kVarint : WireType::kBytes)) {
      return malformed("wrong wire type in a link");
    }
    last = field.number;
    if (field.number == kHash) {
      auto cid = ContentId::decode(field.bytes);
      if (!cid) return malformed(concat({"a link's ", cid.error().message}));
      link.emplace(DagPbLink{*std::move(cid), {}, 0});
    }
    if (!link) break;
    if (field.number == kName) link->name = as_text(field.bytes);
    if (field.number == kTsize) link->size = field.integer;
  }
  if (!reader.problem().empty()) return malformed(reader.problem());
  if (!link) return malformed("a link has no CID");
  links.push_back(*std::move(link));
  return {};
}

Result<void> read_node(BytesView block, DagPbNode& node) {
  bool links_ended = false;
  ProtobufReader reader(block);
  for (ProtobufField field; reader.next(field);) {
    if (field.number > kLinks) return malformed("unknown field");
    if (field.type != WireType::kBytes) return malformed("wrong wire type");
    if (field.number == kData) {
      if (node.data) return malformed("repeated data");
      node.data = field.bytes;
      links_ended = !node.links.empty();
      continue;
    }
    if (links_ended) return malformed("links both before and after the data");
    if (auto read = read_link(field.bytes, node.links); !read) return read;
  }
  if (!reader.problem().empty()) return malformed(reader.problem());
  return {};
}

Bytes encode_link(const DagPbLink& link) {
  Bytes out;
  out.reserve(link.cid.bytes().size() + link.name.size() + 20);
  ProtobufWriter writer(out);
  writer.write_bytes(kHash, link.cid.bytes());
  writer.write_bytes(kName, as_bytes(link.name));
  writer.write_varint(kTsize, link.size);
  return out;
}

}  // namespace

Result<DagPbNode> decode_dag_pb(BytesView block) {
  DagPbNode node;
  if (auto read = read_node(block, node); !read) return std::unexpected(std::move(read.error()));
  return node;
}

Bytes encode_dag_pb(std::span<const DagPbLink> links, std::optional<BytesView> data) {
  std::vector<const DagPbLink*> sorted;
  sorted.reserve(links.size());
  for (const DagPbLink& link : links) sorted.push_back(&link);
  // By place where names are equal, so that it is stable. With a heap: a page downloads less than with std::sort.
  const auto key = [](const DagPbLink* link) { return std::pair(link->name, link); };
  std::ranges::make_heap(sorted, {}, key);
  std::ranges::sort_heap(sorted, {}, key);

  Bytes out;
  ProtobufWriter writer(out);
  for (const DagPbLink* link : sorted) writer.write_bytes(kLinks, encode_link(*link));
  if (data) writer.write_bytes(kData, *data);
  return out;
}

}  // namespace codio::content_id
