// How a coroutine waits for what happens on another thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "common/time.h"

namespace codio::node {

/// Lives in one coroutine. Its notifiers may outlive it, and the coroutine's executor: then they do nothing. So whoever
/// is to notify never holds a part of the coroutine.
class Signal {
 public:
  explicit Signal(const boost::asio::any_io_executor& executor) : state_(std::make_shared<State>()) {
    state_->timer.emplace(executor);
  }
  ~Signal() {
    const std::lock_guard lock(state_->mutex);
    state_->timer.reset();
  }
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  /// Whether it was notified since the last wait, or is before the time is over.
  boost::asio::awaitable<bool> wait(Duration most) {
    const auto until = std::chrono::steady_clock::now() + most;
    for (;;) {
      {
        const std::lock_guard lock(state_->mutex);
        if (std::exchange(state_->notified, false)) co_return true;
        if (std::chrono::steady_clock::now() >= until) co_return false;
        state_->timer->expires_at(until);
      }
      // What cancels it may be of a notification that an earlier wait has taken already.
      boost::system::error_code ignored;
      co_await state_->timer->async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    }
  }

  /// To be called from any thread, any number of times.
  std::function<void()> notifier() const {
    return [state = state_] {
      const std::lock_guard lock(state->mutex);
      if (!state->timer || std::exchange(state->notified, true)) return;
      boost::asio::post(state->timer->get_executor(), [state] {
        const std::lock_guard inner(state->mutex);
        if (state->timer) state->timer->cancel();
      });
    };
  }

 private:
  struct State {
    std::mutex mutex;
    std::optional<boost::asio::steady_timer> timer;
    bool notified = false;
  };
  std::shared_ptr<State> state_;
};

}  // namespace codio::node
