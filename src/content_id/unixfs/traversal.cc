#include "content_id/unixfs/traversal.h"

#include <string_view>
#include <utility>

#include "common/check.h"
#include "common/concat.h"
#include "content_id/unixfs/dag_walk.h"
#include "content_id/unixfs/file_walk.h"
#include "content_id/unixfs/node.h"

namespace codio::content_id::unixfs {
namespace {

/// Browsers only read files (src/wasm/abi.h), and do not download what lists directories and walks whole DAGs.
#ifdef __wasm__
constexpr bool kWalksDags = false;
#else
constexpr bool kWalksDags = true;
#endif

EntityType entity_type(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::kFile: return EntityType::kFile;
    case Node::Kind::kSymlink: return EntityType::kSymlink;
    default: return EntityType::kDirectory;
  }
}

}  // namespace

/// First follows the path, block by block; then hands over to the walk that the scope asks for.
class Traversal::Walk {
 public:
  Walk(const ContentId& root, TraversalOptions options) : options_(std::move(options)), root_(root), lineage_{root} {
    if (auto sought = seek(root); !sought) error_ = std::move(sought.error());
  }

  std::vector<ContentId> poll_wants(std::size_t max) {
    std::vector<ContentId> wants;
    if (error_ || max == 0) return wants;
    if (sought_ && !std::exchange(sought_was_asked_, true)) wants.push_back(*sought_);
    if (file_) file_->poll_wants(max, wants);
    if (walks_dag()) dag_->poll_wants(max, wants);
    return wants;
  }

  Result<void> handle_block(const ContentId& cid, const SharedBytes& block) {
    if (error_) return std::unexpected(*error_);
    auto handled = dispatch(cid, block);
    if (!handled) error_.emplace(handled.error());
    return handled;
  }

  std::optional<Segment> poll_segment() { return file_ && !error_ ? file_->poll_segment() : std::nullopt; }
  std::optional<DirectoryEntry> poll_entry() { return walks_dag() && !error_ ? dag_->poll_entry() : std::nullopt; }

  bool finished() const {
    if (error_ || sought_) return false;
    if (walks_dag()) return dag_->finished();
    return !file_ || file_->finished();
  }

  bool asked_all() const {
    if (sought_) return sought_was_asked_;
    if (walks_dag()) return dag_->asked_all();
    return !file_ || file_->asked_all();
  }

  std::uint64_t held() const { return file_ ? file_->held() : 0; }

  const std::optional<Entity>& entity() const { return entity_; }
  const std::optional<Error>& error() const { return error_; }

 private:
  struct DeleteDagWalk {
    void operator()(DagWalk* walk) const {
      if (kWalksDags) delete walk;
    }
  };

  bool walks_dag() const { return kWalksDags && dag_; }

  Result<void> dispatch(const ContentId& cid, const SharedBytes& block) {
    if (file_) return file_->handle_block(cid, block);
    if (walks_dag()) return dag_->handle_block(cid, block);
    if (!sought_ || !sought_was_asked_ || cid != *sought_) return {};
    sought_.reset();
    return handle_path_block(cid, block);
  }

  /// Makes `cid` the next block of the path.
  Result<void> seek(const ContentId& cid) {
    const Multihash& hash = cid.multihash();
    if (hash.code() == HashCode::kIdentity) {
      return handle_path_block(cid, share(Bytes(hash.digest().begin(), hash.digest().end())));
    }
    sought_.emplace(cid);
    sought_was_asked_ = false;
    return {};
  }

  Result<void> handle_path_block(const ContentId& cid, const SharedBytes& block) {
    const auto node = decode_node(cid.codec(), *block);
    if (!node) return fail(node.error().code, place(), node.error().message);
    if (shard_level_ > 0 && node->kind != Node::Kind::kShard) {
      return fail(ErrorCode::kMalformed, place(), "UnixFS: a sub-shard is not a shard");
    }
    return segment_ == options_.path.size() ? enter_entity(cid, *node, block) : follow_path(cid, *node);
  }

  Result<void> follow_path(const ContentId& cid, const Node& node) {
    const std::string& name = options_.path[segment_];
    const auto missing = [&](std::string_view why) {
      return fail(ErrorCode::kNotFound, concat({"there is no \"", name, "\" in ", place(), why}));
    };
    if (cid.codec() != Codec::kDagPb && cid.codec() != Codec::kRaw) {
      return fail(ErrorCode::kUnsupported, concat({place(), " is not UnixFS, so that no path leads through it"}));
    }
    if (node.kind == Node::Kind::kFile) return missing(", which is a file");
    if (node.kind == Node::Kind::kSymlink) return missing(", which is a symlink");
    const DagPbLink* link = find_link(node, name, shard_level_);
    if (link == nullptr) return missing("");
    const bool is_subshard = node.kind == Node::Kind::kShard && entry_name(node, *link)->empty();
    if (is_subshard) {
      ++shard_level_;
    } else {
      ++segment_;
      shard_level_ = 0;
      lineage_.push_back(link->cid);
    }
    return seek(link->cid);
  }

  Result<void> enter_entity(const ContentId& cid, const Node& node, const SharedBytes& block) {
    const bool is_symlink = node.kind == Node::Kind::kSymlink;
    entity_.emplace(Entity{.cid = cid,
                           .type = entity_type(node.kind),
                           .size = node.file_size,
                           .symlink_target = std::string(is_symlink ? as_text(node.content) : std::string_view()),
                           .lineage = std::move(lineage_)});
    if (options_.scope == Scope::kBlock) return {};
    if (options_.scope == Scope::kBytes) {
      if (node.kind != Node::Kind::kFile) {
        return fail(ErrorCode::kUnsupported, concat({place(), " is a ", to_string(node.kind), ", not a file"}));
      }
      file_.emplace(options_.range, options_.window);
      return file_->start(node, block);
    }
    check(kWalksDags);
    const bool list = options_.scope == Scope::kEntity && entity_->type == EntityType::kDirectory;
    dag_.reset(new DagWalk(list ? DagWalk::Follow::kShards : DagWalk::Follow::kEveryLink));
    return dag_->start(cid, node);
  }

  /// How far the path was followed, for messages.
  std::string place() const {
    std::string text = root_.to_string();
    for (std::size_t i = 0; i < segment_; ++i) text = concat({text, "/", options_.path[i]});
    return text;
  }

  TraversalOptions options_;
  ContentId root_;

  std::size_t segment_ = 0;          ///< Names of the path that were followed.
  unsigned shard_level_ = 0;         ///< Below the current directory's root shard.
  std::optional<ContentId> sought_;  ///< The path's next block.
  bool sought_was_asked_ = false;
  std::vector<ContentId> lineage_;  ///< Of entity_, until that is known.

  std::optional<Entity> entity_;
  std::optional<FileWalk> file_;
  std::unique_ptr<DagWalk, DeleteDagWalk> dag_;
  std::optional<Error> error_;
};

Traversal::Traversal(const ContentId& root, TraversalOptions options)
    : walk_(std::make_unique<Walk>(root, std::move(options))) {}
Traversal::Traversal(Traversal&& other) noexcept = default;
Traversal& Traversal::operator=(Traversal&& other) noexcept = default;
Traversal::~Traversal() = default;

std::vector<ContentId> Traversal::poll_wants(std::size_t max) { return walk_->poll_wants(max); }
Result<void> Traversal::handle_block(const ContentId& cid, const SharedBytes& block) {
  return walk_->handle_block(cid, block);
}
std::optional<Segment> Traversal::poll_segment() { return walk_->poll_segment(); }
std::optional<DirectoryEntry> Traversal::poll_entry() { return walk_->poll_entry(); }
const std::optional<Entity>& Traversal::entity() const { return walk_->entity(); }
bool Traversal::asked_all() const { return walk_->error() || walk_->asked_all(); }
std::uint64_t Traversal::held() const { return walk_->held(); }
bool Traversal::finished() const { return walk_->finished(); }
const std::optional<Error>& Traversal::error() const { return walk_->error(); }

}  // namespace codio::content_id::unixfs
