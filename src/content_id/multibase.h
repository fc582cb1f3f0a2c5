// Text encodings of binary with a prefix that says which. https://github.com/multiformats/multibase
#pragma once

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

std::string multibase_encode(Multibase base, BytesView bytes);  ///< With the prefix.
Result<Bytes> multibase_decode(std::string_view text);          ///< By its prefix.

}  // namespace codio::content_id
