#include "content_id/multihash.h"

#include "common/varint.h"

namespace codio::content_id {

bool is_verifiable(HashCode code) {
  return code == HashCode::kIdentity || code == HashCode::kSha2_256 || code == HashCode::kSha2_512;
}

Multihash::Multihash(BytesView storage, std::size_t begin, std::size_t digest_begin)
    : storage_(storage),
      begin_(static_cast<std::uint8_t>(begin)),
      digest_begin_(static_cast<std::uint8_t>(digest_begin)) {}

Multihash Multihash::sha2_256(const Digest256& digest) { return *make(HashCode::kSha2_256, digest); }

Result<Multihash> Multihash::make(HashCode code, BytesView digest) {
  Bytes bytes;
  bytes.reserve(digest.size() + 4);
  append_varint(bytes, static_cast<std::uint64_t>(code));
  append_varint(bytes, digest.size());
  append(bytes, digest);
  return read(bytes, 0);
}

Result<Multihash> Multihash::take(BytesView& bytes) {
  auto hash = read(bytes, 0);
  if (hash) bytes = bytes.subspan(hash->bytes().size());
  return hash;
}

Result<Multihash> Multihash::read(BytesView bytes, std::size_t begin) {
  constexpr std::size_t kMaxDigest = 128;
  constexpr std::size_t kMinDigest = 20;
  const auto code = read_varint(bytes.subspan(begin));
  if (!code) return fail(code.error().code, "multihash", code.error().message);
  const auto size = read_varint(bytes.subspan(begin + code->size));
  if (!size) return fail(size.error().code, "multihash", size.error().message);
  if (size->value > kMaxDigest) return fail(ErrorCode::kTooLarge, "multihash: the digest is over 128 bytes");
  if (size->value < kMinDigest && static_cast<HashCode>(code->value) != HashCode::kIdentity) {
    return fail(ErrorCode::kMalformed, "multihash: the digest is under 20 bytes");
  }
  const std::size_t digest_begin = begin + code->size + size->size;
  const auto digest_size = static_cast<std::size_t>(size->value);
  if (bytes.size() - digest_begin < digest_size) {
    return fail(ErrorCode::kMalformed, "multihash: the input ends within the digest");
  }
  return Multihash(bytes.first(digest_begin + digest_size), begin, digest_begin);
}

HashCode Multihash::code() const { return static_cast<HashCode>(read_varint(bytes())->value); }

BytesView Multihash::digest() const { return storage_.view().subspan(digest_begin_); }

BytesView Multihash::bytes() const { return storage_.view().subspan(begin_); }

}  // namespace codio::content_id
