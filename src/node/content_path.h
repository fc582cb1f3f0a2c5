// `CID[/path]` as people and URLs write it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "content_id/cid.h"

namespace codio::node {

struct ContentPath {
  content_id::ContentId root;
  std::vector<std::string> names;
};

/// Reads `CID`, `CID/a/b`, `/ipfs/CID/a` or `codio://CID/a`. Empty names (as in `a//b`) are dropped.
Result<ContentPath> parse_content_path(std::string_view text);

}  // namespace codio::node
