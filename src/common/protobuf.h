// The part of the protobuf wire format that dag-pb, UnixFS and the exchange protocol use.
// https://protobuf.dev/programming-guides/encoding/
//
// protozero reports malformed input by throwing, which cannot be caught in a WASM module built without exceptions; here
// the reader tells it at the end.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/bytes.h"

namespace codio {

enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct ProtobufField {
  std::uint32_t number = 0;
  WireType type = WireType::kVarint;
  std::uint64_t integer = 0;  ///< Of kVarint, kFixed64 and kFixed32.
  BytesView bytes;            ///< Of kBytes; points into the input.
};

/// Walks the fields of one message in input order. Copies nothing; the input must outlive the fields.
class ProtobufReader {
 public:
  explicit ProtobufReader(BytesView message) : rest_(message) {}

  /// Whether there is another field, then in `field`. There is none at the end, nor from malformed input on.
  bool next(ProtobufField& field);
  /// What is malformed: the input ends within a field, a varint is over 10 bytes, or the field number is 0 or the wire
  /// type is a group. Empty if nothing is, as far as it was read.
  std::string_view problem() const { return problem_; }

 private:
  bool read_key(ProtobufField& field);
  bool take_varint(std::uint64_t& value);
  bool take_fixed(std::size_t size, std::uint64_t& value);
  bool fail(std::string_view problem);

  BytesView rest_;
  std::string_view problem_;
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
