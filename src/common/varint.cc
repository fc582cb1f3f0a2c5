#include "common/varint.h"

namespace codio {

void append_varint(Bytes& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<std::uint8_t>(value) | 0x80);
  out.push_back(static_cast<std::uint8_t>(value));
}

std::size_t varint_size(std::uint64_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

Result<Varint> read_varint(BytesView in) {
  constexpr std::size_t kMaxSize = 9;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < in.size() && i < kMaxSize; ++i) {
    const std::uint8_t byte = in[i];
    value |= static_cast<std::uint64_t>(byte & 0x7f) << (7 * i);
    if (byte & 0x80) continue;
    if (byte == 0 && i > 0) return fail(ErrorCode::kMalformed, "varint is not in its shortest form");
    return Varint{value, i + 1};
  }
  if (in.size() < kMaxSize) return fail(ErrorCode::kMalformed, "input ends within a varint");
  return fail(ErrorCode::kMalformed, "varint is longer than 9 bytes");
}

}  // namespace codio
