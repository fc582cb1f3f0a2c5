// The module's memory, in the place of libc's malloc, of which it is a fraction to download.
#pragma once

#include <cstddef>

namespace codio::wasm {

/// `size` bytes, aligned to 16. Traps if there are none: the host must drop the instance.
void* take_memory(std::size_t size);
/// Gives back what take_memory() gave. Null is ignored.
void give_memory(void* memory);

}  // namespace codio::wasm
