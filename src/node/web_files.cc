#include "node/web_files.h"

#include <algorithm>
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

}  // namespace codio::node
