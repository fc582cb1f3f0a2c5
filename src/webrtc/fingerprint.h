// Whose certificate a description speaks of: docs/protocol.md §3.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "common/result.h"

namespace codio::webrtc {

/// The SHA-256 of a DTLS certificate.
using Fingerprint = std::array<std::uint8_t, 32>;

/// What the whole description agrees on. kMalformed: it has none, several that differ, one of another hash function, or
/// the word anywhere else, so that no parser can read another one than this.
Result<Fingerprint> fingerprint_of(std::string_view sdp);

}  // namespace codio::webrtc
