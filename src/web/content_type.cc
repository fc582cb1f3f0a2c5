#include "web/content_type.h"

#include <algorithm>
#include <array>
#include <utility>

namespace codio::web {
namespace {

struct Magic {
  std::size_t at;
  std::string_view bytes;
  std::string_view type;
};

using namespace std::string_view_literals;

constexpr std::array kMagic{
    Magic{0, "\x89PNG\r\n\x1a\n"sv, "image/png"},
    Magic{0, "\xff\xd8\xff"sv, "image/jpeg"},
    Magic{0, "GIF87a"sv, "image/gif"},
    Magic{0, "GIF89a"sv, "image/gif"},
    Magic{8, "WEBP"sv, "image/webp"},
    Magic{0, "BM"sv, "image/bmp"},
    Magic{4, "ftypavif"sv, "image/avif"},
    Magic{4, "ftypM4A"sv, "audio/mp4"},
    Magic{4, "ftypqt"sv, "video/quicktime"},
    Magic{4, "ftyp"sv, "video/mp4"},
    Magic{0, "\x1a\x45\xdf\xa3"sv, "video/webm"},
    Magic{0, "OggS"sv, "application/ogg"},
    Magic{0, "fLaC"sv, "audio/flac"},
    Magic{0, "ID3"sv, "audio/mpeg"},
    Magic{8, "WAVE"sv, "audio/wav"},
    Magic{0, "%PDF-"sv, "application/pdf"},
    Magic{0, "PK\x03\x04"sv, "application/zip"},
    Magic{0, "\x1f\x8b"sv, "application/gzip"},
    Magic{0, "\0asm"sv, "application/wasm"},
    Magic{0, "wOFF"sv, "font/woff"},
    Magic{0, "wOF2"sv, "font/woff2"},
    Magic{257, "ustar"sv, "application/x-tar"},
};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool starts_with_tag(std::string_view text, std::string_view tag) {
  return text.size() > tag.size() && std::ranges::equal(text.substr(0, tag.size()), tag, {}, lower) &&
         (text[tag.size()] == ' ' || text[tag.size()] == '>' || text[tag.size()] == '\n');
}

}  // namespace

std::string_view content_type_of(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 45> kTypes{{
      {"aac", "audio/aac"},
      {"avif", "image/avif"},
      {"bin", "application/octet-stream"},
      {"bmp", "image/bmp"},
      {"css", "text/css; charset=utf-8"},
      {"csv", "text/csv; charset=utf-8"},
      {"flac", "audio/flac"},
      {"gif", "image/gif"},
      {"gz", "application/gzip"},
      {"htm", "text/html; charset=utf-8"},
      {"html", "text/html; charset=utf-8"},
      {"ico", "image/x-icon"},
      {"jpeg", "image/jpeg"},
      {"jpg", "image/jpeg"},
      {"js", "text/javascript; charset=utf-8"},
      {"json", "application/json"},
      {"m3u8", "application/vnd.apple.mpegurl"},
      {"m4a", "audio/mp4"},
      {"md", "text/markdown; charset=utf-8"},
      {"mjs", "text/javascript; charset=utf-8"},
      {"mkv", "video/x-matroska"},
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
      {"tar", "application/x-tar"},
      {"ts", "video/mp2t"},
      {"ttf", "font/ttf"},
      {"txt", "text/plain; charset=utf-8"},
      {"vtt", "text/vtt; charset=utf-8"},
      {"wasm", "application/wasm"},
      {"wav", "audio/wav"},
      {"webm", "video/webm"},
      {"webp", "image/webp"},
      {"woff", "font/woff"},
      {"woff2", "font/woff2"},
      {"xhtml", "application/xhtml+xml"},
      {"xml", "application/xml"},
      {"zip", "application/zip"},
  }};
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {};
  std::string extension(name.substr(dot + 1));
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const auto found =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& type) { return type.first == extension; });
  return found == kTypes.end() ? std::string_view() : found->second;
}

std::string_view sniff_content_type(BytesView beginning) {
  std::string_view text(reinterpret_cast<const char*>(beginning.data()), std::min(beginning.size(), kSniffed));
  for (const Magic& magic : kMagic) {
    if (text.size() > magic.at && text.substr(magic.at).starts_with(magic.bytes)) return magic.type;
  }
  const bool is_binary = std::ranges::any_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r' && byte != '\f' && byte != 0x1b;
  });
  if (is_binary) return "application/octet-stream";
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  for (const std::string_view tag :
       {"<!doctype html", "<html", "<head", "<body", "<script", "<h1", "<table", "<title"}) {
    if (starts_with_tag(text, tag)) return "text/html; charset=utf-8";
  }
  if (text.starts_with("<svg")) return "image/svg+xml";
  if (text.starts_with("<?xml")) return "application/xml";
  return "text/plain; charset=utf-8";
}

bool is_compressible(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  static constexpr std::array kCompressible{"application/json"sv, "application/wasm"sv, "application/xml"sv};
  return type.starts_with("text/") || type.ends_with("+xml") || type.ends_with("+json") ||
         std::ranges::find(kCompressible, type) != kCompressible.end();
}

}  // namespace codio::web
