// Reading content for an answer: from the store, and by a pull where it is not there.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
#include <boost/asio/awaitable.hpp>

#include "common/result.h"
#include "content_id/unixfs/traversal.h"
#include "node/block_cache.h"
#include "node/puller.h"
#include "node/signal.h"

namespace codio::node {

/// Of one answer, on one thread, which blocks on the disk. Keeps the last block that it read: what a path leads to is
/// read once more when it is shown.
class ContentReader {
 public:
  /// `puller` null: what is not in the store is kNotFound.
  ContentReader(BlockCache& store, std::shared_ptr<Puller> puller, const boost::asio::any_io_executor& executor);

  /// What is going to be read: fetched ahead, from the first block on that is not here. Ends the plan before. `root` is
  /// what was asked for, whatever below it is read: providers announce no more than that.
  void plan(const content_id::ContentId& root, const content_id::unixfs::TraversalOptions& what);

  /// The same of a file's bytes that are going to be read by next_segment(). They are fetched in slices: a client that
  /// reads slowly has no more fetched than 1.5 * kSlice ahead of it. The walk is to have the window kWindow.
  void plan_file(const content_id::ContentId& root, const std::vector<std::string>& path,
                 content_id::unixfs::ByteRange range);

  boost::asio::awaitable<Result<SharedBytes>> block(content_id::ContentId cid);
  /// What the path leads to. It is planned so.
  boost::asio::awaitable<Result<content_id::unixfs::Entity>> entity(content_id::ContentId root,
                                                                    std::vector<std::string> path);
  /// … without a path, and as part of the plan that there is.
  boost::asio::awaitable<Result<content_id::unixfs::Entity>> entity_of(content_id::ContentId cid);
  /// The first bytes of the file that the path leads to. It is planned so.
  boost::asio::awaitable<Result<Bytes>> bytes(content_id::ContentId root, std::vector<std::string> path,
                                              std::uint64_t most);
  boost::asio::awaitable<Result<std::optional<content_id::unixfs::Segment>>> next_segment(
      content_id::unixfs::Traversal& traversal);
  boost::asio::awaitable<Result<std::optional<content_id::unixfs::DirectoryEntry>>> next_entry(
      content_id::unixfs::Traversal& traversal);

  /// Several windows of a fast and long line.
  static constexpr std::uint64_t kSlice = std::uint64_t{32} << 20;
  /// Nothing is asked for before it is next: an inner node may be of a slice that is not begun.
  static constexpr std::uint64_t kWindow = 1;

  /// Whether the last failure was that a block could not be had, and not that a path does not exist.
  bool is_missing() const { return is_missing_; }

 private:
  boost::asio::awaitable<Result<content_id::unixfs::Entity>> walk(content_id::unixfs::Traversal traversal);
  /// Feeds the walk until `poll()` gives something, which is returned, or it wants nothing more. One coroutine for all
  /// blocks that are here.
  template <class Poll>
  boost::asio::awaitable<Result<std::invoke_result_t<Poll>>> feed(content_id::unixfs::Traversal& traversal, Poll poll);
  /// A block that is not here: by a pull.
  boost::asio::awaitable<Result<SharedBytes>> fetch(content_id::ContentId cid);
  /// Begins the pull of what is planned, or of its next slice; false if there is nothing more to begin.
  Result<bool> begin_pull();
  /// Ends the pulls of what was read, and begins the next slice in time.
  void move_on(std::uint64_t offset);
  /// From the store, or nothing.
  Result<std::optional<SharedBytes>> load(const content_id::ContentId& cid);

  BlockCache& store_;
  std::shared_ptr<Puller> puller_;
  std::optional<std::pair<content_id::ContentId, SharedBytes>> last_;
  std::optional<std::pair<content_id::ContentId, content_id::unixfs::TraversalOptions>> plan_;
  bool is_missing_ = false;
  boost::asio::any_io_executor executor_;
  std::optional<Signal> signal_;  ///< Once something is pulled.
  struct Slice {
    std::uint64_t end;  ///< In the file; of what is not read in slices, as far as there can be.
    std::unique_ptr<Puller::Pull> pull;
  };
  std::deque<Slice> slices_;
  Puller::Turn turn_ = Puller::Turn::kFirst;
  std::uint64_t slice_ = 0;  ///< Of the plan.
  std::uint64_t begun_ = 0;  ///< Of the plan's bytes: where the next slice begins.
};

}  // namespace codio::node
