// How many files and sockets this process may have open.
#pragma once

#include <cstdint>

namespace codio::cli {

/// Fewer are soon too few for a node: a peer takes a few, a visitor of the gateway one, and the store some hundreds.
inline constexpr std::uint64_t kFewOpenFiles = 1024;

/// What to do then.
inline constexpr const char* kRaiseOpenFiles =
    "let `codio serve` have more: LimitNOFILE=65536 in its systemd unit, or its user in /etc/security/limits.conf";

/// As many as the system lets this process allow itself; nothing forbids them: the largest number.
std::uint64_t most_open_files();

/// Allows as many to this process, and returns how many it may have now. What systems allow at first, often 1,024, is
/// for programs that use select().
std::uint64_t raise_open_files();

}  // namespace codio::cli
