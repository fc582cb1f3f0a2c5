#include "node/content_path.h"

#include <algorithm>
#include <charconv>

namespace codio::node {

Result<ContentPath> parse_content_path(std::string_view text) {
  for (const std::string_view prefix : {"/ipfs/", "codio://"}) {
    if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
  }
  const auto next_name = [&] {
    const std::size_t end = std::min(text.find('/'), text.size());
    const std::string_view name = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return name;
  };
  const std::string_view cid = next_name();
  auto root = content_id::ContentId::parse(cid);
  if (!root) return fail(root.error().code, "'" + std::string(cid) + "' is not a CID: " + root.error().message);
  ContentPath path{*std::move(root), {}};
  while (!text.empty()) {
    if (const std::string_view name = next_name(); !name.empty()) path.names.emplace_back(name);
  }
  return path;
}

Result<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char value = static_cast<unsigned char>(text[i]);
    if (text[i] == '%') {
      const std::string_view digits = text.substr(i + 1, 2);
      const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
      if (digits.size() != 2 || read.ptr != digits.data() + 2)
        return fail(ErrorCode::kMalformed, "bad percent-encoding");
      i += 2;
    }
    if (value == 0) return fail(ErrorCode::kMalformed, "NUL in a path");
    decoded.push_back(static_cast<char>(value));
  }
  return decoded;
}

}  // namespace codio::node
