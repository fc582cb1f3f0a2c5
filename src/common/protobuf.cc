#include "common/protobuf.h"

#include "common/varint.h"

namespace codio {

bool ProtobufReader::next(ProtobufField& field) {
  if (rest_.empty() || !read_key(field)) return false;
  field.integer = 0;
  field.bytes = {};
  switch (field.type) {
    case WireType::kVarint: return take_varint(field.integer);
    case WireType::kFixed64: return take_fixed(8, field.integer);
    case WireType::kFixed32: return take_fixed(4, field.integer);
    case WireType::kBytes: break;
    default: return fail("protobuf: unknown wire type");
  }
  std::uint64_t size = 0;
  if (!take_varint(size)) return false;
  if (size > rest_.size()) return fail("protobuf: input ends within a field");
  field.bytes = rest_.first(static_cast<std::size_t>(size));
  rest_ = rest_.subspan(field.bytes.size());
  return true;
}

bool ProtobufReader::read_key(ProtobufField& field) {
  constexpr std::uint64_t kMaxFieldNumber = (1U << 29) - 1;
  std::uint64_t key = 0;
  if (!take_varint(key)) return false;
  if (key >> 3 == 0 || key >> 3 > kMaxFieldNumber) return fail("protobuf: bad field number");
  field.number = static_cast<std::uint32_t>(key >> 3);
  field.type = static_cast<WireType>(key & 7);
  return true;
}

/// Protobuf's own varint: 64 bits, and unlike multiformats' not necessarily the shortest form.
bool ProtobufReader::take_varint(std::uint64_t& value) {
  value = 0;
  for (std::size_t i = 0; i < rest_.size() && i < 10; ++i) {
    value |= static_cast<std::uint64_t>(rest_[i] & 0x7f) << (7 * i);
    if (rest_[i] & 0x80) continue;
    if (i == 9 && rest_[i] > 1) break;
    rest_ = rest_.subspan(i + 1);
    return true;
  }
  return fail("protobuf: bad varint");
}

bool ProtobufReader::take_fixed(std::size_t size, std::uint64_t& value) {
  if (rest_.size() < size) return fail("protobuf: input ends within a field");
  value = 0;
  for (std::size_t i = 0; i < size; ++i) value |= static_cast<std::uint64_t>(rest_[i]) << (8 * i);
  rest_ = rest_.subspan(size);
  return true;
}

bool ProtobufReader::fail(std::string_view problem) {
  problem_ = problem;
  rest_ = {};
  return false;
}

void ProtobufWriter::write_varint(std::uint32_t number, std::uint64_t value) {
  append_varint(out_, std::uint64_t{number} << 3 | static_cast<std::uint8_t>(WireType::kVarint));
  append_varint(out_, value);
}

void ProtobufWriter::write_bytes(std::uint32_t number, BytesView value) {
  append_varint(out_, std::uint64_t{number} << 3 | static_cast<std::uint8_t>(WireType::kBytes));
  append_varint(out_, value.size());
  append(out_, value);
}

void ProtobufWriter::write_fixed32(std::uint32_t number, std::uint32_t value) {
  append_varint(out_, std::uint64_t{number} << 3 | static_cast<std::uint8_t>(WireType::kFixed32));
  for (int shift = 0; shift < 32; shift += 8) out_.push_back(static_cast<std::uint8_t>(value >> shift));
}

}  // namespace codio
