// Content-addressed archives. https://ipld.io/specs/transport/car/
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"

namespace codio::content_id {

/// What we accept; we make no block over 1 MiB and its overhead.
inline constexpr std::size_t kMaxBlockSize = std::size_t{2} * 1024 * 1024;

struct CarBlock {
  ContentId cid;
  SharedBytes bytes;  ///< Not verified: the caller hashes.
};

/// The header of a CARv1.
Bytes car_header(const std::vector<ContentId>& roots);
/// What precedes the block's bytes in its section.
Bytes car_section_prefix(const ContentId& cid, std::size_t block_size);

/// Reads CARv1, and CARv2's inner CARv1, from pieces of any size. Holds at most one section, and what was appended
/// since the last poll_block() that returned nothing.
class CarReader {
 public:
  void append(BytesView bytes);
  /// The next whole block; nothing if more input is needed. After an error the reader is of no more use: it repeats the
  /// error. kMalformed, kTooLarge (a block over kMaxBlockSize, a header over 1 MiB), kUnsupported (another version).
  Result<std::optional<CarBlock>> poll_block();
  /// Known once the header was read (after a poll_block()).
  const std::optional<std::vector<ContentId>>& roots() const { return roots_; }
  /// Whether the input may end here: the header was read and no section is incomplete.
  bool at_boundary() const;

 private:
  enum class State : std::uint8_t { kHeader, kV2Header, kV2Padding, kV1Header, kSections, kAfterPayload };

  Result<std::optional<CarBlock>> step();
  /// Reads one header: of either version at the start of the file, of version 1 inside a version 2.
  Result<void> read_header();
  Result<void> read_v2_header();
  Result<std::optional<CarBlock>> read_section();
  /// The bytes of the next length-prefixed item; nothing if they are not all there.
  Result<std::optional<BytesView>> peek_item(std::size_t max_size);
  BytesView unread() const { return BytesView(buffer_).subspan(consumed_); }
  void consume(std::size_t size);

  Bytes buffer_;
  std::size_t consumed_ = 0;    ///< Of buffer_.
  std::uint64_t position_ = 0;  ///< Of the first unread byte in the file.
  State state_ = State::kHeader;
  std::uint64_t payload_begin_ = 0;           ///< Of a version 2.
  std::optional<std::uint64_t> payload_end_;  ///< Of a version 2.
  std::optional<std::vector<ContentId>> roots_;
  std::optional<Error> error_;
};

}  // namespace codio::content_id
