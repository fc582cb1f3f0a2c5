#include "sim/uplink.h"

#include <utility>

namespace codio::sim {

void Uplink::send(Flow flow, Bytes message, std::function<void(Bytes)> pass_on) {
  if (rate_ == 0) return pass_on(std::move(message));
  waiting_[flow].push_back({std::move(message), std::move(pass_on)});
  if (!busy_) start();
}

std::size_t Uplink::buffered(Flow flow) const {
  const auto found = waiting_.find(flow);
  if (found == waiting_.end()) return 0;
  std::size_t size = 0;
  for (const Message& message : found->second) size += message.bytes.size();
  return size;
}

void Uplink::start() {
  if (waiting_.empty()) return;
  busy_ = true;
  auto turn = waiting_.upper_bound(last_);
  if (turn == waiting_.end()) turn = waiting_.begin();
  last_ = turn->first;
  const double seconds = static_cast<double>(turn->second.front().bytes.size()) / rate_;
  clock_.after(Duration(static_cast<Duration::rep>(seconds * 1e6) + 1), [this] {
    busy_ = false;
    const auto flow = waiting_.find(last_);
    if (flow == waiting_.end()) return start();  // It was closed meanwhile.
    Message message = std::move(flow->second.front());
    flow->second.pop_front();
    if (flow->second.empty()) waiting_.erase(flow);
    start();
    message.pass_on(std::move(message.bytes));
  });
}

}  // namespace codio::sim
