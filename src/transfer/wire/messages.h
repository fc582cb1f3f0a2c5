// The frames of the exchange protocol: docs/protocol.md §4.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "common/strong.h"
#include "content_id/cid.h"

namespace codio::transfer::wire {

inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::uint32_t kMinFrame = 16 * 1024;
inline constexpr std::uint32_t kDefaultFrame = 64 * 1024;
inline constexpr std::uint32_t kMaxFrame = 256 * 1024;
inline constexpr std::size_t kMaxOpenWants = 256;
inline constexpr std::size_t kMaxReason = 256;
/// Of a BLOCK frame: the type byte and three varints.
inline constexpr std::size_t kMaxBlockHeader = 1 + 5 + 4 + 4;

struct WantTag;
using WantId = Id<WantTag>;

/// What proves who sent a HELLO: its Ed25519 key, and its signature of the connection's fingerprints.
struct Proof {
  std::array<std::uint8_t, 32> key;
  std::array<std::uint8_t, 64> signature;

  bool operator==(const Proof&) const = default;
};

struct Hello {
  std::uint32_t version = kVersion;
  std::uint32_t max_frame = kDefaultFrame;
  std::uint64_t credit = 0;
  std::uint64_t features = 0;
  std::optional<Proof> proof = {};
};

enum class WantKind : std::uint8_t { kBlock = 0, kHave = 1 };

struct WantEntry {
  WantId id;
  content_id::ContentId cid;
  WantKind kind;
};

struct Want {
  std::vector<WantEntry> entries;
};

struct Have {
  std::vector<WantId> ids;
};

enum class DontHaveReason : std::uint8_t { kNotHere = 0, kBusy = 1, kRefused = 2 };

struct DontHave {
  std::vector<WantId> ids;
  DontHaveReason reason = DontHaveReason::kNotHere;
};

struct BlockChunk {
  WantId id;
  std::uint32_t offset;
  std::uint32_t size;  ///< Of the whole block.
  BytesView bytes;     ///< Points into the frame.
};

struct Cancel {
  std::vector<WantId> ids;
};

struct Credit {
  std::uint64_t limit;
};

enum class GoodbyeCode : std::uint8_t {
  kLeaving = 0,
  kProtocolError = 1,
  kBadBlock = 2,
  kUnsupportedVersion = 3,
  kNotProven = 4,
};

struct Goodbye {
  GoodbyeCode code;
  std::string reason;
};

using Message = std::variant<Hello, Want, Have, DontHave, BlockChunk, Cancel, Credit, Goodbye>;

/// Reads one frame. Nothing: a type this version does not know, to be ignored. An error is a breach of the protocol.
/// Everything is bounded by the frame's size; the caller bounds that.
Result<std::optional<Message>> decode(BytesView frame);

Bytes encode(const Hello& hello);
Bytes encode(const Want& want);
Bytes encode(const Have& have);
Bytes encode(const DontHave& dont_have);
Bytes encode(const BlockChunk& chunk);
Bytes encode(const Cancel& cancel);
Bytes encode(const Credit& credit);
Bytes encode(const Goodbye& goodbye);
inline Bytes encode(const Message& message) {
  return std::visit([](const auto& body) { return encode(body); }, message);
}

}  // namespace codio::transfer::wire
