#include "node/endpoint_book.h"

namespace codio::node {

void EndpointBook::note(Time now, const std::string& address, Entry entry) {
  const Duration lifetime = entry.verdict == Verdict::kNode   ? options_.node_lifetime
                            : entry.verdict == Verdict::kDead ? options_.dead_lifetime
                                                              : options_.liar_lifetime;
  if (const auto found = entries_.find(address); found != entries_.end()) {
    by_age_.erase({found->second.until, address});
    entries_.erase(found);
  }
  if (entries_.size() >= options_.max_entries) {
    entries_.erase(by_age_.begin()->second);
    by_age_.erase(by_age_.begin());
  }
  entries_.emplace(address, Noted{std::move(entry), now + lifetime});
  by_age_.emplace(now + lifetime, address);
}

const EndpointBook::Entry* EndpointBook::find(Time now, const std::string& address) {
  while (!by_age_.empty() && by_age_.begin()->first <= now) {
    entries_.erase(by_age_.begin()->second);
    by_age_.erase(by_age_.begin());
  }
  const auto found = entries_.find(address);
  return found == entries_.end() ? nullptr : &found->second.entry;
}

}  // namespace codio::node
