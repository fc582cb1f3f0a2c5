// What kind of file it is.
#pragma once

#include <string>
#include <string_view>

#include "common/bytes.h"

namespace codio::web {

/// By a file name's extension; empty if that is not known.
std::string_view content_type_of(std::string_view name);

/// How many of a file's first bytes sniff_content_type() looks at.
inline constexpr std::size_t kSniffed = 512;

/// By a file's first bytes; application/octet-stream if they tell nothing, text/plain if they are text.
std::string_view sniff_content_type(BytesView beginning);

/// Whether gzip makes files of that type much smaller: text, and what is like it.
bool is_compressible(std::string_view content_type);

}  // namespace codio::web
