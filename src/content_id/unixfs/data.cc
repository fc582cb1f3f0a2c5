#include "content_id/unixfs/data.h"

#include <limits>
#include <string>

#include "common/protobuf.h"

namespace codio::content_id::unixfs {
namespace {

enum DataField : std::uint8_t {
  kType = 1,
  kData = 2,
  kFileSize = 3,
  kBlockSizes = 4,
  kHashType = 5,
  kFanout = 6,
  kMode = 7,
  kMtime = 8,
};
enum TimeField : std::uint8_t { kSeconds = 1, kNanoseconds = 2 };

std::unexpected<Error> malformed(std::string_view why) { return fail(ErrorCode::kMalformed, "UnixFS", why); }

Result<ModificationTime> decode_time(BytesView bytes) {
  std::optional<std::int64_t> seconds;
  std::uint32_t nanoseconds = 0;
  ProtobufReader reader(bytes);
  for (ProtobufField field; reader.next(field);) {
    if (field.number == kSeconds && field.type == WireType::kVarint) {
      seconds = static_cast<std::int64_t>(field.integer);
    } else if (field.number == kNanoseconds && field.type == WireType::kFixed32) {
      nanoseconds = static_cast<std::uint32_t>(field.integer);
    } else if (field.number <= kNanoseconds) {
      return malformed("wrong wire type in the time of modification");
    }
  }
  if (!reader.problem().empty()) return malformed(reader.problem());
  if (!seconds) return malformed("the time of modification has no seconds");
  if (nanoseconds > 999'999'999) return malformed("the time of modification has over a second of nanoseconds");
  return ModificationTime{*seconds, nanoseconds};
}

/// Protobuf lets a sender pack repeated integers into one field.
Result<void> append_packed(BytesView packed, std::vector<std::uint64_t>& out) {
  while (!packed.empty()) {
    std::uint64_t value = 0;
    std::size_t size = 0;
    for (bool more = true; more; ++size) {
      if (size == packed.size() || size == 10) return malformed("bad packed block sizes");
      value |= static_cast<std::uint64_t>(packed[size] & 0x7f) << (7 * size);
      more = (packed[size] & 0x80) != 0;
    }
    out.push_back(value);
    packed = packed.subspan(size);
  }
  return {};
}

}  // namespace

Result<Data> decode_data(BytesView message) {
  Data out{};
  bool has_type = false;
  ProtobufReader reader(message);
  for (ProtobufField field; reader.next(field);) {
    if (field.number > kMtime) continue;

    const bool is_bytes = field.type == WireType::kBytes;
    const bool takes_bytes = field.number == kData || field.number == kMtime;
    if (field.number == kBlockSizes && is_bytes) {
      if (auto packed = append_packed(field.bytes, out.block_sizes); !packed) return std::unexpected(packed.error());
      continue;
    }
    if (is_bytes != takes_bytes || (!is_bytes && field.type != WireType::kVarint)) return malformed("wrong wire type");

    switch (field.number) {
      case kType:
        if (field.integer > static_cast<std::uint64_t>(DataType::kHamtShard)) return malformed("unknown type");
        out.type = static_cast<DataType>(field.integer);
        has_type = true;
        break;
      case kData: out.data = field.bytes; break;
      case kFileSize: out.file_size = field.integer; break;
      case kBlockSizes: out.block_sizes.push_back(field.integer); break;
      case kHashType: out.hash_type = field.integer; break;
      case kFanout: out.fanout = field.integer; break;
      case kMode:
        if (field.integer > std::numeric_limits<std::uint32_t>::max()) return malformed("the mode is over 32 bits");
        out.mode = static_cast<std::uint32_t>(field.integer);
        break;
      default: {
        auto time = decode_time(field.bytes);
        if (!time) return std::unexpected(std::move(time.error()));
        out.mtime = *time;
      }
    }
  }
  if (!reader.problem().empty()) return malformed(reader.problem());
  if (!has_type) return malformed("the type is missing");
  return out;
}

Bytes encode_data(const Data& data) {
  Bytes out;
  ProtobufWriter writer(out);
  writer.write_varint(kType, static_cast<std::uint64_t>(data.type));
  if (data.data) writer.write_bytes(kData, *data.data);
  if (data.file_size) writer.write_varint(kFileSize, *data.file_size);
  for (const std::uint64_t size : data.block_sizes) writer.write_varint(kBlockSizes, size);
  if (data.hash_type) writer.write_varint(kHashType, *data.hash_type);
  if (data.fanout) writer.write_varint(kFanout, *data.fanout);
  if (data.mode) writer.write_varint(kMode, *data.mode);
  if (data.mtime) {
    Bytes time;
    ProtobufWriter time_writer(time);
    time_writer.write_varint(kSeconds, static_cast<std::uint64_t>(data.mtime->seconds));
    if (data.mtime->nanoseconds > 0) time_writer.write_fixed32(kNanoseconds, data.mtime->nanoseconds);
    writer.write_bytes(kMtime, time);
  }
  return out;
}

}  // namespace codio::content_id::unixfs
