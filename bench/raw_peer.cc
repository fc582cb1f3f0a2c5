// One end of a bare data channel, without our exchange: what a transfer is measured against.
//
// usage: raw_peer receive BYTES STEP [FILE]          acknowledges every STEP bytes, and the last
//        raw_peer send BYTES MESSAGE WINDOW [FILE]   at most WINDOW bytes unacknowledged, in messages of MESSAGE bytes
//
// With a FILE the bytes come from there, or every MiB is hashed with SHA-256 and written there before the last
// acknowledgement: the least that keeping verified blocks costs.
//
// An acknowledgement is the number of bytes that came, as a little-endian uint32. The receiver offers. Each end writes
// lines of JSON for the other to the standard output, and takes the other's on the standard input: a description,
// {"type": …, "sdp": …}, and candidates, {"candidate": …, "mid": …}, of which an empty one is the last. The sender ends
// with {"ms": …}, from its first message to the last acknowledgement. Both run until the standard input is closed.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "node/hash.h"
#include "webrtc/peer_connection.h"

namespace codio {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

/// What is hashed and written at once.
constexpr std::size_t kBlock = 1 << 20;

/// The owner's executor: the main thread.
class Executor {
 public:
  void post(std::function<void()> function) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(function));
    has_work_.notify_one();
  }
  void run() {
    while (!stopped_) {
      std::unique_lock lock(mutex_);
      has_work_.wait(lock, [this] { return !waiting_.empty(); });
      const auto next = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      next();
    }
  }
  /// On the main thread.
  void stop() { stopped_ = true; }

 private:
  bool stopped_ = false;
  std::mutex mutex_;
  std::condition_variable has_work_;
  std::deque<std::function<void()>> waiting_;
};

void say(const json& line) {
  std::cout << line.dump() << std::endl;  // The other end waits for it.
}

class End {
 public:
  explicit End(webrtc::PeerConnectionFactory& factory, bool offers)
      : connection_(factory.create({
            .on_local_description =
                [offers](const std::string& sdp) { say({{"type", offers ? "offer" : "answer"}, {"sdp", sdp}}); },
            .on_local_candidate =
                [](const webrtc::IceCandidate& ours) { say({{"candidate", ours.candidate}, {"mid", ours.mid}}); },
            .on_open = [this] { handle_open(); },
            .on_message = [this](BytesView message) { handle_message(message); },
            .on_buffered_amount = {},
            .on_closed =
                [this](const Error& reason) {
                  if (is_done()) return;
                  std::cerr << "raw_peer: " << reason.message << '\n';
                  std::_Exit(EXIT_FAILURE);
                },
        })) {
    if (offers) connection_->offer();
  }
  virtual ~End() = default;

  void handle_remote(const json& line) {
    if (line.contains("sdp")) {
      connection_->handle_remote_description(line.at("type").get<std::string>(), line.at("sdp").get<std::string>());
    } else {
      connection_->handle_remote_candidate(
          {line.at("candidate").get<std::string>(), line.at("mid").get<std::string>()});
    }
  }

 protected:
  virtual void handle_open() {}
  virtual void handle_message(BytesView message) = 0;
  /// All bytes went over; the other side may close.
  virtual bool is_done() const = 0;
  webrtc::PeerConnection& connection() { return *connection_; }

 private:
  std::unique_ptr<webrtc::PeerConnection> connection_;
};

class RawReceiver final : public End {
 public:
  /// `file`: empty to drop the bytes.
  RawReceiver(webrtc::PeerConnectionFactory& factory, std::size_t total, std::size_t step, const std::string& file)
      : End(factory, true), total_(total), step_(step) {
    if (!file.empty()) file_.open(file, std::ios::binary);
  }

 private:
  void handle_message(BytesView message) override {
    got_ += message.size();
    if (file_.is_open()) keep(message);
    if (got_ < total_ && got_ - told_ < step_) return;
    told_ = got_;
    Bytes acknowledgement;
    for (int shift = 0; shift < 32; shift += 8) acknowledgement.push_back(static_cast<std::uint8_t>(got_ >> shift));
    connection().send(acknowledgement);
  }

  bool is_done() const override { return got_ == total_; }

  void keep(BytesView message) {
    block_.insert(block_.end(), message.begin(), message.end());
    if (block_.size() < kBlock && got_ < total_) return;
    node::sha256(block_);
    file_.write(reinterpret_cast<const char*>(block_.data()), static_cast<std::streamsize>(block_.size()));
    block_.clear();
  }

  const std::size_t total_;
  const std::size_t step_;
  std::ofstream file_;
  Bytes block_;
  std::size_t got_ = 0;
  std::size_t told_ = 0;
};

class RawSender final : public End {
 public:
  /// `file`: empty to send zeros.
  RawSender(webrtc::PeerConnectionFactory& factory, std::size_t total, std::size_t message, std::size_t window,
            const std::string& file)
      : End(factory, false), total_(total), message_(message), window_(window) {
    if (!file.empty()) file_.open(file, std::ios::binary);
  }

 private:
  void handle_open() override {
    began_ = Clock::now();
    pump();
  }

  void handle_message(BytesView message) override {
    acknowledged_ = 0;
    for (std::size_t i = message.size(); i-- > 0;) acknowledged_ = acknowledged_ << 8 | message[i];
    if (acknowledged_ < total_) return pump();
    say({{"ms", std::chrono::duration<double, std::milli>(Clock::now() - began_).count()}});
  }

  bool is_done() const override { return acknowledged_ == total_; }

  void pump() {
    while (sent_ < total_ && sent_ + message_.size() <= acknowledged_ + window_) {
      if (file_.is_open()) {
        file_.read(reinterpret_cast<char*>(message_.data()), static_cast<std::streamsize>(message_.size()));
      }
      if (!connection().send(message_)) return;
      sent_ += message_.size();
    }
  }

  const std::size_t total_;
  Bytes message_;
  const std::size_t window_;
  std::ifstream file_;
  std::size_t sent_ = 0;
  std::size_t acknowledged_ = 0;
  Clock::time_point began_;
};

int run(std::string_view role, const std::vector<std::string>& given) {
  const std::size_t counts = role == "send" ? 3 : 2;
  const bool is_complete = given.size() == counts || given.size() == counts + 1;
  const auto number = [&given](std::size_t i) { return std::strtoull(given[i].c_str(), nullptr, 10); };
  const std::string file = is_complete && given.size() > counts ? given.back() : "";
  Executor executor;
  webrtc::PeerConnectionFactory factory(
      {}, [&executor](std::function<void()> function) { executor.post(std::move(function)); });
  std::unique_ptr<End> end;
  if (role == "send" && is_complete) {
    end = std::make_unique<RawSender>(factory, number(0), number(1), number(2), file);
  } else if (role == "receive" && is_complete) {
    end = std::make_unique<RawReceiver>(factory, number(0), number(1), file);
  } else {
    std::cerr << "usage: raw_peer receive BYTES STEP [FILE] | raw_peer send BYTES MESSAGE WINDOW [FILE]\n";
    return EXIT_FAILURE;
  }
  const std::jthread input([&] {
    for (std::string line; std::getline(std::cin, line);) {
      executor.post([&end, line = json::parse(line)] { end->handle_remote(line); });
    }
    executor.post([&executor] { executor.stop(); });
  });
  executor.run();
  end.reset();
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace codio

int main(int argc, char** argv) { return codio::run(argc > 1 ? argv[1] : "", {argv + std::min(argc, 2), argv + argc}); }
