#include "content_id/cid.h"

#include <algorithm>
#include <cstring>

#include "common/concat.h"
#include "common/varint.h"

namespace codio::content_id {
namespace {

constexpr std::size_t kV0TextSize = 46;

std::unexpected<Error> bad_cid(const Error& error) { return fail(error.code, "CID", error.message); }

/// No v1 begins like this: its first byte is the version.
bool has_v0_prefix(BytesView bytes) { return bytes.size() >= 2 && bytes[0] == 0x12 && bytes[1] == 0x20; }

/// The message of its errors begins with "CID: ".
Result<ContentId> read_text(std::string_view text) {
  if (text.empty()) return fail(ErrorCode::kMalformed, "CID: the text is empty");
  const bool is_v0 = text.size() == kV0TextSize && text.starts_with("Qm");
  const auto bytes = multibase_decode(is_v0 ? concat({"z", text}) : text);
  if (!bytes) return bad_cid(bytes.error());
  if (has_v0_prefix(*bytes) != is_v0) {
    return fail(ErrorCode::kMalformed, "CID: version 0 is written without a multibase prefix, as Qm…");
  }
  return ContentId::decode(*bytes);
}

}  // namespace

ContentId ContentId::v0(const Digest256& sha256) { return ContentId(Multihash::sha2_256(sha256)); }

ContentId ContentId::v1(Codec codec, const Multihash& hash) {
  Bytes bytes;
  bytes.reserve(hash.bytes().size() + 4);
  bytes.push_back(1);
  append_varint(bytes, static_cast<std::uint64_t>(codec));
  const std::size_t begin = bytes.size();
  append(bytes, hash.bytes());
  return ContentId(*Multihash::read(bytes, begin));
}

ContentId ContentId::v1(Codec codec, const Digest256& sha256) { return v1(codec, Multihash::sha2_256(sha256)); }

Result<ContentId> ContentId::parse(std::string_view text) {
  auto cid = read_text(text);
  if (!cid) return fail(cid.error().code, concat({"'", text, "' is not a ", cid.error().message}));
  return cid;
}

Result<ContentId> ContentId::decode(BytesView bytes) {
  auto prefix = decode_prefix(bytes);
  if (!prefix) return std::unexpected(std::move(prefix.error()));
  if (prefix->size != bytes.size()) return fail(ErrorCode::kMalformed, "CID: bytes follow its end");
  return std::move(prefix->cid);
}

Result<ContentId::Prefix> ContentId::decode_prefix(BytesView bytes) {
  std::size_t begin = 0;
  if (!has_v0_prefix(bytes)) {
    const auto version = read_varint(bytes);
    if (!version) return bad_cid(version.error());
    if (version->value != 1) return fail(ErrorCode::kUnsupported, "CID: the version is neither 0 nor 1");
    const auto codec = read_varint(bytes.subspan(version->size));
    if (!codec) return bad_cid(codec.error());
    begin = version->size + codec->size;
  }
  auto hash = Multihash::read(bytes, begin);
  if (!hash) return bad_cid(hash.error());
  const std::size_t size = begin + hash->bytes().size();
  return Prefix{ContentId(*std::move(hash)), size};
}

int ContentId::version() const { return has_v0_prefix(bytes()) ? 0 : 1; }

Codec ContentId::codec() const {
  return version() == 0 ? Codec::kDagPb : static_cast<Codec>(read_varint(bytes().subspan(1))->value);
}

const Multihash& ContentId::multihash() const { return hash_; }

std::string ContentId::to_string() const { return to_string(Multibase::kBase32); }

std::string ContentId::to_string(Multibase base) const {
  if (version() == 0) return multibase_encode(Multibase::kBase58Btc, bytes()).substr(1);
  return multibase_encode(base, bytes());
}

BytesView ContentId::bytes() const { return hash_.storage_.view(); }

ContentId ContentId::to_v1() const { return version() == 0 ? v1(Codec::kDagPb, hash_) : *this; }

bool ContentId::operator==(const ContentId& other) const { return std::ranges::equal(bytes(), other.bytes()); }

std::strong_ordering ContentId::operator<=>(const ContentId& other) const {
  const BytesView a = bytes();
  const BytesView b = other.bytes();
  const int order = std::memcmp(a.data(), b.data(), std::min(a.size(), b.size()));
  return order != 0 ? order <=> 0 : a.size() <=> b.size();
}

}  // namespace codio::content_id
