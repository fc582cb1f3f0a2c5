// Content that the gateway lacks, fetched while it is asked for.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "common/result.h"
#include "content_id/cid.h"
#include "content_id/unixfs/traversal.h"
#include "node/signal.h"
#include "node/transfer_manager.h"

namespace codio::node {

/// Runs downloads of a TransferManager for those who wait on other threads. Blocks come by way of the store: a waiter
/// looks there, and is woken when its block was put there. One block for which many wait is fetched once: the engine
/// knows what it has asked for.
///
/// Threads: attach() and handle_stored() on the manager's executor; begin(), and what Pull has, anywhere.
class Puller : public std::enable_shared_from_this<Puller> {
 public:
  /// `max`: downloads at a time, before those that are a next turn.
  Puller(boost::asio::any_io_executor executor, std::size_t max);

  /// From now on downloads can run; until then they fail. The manager must outlive every handler that runs on the
  /// executor.
  void attach(TransferManager& transfers) { transfers_ = &transfers; }

  /// One download. It is cancelled when this goes.
  class Pull {
   public:
    ~Pull();
    Pull(const Pull&) = delete;
    Pull& operator=(const Pull&) = delete;

    /// To be told before the store is looked into: this is what wait() is about.
    void expect(const content_id::ContentId& cid);
    /// Returns when the block was stored. An error when the download failed, or ended without it.
    boost::asio::awaitable<Result<void>> wait();

   private:
    friend class Puller;
    struct State;
    Pull(std::shared_ptr<Puller> puller, std::uint64_t id, std::shared_ptr<State> state, Signal& signal);

    std::shared_ptr<Puller> puller_;
    std::uint64_t id_;
    std::shared_ptr<State> state_;
    Signal& signal_;
  };

  /// Of the pulls for one answer. One that was begun goes on, however many run: its client has a part of it already.
  enum class Turn : std::uint8_t { kFirst, kNext };
  /// `signal` is the waiter's, and outlives the pull. kUnavailable: too many run.
  Result<std::unique_ptr<Pull>> begin(const content_id::ContentId& root, content_id::unixfs::TraversalOptions what,
                                      Turn turn, Signal& signal);

  void handle_stored(const content_id::ContentId& cid);
  /// How many run.
  std::size_t active() const { return active_; }

 private:
  boost::asio::any_io_executor executor_;
  TransferManager* transfers_ = nullptr;
  std::size_t max_;
  std::atomic<std::size_t> active_ = 0;
  std::atomic<std::uint64_t> last_id_ = 0;
  /// On the executor only.
  struct Running {
    transfer::TransferId transfer;
    std::shared_ptr<Pull::State> state;
  };
  std::map<std::uint64_t, Running> running_;
};

}  // namespace codio::node
