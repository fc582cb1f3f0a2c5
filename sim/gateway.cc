#include "sim/gateway.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace codio::sim {

Gateway::Ticket Gateway::ask(const content_id::ContentId& cid, std::function<void(SharedBytes)> answer) {
  const Ticket ticket = ++last_ticket_;
  const auto found = options_.blocks.find(cid);
  const bool refused = failed_ || !options_.exists || found == options_.blocks.end() || dice_.chance(options_.failures);
  Job& job = jobs_[ticket];
  job.block = refused ? nullptr : found->second;
  job.answer = std::move(answer);
  if (silent_) {
    give_up_later(ticket);
    return ticket;
  }
  job.event = clock_.after(options_.delay, [this, ticket] {
    Job& ready = jobs_.at(ticket);
    ready.event.reset();
    if (!ready.block) return end(ticket, false);
    flow();
    ready.flows = true;
    flow();
  });
  return ticket;
}

void Gateway::cancel(Ticket ticket) {
  const auto found = jobs_.find(ticket);
  if (found == jobs_.end()) return;
  flow();
  if (found->second.event) clock_.cancel(*found->second.event);
  wasted_ += static_cast<std::uint64_t>(found->second.carried);
  jobs_.erase(found);
  flow();
}

void Gateway::set_rate(double rate) {
  flow();
  options_.rate = rate;
  flow();
}

void Gateway::fail() {
  failed_ = true;
  std::vector<Ticket> tickets;
  for (const auto& [ticket, job] : jobs_) tickets.push_back(ticket);
  for (const Ticket ticket : tickets) end(ticket, false);
}

void Gateway::fall_silent() {
  flow();
  silent_ = true;
  for (auto& [ticket, job] : jobs_) {
    job.flows = false;
    if (job.event) clock_.cancel(*job.event);
    give_up_later(ticket);
  }
  flow();
}

void Gateway::recover() {
  failed_ = false;
  silent_ = false;
}

void Gateway::give_up_later(Ticket ticket) {
  jobs_.at(ticket).event = clock_.after(options_.silence, [this, ticket] {
    jobs_.at(ticket).event.reset();
    end(ticket, false);
  });
}

std::size_t Gateway::flowing() const {
  return static_cast<std::size_t>(std::ranges::count_if(jobs_, [](const auto& entry) { return entry.second.flows; }));
}

void Gateway::flow() {
  const double elapsed = std::chrono::duration<double>(clock_.now() - std::exchange(at_, clock_.now())).count();
  if (next_end_) clock_.cancel(*std::exchange(next_end_, std::nullopt));
  const std::size_t count = flowing();
  if (count == 0) return;
  const double each = options_.rate / static_cast<double>(count);
  std::optional<Ticket> next;
  double left = 0;
  for (auto& [ticket, job] : jobs_) {
    if (!job.flows) continue;
    const double size = static_cast<double>(job.block->size());
    if (elapsed > 0) job.carried = std::min(job.carried + elapsed * each, size);
    const double rest = size - job.carried;
    if (next && rest >= left) continue;
    next = ticket;
    left = rest;
  }
  // A rate of zero comes back with set_rate().
  const double seconds = std::clamp(left / each, 0.0, 3600.0);
  next_end_ = clock_.after(Duration(static_cast<Duration::rep>(seconds * 1e6)), [this, ticket = *next] {
    next_end_.reset();
    flow();
    end(ticket, true);
  });
}

void Gateway::end(Ticket ticket, bool whole) {
  auto node = jobs_.extract(ticket);
  if (node.empty()) return;
  Job& job = node.mapped();
  if (job.event) clock_.cancel(*job.event);
  if (whole) {
    given_ += job.block->size();
  } else {
    wasted_ += static_cast<std::uint64_t>(job.carried);
  }
  flow();
  job.answer(whole ? std::move(job.block) : nullptr);
}

}  // namespace codio::sim
