// What must not be served: lists in the compact denylist format, such as badbits.
// https://specs.ipfs.tech/ipips/ipip-0383/
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"

namespace codio::web {

/// Rules by content: `/ipfs/CID` and `/ipfs/CID/*` (whatever CID of the same hash), `/ipfs/CID/PATH`, with a last `*`
/// all that begin so; `//HASH`, the SHA-256 in hex of "CIDv1/PATH" (badbits); `!` before a rule takes one of the lines
/// above it back. `/ipns/…` and other rules are skipped and counted. A hint `gateway_status=451` makes it 451: of the
/// rule, or in the header for all.
class DenyList {
 public:
  /// kMalformed names the line.
  static Result<DenyList> parse(std::string_view text);
  /// Adds the rules of another list.
  void merge(DenyList other);

  using Sha256 = content_id::Digest256 (*)(BytesView);
  /// 410 or 451 if a block is denied wherever it stands. `sha256` is asked for only if there are hashed rules.
  std::optional<int> denied_block(const content_id::ContentId& cid, Sha256 sha256) const;
  /// … or if that path in that content is.
  std::optional<int> denied_path(const content_id::ContentId& root, const std::vector<std::string>& names,
                                 Sha256 sha256) const;
  std::size_t size() const { return blocks_.size() + paths_.size() + hashed_.size(); }
  std::size_t skipped() const { return skipped_; }

 private:
  struct PathRule {
    std::string path;  ///< "a/b", decoded.
    bool is_prefix;
    int status;  ///< 0: allowed.
  };
  std::map<std::string, int, std::less<>> blocks_;  ///< By multihash.
  std::multimap<std::string, PathRule, std::less<>> paths_;
  std::map<std::string, int, std::less<>> hashed_;
  std::size_t skipped_ = 0;
};

}  // namespace codio::web
