#include "transfer/sender.h"

#include <algorithm>
#include <utility>

namespace codio::transfer {
namespace {

/// A chunk smaller than this waits for more credit, unless it ends its block.
constexpr std::uint64_t kSmallestChunk = 8 * 1024;
/// Frames are small until this much was sent, or the first would take seconds on a slow path, in which nothing comes
/// and the peer seems to be gone. Then the receiver's grants decide.
constexpr std::uint64_t kSmallFramesUntil = 256 * 1024;

}  // namespace

Result<void> Sender::handle_refused_want(wire::WantId id) {
  if (id.value <= last_id_) return fail(ErrorCode::kMalformed, "WANT with an id used before");
  last_id_ = id.value;
  return {};
}

Result<bool> Sender::handle_want(const wire::WantEntry& entry) {
  if (auto noted = handle_refused_want(entry.id); !noted) return std::unexpected(noted.error());
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
    if (job.state == State::kLoaded) {
      --ahead_;
      held_ -= job.block->size();
    }
    return true;
  });
}

void Sender::handle_credit(std::uint64_t limit) { credit_ = std::max(credit_, limit); }

std::vector<wire::WantId> Sender::drop_blocks() {
  std::vector<wire::WantId> ids;
  for (const Job& job : jobs_) ids.push_back(job.id);
  handle_cancel(ids);
  return ids;
}

std::optional<Sender::Load> Sender::poll_load(std::size_t ahead) {
  if (!questions_.empty()) {
    Load question = std::move(questions_.front());
    questions_.pop_front();
    ++asked_;
    return question;
  }
  if (ahead_ >= ahead || credit_ == 0) return std::nullopt;
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
  held_ += job->block->size();
  return false;
}

std::optional<std::uint64_t> Sender::sendable() const {
  if (jobs_.empty() || jobs_.front().state != State::kLoaded || buffered_ >= kSendBuffer) return std::nullopt;
  const Job& job = jobs_.front();
  const std::uint64_t left = job.block->size() - job.offset;
  const std::uint64_t size = std::min(left, credit_ - sent_);
  if (size < std::min(left, kSmallestChunk)) return std::nullopt;
  return size;
}

std::optional<Bytes> Sender::poll_frame(std::uint32_t max_frame, std::uint64_t budget) {
  const auto allowed = sendable();
  if (!allowed) return std::nullopt;
  const std::uint32_t largest = sent_ < kSmallFramesUntil ? std::min(max_frame, wire::kMinFrame) : max_frame;
  const std::uint64_t size = std::min({*allowed, budget, std::uint64_t{largest} - wire::kMaxBlockHeader});
  if (size < std::min(*allowed, kSmallestChunk)) return std::nullopt;

  Job& job = jobs_.front();
  const wire::BlockChunk chunk{job.id, job.offset, static_cast<std::uint32_t>(job.block->size()),
                               BytesView(*job.block).subspan(job.offset, static_cast<std::size_t>(size))};
  Bytes frame = wire::encode(chunk);
  sent_ += size;
  buffered_ += frame.size();
  job.offset += static_cast<std::uint32_t>(size);
  if (job.offset == job.block->size()) {
    held_ -= job.block->size();
    jobs_.pop_front();
    --ahead_;
  }
  return frame;
}

}  // namespace codio::transfer
