// Native to native over loopback, both ends in one process: MiB/s by message size and by the application's window,
// which is how much the receiver lets the sender have under way.
#include <benchmark/benchmark.h>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "webrtc/peer_connection.h"

namespace codio::webrtc {
namespace {

// The owner's executor: the benchmark's thread.
class Executor {
 public:
  PeerConnectionFactory::Post post() {
    return [this](std::function<void()> function) {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(function));
      has_work_.notify_one();
    };
  }

  template <class Done>
  void run_until(Done done) {
    while (!done()) {
      std::unique_lock lock(mutex_);
      has_work_.wait(lock, [&] { return !waiting_.empty(); });
      const auto next = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      next();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable has_work_;
  std::deque<std::function<void()>> waiting_;
};

struct Pair {
  Pair(PeerConnectionFactory& one, PeerConnectionFactory& other) {
    offerer = one.create({
        .on_local_description = [this](std::string sdp) { answerer->handle_remote_description("offer", sdp); },
        .on_local_candidate = [this](const IceCandidate& candidate) { answerer->handle_remote_candidate(candidate); },
        .on_open = [this] { ++open; },
        .on_message = [this](BytesView /*a byte for each message*/) { ++acknowledged; },
    });
    answerer = other.create({
        .on_local_description = [this](std::string sdp) { offerer->handle_remote_description("answer", sdp); },
        .on_local_candidate = [this](const IceCandidate& candidate) { offerer->handle_remote_candidate(candidate); },
        .on_open = [this] { ++open; },
        .on_message = [this](BytesView /*message*/) { answerer->send(Bytes(1)); },
    });
    offerer->offer();
  }

  std::unique_ptr<PeerConnection> offerer;
  std::unique_ptr<PeerConnection> answerer;
  int open = 0;
  std::size_t acknowledged = 0;
};

void transfer(benchmark::State& state) {
  const Bytes message(static_cast<std::size_t>(state.range(0)) * 1024);
  const std::size_t window = static_cast<std::size_t>(state.range(1)) * 1024 / message.size();
  constexpr std::size_t kTotal = 64 << 20;
  Executor executor;
  PeerConnectionFactory one({.use_loopback = true}, executor.post());
  PeerConnectionFactory other({.use_loopback = true}, executor.post());
  Pair pair(one, other);
  executor.run_until([&] { return pair.open == 2; });
  std::size_t sent = 0;
  for (auto _ : state) {
    const std::size_t end = sent + kTotal / message.size();
    executor.run_until([&] {
      while (sent < end && sent < pair.acknowledged + window) sent += pair.offerer->send(message) ? 1 : 0;
      return pair.acknowledged == end;
    });
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kTotal));
}
BENCHMARK(transfer)
    ->ArgNames({"message_kib", "window_kib"})
    ->ArgsProduct({{16, 64, 256}, {256, 512, 1024}})
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime();

void open(benchmark::State& state) {
  Executor executor;
  PeerConnectionFactory one({.use_loopback = true}, executor.post());
  PeerConnectionFactory other({.use_loopback = true}, executor.post());
  for (auto _ : state) {
    Pair pair(one, other);
    executor.run_until([&] { return pair.open == 2; });
  }
}
BENCHMARK(open)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace codio::webrtc
