// Unsigned LEB128 integers, as in https://github.com/multiformats/unsigned-varint and in protobuf.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/bytes.h"
#include "common/result.h"

namespace codio {

/// Appends `value`: 7 bits a byte, least significant first; 1 to 10 bytes.
void append_varint(Bytes& out, std::uint64_t value);

std::size_t varint_size(std::uint64_t value);

struct Varint {
  std::uint64_t value;
  std::size_t size;  ///< Bytes it took.
};

/// Reads the integer at the start of `in`. Refuses what multiformats refuses: more than 9 bytes (63 bits), an encoding
/// that is not the shortest, and an input that ends within the integer.
Result<Varint> read_varint(BytesView in);

}  // namespace codio
