// What several commands do with the store.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
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

/// What a walk over all below a root met.
struct Reach {
  std::uint64_t blocks = 0;   ///< Here. What stands in several places may count more than once.
  std::uint64_t missing = 0;  ///< Not here, or an inner node that cannot be read: nobody knows what is below.
};

/// Tells of a block on the walk; an error ends it.
using BlockVisitor = std::function<Result<void>(const content_id::ContentId&)>;

/// Touches every block below the root, without reading the files' leaves, and tells of each whether it is here or
/// missing. An error is the store's, the DAG's, or a visitor's.
Result<Reach> touch_all(const store::BlockStore& store, const content_id::ContentId& root,
                        const BlockVisitor& on_here = {}, const BlockVisitor& on_missing = {});

/// Bytes of a range as HTTP has it: `A-B` (both inclusive), `A-`, or `-N`, the last N.
struct RangeText {
  std::optional<std::uint64_t> first;
  std::optional<std::uint64_t> last;  ///< Without `first`: how many at the end.

  static Result<RangeText> parse(const std::string& text);
  /// In a file of `size` bytes. kNotFound if it begins past the end.
  Result<content_id::unixfs::ByteRange> of(std::uint64_t size) const;
};

}  // namespace codio::cli
