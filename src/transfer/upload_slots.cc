#include "transfer/upload_slots.h"

#include <algorithm>
#include <utility>

namespace codio::transfer {

bool UploadSlots::use(Time now, PeerId peer) {
  if (const auto holder = holders_.find(peer); holder != holders_.end()) {
    holder->second.used_at = now;
    return true;
  }
  if (next_ && now >= next_until_) next_.reset();
  const std::size_t kept = next_ && *next_ != peer ? 1 : 0;
  if (holders_.size() + kept >= count_) {
    const auto idle = std::find_if(holders_.begin(), holders_.end(),
                                   [&](const auto& entry) { return now - entry.second.used_at > kIdle; });
    if (idle == holders_.end() || holders_.size() + kept > count_) {
      // Whoever holds a slot when the first comes to wait keeps it for a while.
      if (waiting_.empty()) rotated_at_ = std::max(rotated_at_, now - kTurn / 2);
      waiting_.try_emplace(peer, Waiting{now, now}).first->second.asked_at = now;
      return false;
    }
    holders_.erase(idle);
  }
  if (next_ == peer) next_.reset();
  waiting_.erase(peer);
  holders_.emplace(peer, Holder{now, now});
  return true;
}

void UploadSlots::note_given(PeerId peer, std::uint64_t bytes) {
  if (const auto holder = holders_.find(peer); holder != holders_.end()) holder->second.given += bytes;
}

void UploadSlots::remove(PeerId peer) {
  holders_.erase(peer);
  waiting_.erase(peer);
  if (next_ == peer) next_.reset();
}

std::vector<PeerId> UploadSlots::rotate(Time now) {
  std::vector<PeerId> losers;
  while (holders_.size() > count_) {
    const auto loser = least_deserving();
    losers.push_back(loser->first);
    holders_.erase(loser);
  }
  if (now - rotated_at_ < kTurn) return losers;
  rotated_at_ = now;
  forget_waiting(now);
  if (waiting_.empty() || holders_.size() < count_ || holders_.empty()) return losers;
  next_ = std::min_element(waiting_.begin(), waiting_.end(), [](const auto& a, const auto& b) {
            return a.second.since < b.second.since;
          })->first;
  next_until_ = now + kTurn;
  const auto loser = least_deserving();
  losers.push_back(loser->first);
  holders_.erase(loser);
  return losers;
}

std::optional<Time> UploadSlots::next_rotation() const {
  if (holders_.size() > count_) return rotated_at_;
  if (waiting_.empty()) return std::nullopt;
  return rotated_at_ + kTurn;
}

UploadSlots::Holders::iterator UploadSlots::least_deserving() {
  return std::min_element(holders_.begin(), holders_.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.given, a.second.since) < std::pair(b.second.given, b.second.since);
  });
}

void UploadSlots::forget_waiting(Time now) {
  std::erase_if(waiting_, [&](const auto& entry) { return now - entry.second.asked_at > kTurn; });
}

}  // namespace codio::transfer
