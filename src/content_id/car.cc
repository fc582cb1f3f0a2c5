#include "content_id/car.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/varint.h"

namespace codio::content_id {
namespace {

constexpr std::size_t kMaxHeader = std::size_t{1024} * 1024;
constexpr std::size_t kMaxCid = 256;
constexpr std::size_t kV2PragmaSize = 11;
constexpr std::size_t kV2HeaderSize = 40;
constexpr std::uint64_t kCidTag = 42;

enum CborMajor : std::uint8_t { kUnsigned = 0, kByteString = 2, kText = 3, kArray = 4, kMap = 5, kTag = 6 };

std::unexpected<Error> malformed(std::string_view why) { return fail(ErrorCode::kMalformed, "CAR", why); }

void append_cbor_head(Bytes& out, CborMajor major, std::uint64_t value) {
  const auto kind = static_cast<std::uint8_t>(major << 5);
  if (value < 24) {
    out.push_back(static_cast<std::uint8_t>(kind | value));
    return;
  }
  const unsigned width_code = value <= 0xff ? 0 : value <= 0xffff ? 1 : value <= 0xffffffff ? 2 : 3;
  out.push_back(static_cast<std::uint8_t>(kind | (24 + width_code)));
  for (int shift = (8 << width_code) - 8; shift >= 0; shift -= 8)
    out.push_back(static_cast<std::uint8_t>(value >> shift));
}

void append_cbor_text(Bytes& out, std::string_view text) {
  append_cbor_head(out, kText, text.size());
  append(out, as_bytes(text));
}

/// The part of DAG-CBOR that headers are made of. Every method moves past what it read.
class CborReader {
 public:
  explicit CborReader(BytesView in) : rest_(in) {}

  Result<std::uint64_t> take_head(CborMajor major) {
    if (rest_.empty()) return malformed("the header ends early");
    if (rest_[0] >> 5 != major) return malformed("the header is not of the form {roots, version}");
    const std::uint64_t info = rest_[0] & 0x1f;
    rest_ = rest_.subspan(1);
    if (info < 24) return info;
    if (info > 27) return malformed("the header has an item of indefinite length");
    const std::size_t width = std::size_t{1} << (info - 24);
    if (rest_.size() < width) return malformed("the header ends early");
    std::uint64_t value = 0;
    for (const std::uint8_t byte : rest_.first(width)) value = value << 8 | byte;
    rest_ = rest_.subspan(width);
    return value;
  }

  Result<BytesView> take_string(CborMajor major) {
    const auto size = take_head(major);
    if (!size) return std::unexpected(size.error());
    if (*size > rest_.size()) return malformed("the header ends early");
    const BytesView bytes = rest_.first(static_cast<std::size_t>(*size));
    rest_ = rest_.subspan(bytes.size());
    return bytes;
  }

  bool at_end() const { return rest_.empty(); }

 private:
  BytesView rest_;
};

Result<std::vector<ContentId>> take_roots(CborReader& reader) {
  const auto count = reader.take_head(kArray);
  if (!count) return std::unexpected(count.error());
  std::vector<ContentId> roots;
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto tag = reader.take_head(kTag);
    if (!tag) return std::unexpected(tag.error());
    const auto bytes = reader.take_string(kByteString);
    if (!bytes) return std::unexpected(bytes.error());
    if (*tag != kCidTag || bytes->empty() || bytes->front() != 0) return malformed("a root is not a CID");
    auto cid = ContentId::decode(bytes->subspan(1));
    if (!cid) return malformed("a root's " + cid.error().message);
    roots.push_back(*std::move(cid));
  }
  return roots;
}

struct Header {
  std::optional<std::uint64_t> version;
  std::optional<std::vector<ContentId>> roots;
};

Result<Header> decode_header(BytesView bytes) {
  Header header;
  CborReader reader(bytes);
  const auto count = reader.take_head(kMap);
  if (!count) return std::unexpected(count.error());
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto key = reader.take_string(kText);
    if (!key) return std::unexpected(key.error());
    if (as_text(*key) == "version" && !header.version) {
      const auto version = reader.take_head(kUnsigned);
      if (!version) return std::unexpected(version.error());
      header.version = *version;
    } else if (as_text(*key) == "roots" && !header.roots) {
      auto roots = take_roots(reader);
      if (!roots) return std::unexpected(std::move(roots.error()));
      header.roots = *std::move(roots);
    } else {
      return malformed("the header has an unknown or repeated field");
    }
  }
  if (!reader.at_end()) return malformed("bytes follow the header's end");
  if (!header.version) return malformed("the header has no version");
  return header;
}

std::uint64_t read_u64le(BytesView bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
  return value;
}

}  // namespace

Bytes car_header(const std::vector<ContentId>& roots) {
  Bytes header;
  append_cbor_head(header, kMap, 2);
  append_cbor_text(header, "roots");
  append_cbor_head(header, kArray, roots.size());
  for (const ContentId& root : roots) {
    append_cbor_head(header, kTag, kCidTag);
    append_cbor_head(header, kByteString, 1 + root.bytes().size());
    header.push_back(0);
    append(header, root.bytes());
  }
  append_cbor_text(header, "version");
  append_cbor_head(header, kUnsigned, 1);

  Bytes out;
  append_varint(out, header.size());
  append(out, header);
  return out;
}

Bytes car_section_prefix(const ContentId& cid, std::size_t block_size) {
  Bytes out;
  append_varint(out, cid.bytes().size() + block_size);
  append(out, cid.bytes());
  return out;
}

void CarReader::append(BytesView bytes) {
  // What was read makes room first; moving the rest costs less than what made room for it.
  if (consumed_ > buffer_.size() / 2) {
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(consumed_));
    consumed_ = 0;
  }
  codio::append(buffer_, bytes);
}

Result<std::optional<CarBlock>> CarReader::poll_block() {
  while (!error_) {
    const State before = state_;
    auto block = step();
    if (!block) {
      error_ = std::move(block.error());
    } else if (*block || state_ == before) {
      return block;
    }
  }
  return std::unexpected(*error_);
}

bool CarReader::at_boundary() const {
  if (state_ == State::kAfterPayload) return true;
  return state_ == State::kSections && unread().empty() && payload_end_.value_or(position_) == position_;
}

Result<std::optional<CarBlock>> CarReader::step() {
  Result<void> read;
  switch (state_) {
    case State::kHeader:
    case State::kV1Header: read = read_header(); break;
    case State::kV2Header: read = read_v2_header(); break;
    case State::kV2Padding:
      consume(static_cast<std::size_t>(std::min<std::uint64_t>(unread().size(), payload_begin_ - position_)));
      if (position_ == payload_begin_) state_ = State::kV1Header;
      break;
    case State::kSections: return read_section();
    case State::kAfterPayload: consume(unread().size()); break;
  }
  if (!read) return std::unexpected(std::move(read.error()));
  return std::nullopt;
}

Result<void> CarReader::read_header() {
  const auto item = peek_item(kMaxHeader);
  if (!item) return std::unexpected(item.error());
  if (!*item) return {};
  auto header = decode_header(**item);
  if (!header) return std::unexpected(std::move(header.error()));
  const bool may_be_v2 = state_ == State::kHeader;
  consume(varint_size((*item)->size()) + (*item)->size());
  if (header->version == 2 && may_be_v2 && position_ == kV2PragmaSize) {
    state_ = State::kV2Header;
    return {};
  }
  if (header->version != 1) return fail(ErrorCode::kUnsupported, "CAR: the version is neither 1 nor 2");
  if (!header->roots) return malformed("the header has no roots");
  roots_ = *std::move(header->roots);
  state_ = State::kSections;
  return {};
}

Result<void> CarReader::read_v2_header() {
  if (unread().size() < kV2HeaderSize) return {};
  constexpr std::size_t kCharacteristicsSize = 16;
  const std::uint64_t offset = read_u64le(unread().subspan(kCharacteristicsSize));
  const std::uint64_t size = read_u64le(unread().subspan(kCharacteristicsSize + 8));
  consume(kV2HeaderSize);
  if (offset < position_ || offset + size < offset) return malformed("the version 2 header's offsets are impossible");
  payload_begin_ = offset;
  payload_end_ = offset + size;
  state_ = State::kV2Padding;
  return {};
}

Result<std::optional<CarBlock>> CarReader::read_section() {
  if (position_ == payload_end_) {
    state_ = State::kAfterPayload;
    return std::nullopt;
  }
  const auto item = peek_item(kMaxCid + kMaxBlockSize);
  if (!item) return std::unexpected(item.error());
  if (!*item) return std::nullopt;
  const BytesView section = **item;
  auto prefix = ContentId::decode_prefix(section);
  if (!prefix) return malformed("a section's " + prefix.error().message);
  const BytesView data = section.subspan(prefix->size);
  if (data.size() > kMaxBlockSize) return fail(ErrorCode::kTooLarge, "CAR: a block is over 2 MiB");
  CarBlock block{std::move(prefix->cid), share(Bytes(data.begin(), data.end()))};
  consume(varint_size(section.size()) + section.size());
  return block;
}

Result<std::optional<BytesView>> CarReader::peek_item(std::size_t max_size) {
  constexpr std::size_t kMaxVarint = 9;
  const BytesView in = unread();
  const bool ends =
      std::ranges::any_of(in.first(std::min(in.size(), kMaxVarint)), [](auto byte) { return byte < 0x80; });
  if (!ends && in.size() < kMaxVarint) return std::nullopt;
  const auto size = read_varint(in);
  if (!size) return malformed(size.error().message);
  if (size->value == 0) return malformed("an empty section");
  if (size->value > max_size) return fail(ErrorCode::kTooLarge, "CAR: a header or section is too large");
  if (payload_end_ && *payload_end_ - position_ < size->size + size->value) {
    return malformed("a section does not end with the payload");
  }
  if (in.size() - size->size < size->value) return std::nullopt;
  return in.subspan(size->size, static_cast<std::size_t>(size->value));
}

void CarReader::consume(std::size_t size) {
  consumed_ += size;
  position_ += size;
  if (consumed_ < buffer_.size()) return;
  buffer_.clear();
  consumed_ = 0;
}

}  // namespace codio::content_id
