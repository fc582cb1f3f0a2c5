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

// What reads a part says what is malformed about it; nothing: it is not.

std::string_view read_time(BytesView bytes, ModificationTime& out) {
  bool has_seconds = false;
  ProtobufReader reader(bytes);
  for (ProtobufField field; reader.next(field);) {
    if (field.number == kSeconds && field.type == WireType::kVarint) {
      out.seconds = static_cast<std::int64_t>(field.integer);
      has_seconds = true;
    } else if (field.number == kNanoseconds && field.type == WireType::kFixed32) {
      out.nanoseconds = static_cast<std::uint32_t>(field.integer);
    } else if (field.number <= kNanoseconds) {
      return "wrong wire type in the time of modification";
    }
  }
  if (!reader.problem().empty()) return reader.problem();
  if (!has_seconds) return "the time of modification has no seconds";
  if (out.nanoseconds > 999'999'999) return "the time of modification has over a second of nanoseconds";
  return {};
}

/// Protobuf lets a sender pack repeated integers into one field.
std::string_view read_packed(BytesView packed, std::vector<std::uint64_t>& out) {
  while (!packed.empty()) {
    std::uint64_t value = 0;
    std::size_t size = 0;
    for (bool more = true; more; ++size) {
      if (size == packed.size() || size == 10) return "bad packed block sizes";
      value |= static_cast<std::uint64_t>(packed[size] & 0x7f) << (7 * size);
      more = (packed[size] & 0x80) != 0;
    }
    out.push_back(value);
    packed = packed.subspan(size);
  }
  return {};
}

std::string_view read_field(const ProtobufField& field, Data& out) {
  const bool is_bytes = field.type == WireType::kBytes;
  const bool takes_bytes = field.number == kData || field.number == kMtime;
  if (field.number == kBlockSizes && is_bytes) return read_packed(field.bytes, out.block_sizes);
  if (is_bytes != takes_bytes || (!is_bytes && field.type != WireType::kVarint)) return "wrong wire type";

  switch (field.number) {
    case kType:
      if (field.integer > static_cast<std::uint64_t>(DataType::kHamtShard)) return "unknown type";
      out.type = static_cast<DataType>(field.integer);
      break;
    case kData: out.data = field.bytes; break;
    case kFileSize: out.file_size = field.integer; break;
    case kBlockSizes: out.block_sizes.push_back(field.integer); break;
    case kHashType: out.hash_type = field.integer; break;
    case kFanout: out.fanout = field.integer; break;
    case kMode:
      if (field.integer > std::numeric_limits<std::uint32_t>::max()) return "the mode is over 32 bits";
      out.mode = static_cast<std::uint32_t>(field.integer);
      break;
    default: return read_time(field.bytes, out.mtime.emplace());
  }
  return {};
}

}  // namespace

Result<Data> decode_data(BytesView message) {
  Data out{};
  bool has_type = false;
  std::string_view problem;
  ProtobufReader reader(message);
  for (ProtobufField field; problem.empty() && reader.next(field);) {
    if (field.number > kMtime) continue;
    problem = read_field(field, out);
    has_type = has_type || field.number == kType;
  }
  if (problem.empty()) problem = reader.problem();
  if (problem.empty() && !has_type) problem = "the type is missing";
  if (!problem.empty()) return fail(ErrorCode::kMalformed, "UnixFS", problem);
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
