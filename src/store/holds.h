// Who works with a store's blocks, and since when.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>

#include "store/rocks_store.h"

namespace codio::store {

/// Thread-safe. Times are the store's.
struct RocksStore::Holds {
 public:
  static Hold begin(std::shared_ptr<Holds> holds, std::uint64_t at) {
    const std::lock_guard lock(holds->mutex_);
    const auto entry = holds->begins_.insert(at);
    Holds* const raw = holds.get();
    return {raw, [holds = std::move(holds), entry](const void*) {
              const std::lock_guard unlock(holds->mutex_);
              holds->begins_.erase(entry);
              ++holds->changes_;
            }};
  }

  /// When the hold that has lived longest began; `otherwise` if there is none.
  std::uint64_t oldest(std::uint64_t otherwise) const {
    const std::lock_guard lock(mutex_);
    return begins_.empty() ? otherwise : *begins_.begin();
  }
  /// When the latest one began; 0 if there is none.
  std::uint64_t newest() const {
    const std::lock_guard lock(mutex_);
    return begins_.empty() ? 0 : *begins_.rbegin();
  }

  /// Counts what sets blocks free.
  std::uint64_t changes() const {
    const std::lock_guard lock(mutex_);
    return changes_;
  }
  void note_change() {
    const std::lock_guard lock(mutex_);
    ++changes_;
  }

 private:
  mutable std::mutex mutex_;
  std::multiset<std::uint64_t> begins_;
  std::uint64_t changes_ = 0;
};

}  // namespace codio::store
