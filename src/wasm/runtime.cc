// What libc and libc++ would do by writing to stderr is a trap here, so that the module imports nothing and does not
// carry printf; what libc does in loops is one instruction, and what it does by words goes by bytes: no text is long.
#include <cstddef>
#include <new>

#include "wasm/heap.h"

using codio::wasm::give_memory;
using codio::wasm::take_memory;

extern "C" {
void abort() { __builtin_trap(); }
[[noreturn]] void abort_message(const char*, ...) { __builtin_trap(); }

void* memcpy(void* to, const void* from, std::size_t size) { return __builtin_memcpy(to, from, size); }
void* memmove(void* to, const void* from, std::size_t size) { return __builtin_memmove(to, from, size); }
void* memchr(const void* in, int value, std::size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(in);
  for (; size > 0; ++bytes, --size) {
    if (*bytes == static_cast<unsigned char>(value)) return const_cast<unsigned char*>(bytes);
  }
  return nullptr;
}
void* memset(void* to, int value, std::size_t size) { return __builtin_memset(to, value, size); }
}

void* operator new(std::size_t size) { return take_memory(size); }
void* operator new[](std::size_t size) { return take_memory(size); }
void operator delete(void* memory) noexcept { give_memory(memory); }
void operator delete[](void* memory) noexcept { give_memory(memory); }
void operator delete(void* memory, std::size_t) noexcept { give_memory(memory); }
void operator delete[](void* memory, std::size_t) noexcept { give_memory(memory); }

_LIBCPP_BEGIN_NAMESPACE_STD
[[noreturn]] void __libcpp_verbose_abort(const char*, ...) { __builtin_trap(); }
_LIBCPP_END_NAMESPACE_STD
