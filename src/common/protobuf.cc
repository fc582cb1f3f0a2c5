#include "common/protobuf.h"

#include "common/varint.h"

namespace codio {
namespace {

/// Protobuf's own varint: 64 bits, and unlike multiformats' not necessarily the shortest form.
Result<std::uint64_t> take_varint(BytesView& in) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < in.size() && i < 10; ++i) {
    value |= static_cast<std::uint64_t>(in[i] & 0x7f) << (7 * i);
    if (in[i] & 0x80) continue;
    if (i == 9 && in[i] > 1) break;
    in = in.subspan(i + 1);
    return value;
  }
  return fail(ErrorCode::kMalformed, "protobuf: bad varint");
}

Result<std::uint64_t> take_fixed(BytesView& in, std::size_t size) {
  if (in.size() < size) return fail(ErrorCode::kMalformed, "protobuf: input ends within a field");
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value |= static_cast<std::uint64_t>(in[i]) << (8 * i);
  in = in.subspan(size);
  return value;
}

}  // namespace

Result<std::optional<ProtobufField>> ProtobufReader::next() {
  if (rest_.empty()) return std::nullopt;
  const auto key = take_varint(rest_);
  if (!key) return std::unexpected(key.error());
  constexpr std::uint64_t kMaxFieldNumber = (1U << 29) - 1;
  if (*key >> 3 == 0 || *key >> 3 > kMaxFieldNumber) return fail(ErrorCode::kMalformed, "protobuf: bad field number");

  ProtobufField field{.number = static_cast<std::uint32_t>(*key >> 3), .type = static_cast<WireType>(*key & 7)};
  Result<std::uint64_t> integer;
  switch (field.type) {
    case WireType::kVarint:
    case WireType::kBytes: integer = take_varint(rest_); break;
    case WireType::kFixed64: integer = take_fixed(rest_, 8); break;
    case WireType::kFixed32: integer = take_fixed(rest_, 4); break;
    default: return fail(ErrorCode::kMalformed, "protobuf: unknown wire type");
  }
  if (!integer) return std::unexpected(integer.error());
  if (field.type != WireType::kBytes) {
    field.integer = *integer;
    return field;
  }
  if (*integer > rest_.size()) return fail(ErrorCode::kMalformed, "protobuf: input ends within a field");
  field.bytes = rest_.first(static_cast<std::size_t>(*integer));
  rest_ = rest_.subspan(static_cast<std::size_t>(*integer));
  return field;
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
