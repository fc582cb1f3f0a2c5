// What the owner of the machine allows the engine to take of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace codio::transfer {

/// May be changed at any time: Exchange::set_limits().
struct Limits {
  /// Bytes of block data a second to all peers together. Nothing: no limit; 0: wants are refused.
  std::optional<std::uint64_t> upload_rate;
  /// Bytes of block data a second from peers and gateways together. Nothing: no limit; 0 counts as 1.
  std::optional<std::uint64_t> download_rate;
  /// Peers served at a time. Others are told that we are busy, and get a turn. Enough for the viewers of a page, and
  /// few enough that each gets a share worth having.
  std::size_t upload_slots = 64;

  bool operator==(const Limits&) const = default;
};

}  // namespace codio::transfer
