// URLs as requests have them. RFC 3986.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"

namespace codio::web {

/// Undoes percent-encoding; kMalformed for a bad escape or a NUL.
Result<std::string> percent_decode(std::string_view text);

/// What a name must be in a path: all but unreserved characters, sub-delims, ":" and "@" is escaped.
std::string percent_encode(std::string_view name);

/// A request's target: a path, as it was sent, and parameters.
struct Target {
  std::string_view path;
  std::string_view query;

  /// Also takes the absolute form that proxies send: the scheme and the authority are left out.
  explicit Target(std::string_view text);
  /// The first value of that name, decoded (`+` is a space); nothing if there is none or its escapes are bad.
  std::optional<std::string> parameter(std::string_view name) const;
};

/// Text that means itself in HTML, in attributes too.
std::string html_escape(std::string_view text);

}  // namespace codio::web
