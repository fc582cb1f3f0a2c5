// Conditional and range requests. RFC 9110, sections 13 and 14.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "content_id/unixfs/traversal.h"
#include "web/http.h"

namespace codio::web {

/// Whether an If-None-Match list has the tag, compared weakly, or is `*`.
bool matches_any(std::string_view list, std::string_view etag);

/// What of a representation goes out.
struct Selection {
  int status = 200;                     ///< 200, 206, 304 or 416.
  content_id::unixfs::ByteRange bytes;  ///< Of 200 and 206.
};

/// Of a representation of that size and tag. Ranges count in a GET only; several at a time, those of other units and
/// those whose If-Range does not hold are answered with all of it.
Selection select(const Request& request, std::string_view etag, std::uint64_t size);

/// `Content-Range` of a 206 or a 416.
std::string content_range(const Selection& selection, std::uint64_t size);

}  // namespace codio::web
