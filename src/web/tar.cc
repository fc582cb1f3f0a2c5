#include "web/tar.h"

#include <algorithm>
#include <vector>

namespace codio::web {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kMaxName = 100;
constexpr std::uint64_t kMaxSize = 0x1ffffffff;  ///< Of 11 octal digits.

void put(std::string& header, std::size_t at, std::string_view text) { header.replace(at, text.size(), text); }

std::string octal(std::uint64_t value, std::size_t digits) {
  std::string text(digits, '0');
  for (std::size_t i = digits; i-- > 0 && value > 0; value >>= 3) text[i] = static_cast<char>('0' + (value & 7));
  return text;
}

std::string ustar(char type, std::string_view path, std::uint64_t size, std::string_view target) {
  std::string header(kBlock, '\0');
  put(header, 0, path.substr(0, kMaxName));
  put(header, 100, type == '5' ? "0000755" : "0000644");
  put(header, 108, "0000000");
  put(header, 116, "0000000");
  put(header, 124, octal(std::min(size, kMaxSize), 11));
  put(header, 136, octal(0, 11));
  put(header, 148, "        ");
  header[156] = type;
  put(header, 157, target.substr(0, kMaxName));
  put(header, 257, std::string_view("ustar\00000", 8));
  std::uint64_t sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(header, 148, octal(sum, 6));
  header[154] = '\0';
  return header;
}

/// "LENGTH key=value\n", whose length counts its own digits.
std::string pax_record(std::string_view key, std::string_view value) {
  const std::string rest = " " + std::string(key) + "=" + std::string(value) + "\n";
  std::size_t length = rest.size();
  while (length != rest.size() + std::to_string(length).size()) length = rest.size() + std::to_string(length).size();
  return std::to_string(length) + rest;
}

}  // namespace

std::string tar_header(TarType type, std::string_view path, std::uint64_t size, std::string_view target) {
  std::string name(path);
  if (type == TarType::kDirectory) name += '/';
  std::string records;
  if (name.size() > kMaxName) records += pax_record("path", name);
  if (target.size() > kMaxName) records += pax_record("linkpath", target);
  if (size > kMaxSize) records += pax_record("size", std::to_string(size));
  std::string header;
  if (!records.empty()) {
    header = ustar('x', "pax", records.size(), {}) + records;
    header.append(tar_padding(records.size()), '\0');
  }
  return header + ustar(static_cast<char>(type), name, size, target);
}

std::size_t tar_padding(std::uint64_t size) { return static_cast<std::size_t>((kBlock - size % kBlock) % kBlock); }

std::optional<std::string> tar_path(std::string_view root, std::string_view folder, std::string_view name) {
  if (name.empty() || name.find('\0') != std::string_view::npos) return std::nullopt;
  std::vector<std::string_view> parts;
  const std::string whole = std::string(folder) + "/" + std::string(name);
  for (std::string_view rest = whole; !rest.empty();) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(part);
    } else if (parts.size() > 1) {
      parts.pop_back();
    } else {
      return std::nullopt;
    }
  }
  if (parts.size() < 2 || parts.front() != root) return std::nullopt;
  std::string path;
  for (const std::string_view part : parts) path += (path.empty() ? "" : "/") + std::string(part);
  return path;
}

}  // namespace codio::web
