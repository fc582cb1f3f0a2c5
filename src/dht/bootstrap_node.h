// The nodes that one joins a DHT at.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace codio::dht {

/// A node to join at: a name or address, and a UDP port.
struct BootstrapNode {
  std::string host;  ///< IPv6 addresses without brackets.
  std::uint16_t port;

  /// `HOST:PORT`, an IPv6 address in brackets.
  static Result<BootstrapNode> parse(std::string_view text);
  std::string to_string() const;
};

/// Nodes that answer newcomers to Mainline: of libtorrent, BitTorrent and Transmission.
const std::vector<BootstrapNode>& mainline_nodes();

/// As URLs have it: IPv6 addresses in brackets.
std::string bracketed(const std::string& host);

}  // namespace codio::dht
