#include "node/web_files.h"

#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "content_id/multibase.h"
#include "node/embedded_files.h"
#include "node/hash.h"

namespace codio::node {
namespace {

/// Characters of a hash that tell the versions of a file apart.
constexpr std::size_t kHashSize = 32;

std::string hash_of(BytesView bytes) {
  return content_id::multibase_encode(content_id::Multibase::kBase16, sha256(bytes)).substr(1, kHashSize);
}

Bytes read(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(stream), {});
}

}  // namespace

std::shared_ptr<const WebFile> WebFiles::find(std::string_view path) const {
  if (path.find("..") != path.npos || !path.starts_with('/')) return nullptr;
  const std::string name = path.starts_with("/pkg/") ? std::string(path.substr(1))
                           : path == "/"             ? "demo/index.html"
                                                     : "demo" + std::string(path);
  return folder_.empty() ? find_embedded(name) : find_in_folder(name);
}

std::shared_ptr<const WebFile> WebFiles::find_embedded(const std::string& name) const {
  const auto files = embedded_files();
  const auto found = std::ranges::find(files, name, &EmbeddedFile::name);
  if (found == files.end()) return nullptr;
  const std::lock_guard lock(mutex_);
  Kept& kept = kept_[name];
  if (!kept.file)
    kept.file = std::make_shared<WebFile>(
        WebFile{.bytes = found->bytes, .gzip = found->gzip, .brotli = found->brotli, .hash = hash_of(found->bytes)});
  return kept.file;
}

std::shared_ptr<const WebFile> WebFiles::find_in_folder(const std::string& name) const {
  const auto path = folder_ / name;
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return nullptr;
  const Version version{std::filesystem::file_size(path, error), std::filesystem::last_write_time(path, error)};
  const std::lock_guard lock(mutex_);
  Kept& kept = kept_[name];
  if (kept.file && kept.version == version) return kept.file;
  auto file = std::make_shared<WebFile>();
  file->bytes = file->read.emplace_back(read(path));
  file->hash = hash_of(file->bytes);
  const auto compressed = [&](std::string_view extension) -> BytesView {
    std::filesystem::path beside = path;
    beside += extension;
    if (std::filesystem::last_write_time(beside, error) < version.changed) return {};
    return file->read.emplace_back(read(beside));
  };
  file->gzip = compressed(".gz");
  file->brotli = compressed(".br");
  kept = {version, std::move(file)};
  return kept.file;
}

}  // namespace codio::node
