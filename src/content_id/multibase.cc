#include "content_id/multibase.h"

#include <algorithm>
#include <array>

#include "common/check.h"

namespace codio::content_id {
namespace {

struct Encoding {
  Multibase base;
  std::string_view alphabet;
  unsigned bits;  ///< Bits of a character; 0 of a positional system, where all characters make one number.
  enum class Letters : std::uint8_t { kAsWritten, kFoldedToLower, kFoldedToUpper } letters = Letters::kAsWritten;
  bool padded = false;
};

constexpr std::string_view kAlphabet16 = "0123456789abcdef";
constexpr std::string_view kAlphabet32 = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::string_view kAlphabet36 = "0123456789abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kAlphabet58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
constexpr std::string_view kAlphabet64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kAlphabet64Url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::array kEncodings{
    Encoding{Multibase::kBase16, kAlphabet16, 4, Encoding::Letters::kFoldedToLower},
    Encoding{Multibase::kBase16Upper, kAlphabet16, 4, Encoding::Letters::kFoldedToUpper},
    Encoding{Multibase::kBase32, kAlphabet32, 5, Encoding::Letters::kFoldedToLower},
    Encoding{Multibase::kBase32Upper, kAlphabet32, 5, Encoding::Letters::kFoldedToUpper},
    Encoding{Multibase::kBase36, kAlphabet36, 0, Encoding::Letters::kFoldedToLower},
    Encoding{Multibase::kBase36Upper, kAlphabet36, 0, Encoding::Letters::kFoldedToUpper},
    Encoding{Multibase::kBase58Btc, kAlphabet58, 0},
    Encoding{Multibase::kBase64, kAlphabet64, 6},
    Encoding{.base = Multibase::kBase64Pad, .alphabet = kAlphabet64, .bits = 6, .padded = true},
    Encoding{Multibase::kBase64Url, kAlphabet64Url, 6},
    Encoding{.base = Multibase::kBase64UrlPad, .alphabet = kAlphabet64Url, .bits = 6, .padded = true},
};

const Encoding* find_encoding(char prefix) {
  for (const Encoding& encoding : kEncodings) {
    if (static_cast<char>(encoding.base) == prefix) return &encoding;
  }
  return nullptr;
}

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
constexpr char to_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

/// Behind room for the prefix.
std::string encode_bits(const Encoding& encoding, BytesView bytes) {
  const unsigned bits = encoding.bits;
  const char* const alphabet = encoding.alphabet.data();
  const std::uint32_t mask = (1U << bits) - 1;
  const std::size_t size = (bytes.size() * 8 + bits - 1) / bits;
  std::string out(1 + (encoding.padded ? (size + 3) / 4 * 4 : size), '=');
  std::uint32_t buffer = 0;
  unsigned held = 0;
  char* next = out.data() + 1;
  for (const std::uint8_t byte : bytes) {
    buffer = buffer << 8 | byte;
    for (held += 8; held >= bits;) {
      held -= bits;
      *next++ = alphabet[buffer >> held & mask];
    }
  }
  if (held > 0) *next = alphabet[buffer << (bits - held) & mask];
  return out;
}

/// As above.
std::string encode_positional(std::string_view alphabet, BytesView bytes) {
  const std::size_t zeros = std::ranges::find_if(bytes, [](auto b) { return b != 0; }) - bytes.begin();
  Bytes digits;  // Least significant first.
  for (const std::uint8_t byte : bytes.subspan(zeros)) {
    std::uint32_t carry = byte;
    for (std::uint8_t& digit : digits) {
      carry += std::uint32_t{digit} << 8;
      digit = static_cast<std::uint8_t>(carry % alphabet.size());
      carry /= static_cast<std::uint32_t>(alphabet.size());
    }
    for (; carry > 0; carry /= static_cast<std::uint32_t>(alphabet.size())) {
      digits.push_back(static_cast<std::uint8_t>(carry % alphabet.size()));
    }
  }
  std::string out(1 + zeros + digits.size(), alphabet[0]);
  auto next = out.rbegin();
  for (const std::uint8_t digit : digits) *next++ = alphabet[digit];
  return out;
}

Result<Bytes> bad_text(std::string_view why) { return fail(ErrorCode::kMalformed, "multibase", why); }

/// The values of the characters.
Result<Bytes> read_digits(const Encoding& encoding, std::string_view text) {
  Bytes digits;
  digits.reserve(text.size());
  for (const char c : text) {
    const bool as_written = encoding.letters == Encoding::Letters::kAsWritten;
    const std::size_t digit = encoding.alphabet.find(as_written ? c : to_lower(c));
    if (digit == std::string_view::npos) return bad_text("a character is not of the alphabet");
    digits.push_back(static_cast<std::uint8_t>(digit));
  }
  return digits;
}

Result<Bytes> decode_bits(const Encoding& encoding, std::string_view text) {
  if (encoding.padded) {
    if (text.size() % 4 != 0) return bad_text("the padding is incomplete");
    for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  }
  const auto digits = read_digits(encoding, text);
  if (!digits) return digits;
  Bytes out;
  out.reserve(digits->size() * encoding.bits / 8);
  std::uint32_t buffer = 0;
  unsigned held = 0;
  for (const std::uint8_t digit : *digits) {
    buffer = buffer << encoding.bits | digit;
    held += encoding.bits;
    if (held < 8) continue;
    held -= 8;
    out.push_back(static_cast<std::uint8_t>(buffer >> held));
  }
  if (held >= encoding.bits) return bad_text("the text ends within a byte");
  if ((buffer & ((1U << held) - 1)) != 0) return bad_text("trailing bits are not zero");
  return out;
}

Result<Bytes> decode_positional(const Encoding& encoding, std::string_view text) {
  const auto digits = read_digits(encoding, text);
  if (!digits) return digits;
  Bytes out;  // Least significant first.
  std::size_t zeros = 0;
  for (const std::uint8_t digit : *digits) {
    if (digit == 0 && out.empty()) ++zeros;
    std::uint32_t carry = digit;
    for (std::uint8_t& byte : out) {
      carry += byte * static_cast<std::uint32_t>(encoding.alphabet.size());
      byte = static_cast<std::uint8_t>(carry);
      carry >>= 8;
    }
    if (carry > 0) out.push_back(static_cast<std::uint8_t>(carry));
  }
  out.resize(out.size() + zeros);
  std::ranges::reverse(out);
  return out;
}

}  // namespace

std::string multibase_encode(Multibase base, BytesView bytes) {
  const Encoding* encoding = find_encoding(static_cast<char>(base));
  check(encoding != nullptr);
  std::string out = encoding->bits > 0 ? encode_bits(*encoding, bytes) : encode_positional(encoding->alphabet, bytes);
  out[0] = static_cast<char>(base);
  if (encoding->letters == Encoding::Letters::kFoldedToUpper) std::ranges::transform(out, out.begin(), to_upper);
  return out;
}

Result<Bytes> multibase_decode(std::string_view text) {
  if (text.empty()) return bad_text("the text is empty");
  if (text.size() > kMaxMultibaseText) {
    return fail(ErrorCode::kTooLarge, "multibase: the text is over 1,024 characters");
  }
  const Encoding* encoding = find_encoding(text[0]);
  if (encoding == nullptr) return bad_text("the prefix is unknown");
  text.remove_prefix(1);
  return encoding->bits > 0 ? decode_bits(*encoding, text) : decode_positional(*encoding, text);
}

}  // namespace codio::content_id
