#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/protobuf.h"
#include "common/varint.h"
#include "content_id/dag_pb.h"
#include "content_id/unixfs/builder.h"
#include "content_id/unixfs/data.h"

namespace codio::content_id::unixfs {
namespace {

/// What precedes a file's bytes in a dag-pb leaf: `0a LEN 08 02 12 LEN`. `0a LEN 08 02` if there are no bytes.
Bytes leaf_header(std::size_t size) {
  Bytes before_bytes{0x08, static_cast<std::uint8_t>(DataType::kFile)};
  if (size > 0) {
    before_bytes.push_back(0x12);
    append_varint(before_bytes, size);
  }
  Bytes out{0x0a};
  append_varint(out, before_bytes.size() + size + 1 + varint_size(size));
  append(out, before_bytes);
  return out;
}

void append_leaf_trailer(Bytes& out, std::size_t size) { ProtobufWriter(out).write_varint(3, size); }

constexpr std::size_t kLeafTrailer = 1 + 9;

}  // namespace

FileBuilder::FileBuilder(Profile profile) : profile_(profile) {}

void FileBuilder::append(BytesView bytes) {
  check(!root_);
  while (!bytes.empty()) {
    begin_chunk(bytes.size());
    const std::size_t room = chunk_header_ + profile_.chunk_size - chunk_.size();
    const BytesView part = bytes.first(std::min(room, bytes.size()));
    codio::append(chunk_, part);
    bytes = bytes.subspan(part.size());
    if (part.size() == room) end_chunk();
  }
}

void FileBuilder::finish() {
  check(!root_);
  if (!has_leaf_ && chunk_.empty()) begin_chunk(0);
  if (!has_leaf_ || !chunk_.empty()) end_chunk();
  for (std::size_t level = 0; !root_; ++level) {
    if (!open_[level]) continue;
    const bool is_top = level + 1 == open_.size();
    if (is_top && branches_.at(*open_[level]).children.size() == 1) {
      root_ = open_[level];
    } else {
      close(level);
    }
  }
}

std::optional<PendingBlock> FileBuilder::poll_block() {
  if (ready_.empty()) return std::nullopt;
  PendingBlock block = std::move(ready_.front());
  ready_.pop_front();
  return block;
}

ContentId FileBuilder::handle_digest(PendingBlockId id, const Digest256& sha256) {
  const auto pending = pending_.extract(id);
  check(!pending.empty());
  const auto [place, codec] = pending.mapped();
  const bool is_v0 = profile_.cid_version == 0 && codec == Codec::kDagPb;
  ContentId cid = is_v0 ? ContentId::v0(sha256) : ContentId::v1(codec, sha256);
  Branch& branch = branches_.at(place.branch);
  branch.children[place.index].cid = cid;
  --branch.missing_digests;
  encode_if_complete(place.branch);
  return cid;
}

std::optional<Link> FileBuilder::root() const {
  if (!root_) return std::nullopt;
  const Child& child = branches_.at(*root_).children.front();
  if (!child.cid) return std::nullopt;
  return Link{.name = {}, .cid = *child.cid, .cumulative_size = child.cumulative_size, .file_size = child.file_size};
}

void FileBuilder::begin_chunk(std::size_t expected) {
  if (chunk_.empty()) {
    // Small files stay small in memory: only the second piece of a chunk takes the room of a whole one.
    const Bytes header = profile_.raw_leaves ? Bytes{} : leaf_header(profile_.chunk_size);
    chunk_.reserve(header.size() + std::min<std::size_t>(expected, profile_.chunk_size) + kLeafTrailer);
    codio::append(chunk_, header);
    chunk_header_ = header.size();
  } else {
    chunk_.reserve(chunk_header_ + profile_.chunk_size + kLeafTrailer);
  }
}

void FileBuilder::end_chunk() {
  const std::size_t size = chunk_.size() - chunk_header_;
  if (!profile_.raw_leaves) {
    if (size < profile_.chunk_size) {
      const Bytes header = leaf_header(size);
      chunk_.erase(chunk_.begin(), chunk_.begin() + static_cast<std::ptrdiff_t>(chunk_header_ - header.size()));
      std::ranges::copy(header, chunk_.begin());
    }
    append_leaf_trailer(chunk_, size);
  }
  has_leaf_ = true;
  const Codec codec = profile_.raw_leaves ? Codec::kRaw : Codec::kDagPb;
  Bytes block = std::exchange(chunk_, {});
  const Place place = add_child(0, block.size(), size);
  give_out(place, codec, std::move(block));
}

FileBuilder::Place FileBuilder::add_child(std::size_t level, std::uint64_t cumulative_size, std::uint64_t file_size) {
  if (level == open_.size()) open_.emplace_back();
  if (!open_[level]) {
    open_[level] = next_branch_++;
    branches_.try_emplace(*open_[level]);
  }
  const BranchId id = *open_[level];
  Branch& branch = branches_.at(id);
  const Place place{id, static_cast<std::uint32_t>(branch.children.size())};
  branch.children.push_back({{}, cumulative_size, file_size});
  branch.file_size += file_size;
  ++branch.missing_digests;
  if (branch.children.size() == profile_.width) close(level);
  return place;
}

void FileBuilder::close(std::size_t level) {
  const BranchId id = *std::exchange(open_[level], std::nullopt);
  Branch& branch = branches_.at(id);
  branch.place = add_child(level + 1, 0, branch.file_size);
  encode_if_complete(id);
}

void FileBuilder::encode_if_complete(BranchId id) {
  Branch& branch = branches_.at(id);
  if (!branch.place || branch.missing_digests > 0) return;
  Data data{.type = DataType::kFile, .file_size = branch.file_size};
  std::vector<DagPbLink> links;
  std::uint64_t cumulative_size = 0;
  for (const Child& child : branch.children) {
    links.push_back({*child.cid, "", child.cumulative_size});
    data.block_sizes.push_back(child.file_size);
    cumulative_size += child.cumulative_size;
  }
  Bytes block = encode_dag_pb(links, encode_data(data));
  const Place place = *branch.place;
  branches_.at(place.branch).children[place.index].cumulative_size = cumulative_size + block.size();
  branches_.erase(id);
  give_out(place, Codec::kDagPb, std::move(block));
}

void FileBuilder::give_out(Place place, Codec codec, Bytes block) {
  const PendingBlockId id{next_block_++};
  pending_.emplace(id, Pending{place, codec});
  ready_.push_back({id, share(std::move(block))});
}

}  // namespace codio::content_id::unixfs
