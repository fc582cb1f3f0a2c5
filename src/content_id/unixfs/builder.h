// Turning files, directories and symlinks into UnixFS DAGs, exactly as `ipfs add` does under the profiles of IPIP-499.
//
// Builders do not hash: they give out blocks and take digests back, in any order, so that a host can hash on several
// threads (OpenSSL) or asynchronously (WebCrypto).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "common/strong.h"
#include "content_id/cid.h"

namespace codio::content_id::unixfs {

/// The parameters that decide a file's CID. https://specs.ipfs.tech/ipips/ipip-0499/
struct Profile {
  std::string_view name;
  int cid_version;
  std::uint32_t chunk_size;
  std::uint32_t width;  ///< Links of one inner node.
  bool raw_leaves;
  std::uint32_t hamt_threshold;                                     ///< A directory over this size is sharded.
  enum class HamtSize : std::uint8_t { kLinks, kBlock } hamt_size;  ///< What is compared with the threshold.
};

inline constexpr Profile kUnixfsV1_2025{"unixfs-v1-2025", 1, 1'048'576, 1024, true, 262'144, Profile::HamtSize::kBlock};
inline constexpr Profile kUnixfsV0_2015{"unixfs-v0-2015", 0, 262'144, 174, false, 262'144, Profile::HamtSize::kLinks};

/// The profile of that name, or nothing.
std::optional<Profile> find_profile(std::string_view name);

/// What a parent says about a child.
struct Link {
  std::string name;
  ContentId cid;
  std::uint64_t cumulative_size;  ///< Tsize: the block and all below it.
  std::uint64_t file_size = 0;    ///< File bytes below it; 0 of directories and symlinks.
};

struct PendingBlockTag;
using PendingBlockId = Id<PendingBlockTag>;

/// A block whose SHA-256 the builder needs.
struct PendingBlock {
  PendingBlockId id;
  SharedBytes bytes;
};

/// Builds one balanced file. Grammar: append() and finish(), poll_block() until it returns nothing, handle_digest() for
/// each block, until root(). Memory: one chunk, the links of one inner node a level, and the blocks not yet hashed.
class FileBuilder {
 public:
  explicit FileBuilder(Profile profile);

  void append(BytesView bytes);
  void finish();  ///< After the last append(); required.

  std::optional<PendingBlock> poll_block();
  /// The CID under which the block of `id` is to be stored. Each id once; a wrong id aborts.
  ContentId handle_digest(PendingBlockId id, const Digest256& sha256);

  /// Once every digest is in after finish().
  std::optional<Link> root() const;
};

/// Builds one directory, basic or HAMT as its size demands, from its complete entries (any order; duplicate names
/// abort). Same grammar as FileBuilder without append().
class DirectoryBuilder {
 public:
  DirectoryBuilder(Profile profile, std::vector<Link> entries);

  std::optional<PendingBlock> poll_block();
  ContentId handle_digest(PendingBlockId id, const Digest256& sha256);
  std::optional<Link> root() const;
};

/// The one block of a symlink; its CID is dag-pb, in the profile's CID version.
Bytes encode_symlink(std::string_view target);

}  // namespace codio::content_id::unixfs
