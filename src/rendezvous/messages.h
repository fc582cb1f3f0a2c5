// The messages of rendezvous, docs/protocol.md §2: typed structs and their JSON.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"

namespace codio::rendezvous {

inline constexpr std::string_view kSubprotocol = "codio-rendezvous.1";
inline constexpr std::uint64_t kVersion = 1;
inline constexpr std::size_t kMaxMessage = 64 * 1024;  ///< Bytes of JSON.
inline constexpr std::size_t kMaxCids = 256;           ///< In one `announce` or `withdraw`.
inline constexpr std::size_t kMaxProviders = 32;       ///< In one `providers`.
inline constexpr std::size_t kMaxElsewhere = 16;       ///< In one `providers`, too.
inline constexpr std::size_t kMaxUrl = 512;            ///< Of a rendezvous elsewhere.

/// Close codes of RFC 6455 §7.4.1 that the protocol uses, and one of its own.
enum class CloseCode : std::uint16_t {
  kGoingAway = 1001,
  kUnknownData = 1003,
  kPolicy = 1008,
  kTooBig = 1009,
  kReplaced = 4001,
};

/// What a client signs to show who it is: random, and another one for each connection.
using Challenge = std::array<std::uint8_t, 32>;

/// A STUN or TURN server, as WebRTC's RTCIceServer.
struct IceServer {
  std::vector<std::string> urls;
  std::string username;
  std::string credential;

  bool operator==(const IceServer&) const = default;
};

/// What two peers say to each other before they are connected. `peer` is the other one: in the JSON `to` from a client
/// and `from` from the server.
struct Offer {
  std::string peer;
  std::string session;
  std::string sdp;

  bool operator==(const Offer&) const = default;
};

struct Answer {
  std::string peer;
  std::string session;
  std::string sdp;

  bool operator==(const Answer&) const = default;
};

struct Candidate {
  std::string peer;
  std::string session;
  std::string candidate;  ///< Empty is the end of candidates.
  std::string mid;

  bool operator==(const Candidate&) const = default;
};

/// Who the client is; both empty: somebody without a key.
struct Join {
  std::string peer;
  Bytes signature;  ///< 64 bytes.
};

struct Announce {
  std::vector<content_id::ContentId> cids;
};

struct Withdraw {
  std::vector<content_id::ContentId> cids;
};

struct Find {
  std::uint64_t id = 0;
  content_id::ContentId cid;
};

struct Welcome {
  std::string peer;
  std::vector<IceServer> ice_servers;
  std::uint64_t max_announced = 0;
  Challenge challenge{};
  std::uint64_t announce_seconds = 0;  ///< An announcement that is not repeated is forgotten after this; 0: never.

  bool operator==(const Welcome&) const = default;
};

/// The answer to a join: from now on others find and reach the client.
struct Joined {
  std::string peer;

  bool operator==(const Joined&) const = default;
};

/// The ICE servers of `welcome` are void soon; these are the new ones.
struct IceServers {
  std::vector<IceServer> servers;

  bool operator==(const IceServers&) const = default;
};

/// The server goes: the client connects elsewhere, or here again, after this.
struct Moving {
  std::uint64_t after_ms = 0;

  bool operator==(const Moving&) const = default;
};

/// A provider that has to be met at another rendezvous.
struct Elsewhere {
  std::string peer;
  std::string rendezvous;  ///< A ServerUrl.

  bool operator==(const Elsewhere&) const = default;
};

struct Providers {
  std::uint64_t id = 0;
  content_id::ContentId cid;
  std::vector<std::string> peers;
  std::vector<Elsewhere> elsewhere = {};
  bool more = false;  ///< Another answer to the same question follows.
};

struct Unreachable {
  std::string peer;
  std::string session;

  bool operator==(const Unreachable&) const = default;
};

/// The `error` message. `code` is text, because a later server may know more codes.
struct Refusal {
  std::string code;
  std::string message;
  std::optional<std::uint64_t> id;

  bool operator==(const Refusal&) const = default;
};

namespace refusal {
inline constexpr std::string_view kMalformed = "malformed";
inline constexpr std::string_view kTooLarge = "too-large";
inline constexpr std::string_view kTooMany = "too-many";
inline constexpr std::string_view kRateLimited = "rate-limited";
inline constexpr std::string_view kUnknownType = "unknown-type";
inline constexpr std::string_view kNoSession = "no-session";
inline constexpr std::string_view kNotJoined = "not-joined";
inline constexpr std::string_view kForged = "forged";
}  // namespace refusal

/// What one peer says to another, through the server.
using Signal = std::variant<Offer, Answer, Candidate>;
using ClientMessage = std::variant<Join, Announce, Withdraw, Find, Offer, Answer, Candidate>;
using ServerMessage =
    std::variant<Welcome, Joined, IceServers, Moving, Providers, Offer, Answer, Candidate, Unreachable, Refusal>;

/// Reads what a client sent; the error is what the server has to answer. Peer ids and sessions in the result are
/// well-formed, CID lists within kMaxCids.
std::expected<ClientMessage, Refusal> parse_client_message(std::string_view text);

/// Reads what a server sent: kMalformed, kTooLarge, or kUnsupported for a type or version that is not known here.
Result<ServerMessage> parse_server_message(std::string_view text);

std::string to_json(const ClientMessage& message);
std::string to_json(const ServerMessage& message);

/// Whether it has the form of a peer id or a session's name.
bool is_name(std::string_view text);

/// Whether the peer's id and the URL are well-formed and not too long.
bool is_elsewhere(const Elsewhere& one);

/// What CIDs are compared by: equal for all CIDs of one block, whatever their version and codec.
std::string content_key(const content_id::ContentId& cid);

}  // namespace codio::rendezvous
