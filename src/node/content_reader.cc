#include "node/content_reader.h"

#include <algorithm>
#include <limits>

namespace codio::node {

namespace asio = boost::asio;
namespace unixfs = content_id::unixfs;
using content_id::ContentId;
using unixfs::Scope;

ContentReader::ContentReader(BlockCache& store, std::shared_ptr<Puller> puller, const asio::any_io_executor& executor)
    : store_(store), puller_(std::move(puller)), executor_(executor) {}

void ContentReader::plan(const ContentId& root, const unixfs::TraversalOptions& what) {
  if (!puller_) return;
  slices_.clear();
  slice_ = std::numeric_limits<std::uint64_t>::max();
  begun_ = what.range.begin;
  plan_.emplace(root, what);
}

void ContentReader::plan_file(const ContentId& root, const std::vector<std::string>& path, unixfs::ByteRange range) {
  if (!puller_) return;
  plan(root, {.path = path, .scope = Scope::kBytes, .range = range});
  slice_ = kSlice;
}

Result<bool> ContentReader::begin_pull() {
  unixfs::TraversalOptions what = plan_->second;
  if (begun_ >= what.range.end) return false;
  what.range.begin = begun_;
  if (what.range.end - begun_ > slice_) what.range.end = begun_ + slice_;
  const std::uint64_t end = what.range.end;
  if (!signal_) signal_.emplace(executor_);
  auto pull = puller_->begin(plan_->first, std::move(what), turn_, *signal_);
  if (!pull) return std::unexpected(pull.error());
  begun_ = end;
  turn_ = Puller::Turn::kNext;
  slices_.push_back({end, *std::move(pull)});
  return true;
}

void ContentReader::move_on(std::uint64_t offset) {
  if (slice_ != kSlice) return;
  while (!slices_.empty() && slices_.front().end <= offset) slices_.pop_front();
  if (slices_.empty()) begun_ = std::max(begun_, offset);
  // It is a next turn, which nothing refuses.
  if (slices_.size() == 1 && offset + kSlice / 2 >= slices_.front().end) (void)begin_pull();
}

Result<std::optional<SharedBytes>> ContentReader::load(const ContentId& cid) {
  is_missing_ = false;
  if (last_ && last_->first == cid) return last_->second;
  auto block = store_.get(cid);
  if (block && *block) last_.emplace(cid, **block);
  return block;
}

asio::awaitable<Result<SharedBytes>> ContentReader::block(ContentId cid) {
  auto here = load(cid);
  if (!here) co_return std::unexpected(here.error());
  if (*here) co_return **std::move(here);
  co_return co_await fetch(cid);
}

asio::awaitable<Result<SharedBytes>> ContentReader::fetch(ContentId cid) {
  for (;;) {
    for (const Slice& slice : slices_) slice.pull->expect(cid);
    auto block = load(cid);
    if (!block) co_return std::unexpected(block.error());
    if (*block) co_return **std::move(block);
    if (!puller_ || !plan_) {
      is_missing_ = true;
      co_return fail(ErrorCode::kNotFound, "block " + cid.to_string() + " is not on this node");
    }
    if (slices_.empty()) {
      auto begun = begin_pull();
      if (!begun) co_return std::unexpected(begun.error());
      if (*begun) continue;
      is_missing_ = true;
      co_return fail(ErrorCode::kNotFound, "block " + cid.to_string() + " is not on this node");
    }
    if (auto came = co_await slices_.front().pull->wait(); !came) {
      is_missing_ = true;
      // Of the store's own blocks kMismatch would be; who lied elsewhere is no more help than who failed.
      const bool lied = came.error().code == ErrorCode::kMismatch;
      co_return fail(lied ? ErrorCode::kUnavailable : came.error().code, came.error().message);
    }
  }
}

template <class Poll>
asio::awaitable<Result<std::invoke_result_t<Poll>>> ContentReader::feed(unixfs::Traversal& traversal, Poll poll) {
  for (;;) {
    if (auto polled = poll()) co_return polled;
    if (traversal.error()) co_return std::unexpected(*traversal.error());
    const auto wants = traversal.poll_wants(1);
    if (wants.empty()) co_return poll();
    auto block = load(wants.front());
    if (!block) co_return std::unexpected(block.error());
    if (!*block) {
      auto fetched = co_await fetch(wants.front());
      if (!fetched) co_return std::unexpected(fetched.error());
      *block = *std::move(fetched);
    }
    if (auto handled = traversal.handle_block(wants.front(), **block); !handled)
      co_return std::unexpected(handled.error());
  }
}

asio::awaitable<Result<unixfs::Entity>> ContentReader::entity(ContentId root, std::vector<std::string> path) {
  unixfs::TraversalOptions what{.path = std::move(path), .scope = Scope::kBlock};
  plan(root, what);
  unixfs::Traversal traversal(root, std::move(what));
  co_return co_await walk(std::move(traversal));
}

asio::awaitable<Result<unixfs::Entity>> ContentReader::entity_of(ContentId cid) {
  unixfs::Traversal traversal(cid, {.path = {}, .scope = Scope::kBlock});
  co_return co_await walk(std::move(traversal));
}

asio::awaitable<Result<unixfs::Entity>> ContentReader::walk(unixfs::Traversal traversal) {
  auto entity = co_await feed(traversal, [&] { return traversal.entity(); });
  if (!entity) co_return std::unexpected(entity.error());
  if (!*entity) co_return fail(ErrorCode::kUnsupported, "that is no UnixFS entity");
  co_return **std::move(entity);
}

asio::awaitable<Result<Bytes>> ContentReader::bytes(ContentId root, std::vector<std::string> path, std::uint64_t most) {
  unixfs::TraversalOptions what{.path = std::move(path), .scope = Scope::kBytes, .range = {0, most}};
  plan(root, what);
  unixfs::Traversal traversal(root, std::move(what));
  Bytes bytes;
  for (;;) {
    const auto segment = co_await next_segment(traversal);
    if (!segment) co_return std::unexpected(segment.error());
    if (!*segment) co_return bytes;
    const BytesView view = (*segment)->view();
    bytes.insert(bytes.end(), view.begin(), view.end());
  }
}

asio::awaitable<Result<std::optional<unixfs::Segment>>> ContentReader::next_segment(unixfs::Traversal& traversal) {
  auto segment = co_await feed(traversal, [&] { return traversal.poll_segment(); });
  if (segment && *segment) move_on((*segment)->offset + (*segment)->size);
  co_return segment;
}

asio::awaitable<Result<std::optional<unixfs::DirectoryEntry>>> ContentReader::next_entry(unixfs::Traversal& traversal) {
  return feed(traversal, [&] { return traversal.poll_entry(); });
}

}  // namespace codio::node
