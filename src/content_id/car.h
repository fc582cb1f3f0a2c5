// Content-addressed archives. https://ipld.io/specs/transport/car/
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"

namespace codio::content_id {

inline constexpr std::size_t kMaxBlockSize =
    2 * 1024 * 1024;  ///< What we accept; we make no block over 1 MiB + overhead.

struct CarBlock {
  ContentId cid;
  SharedBytes bytes;  ///< Not verified: the caller hashes.
};

/// The header of a CARv1.
Bytes car_header(const std::vector<ContentId>& roots);
/// What precedes the block's bytes in its section.
Bytes car_section_prefix(const ContentId& cid, std::size_t block_size);

/// Reads CARv1, and CARv2's inner CARv1, from pieces of any size. Holds at most one section.
class CarReader {
 public:
  void append(BytesView bytes);
  /// The next whole block; nothing if more input is needed. After an error the reader is of no more use.
  Result<std::optional<CarBlock>> poll_block();
  /// Known once the header was read (after a poll_block()).
  const std::optional<std::vector<ContentId>>& roots() const;
  /// Whether the input may end here: the header was read and no section is incomplete.
  bool at_boundary() const;
};

}  // namespace codio::content_id
