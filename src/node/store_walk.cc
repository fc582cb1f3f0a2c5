#include "node/store_walk.h"

#include <utility>

namespace codio::node {

using content_id::ContentId;
namespace unixfs = content_id::unixfs;

StoreWalk::StoreWalk(const store::BlockStore& store, const ContentId& root, unixfs::TraversalOptions options)
    : store_(store), root_(root), traversal_(root, std::move(options)) {}

Result<std::optional<LinkedBlock>> StoreWalk::next_block() {
  if (traversal_.error()) return std::unexpected(*traversal_.error());
  const auto wants = traversal_.poll_wants(1);
  if (wants.empty()) return std::nullopt;
  auto block = store_.get(wants.front());
  if (!block) return std::unexpected(block.error());
  if (!*block) {
    std::string message = "block " + wants.front().to_string() + " is not in the store";
    if (wants.front() != root_) message += ", so that " + root_.to_string() + " is not whole";
    return fail(ErrorCode::kNotFound, std::move(message));
  }
  if (auto handled = traversal_.handle_block(wants.front(), **block); !handled) return std::unexpected(handled.error());
  return LinkedBlock{wants.front(), **std::move(block)};
}

Result<unixfs::Entity> StoreWalk::entity() {
  while (!traversal_.entity()) {
    const auto block = next_block();
    if (!block) return std::unexpected(block.error());
    if (!*block && !traversal_.entity())
      return fail(ErrorCode::kUnsupported, root_.to_string() + " is no UnixFS entity");
  }
  return *traversal_.entity();
}

Result<std::optional<unixfs::Segment>> StoreWalk::next_segment() {
  for (;;) {
    if (auto segment = traversal_.poll_segment()) return segment;
    const auto block = next_block();
    if (!block) return std::unexpected(block.error());
    if (!*block) return traversal_.poll_segment();
  }
}

Result<std::optional<unixfs::DirectoryEntry>> StoreWalk::next_entry() {
  for (;;) {
    if (auto entry = traversal_.poll_entry()) return entry;
    const auto block = next_block();
    if (!block) return std::unexpected(block.error());
    if (!*block) return traversal_.poll_entry();
  }
}

}  // namespace codio::node
