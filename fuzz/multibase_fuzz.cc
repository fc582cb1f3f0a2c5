// Multibase: every text has one meaning, and but for the case of letters every meaning one text.
#include <algorithm>
#include <cstdint>
#include <string>

#include "common/check.h"
#include "content_id/multibase.h"

using namespace codio;
using namespace codio::content_id;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BytesView input(data, size);
  const std::string_view text = as_text(input);
  if (const auto bytes = multibase_decode(text)) {
    const std::string again = multibase_encode(static_cast<Multibase>(text[0]), *bytes);
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    check(std::ranges::equal(again, text, {}, lower, lower));
  }
  if (size < 1 || size > 300) return 0;
  constexpr std::string_view kPrefixes = "fFbBkKzmMuU";
  const auto base = static_cast<Multibase>(kPrefixes[data[0] % kPrefixes.size()]);
  const auto bytes = multibase_decode(multibase_encode(base, input));
  check(bytes && std::ranges::equal(*bytes, input));
  return 0;
}
