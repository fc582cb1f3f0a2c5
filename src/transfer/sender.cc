#include "transfer/sender.h"

#include <algorithm>
#include <utility>

namespace codio::transfer {
namespace {

/// A chunk smaller than this waits for more credit, unless it ends its block.
constexpr std::uint64_t kSmallestChunk = 8 * 1024;

}  // namespace

Result<bool> Sender::handle_want(const wire::WantEntry& entry) {
  if (entry.id.value <= last_id_) return fail(ErrorCode::kMalformed, "WANT with an id used before");
  last_id_ = entry.id.value;
  if (jobs_.size() + questions_.size() + asked_ >= wire::kMaxOpenWants) return false;
  if (entry.kind == wire::WantKind::kHave) {
    questions_.push_back({entry.id, entry.cid, entry.kind});
    return true;
  }
  jobs_.push_back({.id = entry.id, .cid = entry.cid});
  return true;
}

void Sender::handle_cancel(const std::vector<wire::WantId>& ids) {
  std::erase_if(jobs_, [&](const Job& job) {
    if (std::find(ids.begin(), ids.end(), job.id) == ids.end()) return false;
    if (job.state == State::kLoaded) --ahead_;
    return true;
  });
}

void Sender::handle_credit(std::uint64_t limit) { credit_ = std::max(credit_, limit); }

std::optional<Sender::Load> Sender::poll_load() {
  if (!questions_.empty()) {
    Load question = std::move(questions_.front());
    questions_.pop_front();
    ++asked_;
    return question;
  }
  if (ahead_ >= kLoadAhead) return std::nullopt;
  const auto next =
      std::find_if(jobs_.begin(), jobs_.end(), [](const Job& job) { return job.state == State::kWaiting; });
  if (next == jobs_.end()) return std::nullopt;
  next->state = State::kLoading;
  ++ahead_;
  return Load{next->id, next->cid, wire::WantKind::kBlock};
}

bool Sender::handle_loaded(wire::WantId id, SharedBytes block) {
  const auto job = std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& entry) { return entry.id == id; });
  if (job == jobs_.end() || !block) --ahead_;
  if (job == jobs_.end()) return false;
  if (!block) {
    jobs_.erase(job);
    return true;
  }
  job->state = State::kLoaded;
  job->block = std::move(block);
  return false;
}

std::optional<Bytes> Sender::poll_frame(std::uint32_t max_frame) {
  if (jobs_.empty() || jobs_.front().state != State::kLoaded || buffered_ >= kSendBuffer) return std::nullopt;
  Job& job = jobs_.front();
  const std::uint64_t left = job.block->size() - job.offset;
  const std::uint64_t size = std::min({left, credit_ - sent_, std::uint64_t{max_frame} - wire::kMaxBlockHeader});
  if (size < std::min(left, kSmallestChunk)) return std::nullopt;

  const wire::BlockChunk chunk{job.id, job.offset, static_cast<std::uint32_t>(job.block->size()),
                               BytesView(*job.block).subspan(job.offset, static_cast<std::size_t>(size))};
  Bytes frame = wire::encode(chunk);
  sent_ += size;
  buffered_ += frame.size();
  job.offset += static_cast<std::uint32_t>(size);
  if (job.offset == job.block->size()) {
    jobs_.pop_front();
    --ahead_;
  }
  return frame;
}

}  // namespace codio::transfer
