// What the node's tests share: folders, content, and a thread that runs an io_context.
#pragma once

#include <cstdint>
#include <filesystem>
#include <future>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "common/bytes.h"
#include "content_id/unixfs/builder.h"
#include "node/hash.h"
#include "store/block_store.h"
#include "store/testing.h"

namespace codio::node {

using store::TemporaryFolder;

inline Bytes random_bytes(std::uint32_t seed, std::size_t size) {
  std::mt19937 random(seed);
  Bytes bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

/// Puts the file's blocks into the store.
inline content_id::ContentId put_file(store::BlockStore& store, BytesView bytes) {
  content_id::unixfs::FileBuilder builder(content_id::unixfs::kUnixfsV0_2015);
  builder.append(bytes);
  builder.finish();
  while (const auto block = builder.poll_block()) {
    const content_id::ContentId cid = builder.handle_digest(block->id, sha256(*block->bytes));
    EXPECT_TRUE(store.put(cid, *block->bytes));
  }
  return builder.root()->cid;
}

/// A thread that runs an io_context, and calls on it that wait.
class Loop {
 public:
  Loop() : work_(boost::asio::make_work_guard(io_)), thread_([this] { io_.run(); }) {}
  ~Loop() {
    work_.reset();
    io_.stop();
    thread_.join();
  }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  boost::asio::io_context& io() { return io_; }

  template <class Call>
  auto run(Call call) {
    std::packaged_task<std::invoke_result_t<Call>()> task(std::move(call));
    auto future = task.get_future();
    boost::asio::post(io_, [&task] { task(); });
    return future.get();
  }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::thread thread_;
};

}  // namespace codio::node
