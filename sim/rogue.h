// Peers that do not do what the protocol asks of them: everything that a stranger can do to a download.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "sim/content.h"
#include "sim/dice.h"
#include "transfer/types.h"
#include "transfer/wire/messages.h"

namespace codio::sim {

/// How a peer treats those who download from it.
enum class Conduct : std::uint8_t {
  kHonest,
  // Keeps to the protocol's letter, and is of no use.
  kPoor,         ///< Says that it lacks every block.
  kSilent,       ///< Says HELLO, then nothing.
  kMute,         ///< Says that it has what it is asked for, and gives nothing.
  kDripping,     ///< One byte a second.
  kBusy,         ///< Answers busy, for ever.
  kFlooding,     ///< Serves nothing, and sends all that costs a receiver work: wants, cancels, answers, unknown frames.
  kGreedy,       ///< Serves, and wants more than the protocol lets it want.
  kUnreachable,  ///< Was found, but no connection to it ever opens.
  // Lies: found out by the hash.
  kLying,      ///< Sends other bytes than the block's, every time.
  kFickle,     ///< Sends other bytes one time in eight.
  kConfusing,  ///< Sends the bytes of another block of the same file.
  // Breaks the protocol: found out at once.
  kUnfinished,   ///< Begins every block and ends none.
  kOversized,    ///< Sends a frame larger than is allowed.
  kEarly,        ///< Speaks before HELLO.
  kGreetsTwice,  ///< Says HELLO again.
  kUnwanted,     ///< Sends a block that nobody wanted.
  kRepeating,    ///< Sends a block again that has come.
  kGapped,       ///< Leaves out bytes in the middle of a block.
  kReusing,      ///< Uses a want's id twice.
  kGarbled,      ///< Sends what cannot be decoded.
};

/// Whether the hash or the protocol convicts such a peer, so that it has to be dropped.
bool is_convictable(Conduct conduct);

/// Not an engine: just enough of the protocol to misbehave in it.
class Rogue {
 public:
  /// Between two calls of tick().
  static constexpr Duration kTick = std::chrono::milliseconds(100);

  Rogue(Conduct conduct, std::uint64_t seed) : conduct_(conduct), dice_(seed) {}

  // Each returns what it sends.
  std::vector<Bytes> handle_connected(transfer::PeerId peer);
  std::vector<Bytes> handle_message(transfer::PeerId peer, BytesView message, const Blocks& blocks);
  std::vector<Bytes> tick(transfer::PeerId peer, const Blocks& blocks);
  void handle_disconnected(transfer::PeerId peer) { peers_.erase(peer); }

 private:
  struct Job {
    transfer::wire::WantId id;
    SharedBytes bytes;
    std::uint32_t offset = 0;
  };

  struct Peer {
    std::deque<Job> jobs;
    std::uint64_t credit = 0;
    std::uint64_t sent = 0;
    std::uint32_t next_want = 1;
    std::uint64_t ticks = 0;
    bool misbehaved = false;
  };

  void take(Peer& peer, const transfer::wire::Want& want, const Blocks& blocks, std::vector<Bytes>& out);
  SharedBytes bytes_for(const content_id::ContentId& cid, const Blocks& blocks);
  void serve(Peer& peer, std::vector<Bytes>& out) const;
  void misbehave(Peer& peer, const Blocks& blocks, std::vector<Bytes>& out);
  void flood(Peer& peer, const Blocks& blocks, std::vector<Bytes>& out);

  Conduct conduct_;
  Dice dice_;
  std::map<transfer::PeerId, Peer> peers_;
};

}  // namespace codio::sim
