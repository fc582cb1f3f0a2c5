#include <algorithm>
#include <array>

#include "common/check.h"
#include "content_id/dag_pb.h"
#include "content_id/unixfs/builder.h"
#include "content_id/unixfs/data.h"
#include "content_id/unixfs/murmur3.h"

namespace codio::content_id::unixfs {
namespace {

constexpr unsigned kFanout = 256;
constexpr unsigned kBitsPerLevel = 8;
constexpr unsigned kMaxLevels = 8;

std::uint32_t bucket_of(std::uint64_t hash, unsigned level) {
  return static_cast<std::uint32_t>(hash >> (64 - kBitsPerLevel * (level + 1)) & (kFanout - 1));
}

std::string bucket_name(std::uint32_t bucket) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return {kDigits[bucket >> 4], kDigits[bucket & 0xf]};
}

/// A big-endian integer with a bit for each bucket in use, without leading zero bytes.
class Bitfield {
 public:
  void set(std::uint32_t bucket) {
    bytes_[bytes_.size() - 1 - bucket / 8] |= static_cast<std::uint8_t>(1 << bucket % 8);
  }

  BytesView view() const {
    return {std::ranges::find_if(bytes_, [](std::uint8_t byte) { return byte != 0; }), bytes_.end()};
  }

 private:
  std::array<std::uint8_t, kFanout / 8> bytes_{};
};

std::uint64_t links_size(const std::vector<Link>& entries) {
  std::uint64_t size = 0;
  for (const Link& entry : entries) size += entry.name.size() + entry.cid.bytes().size();
  return size;
}

std::uint64_t children_size(const std::vector<Link>& entries) {
  std::uint64_t size = 0;
  for (const Link& entry : entries) size += entry.cumulative_size;
  return size;
}

}  // namespace

DirectoryBuilder::DirectoryBuilder(Profile profile, std::vector<Link> entries)
    : profile_(profile), entries_(std::move(entries)) {
  std::ranges::sort(entries_, {}, &Link::name);
  check(std::ranges::adjacent_find(entries_, {}, &Link::name) == entries_.end());

  if (links_size(entries_) <= profile_.hamt_threshold) {  // A lower bound of the block's size.
    Bytes basic = encode_basic();
    if (profile_.hamt_size == Profile::HamtSize::kLinks || basic.size() <= profile_.hamt_threshold) {
      shards_.push_back({.parent = 0, .cumulative_size = basic.size() + children_size(entries_)});
      ready_.push_back({PendingBlockId{0}, share(std::move(basic))});
      return;
    }
  }

  std::vector<HashedEntry> hashed;
  hashed.reserve(entries_.size());
  for (std::size_t i = 0; i < entries_.size(); ++i) hashed.push_back({murmur3(entries_[i].name), i});
  std::ranges::sort(hashed, {}, &HashedEntry::hash);
  if (!make_shard(hashed, 0, hashed.size(), 0, 0)) {
    ready_.clear();
    error_ = Error{ErrorCode::kUnsupported, "two of the directory's names have the same 64-bit murmur3 hash"};
  }
}

std::optional<PendingBlock> DirectoryBuilder::poll_block() {
  if (ready_.empty()) return std::nullopt;
  PendingBlock block = std::move(ready_.front());
  ready_.pop_front();
  return block;
}

ContentId DirectoryBuilder::handle_digest(PendingBlockId id, const Digest256& sha256) {
  check(id.value < shards_.size() && !error_);
  Shard& shard = shards_[id.value];
  check(shard.missing_digests == 0 && !shard.cid);
  shard.cid = profile_.cid_version == 0 ? ContentId::v0(sha256) : ContentId::v1(Codec::kDagPb, sha256);
  if (id.value > 0 && --shards_[shard.parent].missing_digests == 0) give_out_shard(shard.parent);
  return *shard.cid;
}

std::optional<Link> DirectoryBuilder::root() const {
  if (error_ || !shards_.front().cid) return std::nullopt;
  return Link{.name = {}, .cid = *shards_.front().cid, .cumulative_size = shards_.front().cumulative_size};
}

std::optional<std::size_t> DirectoryBuilder::make_shard(const std::vector<HashedEntry>& hashed, std::size_t begin,
                                                        std::size_t end, unsigned level, std::size_t parent) {
  if (level == kMaxLevels) return std::nullopt;
  const std::size_t shard = shards_.size();
  shards_.push_back({.parent = parent});
  while (begin < end) {
    const std::uint32_t bucket = bucket_of(hashed[begin].hash, level);
    std::size_t next = begin + 1;
    while (next < end && bucket_of(hashed[next].hash, level) == bucket) ++next;
    if (next == begin + 1) {
      shards_[shard].slots.push_back({bucket, false, hashed[begin].index});
    } else {
      const auto child = make_shard(hashed, begin, next, level + 1, shard);
      if (!child) return std::nullopt;
      shards_[shard].slots.push_back({bucket, true, *child});
      ++shards_[shard].missing_digests;
    }
    begin = next;
  }
  if (shards_[shard].missing_digests == 0) give_out_shard(shard);
  return shard;
}

Bytes DirectoryBuilder::encode_basic() const {
  std::vector<DagPbLink> links;
  links.reserve(entries_.size());
  for (const Link& entry : entries_) links.push_back({entry.cid, entry.name, entry.cumulative_size});
  return encode_dag_pb(links, encode_data({.type = DataType::kDirectory}));
}

void DirectoryBuilder::give_out_shard(std::size_t index) {
  Shard& shard = shards_[index];
  std::vector<std::string> names;
  names.reserve(shard.slots.size());
  std::vector<DagPbLink> links;
  Bitfield bitfield;
  std::uint64_t cumulative_size = 0;
  for (const Slot& slot : shard.slots) {
    bitfield.set(slot.bucket);
    names.push_back(bucket_name(slot.bucket));
    if (slot.is_shard) {
      const Shard& child = shards_[slot.index];
      links.push_back({*child.cid, names.back(), child.cumulative_size});
    } else {
      const Link& entry = entries_[slot.index];
      names.back() += entry.name;
      links.push_back({entry.cid, names.back(), entry.cumulative_size});
    }
    cumulative_size += links.back().size;
  }
  const Bytes data = encode_data({.type = DataType::kHamtShard,
                                  .data = bitfield.view(),
                                  .hash_type = static_cast<std::uint64_t>(HashCode::kMurmur3X64_64),
                                  .fanout = kFanout});
  Bytes block = encode_dag_pb(links, data);
  shard.cumulative_size = cumulative_size + block.size();
  ready_.push_back({PendingBlockId{static_cast<std::uint32_t>(index)}, share(std::move(block))});
}

}  // namespace codio::content_id::unixfs
