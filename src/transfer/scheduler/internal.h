// What the files of the scheduler share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include "common/time.h"
#include "transfer/types.h"

namespace codio::transfer {

/// The gateway among the sources; no peer has this number.
inline constexpr PeerId kGateway{0};
/// Taken for a source's rate as long as that of none is known.
inline constexpr double kAssumedRate = 1e6;
inline constexpr std::uint64_t kSmallestSample = 16 * 1024;
inline constexpr std::size_t kSmallestPipeline = 2;
inline constexpr Duration kFirstAvoidance = std::chrono::seconds(5);
inline constexpr Duration kLongestAvoidance = std::chrono::seconds(60);
inline constexpr double kEndless = std::numeric_limits<double>::infinity();

inline double to_seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

inline std::optional<PeerId> to_peer(PeerId id) { return id == kGateway ? std::nullopt : std::optional(id); }

/// Of what is measured again and again, the later counts more.
inline void smooth(double& rate, double sample) { rate = rate == 0 ? sample : 0.7 * rate + 0.3 * sample; }

}  // namespace codio::transfer
