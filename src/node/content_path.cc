#include "node/content_path.h"

#include <algorithm>

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
  if (!root) return std::unexpected(root.error());
  ContentPath path{*std::move(root), {}};
  while (!text.empty()) {
    if (const std::string_view name = next_name(); !name.empty()) path.names.emplace_back(name);
  }
  return path;
}

}  // namespace codio::node
