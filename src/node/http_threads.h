// The threads that serve HTTP.
#pragma once

#include <cstddef>
#include <memory>
#include <thread>
#include <vector>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

namespace codio::node {

/// Each has an io_context of its own, and what runs there stays there: no locks among what belongs to one connection.
class HttpThreads {
 public:
  explicit HttpThreads(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      workers_.push_back(std::make_unique<Worker>());
      workers_.back()->thread = std::thread([&io = workers_.back()->io] { io.run(); });
    }
  }
  ~HttpThreads() { stop(); }
  HttpThreads(const HttpThreads&) = delete;
  HttpThreads& operator=(const HttpThreads&) = delete;

  std::size_t size() const { return workers_.size(); }
  boost::asio::io_context& io(std::size_t index) { return workers_[index]->io; }

  /// Ends the threads and destroys what waits there.
  void stop() {
    for (const auto& worker : workers_) worker->io.stop();
    for (const auto& worker : workers_) worker->thread.join();
    workers_.clear();
  }

 private:
  struct Worker {
    boost::asio::io_context io{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
    std::thread thread;
  };
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace codio::node
