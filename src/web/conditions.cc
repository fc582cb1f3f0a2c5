#include "web/conditions.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace codio::web {
namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string_view opaque(std::string_view tag) { return tag.starts_with("W/") ? tag.substr(2) : tag; }

/// Of more digits than fit, the largest number: a range may end anywhere behind the file.
std::optional<std::uint64_t> number(std::string_view digits) {
  if (digits.empty() || !std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  std::uint64_t value = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return read.ec == std::errc() ? value : std::numeric_limits<std::uint64_t>::max();
}

}  // namespace

bool matches_any(std::string_view list, std::string_view etag) {
  if (trim(list) == "*") return true;
  while (!(list = trim(list)).empty()) {
    // A tag is in quotes, in which commas are allowed.
    const std::size_t open = list.find('"');
    const std::size_t close = open == std::string_view::npos ? std::string_view::npos : list.find('"', open + 1);
    if (close == std::string_view::npos) return false;
    if (trim(list.substr(0, close + 1)) == etag || opaque(trim(list.substr(0, close + 1))) == opaque(etag)) return true;
    list.remove_prefix(close + 1);
    list = trim(list);
    if (list.starts_with(',')) list.remove_prefix(1);
  }
  return false;
}

Selection select(const Request& request, std::string_view etag, std::uint64_t size) {
  if (!request.if_none_match.empty() && matches_any(request.if_none_match, etag)) return {304, {0, 0}};
  const Selection all{200, {0, size}};
  std::string_view text = trim(request.range);
  constexpr std::string_view kUnit = "bytes=";
  if (request.is_head || !text.starts_with(kUnit) || text.find(',') != std::string_view::npos) return all;
  // Strongly compared; a date never holds, as nothing here has one.
  if (!request.if_range.empty() && trim(request.if_range) != etag) return all;
  text = trim(text.substr(kUnit.size()));
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return all;
  const auto first = number(text.substr(0, dash));
  const auto last = number(text.substr(dash + 1));
  const bool is_suffix = dash == 0;
  if ((is_suffix && !last) || (!is_suffix && !first) || (!last && dash + 1 < text.size())) return all;
  if (is_suffix) {
    if (*last == 0 || size == 0) return {416, {0, 0}};
    return {206, {size - std::min(*last, size), size}};
  }
  if (last && *last < *first) return all;
  if (*first >= size) return {416, {0, 0}};
  return {206, {*first, last ? std::min(*last, size - 1) + 1 : size}};
}

std::string content_range(const Selection& selection, std::uint64_t size) {
  if (selection.status == 416) return "bytes */" + std::to_string(size);
  return "bytes " + std::to_string(selection.bytes.begin) + "-" + std::to_string(selection.bytes.end - 1) + "/" +
         std::to_string(size);
}

}  // namespace codio::web
