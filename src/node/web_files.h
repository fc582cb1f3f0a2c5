// The browser's files, as the build made them: the demo at `/`, the library below `/pkg/`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"

namespace codio::node {

struct WebFile {
  BytesView bytes;
  BytesView gzip;  ///< The same, compressed when it was built; empty if it was not.
  BytesView brotli;
  std::string hash;              ///< Tells its versions apart.
  std::vector<Bytes> read = {};  ///< What those are of, unless that is in the program.
};

/// Files are read and hashed once, and again when their size or time has changed; what is compressed beside them, in
/// NAME.gz and NAME.br, is taken unless it is older. Thread-safe.
class WebFiles {
 public:
  /// The files embedded in this program, or instead those of a folder laid out as build/browser is: for development.
  explicit WebFiles(std::filesystem::path folder = {}) : folder_(std::move(folder)) {}

  /// The file for a URL path such as "/" or "/pkg/codio_wasm.js"; null: there is none.
  std::shared_ptr<const WebFile> find(std::string_view path) const;

 private:
  struct Version {
    std::uintmax_t size = 0;
    std::filesystem::file_time_type changed = {};
    bool operator==(const Version&) const = default;
  };
  struct Kept {
    Version version;
    std::shared_ptr<const WebFile> file;
  };

  std::shared_ptr<const WebFile> find_embedded(const std::string& name) const;
  std::shared_ptr<const WebFile> find_in_folder(const std::string& name) const;

  const std::filesystem::path folder_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, Kept> kept_;  ///< By name. Only of files that there are.
};

}  // namespace codio::node
