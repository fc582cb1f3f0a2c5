// The browser's files, as the build made them: the demo at `/`, the library below `/pkg/`.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "common/bytes.h"

namespace codio::node {

class WebFiles {
 public:
  /// The files embedded in this program, or instead those of a folder laid out as build/browser is: for development.
  explicit WebFiles(std::filesystem::path folder = {}) : folder_(std::move(folder)) {}

  /// The file for a URL path such as "/" or "/pkg/codio_wasm.js". Thread-safe.
  std::optional<SharedBytes> find(std::string_view path) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace codio::node
