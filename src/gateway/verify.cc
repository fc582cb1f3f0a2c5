#include "gateway/verify.h"

#include <algorithm>
#include <array>
#include <openssl/evp.h>

#include "common/check.h"

namespace codio::gateway {

using content_id::HashCode;

Result<void> verify(const content_id::ContentId& cid, BytesView bytes) {
  const auto& hash = cid.multihash();
  const auto mismatch = [&] { return fail(ErrorCode::kMismatch, "the bytes are not those of " + cid.to_string()); };
  const EVP_MD* function = nullptr;
  switch (hash.code()) {
    case HashCode::kIdentity:
      if (!std::ranges::equal(bytes, hash.digest())) return mismatch();
      return {};
    case HashCode::kSha2_256: function = EVP_sha256(); break;
    case HashCode::kSha2_512: function = EVP_sha512(); break;
    default:
      return fail(ErrorCode::kUnsupported, "cannot verify " + cid.to_string() + ": its hash function is not supported");
  }
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  check(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, function, nullptr) == 1);
  const std::size_t wanted = hash.digest().size();
  if (wanted > size || !std::ranges::equal(BytesView(digest).first(wanted), hash.digest())) return mismatch();
  return {};
}

}  // namespace codio::gateway
