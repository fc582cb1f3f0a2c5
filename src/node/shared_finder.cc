#include "node/shared_finder.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace codio::node {

using content_id::ContentId;

namespace {

using Clock = std::chrono::steady_clock;

/// Providers of one root that are told; a download connects to fewer.
constexpr std::size_t kMaxFound = 128;
/// Searches that go on though nobody waits for them: the next download of the same answer will.
constexpr std::size_t kMaxAbandoned = 64;
constexpr std::size_t kMaxRemembered = 1024;

}  // namespace

class SharedFinder::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(boost::asio::any_io_executor executor, std::shared_ptr<ProviderFinder> finder, Options options)
      : executor_(std::move(executor)), finder_(std::move(finder)), options_(options) {}

  void stop() {
    waiters_.clear();
    for (const auto& [root, search] : std::exchange(searches_, {})) {
      if (!search.summary) finder_->cancel(search.find);
    }
  }

  FindId find(const ContentId& root, Duration deadline, OnFound on_found, OnEnd on_end) {
    forget_old();
    const FindId id{++last_id_};
    Waiter& waiter = waiters_.try_emplace(id, executor_, root).first->second;
    waiter.on_found = std::move(on_found);
    waiter.on_end = std::move(on_end);
    waiter.timer.expires_after(deadline);
    waiter.timer.async_wait([weak = weak_from_this(), id](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (!error && self) self->end(id, {});
    });
    const auto [search, is_new] = searches_.try_emplace(root);
    search->second.waiters.insert(id);
    if (is_new) {
      begin(root, search->second);
    } else {
      boost::asio::post(executor_, [weak = weak_from_this(), id] {
        if (const auto self = weak.lock()) self->tell(id);
      });
    }
    return id;
  }

  void cancel(FindId id) {
    const auto waiter = waiters_.extract(id);
    if (!waiter.empty()) leave(id, waiter.mapped().root);
  }

 private:
  struct Search {
    FindId find;
    std::vector<Provider> found;
    std::optional<FindSummary> summary;  ///< Once it is over.
    Clock::time_point ended;
    std::set<FindId> waiters;
  };

  struct Waiter {
    Waiter(const boost::asio::any_io_executor& executor, const ContentId& content) : root(content), timer(executor) {}

    ContentId root;
    boost::asio::steady_timer timer;
    OnFound on_found;
    OnEnd on_end;
    std::size_t told = 0;  ///< Of Search::found.
  };

  void begin(const ContentId& root, Search& search) {
    search.find = finder_->find(
        root, options_.deadline,
        [weak = weak_from_this(), root](const Provider& provider) {
          if (const auto self = weak.lock()) self->handle_found(root, provider);
        },
        [weak = weak_from_this(), root](const FindSummary& summary) {
          if (const auto self = weak.lock()) self->handle_end(root, summary);
        });
  }

  void handle_found(const ContentId& root, const Provider& provider) {
    Search& search = searches_.at(root);
    if (search.found.size() == kMaxFound) return;
    search.found.push_back(provider);
    tell_all(root);
  }

  void handle_end(const ContentId& root, const FindSummary& summary) {
    Search& search = searches_.at(root);
    search.summary = summary;
    search.ended = Clock::now();
    if (search.waiters.empty() && search.found.empty()) {
      searches_.erase(root);
    } else {
      tell_all(root);
    }
  }

  void tell_all(const ContentId& root) {
    const std::set<FindId> waiters = searches_.at(root).waiters;
    for (const FindId id : waiters) tell(id);
  }

  /// What it was not told yet. Each call may cancel any waiter.
  void tell(FindId id) {
    for (;;) {
      const auto waiter = waiters_.find(id);
      if (waiter == waiters_.end()) return;
      const Search& search = searches_.at(waiter->second.root);
      if (waiter->second.told == search.found.size()) {
        if (search.summary) end(id, *search.summary);
        return;
      }
      const Provider provider = search.found[waiter->second.told++];
      const OnFound on_found = waiter->second.on_found;
      on_found(provider);
    }
  }

  void end(FindId id, const FindSummary& summary) {
    const auto waiter = waiters_.extract(id);
    leave(id, waiter.mapped().root);
    waiter.mapped().on_end(summary);
  }

  void leave(FindId id, const ContentId& root) {
    const auto found = searches_.find(root);
    Search& search = found->second;
    search.waiters.erase(id);
    if (!search.waiters.empty()) return;
    if (search.summary) {
      if (search.found.empty()) searches_.erase(found);
    } else if (abandoned() > kMaxAbandoned) {
      finder_->cancel(search.find);
      searches_.erase(found);
    }
  }

  std::size_t abandoned() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        searches_, [](const auto& entry) { return !entry.second.summary && entry.second.waiters.empty(); }));
  }

  void forget_old() {
    const bool is_full = searches_.size() >= kMaxRemembered;
    const auto oldest = Clock::now() - options_.remembered;
    std::erase_if(searches_, [&](const auto& entry) {
      const Search& search = entry.second;
      return search.summary && search.waiters.empty() && (is_full || search.ended <= oldest);
    });
  }

  boost::asio::any_io_executor executor_;
  std::shared_ptr<ProviderFinder> finder_;
  const Options options_;
  std::map<ContentId, Search> searches_;
  std::map<FindId, Waiter> waiters_;
  std::uint64_t last_id_ = 0;
};

SharedFinder::SharedFinder(boost::asio::any_io_executor executor, std::shared_ptr<ProviderFinder> finder,
                           Options options)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(finder), options)) {}
SharedFinder::~SharedFinder() { impl_->stop(); }

FindId SharedFinder::find(const ContentId& root, Duration deadline, OnFound on_found, OnEnd on_end) {
  return impl_->find(root, deadline, std::move(on_found), std::move(on_end));
}
void SharedFinder::cancel(FindId find) { impl_->cancel(find); }

}  // namespace codio::node
