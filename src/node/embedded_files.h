// The table that cmake/embed.cmake makes of build/browser.
#pragma once

#include <span>
#include <string_view>

#include "common/bytes.h"

namespace codio::node {

struct EmbeddedFile {
  std::string_view name;  ///< Below build/browser.
  BytesView bytes;
  BytesView gzip;  ///< The same, compressed when it was built; empty if it was not.
  BytesView brotli;
};

std::span<const EmbeddedFile> embedded_files();

}  // namespace codio::node
