#include "node/signal.h"

#include <chrono>
#include <gtest/gtest.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

namespace codio::node {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

/// Runs `body` with a signal, until nothing waits any more.
template <class Body>
void run(Body body) {
  asio::io_context io;
  Signal signal(io.get_executor());
  asio::co_spawn(io, body(io, signal), asio::detached);
  io.run();
}

TEST(Signal, TellsOfWhatHappenedBeforeTheWait) {
  bool told = false;
  run([&](asio::io_context&, Signal& signal) -> asio::awaitable<void> {
    signal.notifier()();
    told = co_await signal.wait(1h);
  });
  EXPECT_TRUE(told);
}

TEST(Signal, WaitsNoLongerThanItMay) {
  bool told = true;
  run([&](asio::io_context&, Signal& signal) -> asio::awaitable<void> { told = co_await signal.wait(1ms); });
  EXPECT_FALSE(told);
}

TEST(Signal, ANotificationThatWasTakenEndsNoLaterWait) {
  bool second = false;
  bool notified_again = false;
  run([&](asio::io_context& io, Signal& signal) -> asio::awaitable<void> {
    signal.notifier()();  // What it posts runs when this coroutine waits in earnest.
    EXPECT_TRUE(co_await signal.wait(1h));
    // Behind that, and so after the second wait began.
    asio::post(io, [&, notify = signal.notifier()] {
      notified_again = true;
      notify();
    });
    second = co_await signal.wait(1h);
    EXPECT_TRUE(notified_again);
  });
  EXPECT_TRUE(second);
}

TEST(Signal, ItsNotifierMayOutliveIt) {
  std::function<void()> notify;
  run([&](asio::io_context&, Signal& signal) -> asio::awaitable<void> {
    notify = signal.notifier();
    co_return;
  });
  notify();
}

}  // namespace
}  // namespace codio::node
