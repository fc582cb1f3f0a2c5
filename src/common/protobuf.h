// The part of the protobuf wire format that dag-pb, UnixFS and the exchange protocol use.
// https://protobuf.dev/programming-guides/encoding/
//
// protozero reports malformed input by throwing, which cannot be caught in a WASM module built without exceptions; here
// it is a Result.
#pragma once

#include <cstdint>
#include <optional>

#include "common/bytes.h"
#include "common/result.h"

namespace codio {

enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct ProtobufField {
  std::uint32_t number;
  WireType type;
  std::uint64_t integer = 0;  ///< Of kVarint, kFixed64 and kFixed32.
  BytesView bytes;            ///< Of kBytes; points into the input.
};

/// Walks the fields of one message in input order. Copies nothing; the input must outlive the fields.
class ProtobufReader {
 public:
  explicit ProtobufReader(BytesView message) : rest_(message) {}

  /// The next field; nothing at the end; kMalformed if the input ends within a field, a varint is over 10 bytes, or the
  /// field number is 0 or the wire type is a group.
  Result<std::optional<ProtobufField>> next();

 private:
  BytesView rest_;
};

/// Appends fields to `out`, in call order.
class ProtobufWriter {
 public:
  explicit ProtobufWriter(Bytes& out) : out_(out) {}

  void write_varint(std::uint32_t number, std::uint64_t value);
  void write_bytes(std::uint32_t number, BytesView value);
  void write_fixed32(std::uint32_t number, std::uint32_t value);

 private:
  Bytes& out_;
};

}  // namespace codio
