// A site's _redirects file. https://specs.ipfs.tech/http-gateways/web-redirects-file/
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace codio::web {

inline constexpr std::string_view kRedirectsFile = "_redirects";
inline constexpr std::size_t kMaxRedirects = 64 * 1024;  ///< Bytes of the file.

class Redirects {
 public:
  /// kMalformed or kTooLarge with the sentence that the site's author needs.
  static Result<Redirects> parse(std::string_view text);

  struct Rewrite {
    int status;      ///< 200: show `to`; 3xx: go there; 404, 410, 451: show `to`, with this status.
    std::string to;  ///< A path, encoded, or of 3xx a URL.
  };
  /// The first rule that matches the decoded names of a path that does not exist.
  std::optional<Rewrite> find(const std::vector<std::string>& names) const;

 private:
  struct Rule {
    std::vector<std::string> from;  ///< Segments; `:name` matches one, a last `*` the rest.
    std::string to;
    int status;
  };
  std::vector<Rule> rules_;
};

}  // namespace codio::web
