// Invariants of our own code.
#pragma once

namespace codio {

/// Ends the process if `holds` is false: a broken invariant must not go on to send or store anything. In WASM it is a
/// trap, which the host sees as an exception.
constexpr void check(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace codio
