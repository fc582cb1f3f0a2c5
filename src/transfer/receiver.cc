#include "transfer/receiver.h"

#include <algorithm>

#include "common/check.h"

namespace codio::transfer {

using content_id::ContentId;
using wire::WantId;
using wire::WantKind;

WantId Receiver::open(Time now, const ContentId& cid, WantKind kind) {
  const WantId id{++last_id_};
  open_.emplace(id, OpenWant{cid, kind, {}, {}});
  if (kind == WantKind::kBlock && open_blocks_++ == 0) idle_want_ = {id, now};
  return id;
}

Result<Receiver::Chunk> Receiver::handle_chunk(Time now, const wire::BlockChunk& chunk) {
  const std::uint64_t size = chunk.bytes.size();
  if (size > window_.limit() - window_.received()) return fail(ErrorCode::kMalformed, "BLOCK exceeds the credit");
  if (chunk.id.value == 0 || chunk.id.value > last_id_) return fail(ErrorCode::kMalformed, "BLOCK that nobody wanted");
  if (idle_want_ && idle_want_->id == chunk.id) window_.handle_first_byte(now, now - idle_want_->at);
  idle_want_.reset();

  const auto found = open_.find(chunk.id);
  if (found == open_.end()) {
    if (!cancelled_.contains(chunk.id)) return fail(ErrorCode::kMalformed, "BLOCK of a want that was answered");
    window_.handle_bytes(now, size, open_blocks_ > 0);
    return Chunk{.fresh = 0, .cancelled = size, .cid = {}, .block = nullptr};
  }
  OpenWant& want = found->second;
  if (want.kind != WantKind::kBlock) return fail(ErrorCode::kMalformed, "BLOCK answers a want for HAVE");
  if (!want.size) {
    if (begun_) return fail(ErrorCode::kMalformed, "BLOCK begins before the one before has ended");
    begun_ = chunk.id;
    cancelled_.erase(cancelled_.begin(), cancelled_.lower_bound(chunk.id));
    want.size = chunk.size;
    want.bytes.reserve(chunk.size);
  }
  if (chunk.size != *want.size || chunk.offset != want.bytes.size()) {
    return fail(ErrorCode::kMalformed, "BLOCK chunks out of order");
  }
  append(want.bytes, chunk.bytes);
  Chunk result{.fresh = size, .cancelled = 0, .cid = want.cid, .block = nullptr};
  if (want.bytes.size() == *want.size) {
    result.block = share(std::move(want.bytes));
    open_.erase(found);
    --open_blocks_;
    begun_.reset();
  }
  window_.handle_bytes(now, size, open_blocks_ > 0);
  return result;
}

Result<std::optional<Receiver::OpenWant>> Receiver::handle_answer(WantId id) {
  if (id.value == 0 || id.value > last_id_) return fail(ErrorCode::kMalformed, "answer to no want");
  cancelled_.erase(id);
  auto node = open_.extract(id);
  if (node.empty()) return std::nullopt;
  if (begun_ == id) begun_.reset();
  if (node.mapped().kind == WantKind::kBlock) {
    --open_blocks_;
    idle_want_.reset();
  }
  return std::move(node.mapped());
}

std::optional<WantId> Receiver::cancel(const ContentId& cid) {
  const auto found = std::find_if(open_.begin(), open_.end(), [&](const auto& entry) {
    return entry.second.kind == WantKind::kBlock && entry.second.cid == cid;
  });
  if (found == open_.end()) return std::nullopt;
  const WantId id = found->first;
  open_.erase(found);
  --open_blocks_;
  cancelled_.insert(id);
  if (begun_ == id) begun_.reset();
  return id;
}

std::uint64_t Receiver::held() const { return begun_ ? open_.at(*begun_).bytes.size() : 0; }

}  // namespace codio::transfer
