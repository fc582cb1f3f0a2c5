// The UnixFS message inside a dag-pb block. https://specs.ipfs.tech/unixfs/
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"

namespace codio::content_id::unixfs {

enum class DataType : std::uint8_t {
  kRaw = 0,
  kDirectory = 1,
  kFile = 2,
  kMetadata = 3,
  kSymlink = 4,
  kHamtShard = 5,
};

struct ModificationTime {
  std::int64_t seconds;  ///< Since 1970.
  std::uint32_t nanoseconds = 0;

  bool operator==(const ModificationTime&) const = default;
};

struct Data {
  DataType type;
  std::optional<BytesView> data;  ///< A file's bytes, a symlink's target, a shard's bitfield.
  std::optional<std::uint64_t> file_size;
  std::vector<std::uint64_t> block_sizes;  ///< File bytes below each link.
  std::optional<std::uint64_t> hash_type;
  std::optional<std::uint64_t> fanout;
  std::optional<std::uint32_t> mode;
  std::optional<ModificationTime> mtime;
};

/// Reads a message; `data` points into it. Unknown fields are skipped and of repeated ones the last counts, as protobuf
/// has it.
Result<Data> decode_data(BytesView message);

Bytes encode_data(const Data& data);

}  // namespace codio::content_id::unixfs
