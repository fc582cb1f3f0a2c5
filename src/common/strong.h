// Strong types for numbers that must not be mixed.
#pragma once

#include <compare>
#include <cstdint>

namespace codio {

/// A number that is only equal to, ordered with and assigned from its own kind: `struct PeerTag; using PeerId =
/// Id<PeerTag>;`.
template <class Tag, class Value = std::uint32_t>
struct Id {
  Value value = 0;

  auto operator<=>(const Id&) const = default;
};

}  // namespace codio
