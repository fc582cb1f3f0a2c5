// Text encodings of binary with a prefix that says which. https://github.com/multiformats/multibase
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/bytes.h"
#include "common/result.h"

namespace codio::content_id {

/// The value is the prefix character.
enum class Multibase : char {
  kBase16 = 'f',
  kBase16Upper = 'F',
  kBase32 = 'b',
  kBase32Upper = 'B',
  kBase36 = 'k',
  kBase36Upper = 'K',
  kBase58Btc = 'z',
  kBase64 = 'm',
  kBase64Pad = 'M',
  kBase64Url = 'u',
  kBase64UrlPad = 'U',
};

/// The longest text that is decoded. Base 36 and 58 cost the square of the length; the longest CID takes 302
/// characters.
inline constexpr std::size_t kMaxMultibaseText = 1024;

std::string multibase_encode(Multibase base, BytesView bytes);  ///< With the prefix.

/// By the text's prefix. Bases 16, 32 and 36 are read in either case, as a DNS label may have been folded. Refuses
/// foreign characters, wrong padding, and trailing bits that are not zero or make up no whole byte.
Result<Bytes> multibase_decode(std::string_view text);

}  // namespace codio::content_id
