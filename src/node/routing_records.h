// Delegated Routing V1's documents: who provides content, as routers tell it. Pure functions over text.
// https://specs.ipfs.tech/routing/http-routing-v1/
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "node/provider.h"

namespace codio::node {

/// The protocol of gateways: what a trustless gateway's record names.
inline constexpr std::string_view kGatewayProtocol = "transport-ipfs-gateway-http";
/// Ours, of peers that are met at a rendezvous. A member of that name has its URL.
inline constexpr std::string_view kWebRtcProtocol = "transport-codio-webrtc";
/// Records in one answer, and addresses in one record; more are left out.
inline constexpr std::size_t kMaxRoutingRecords = 100;
inline constexpr std::size_t kMaxRoutingAddresses = 64;
inline constexpr std::size_t kMaxRoutingAnswer = 1 << 20;

/// A record of schema `peer`.
struct RoutingRecord {
  std::string id;                  ///< A libp2p peer id.
  std::vector<std::string> addrs;  ///< Multiaddrs.
  std::vector<std::string> protocols;
  std::string rendezvous = {};  ///< With kWebRtcProtocol: `ws:` or `wss:`. Empty: none.

  bool operator==(const RoutingRecord&) const = default;
};

/// Reads JSON or, by its media type, NDJSON. Records that are not understood are left out; kMalformed if it is neither,
/// kTooLarge over kMaxRoutingAnswer.
Result<std::vector<RoutingRecord>> parse_routing_answer(std::string_view content_type, std::string_view text);

/// As a JSON document, or NDJSON with a record a line.
std::string write_routing_answer(const std::vector<RoutingRecord>& records, bool as_lines);

/// The query's `filter-addrs` and `filter-protocols` (IPIP-484), in any case of letters; empty: everything.
std::vector<RoutingRecord> filter_records(std::vector<RoutingRecord> records, std::string_view addrs,
                                          std::string_view protocols);

/// The gateway that a multiaddr leads to, such as `/dns/example.net/tcp/443/https` or `/ip4/1.2.3.4/tcp/80/http`:
/// `https://example.net:443/ipfs/`. Nothing: another kind of address.
std::optional<std::string> gateway_of(std::string_view multiaddr);
/// The other way, for a URL as gateway::parse_gateway_url() gives it, without a path but /ipfs/.
std::optional<std::string> multiaddr_of(std::string_view gateway);

/// The libp2p peer id of the Ed25519 key behind ours; empty if it is not the id of a key.
std::string libp2p_id(std::string_view peer);
/// The other way; empty if it is not the id of an Ed25519 key.
std::string peer_of_libp2p_id(std::string_view id);

}  // namespace codio::node
