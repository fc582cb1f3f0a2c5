#include "node/puller.h"

#include <chrono>
#include <functional>
#include <utility>
#include <boost/asio/post.hpp>

namespace codio::node {
namespace {

/// The engine gives up by itself when nothing comes; this is for a manager that is gone.
constexpr std::chrono::minutes kNothingHappens{5};
/// From the end of a download until its last block is in the store.
constexpr std::chrono::seconds kLastBlocks{10};

}  // namespace

struct Puller::Pull::State {
  std::mutex mutex;
  std::optional<content_id::ContentId> expected;
  std::optional<Result<void>> end;
  std::function<void()> wake;
};

Puller::Puller(boost::asio::any_io_executor executor, std::size_t max) : executor_(std::move(executor)), max_(max) {}

Result<std::unique_ptr<Puller::Pull>> Puller::begin(const content_id::ContentId& root,
                                                    content_id::unixfs::TraversalOptions what, Turn turn,
                                                    Signal& signal) {
  if (active_.fetch_add(1) >= max_ && turn == Turn::kFirst) {
    --active_;
    return fail(ErrorCode::kUnavailable, "too many downloads run here already; try again soon");
  }
  const std::uint64_t id = ++last_id_;
  auto state = std::make_shared<Pull::State>();
  state->wake = signal.notifier();
  boost::asio::post(executor_, [self = shared_from_this(), id, state, root, what = std::move(what)]() mutable {
    DownloadEvents events;
    events.on_end = [state](Result<void> end) {
      {
        const std::lock_guard lock(state->mutex);
        state->end = std::move(end);
      }
      state->wake();
    };
    if (self->transfers_ == nullptr) {
      events.on_end(fail(ErrorCode::kUnavailable, "this node is still starting"));
      return;
    }
    // Stays there until its owner goes: its last blocks may be stored after its end.
    const auto transfer = self->transfers_->download(root, {.traversal = std::move(what)}, std::move(events));
    self->running_.emplace(id, Running{transfer, state});
  });
  return std::unique_ptr<Pull>(new Pull(shared_from_this(), id, std::move(state), signal));
}

void Puller::handle_stored(const content_id::ContentId& cid) {
  for (const auto& [id, running] : running_) {
    Pull::State& state = *running.state;
    bool is_expected = false;
    {
      const std::lock_guard lock(state.mutex);
      is_expected = state.expected == cid;
    }
    if (is_expected) state.wake();
  }
}

Puller::Pull::Pull(std::shared_ptr<Puller> puller, std::uint64_t id, std::shared_ptr<State> state, Signal& signal)
    : puller_(std::move(puller)), id_(id), state_(std::move(state)), signal_(signal) {}

Puller::Pull::~Pull() {
  --puller_->active_;
  boost::asio::post(puller_->executor_, [puller = puller_, id = id_] {
    const auto running = puller->running_.extract(id);
    if (!running.empty()) puller->transfers_->cancel(running.mapped().transfer);
  });
}

void Puller::Pull::expect(const content_id::ContentId& cid) {
  const std::lock_guard lock(state_->mutex);
  state_->expected = cid;
}

boost::asio::awaitable<Result<void>> Puller::Pull::wait() {
  std::optional<Result<void>> end;
  {
    const std::lock_guard lock(state_->mutex);
    end = state_->end;
  }
  if (end && !*end) co_return *end;
  if (co_await signal_.wait(end ? Duration(kLastBlocks) : Duration(kNothingHappens))) co_return Result<void>();
  co_return fail(ErrorCode::kTimeout, "the block did not come");
}

}  // namespace codio::node
