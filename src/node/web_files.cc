#include "node/web_files.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <utility>

#include "node/embedded_files.h"

namespace codio::node {

std::optional<SharedBytes> WebFiles::find(std::string_view path) const {
  if (path.find("..") != path.npos || !path.starts_with('/')) return std::nullopt;
  const std::string name = path.starts_with("/pkg/") ? std::string(path.substr(1))
                           : path == "/"             ? "demo/index.html"
                                                     : "demo" + std::string(path);
  if (!folder_.empty()) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(folder_ / name, error)) return std::nullopt;
    std::ifstream file(folder_ / name, std::ios::binary);
    return share(Bytes{std::istreambuf_iterator<char>(file), {}});
  }
  const auto files = embedded_files();
  const auto found = std::find_if(files.begin(), files.end(), [&](const auto& file) { return file.name == name; });
  if (found == files.end()) return std::nullopt;
  return share(Bytes(found->bytes.begin(), found->bytes.end()));
}

std::string_view content_type_of(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 36> kTypes{{
      {"aac", "audio/aac"},
      {"avif", "image/avif"},
      {"bin", "application/octet-stream"},
      {"bmp", "image/bmp"},
      {"css", "text/css; charset=utf-8"},
      {"csv", "text/csv; charset=utf-8"},
      {"gif", "image/gif"},
      {"gz", "application/gzip"},
      {"htm", "text/html; charset=utf-8"},
      {"html", "text/html; charset=utf-8"},
      {"ico", "image/x-icon"},
      {"jpeg", "image/jpeg"},
      {"jpg", "image/jpeg"},
      {"js", "text/javascript; charset=utf-8"},
      {"json", "application/json"},
      {"m4a", "audio/mp4"},
      {"md", "text/markdown; charset=utf-8"},
      {"mjs", "text/javascript; charset=utf-8"},
      {"mov", "video/quicktime"},
      {"mp3", "audio/mpeg"},
      {"mp4", "video/mp4"},
      {"ogg", "audio/ogg"},
      {"ogv", "video/ogg"},
      {"opus", "audio/ogg"},
      {"otf", "font/otf"},
      {"pdf", "application/pdf"},
      {"png", "image/png"},
      {"svg", "image/svg+xml"},
      {"ttf", "font/ttf"},
      {"txt", "text/plain; charset=utf-8"},
      {"wasm", "application/wasm"},
      {"wav", "audio/wav"},
      {"webm", "video/webm"},
      {"webp", "image/webp"},
      {"woff2", "font/woff2"},
      {"zip", "application/zip"},
  }};
  const std::size_t dot = name.rfind('.');
  if (dot == name.npos) return "application/octet-stream";
  std::string extension(name.substr(dot + 1));
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const auto found =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& type) { return type.first == extension; });
  return found == kTypes.end() ? "application/octet-stream" : found->second;
}

}  // namespace codio::node
