// Tar archives, as POSIX.1-2001 has them: ustar, with pax headers for what does not fit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/bytes.h"

namespace codio::web {

enum class TarType : char { kFile = '0', kSymlink = '2', kDirectory = '5' };

/// What precedes the content of an entry. Times are 0 and modes 0644 or 0755: the same tree is the same archive.
std::string tar_header(TarType type, std::string_view path, std::uint64_t size, std::string_view target = {});
/// The zeros that follow content of that size.
std::size_t tar_padding(std::uint64_t size);
inline constexpr std::size_t kTarEnd = 1024;  ///< Zeros at the end of the archive.

/// `name` below `folder` without "." and "..": nothing if it is not below `root`, or is no name at all.
std::optional<std::string> tar_path(std::string_view root, std::string_view folder, std::string_view name);

}  // namespace codio::web
