#include "sim/rogue.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

namespace codio::sim {

namespace wire = transfer::wire;
using transfer::PeerId;
using wire::WantId;
using wire::WantKind;

namespace {

constexpr std::uint32_t kFrame = 32 * 1024;

Bytes chunk(WantId id, BytesView block, std::uint32_t offset, std::uint64_t size) {
  return wire::encode(wire::BlockChunk{id, offset, static_cast<std::uint32_t>(block.size()),
                                       block.subspan(offset, static_cast<std::size_t>(size))});
}

}  // namespace

bool is_convictable(Conduct conduct) { return conduct >= Conduct::kLying; }

std::vector<Bytes> Rogue::handle_connected(PeerId peer) {
  peers_[peer] = {};
  std::vector<Bytes> out;
  if (conduct_ == Conduct::kEarly) out.push_back(wire::encode(wire::Credit{1'000'000}));
  out.push_back(wire::encode(wire::Hello{.credit = 256 * 1024}));
  return out;
}

std::vector<Bytes> Rogue::handle_message(PeerId id, BytesView message, const Blocks& blocks) {
  const auto found = peers_.find(id);
  const auto decoded = wire::decode(message);
  if (found == peers_.end() || !decoded || !*decoded) return {};
  Peer& peer = found->second;
  std::vector<Bytes> out;
  if (const auto* hello = std::get_if<wire::Hello>(&**decoded)) peer.credit = std::max(peer.credit, hello->credit);
  if (const auto* credit = std::get_if<wire::Credit>(&**decoded)) peer.credit = std::max(peer.credit, credit->limit);
  if (const auto* cancel = std::get_if<wire::Cancel>(&**decoded)) {
    std::erase_if(peer.jobs, [&](const Job& job) { return std::ranges::count(cancel->ids, job.id) != 0; });
  }
  if (const auto* want = std::get_if<wire::Want>(&**decoded)) take(peer, *want, blocks, out);
  serve(peer, out);
  return out;
}

void Rogue::take(Peer& peer, const wire::Want& want, const Blocks& blocks, std::vector<Bytes>& out) {
  if (conduct_ == Conduct::kSilent) return;
  wire::Have have;
  wire::DontHave lacks;
  wire::DontHave busy{.ids = {}, .reason = wire::DontHaveReason::kBusy};
  for (const wire::WantEntry& entry : want.entries) {
    const bool here = blocks.contains(entry.cid);
    if (entry.kind == WantKind::kHave) {
      (here ? have.ids : lacks.ids).push_back(entry.id);
    } else if (conduct_ == Conduct::kBusy) {
      busy.ids.push_back(entry.id);
    } else if (conduct_ == Conduct::kPoor || !here) {
      lacks.ids.push_back(entry.id);
    } else if (conduct_ != Conduct::kMute && conduct_ != Conduct::kFlooding) {
      peer.jobs.push_back({entry.id, bytes_for(entry.cid, blocks)});
    }
  }
  if (!have.ids.empty()) out.push_back(wire::encode(have));
  if (!lacks.ids.empty()) out.push_back(wire::encode(lacks));
  if (!busy.ids.empty()) out.push_back(wire::encode(busy));
  if (!std::exchange(peer.misbehaved, true)) misbehave(peer, blocks, out);
}

SharedBytes Rogue::bytes_for(const content_id::ContentId& cid, const Blocks& blocks) {
  const auto found = blocks.find(cid);
  switch (conduct_) {
    case Conduct::kConfusing: {
      const auto other = std::next(found) == blocks.end() ? blocks.begin() : std::next(found);
      return other->second;
    }
    case Conduct::kFickle:
      if (!dice_.chance(1.0 / 8)) return found->second;
      [[fallthrough]];
    case Conduct::kLying: {
      Bytes other = *found->second;
      other[dice_.whole<std::size_t>(0, other.size() - 1)] ^= 1;
      return share(std::move(other));
    }
    default: return found->second;
  }
}

void Rogue::serve(Peer& peer, std::vector<Bytes>& out) const {
  if (conduct_ == Conduct::kDripping) return;
  if (conduct_ == Conduct::kUnfinished) {
    for (Job& job : peer.jobs) {
      const std::uint64_t size = std::min<std::uint64_t>(job.bytes->size() - 1, kFrame) - job.offset;
      if (job.offset != 0 || size == 0 || peer.credit - peer.sent < size) continue;
      out.push_back(chunk(job.id, *job.bytes, 0, size));
      job.offset = static_cast<std::uint32_t>(size);
      peer.sent += size;
    }
    return;
  }
  while (!peer.jobs.empty() && peer.sent < peer.credit) {
    Job& job = peer.jobs.front();
    const std::uint64_t left = job.bytes->size() - job.offset;
    const std::uint64_t size = std::min<std::uint64_t>({left, kFrame, peer.credit - peer.sent});
    out.push_back(chunk(job.id, *job.bytes, job.offset, size));
    peer.sent += size;
    job.offset += static_cast<std::uint32_t>(size);
    if (conduct_ == Conduct::kGapped && size < left - 1) ++job.offset;
    if (job.offset == job.bytes->size()) peer.jobs.pop_front();
  }
}

/// What breaks the protocol, once, when it is first asked for blocks: the asker loses the most then.
void Rogue::misbehave(Peer& peer, const Blocks& blocks, std::vector<Bytes>& out) {
  const auto want = [&](std::uint32_t id) {
    return wire::encode(wire::Want{{{WantId{id}, blocks.begin()->first, WantKind::kBlock}}});
  };
  switch (conduct_) {
    case Conduct::kOversized: {
      Bytes frame(wire::kMaxFrame + 1);
      frame[0] = 200;  // A type that nobody knows.
      out.push_back(std::move(frame));
      break;
    }
    case Conduct::kGreetsTwice: out.push_back(wire::encode(wire::Hello{})); break;
    case Conduct::kUnwanted: out.push_back(chunk(WantId{1'000'000}, *blocks.begin()->second, 0, 1024)); break;
    case Conduct::kRepeating: {
      if (peer.jobs.empty()) break;
      const Job first = peer.jobs.front();
      serve(peer, out);
      for (int i = 0; i < 8; ++i)
        out.push_back(chunk(first.id, *first.bytes, 0, std::min<std::uint64_t>(first.bytes->size(), kFrame)));
      break;
    }
    case Conduct::kReusing:
      out.push_back(want(7));
      out.push_back(want(7));
      break;
    case Conduct::kGarbled: out.push_back({2, 0x0a, 0xff, 0xff, 0xff}); break;
    default: break;
  }
}

std::vector<Bytes> Rogue::tick(PeerId id, const Blocks& blocks) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return {};
  Peer& peer = found->second;
  std::vector<Bytes> out;
  ++peer.ticks;
  if (conduct_ == Conduct::kDripping && peer.ticks % (std::chrono::seconds(1) / kTick) == 0 && !peer.jobs.empty() &&
      peer.sent < peer.credit) {
    Job& job = peer.jobs.front();
    out.push_back(chunk(job.id, *job.bytes, job.offset++, 1));
    ++peer.sent;
    if (job.offset == job.bytes->size()) peer.jobs.pop_front();
  }
  if (conduct_ == Conduct::kFlooding || conduct_ == Conduct::kGreedy) flood(peer, blocks, out);
  return out;
}

void Rogue::flood(Peer& peer, const Blocks& blocks, std::vector<Bytes>& out) {
  constexpr std::uint64_t kLast = 50;  // Five seconds say as much as an hour.
  if (peer.ticks > kLast) return;
  wire::Want want;
  auto block = std::next(blocks.begin(), static_cast<std::ptrdiff_t>(dice_.whole<std::size_t>(0, blocks.size() - 1)));
  for (int i = 0; i < 60; ++i) {
    const bool ask = conduct_ == Conduct::kFlooding && dice_.chance(0.5);
    want.entries.push_back({WantId{peer.next_want++}, block->first, ask ? WantKind::kHave : WantKind::kBlock});
    if (++block == blocks.end()) block = blocks.begin();
  }
  out.push_back(wire::encode(want));
  if (conduct_ != Conduct::kFlooding) return;
  wire::Cancel cancel;
  for (std::uint32_t id = peer.next_want - 60; id < peer.next_want; id += 2) cancel.ids.push_back(WantId{id});
  out.push_back(wire::encode(cancel));
  for (std::uint64_t i = 0; i < 5; ++i) {
    out.push_back(wire::encode(wire::Credit{std::numeric_limits<std::uint64_t>::max() - i}));
    out.push_back({99, 1, 2, 3});
  }
}

}  // namespace codio::sim
