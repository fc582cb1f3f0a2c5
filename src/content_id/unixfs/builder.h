// Turning files, directories and symlinks into UnixFS DAGs, exactly as `ipfs add` does under the profiles of IPIP-499.
//
// Builders do not hash: they give out blocks and take digests back, in any order, so that a host can hash on several
// threads (OpenSSL) or asynchronously (WebCrypto).
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
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

 private:
  using BranchId = std::uint32_t;

  /// A child of a branch; its digest may come later.
  struct Child {
    std::optional<ContentId> cid;
    std::uint64_t cumulative_size;
    std::uint64_t file_size;
  };
  /// Where a child stands.
  struct Place {
    BranchId branch;
    std::uint32_t index;
  };
  /// An inner node of which not all children, or not all their digests, are there.
  struct Branch {
    std::vector<Child> children;
    std::uint32_t missing_digests = 0;
    std::uint64_t file_size = 0;
    std::optional<Place> place;  ///< Once it takes no more children.
  };
  /// A block given out.
  struct Pending {
    Place place;
    Codec codec;
  };

  void begin_chunk(std::size_t expected);
  void end_chunk();
  /// Adds a child to the open branch of that level, and closes the branch if it is full.
  Place add_child(std::size_t level, std::uint64_t cumulative_size, std::uint64_t file_size);
  void close(std::size_t level);
  /// Gives out the branch's block if it is closed and knows all digests.
  void encode_if_complete(BranchId id);
  void give_out(Place place, Codec codec, Bytes block);

  Profile profile_;
  Bytes chunk_;                   ///< The leaf's block so far: of dag-pb leaves, behind room for their header.
  std::size_t chunk_header_ = 0;  ///< That room.
  bool has_leaf_ = false;
  std::vector<std::optional<BranchId>> open_;  ///< The branch that takes children, by level; leaves' parents first.
  std::map<BranchId, Branch> branches_;
  std::list<PendingBlock> ready_;
  std::map<PendingBlockId, Pending> pending_;
  std::uint32_t next_branch_ = 0;
  std::uint32_t next_block_ = 0;
  std::optional<BranchId> root_;  ///< After finish(): the branch whose only child is the root.
};

/// Builds one directory, basic or HAMT as its size demands, from its complete entries (any order; duplicate names
/// abort). Same grammar as FileBuilder without append() and finish().
class DirectoryBuilder {
 public:
  DirectoryBuilder(Profile profile, std::vector<Link> entries);

  std::optional<PendingBlock> poll_block();
  ContentId handle_digest(PendingBlockId id, const Digest256& sha256);
  std::optional<Link> root() const;

  /// Set from the start if the directory is too large for one block and has names that cannot be told apart by their
  /// hash, as only somebody who looks for them finds: kUnsupported, and there are no blocks and no root.
  const std::optional<Error>& error() const { return error_; }

 private:
  /// What one bucket of a shard holds: an entry or a sub-shard, by index.
  struct Slot {
    std::uint32_t bucket;
    bool is_shard;
    std::size_t index;
  };
  struct Shard {
    std::size_t parent;  ///< Its own index, of the root.
    std::vector<Slot> slots;
    std::size_t missing_digests = 0;
    std::optional<ContentId> cid;
    std::uint64_t cumulative_size = 0;
  };
  struct HashedEntry {
    std::uint64_t hash;
    std::size_t index;
  };

  /// Makes the shard of the entries [begin, end) of `hashed` and all below it; returns its index, or nothing if their
  /// hashes are equal.
  std::optional<std::size_t> make_shard(const std::vector<HashedEntry>& hashed, std::size_t begin, std::size_t end,
                                        unsigned level, std::size_t parent);
  Bytes encode_basic() const;
  void give_out_shard(std::size_t index);

  Profile profile_;
  std::vector<Link> entries_;
  std::vector<Shard> shards_;  ///< The root first; a basic directory is one without slots.
  std::list<PendingBlock> ready_;
  std::optional<Error> error_;
};

/// The one block of a symlink; its CID is dag-pb, in the profile's CID version.
Bytes encode_symlink(std::string_view target);

}  // namespace codio::content_id::unixfs
