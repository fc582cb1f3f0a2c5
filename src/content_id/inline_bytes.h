// The storage of CIDs and multihashes.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "common/bytes.h"

namespace codio::content_id {

/// Immutable bytes that are cheap to copy: a SHA-256 CID's lie in place, longer ones in one shared buffer.
class InlineBytes {
 public:
  explicit InlineBytes(BytesView bytes) {
    if (bytes.size() > kInlineSize) {
      large_ = share(Bytes(bytes.begin(), bytes.end()));
      return;
    }
    size_ = static_cast<std::uint8_t>(bytes.size());
    std::ranges::copy(bytes, small_.begin());
  }

  BytesView view() const { return large_ ? BytesView(*large_) : BytesView(small_).first(size_); }

 private:
  static constexpr std::size_t kInlineSize = 39;

  std::array<std::uint8_t, kInlineSize> small_{};
  std::uint8_t size_ = 0;
  SharedBytes large_;  ///< Null if the bytes are in `small_`.
};

}  // namespace codio::content_id
