#include "webrtc/fingerprint.h"

#include <algorithm>
#include <optional>
#include <string>

namespace codio::webrtc {
namespace {

constexpr std::string_view kWord = "fingerprint";
constexpr std::string_view kLine = "a=fingerprint:sha-256 ";

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// Nothing: no hexadecimal digit.
std::optional<std::uint8_t> digit_of(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  return std::nullopt;
}

/// `xx:xx:…`, and then the line's end.
std::optional<Fingerprint> read(std::string_view text) {
  Fingerprint fingerprint;
  for (std::size_t i = 0; i < fingerprint.size(); ++i) {
    if (i > 0) {
      if (!text.starts_with(':')) return std::nullopt;
      text.remove_prefix(1);
    }
    const auto high = text.size() < 2 ? std::nullopt : digit_of(text[0]);
    const auto low = text.size() < 2 ? std::nullopt : digit_of(text[1]);
    if (!high || !low) return std::nullopt;
    fingerprint[i] = static_cast<std::uint8_t>(*high << 4 | *low);
    text.remove_prefix(2);
  }
  if (text.starts_with('\r')) text.remove_prefix(1);
  return text.empty() || text.starts_with('\n') ? std::optional(fingerprint) : std::nullopt;
}

}  // namespace

Result<Fingerprint> fingerprint_of(std::string_view sdp) {
  std::string text(sdp);
  std::ranges::transform(text, text.begin(), to_lower);
  const std::string_view all = text;
  std::optional<Fingerprint> found;
  for (std::size_t at = all.find(kWord); at != all.npos; at = all.find(kWord, at + 1)) {
    const std::size_t begin = at < 2 ? 0 : at - 2;
    const bool is_line = all.substr(begin).starts_with(kLine) && (begin == 0 || all[begin - 1] == '\n');
    const auto fingerprint = is_line ? read(all.substr(begin + kLine.size())) : std::nullopt;
    if (!fingerprint || (found && *found != *fingerprint)) {
      return fail(ErrorCode::kMalformed, "a description has a fingerprint that is not SHA-256, or two that differ");
    }
    found = fingerprint;
  }
  if (!found) return fail(ErrorCode::kMalformed, "a description has no fingerprint");
  return *found;
}

}  // namespace codio::webrtc
