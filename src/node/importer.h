// Bringing files, directories and symlinks of the file system into a store, as `ipfs add` does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "common/result.h"
#include "content_id/unixfs/builder.h"
#include "store/block_store.h"

namespace codio::node {

struct ImportOptions {
  content_id::unixfs::Profile profile = content_id::unixfs::kUnixfsV1_2025;
  bool hidden = false;  ///< Also names that begin with a dot.
  /// Store where the files' bytes are, not the bytes. Needs a profile with raw leaves.
  bool by_reference = false;
  /// File bytes read so far, in all; called on the importing thread, at most once a megabyte.
  std::function<void(std::uint64_t bytes)> on_progress;
  /// Something was left out: a socket, a device.
  std::function<void(const std::string& message)> on_warning;
};

/// Imports `path` and all below it. `store` may be null: then only the CID is computed. Hashes on as many threads as
/// there are cores; memory: a few megabytes a core. The blocks are in the store when it returns, but safe from a power
/// loss only after BlockStore::add_root() or sync(), and from a collection only under a hold. kUnavailable if a file
/// changes while it is read by reference.
Result<content_id::unixfs::Link> import_path(const std::filesystem::path& path, store::BlockStore* store,
                                             const ImportOptions& options);

/// File bytes below `path`, for a progress bar; what cannot be read counts 0.
std::uint64_t size_of(const std::filesystem::path& path);

}  // namespace codio::node
