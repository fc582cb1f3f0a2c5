// What the nodes of one bus say to each other, docs/protocol.md §2.5: typed structs, and their text: a line of JSON,
// and after it the JSON of the signal, if there is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/result.h"
#include "content_id/cid.h"
#include "rendezvous/messages.h"

namespace codio::rendezvous {

/// Of text: a signal and what it is wrapped in.
inline constexpr std::size_t kMaxBusMessage = kMaxMessage + 1024;

/// "I am here": to all at the start and every kHelloInterval, and to a node that is new.
struct BusHello {};
/// "I go": its peers are gone.
struct BusBye {};
/// "Who serves this?", to all.
struct BusFind {
  std::uint64_t id = 0;  ///< The sender's; the answer repeats it.
  content_id::ContentId cid;
};
struct BusFound {
  std::uint64_t id = 0;
  std::vector<std::string> peers;  ///< At most kMaxProviders.
};
/// "Who has this peer?", to all; only who has it answers.
struct BusWhere {
  std::string peer;
};
struct BusHere {
  std::string peer;
};
/// What a client of the sender says to `to`, a client of the receiver: `peer` of the message is who says it.
/// Unreachable: its `peer` is not a client of the sender any more.
struct BusSignal {
  std::string to;
  std::variant<Offer, Answer, Candidate, Unreachable> message;
};

using BusBody = std::variant<BusHello, BusBye, BusFind, BusFound, BusWhere, BusHere, BusSignal>;

struct BusMessage {
  std::string node;  ///< Who sent it.
  BusBody body;
};

/// kMalformed, kTooLarge, or kUnsupported for a type or version that is not known here. Names in the result are
/// well-formed, lists within their limits.
Result<BusMessage> parse_bus_message(std::string_view text);

std::string to_json(const BusMessage& message);

/// The same for a BusSignal whose message is `signal`, the JSON of a ServerMessage.
std::string wrap_signal(std::string_view node, std::string_view to, std::string_view signal);

}  // namespace codio::rendezvous
