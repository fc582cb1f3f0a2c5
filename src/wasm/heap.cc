// All memory beyond the linker's own data is chunks without gaps. A chunk that is given back merges with its free
// neighbours, which it finds by the sizes in its and their headers (D. Knuth's boundary tags); free ones are in lists,
// one for each small size, and for larger ones by the highest bit.
#include "wasm/heap.h"

#include <bit>
#include <cstdint>
#include <iterator>

#include "common/check.h"

namespace codio::wasm {
namespace {

constexpr std::uint32_t kAlignment = 16;
constexpr std::uint32_t kPage = 64 * 1024;
/// The memory grows by this at least: the host makes its views anew each time.
constexpr std::uint32_t kGrowth = 4 * kPage;
constexpr std::uint32_t kLargest = 1U << 30;
/// What a chunk's size can tell.
constexpr std::uint32_t kMostPages = (1U << 31) / kPage;
/// Smaller chunks have lists of one size.
constexpr std::uint32_t kSmall = 1024;
/// How many of its own list are looked at, where some may be too small; all of the next one are large enough.
constexpr int kLooks = 8;

struct Chunk {
  std::uint32_t before;     ///< Size of the chunk before it; 0 of the first, which so is its own.
  std::uint32_t size : 31;  ///< With the header.
  std::uint32_t is_free : 1;
  // Where what was taken begins, and of a free one only: the next of its list, and what points to it there.
  Chunk* next;
  Chunk** place;
};

constexpr std::uint32_t kHeader = offsetof(Chunk, next);

Chunk* lists[kSmall / kAlignment + 22];
/// The last chunk, nothing but a header at the end of the memory.
Chunk* end = nullptr;

std::uint32_t address(const void* memory) { return reinterpret_cast<std::uint32_t>(memory); }
Chunk* chunk_at(std::uint32_t address) { return reinterpret_cast<Chunk*>(address); }

Chunk* after(const Chunk* chunk) { return chunk_at(address(chunk) + chunk->size); }
Chunk* before(const Chunk* chunk) { return chunk_at(address(chunk) - chunk->before); }

std::size_t list_of(std::uint32_t size) {
  return size < kSmall ? size / kAlignment : kSmall / kAlignment + std::bit_width(size / kSmall) - 1;
}

void set_size(Chunk* chunk, std::uint32_t size) {
  chunk->size = size;
  after(chunk)->before = size;
}

void insert(Chunk* chunk) {
  Chunk*& first = lists[list_of(chunk->size)];
  chunk->is_free = 1;
  chunk->next = first;
  chunk->place = &first;
  if (first != nullptr) first->place = &chunk->next;
  first = chunk;
}

void remove(Chunk* chunk) {
  chunk->is_free = 0;
  *chunk->place = chunk->next;
  if (chunk->next != nullptr) chunk->next->place = chunk->place;
}

void merge(Chunk* chunk) {
  if (Chunk* next = after(chunk); next->is_free) {
    remove(next);
    set_size(chunk, chunk->size + next->size);
  }
  if (Chunk* previous = before(chunk); previous->is_free) {
    remove(previous);
    set_size(previous, previous->size + chunk->size);
    chunk = previous;
  }
  insert(chunk);
}

Chunk* find(std::uint32_t size) {
  for (std::size_t list = list_of(size); list < std::size(lists); ++list) {
    Chunk* chunk = lists[list];
    for (int looks = 0; chunk != nullptr && looks < kLooks; ++looks, chunk = chunk->next) {
      if (chunk->size >= size) return chunk;
    }
  }
  return nullptr;
}

/// Makes a free chunk of this size at the end.
void grow(std::uint32_t size) {
  const std::uint32_t pages = (size + kGrowth) / kPage;
  const std::size_t begin = __builtin_wasm_memory_grow(0, pages);
  check(begin < kMostPages - pages);
  Chunk* chunk = end != nullptr ? end : chunk_at(begin * kPage + kAlignment - kHeader);
  end = chunk_at((begin + pages) * kPage - kHeader);  // As memory is zero, it is not free.
  set_size(chunk, address(end) - address(chunk));
  merge(chunk);
}

}  // namespace

void* take_memory(std::size_t size) {
  check(size <= kLargest);
  const std::uint32_t whole = (size + kHeader + kAlignment - 1) / kAlignment * kAlignment;
  Chunk* chunk = find(whole);
  if (chunk == nullptr) {
    grow(whole);
    chunk = find(whole);
  }
  remove(chunk);
  if (const std::uint32_t rest = chunk->size - whole; rest > 0) {
    set_size(chunk, whole);
    set_size(after(chunk), rest);
    insert(after(chunk));
  }
  return &chunk->next;
}

void give_memory(void* memory) {
  if (memory != nullptr) merge(chunk_at(address(memory) - kHeader));
}

}  // namespace codio::wasm
