// What several commands do with the store.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "cli/options.h"
#include "common/result.h"
#include "content_id/cid.h"
#include "store/block_store.h"

namespace codio::cli {

/// For store::Root::added.
std::uint64_t seconds_since_1970();

/// Imports the path and records its root; with a null `store` only the CID is computed. `show_progress`: on a terminal.
Result<store::Root> add_path(const std::filesystem::path& path, store::BlockStore* store, const AddOptions& options,
                             bool show_progress);

/// Equal for all CIDs that name one block of the store, which goes by the multihash.
content_id::ContentId block_key(const content_id::ContentId& cid);

/// The blocks below a root that the store has.
struct Survey {
  /// Sizes by block_key().
  std::map<content_id::ContentId, std::uint64_t> blocks;
  std::uint64_t bytes = 0;
  bool is_whole = true;
  std::optional<Error> error;  ///< Why the walk ended early: the DAG is malformed, or over a limit.
};

/// Goes on where blocks are missing. Does not read the files' leaves. An error is the store's.
Result<Survey> survey(const store::BlockStore& store, const content_id::ContentId& root);

/// Bytes of a range as HTTP has it: `A-B` (both inclusive), `A-`, or `-N`, the last N.
struct RangeText {
  std::optional<std::uint64_t> first;
  std::optional<std::uint64_t> last;  ///< Without `first`: how many at the end.

  static Result<RangeText> parse(const std::string& text);
  /// In a file of `size` bytes. kNotFound if it begins past the end.
  Result<content_id::unixfs::ByteRange> of(std::uint64_t size) const;
};

}  // namespace codio::cli
