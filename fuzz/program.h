// A fuzzer's input read as a program: operations and their operands, zeros once it has ended.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "common/bytes.h"

namespace codio::fuzz {

class Program {
 public:
  explicit Program(BytesView bytes) : rest_(bytes) {}

  bool at_end() const { return rest_.empty(); }

  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const std::uint8_t value = rest_.front();
    rest_ = rest_.subspan(1);
    return value;
  }

  /// Small numbers mostly, huge ones sometimes.
  std::uint64_t number() {
    const std::uint64_t low = byte();
    return low < 240 ? low : low == 255 ? ~std::uint64_t{0} - byte() : std::uint64_t{1} << (byte() % 64);
  }

  /// At most 255.
  BytesView bytes() {
    const std::size_t size = byte();
    const BytesView out = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(out.size());
    return out;
  }

 private:
  BytesView rest_;
};

}  // namespace codio::fuzz
