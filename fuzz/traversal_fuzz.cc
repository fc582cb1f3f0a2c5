// Walks over DAGs that a stranger made: no crash, no endless work, and bytes without gaps.
//
// The input is a program. The first bytes choose scope, range, window and path; then each record makes a block out of
// earlier ones, the last of which is the root:
//   0 len bytes…            a raw block
//   1 type n (child size)…  a UnixFS node with links to earlier blocks, claimed sizes, and names that name buckets
//   2 len bytes…            a dag-pb block with exactly these bytes
//   3 len bytes…            an identity CID
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/check.h"
#include "content_id/dag_pb.h"
#include "content_id/unixfs/data.h"
#include "content_id/unixfs/traversal.h"
#include "fuzz/program.h"

using namespace codio;
using namespace codio::content_id;
using namespace codio::content_id::unixfs;
using fuzz::Program;

namespace {

/// The blocks by made-up digests: walks do not hash.
struct Dag {
  std::vector<ContentId> cids;
  std::map<ContentId, SharedBytes> blocks;

  void add(Codec codec, Bytes bytes) {
    Digest256 digest{};
    digest[0] = static_cast<std::uint8_t>(cids.size());
    digest[1] = static_cast<std::uint8_t>(cids.size() >> 8);
    cids.push_back(ContentId::v1(codec, digest));
    blocks.emplace(cids.back(), share(std::move(bytes)));
  }
};

void add_node(Program& program, Dag& dag) {
  Data data{.type = static_cast<DataType>(program.byte() % 6)};
  std::vector<std::string> names;
  std::vector<DagPbLink> links;
  const std::size_t count = program.byte() % 32;
  names.reserve(count);
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < count && !dag.cids.empty(); ++i) {
    const std::size_t child = program.byte() % dag.cids.size();
    const std::uint64_t size = program.number();
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    names.push_back({kDigits[size / 16 % 16], kDigits[size % 16]});
    if (child % 2 == 0) names.back() += std::to_string(child);
    links.push_back({dag.cids[child], names.back(), size});
    if (data.type == DataType::kFile) data.block_sizes.push_back(size);
    total += size;
  }
  const BytesView content = program.bytes();
  if (!content.empty()) data.data = content;
  if (data.type == DataType::kFile) data.file_size = total + content.size();
  if (data.type == DataType::kHamtShard) {
    data.hash_type = 0x22;
    data.fanout = 256;
  }
  dag.add(Codec::kDagPb, encode_dag_pb(links, encode_data(data)));
}

Dag make_dag(Program& program) {
  Dag dag;
  while (!program.at_end() && dag.cids.size() < 1000) {
    switch (program.byte() % 4) {
      case 0: {
        const BytesView bytes = program.bytes();
        dag.add(Codec::kRaw, {bytes.begin(), bytes.end()});
        break;
      }
      case 1: add_node(program, dag); break;
      case 2: {
        const BytesView bytes = program.bytes();
        dag.add(Codec::kDagPb, {bytes.begin(), bytes.end()});
        break;
      }
      default: {
        const Codec codec = program.byte() % 2 == 0 ? Codec::kRaw : Codec::kDagPb;
        if (const auto hash = Multihash::make(HashCode::kIdentity, program.bytes())) {
          dag.cids.push_back(ContentId::v1(codec, *hash));
        }
      }
    }
  }
  if (dag.cids.empty()) dag.add(Codec::kRaw, {});
  return dag;
}

/// Also a billion bytes of zeros are a fair answer: this much is enough of them.
constexpr int kMaxSteps = 3000;

void walk_dag(const Dag& dag, TraversalOptions options, std::uint8_t order) {
  const ByteRange range = options.range;
  Traversal walk(dag.cids.back(), std::move(options));
  std::vector<ContentId> outstanding;
  std::uint64_t position = range.begin;
  for (int step = 0; step < kMaxSteps; ++step) {
    for (int i = 0; i < 100; ++i) {
      const auto segment = walk.poll_segment();
      if (!segment) break;
      check(segment->size > 0 && segment->offset == position);
      check(segment->begin + segment->size <= segment->block->size());
      position += segment->size;
      check(position <= range.end && position <= walk.entity()->size);
    }
    while (walk.poll_entry()) {
    }
    const std::size_t room = 1 + order % 16;
    for (ContentId& cid : walk.poll_wants(room - std::min(room, outstanding.size()))) {
      check(cid.multihash().code() != HashCode::kIdentity);
      check(std::ranges::find(outstanding, cid) == outstanding.end());
      outstanding.push_back(std::move(cid));
    }
    if (outstanding.empty()) {
      if (walk.poll_segment()) return;
      check(walk.finished() != walk.error().has_value());
      return;
    }
    std::swap(outstanding[static_cast<std::size_t>(step) * order % outstanding.size()], outstanding.back());
    const ContentId cid = outstanding.back();
    outstanding.pop_back();
    const auto handled = walk.handle_block(cid, dag.blocks.at(cid));
    check(handled.has_value() != walk.error().has_value());
    if (!handled) return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Program program({data, size});
  TraversalOptions options;
  options.scope = static_cast<Scope>(program.byte() % 3);
  options.range = {program.number(), program.number()};
  options.window = program.number();
  for (int names = program.byte() % 3; names > 0; --names) options.path.emplace_back(as_text(program.bytes()));
  const std::uint8_t order = program.byte();
  walk_dag(make_dag(program), std::move(options), order);
  return 0;
}
