// Free chunks are in lists by size, eight for each power of two, and merge with free neighbours: segregated fit with
// boundary tags, as in M. Masmano et al., "TLSF: a new dynamic memory allocator for real-time systems" (2004).
#include "wasm/heap.h"

#include <algorithm>
#include <bit>
#include <cstdint>

#include "common/check.h"

/// Where the linker says that its own data ends.
extern "C" std::uint8_t __heap_base;

namespace codio::wasm {
namespace {

constexpr std::uint32_t kAlignment = 16;
constexpr std::uint32_t kPage = 64 * 1024;
/// The memory grows by this at least: the host makes its views anew each time.
constexpr std::uint32_t kGrowth = 4 * kPage;
constexpr std::uint32_t kLargest = 1 << 30;
/// A rest that is smaller stays with what was cut: it would be of use to nobody.
constexpr std::uint32_t kSmallestRest = 32;
/// How many of its own list are looked at, where some may be too small; all of the next one are large enough.
constexpr int kLooks = 8;

/// All memory from the heap's begin to its end is chunks without gaps. What the heap gives lies behind the header.
struct Chunk {
  std::uint32_t before;     ///< Size of the chunk before it; 0 of the first, which so is its own.
  std::uint32_t size : 31;  ///< With the header.
  std::uint32_t is_free : 1;
  // Of a free one only: its neighbours in its list.
  Chunk* next;
  Chunk* previous;
};

constexpr std::uint32_t kHeader = offsetof(Chunk, next);
constexpr unsigned kSmallestBits = std::bit_width(sizeof(Chunk)) - 1;
constexpr unsigned kListBits = 3;
constexpr unsigned kLists = (31 - kSmallestBits) << kListBits;

Chunk* lists[kLists];
/// A bit for each list that is not empty.
std::uint32_t filled[(kLists + 31) / 32];
/// The last chunk: not free, and nothing but a header at the end of the memory.
Chunk* end = nullptr;

std::uint32_t address(const void* memory) { return reinterpret_cast<std::uint32_t>(memory); }

template <class Kind>
Kind* at(const void* memory, std::uint32_t offset) {
  return reinterpret_cast<Kind*>(address(memory) + offset);
}

Chunk* after(const Chunk* chunk) { return at<Chunk>(chunk, chunk->size); }
Chunk* before(const Chunk* chunk) { return at<Chunk>(chunk, -chunk->before); }

std::uint32_t round_up(std::uint32_t size, std::uint32_t unit) { return (size + unit - 1) / unit * unit; }

void begin(Chunk* chunk) {
  chunk->before = 0;
  chunk->size = 0;
  chunk->is_free = 0;
}

void set_size(Chunk* chunk, std::uint32_t size) {
  chunk->size = size;
  after(chunk)->before = size;
}

/// The list whose chunks have the size's highest bits.
unsigned list_of(std::uint32_t size) {
  const unsigned bits = std::bit_width(size) - 1;
  return ((bits - kSmallestBits - 1) << kListBits) + (size >> (bits - kListBits));
}

void insert(Chunk* chunk) {
  const unsigned list = list_of(chunk->size);
  chunk->is_free = 1;
  chunk->previous = nullptr;
  chunk->next = lists[list];
  if (chunk->next != nullptr) chunk->next->previous = chunk;
  lists[list] = chunk;
  filled[list / 32] |= 1U << list % 32;
}

void remove(Chunk* chunk) {
  chunk->is_free = 0;
  if (chunk->next != nullptr) chunk->next->previous = chunk->previous;
  if (chunk->previous != nullptr) {
    chunk->previous->next = chunk->next;
    return;
  }
  const unsigned list = list_of(chunk->size);
  lists[list] = chunk->next;
  if (chunk->next == nullptr) filled[list / 32] &= ~(1U << list % 32);
}

Chunk* find(std::uint32_t size) {
  unsigned list = list_of(size);
  Chunk* chunk = lists[list++];
  for (int looks = 0; chunk != nullptr && looks < kLooks; ++looks, chunk = chunk->next) {
    if (chunk->size >= size) return chunk;
  }
  for (; list < kLists; list = round_up(list + 1, 32)) {
    const std::uint32_t larger = filled[list / 32] >> list % 32;
    if (larger != 0) return lists[list + static_cast<unsigned>(std::countr_zero(larger))];
  }
  return nullptr;
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

/// Adds memory at the end, so that there is a free chunk of this size.
void grow(std::uint32_t size) {
  if (end == nullptr) {
    end = at<Chunk>(nullptr, round_up(address(&__heap_base) + kHeader, kAlignment) - kHeader);
    begin(end);
  }
  const std::uint32_t memory = __builtin_wasm_memory_size(0);
  const std::uint64_t needed = std::uint64_t{address(end)} + size + kHeader;
  if (needed > std::uint64_t{memory} * kPage) {
    const auto pages = static_cast<std::uint32_t>((needed + kGrowth) / kPage) - memory;
    check(__builtin_wasm_memory_grow(0, pages) == memory);
  }
  Chunk* chunk = end;
  end = at<Chunk>(nullptr, static_cast<std::uint32_t>(__builtin_wasm_memory_size(0) * kPage) - kHeader);
  begin(end);
  set_size(chunk, address(end) - address(chunk));
  merge(chunk);
}

}  // namespace

void* take_memory(std::size_t size) {
  check(size <= kLargest);
  const std::uint32_t whole = std::max<std::uint32_t>(round_up(size + kHeader, kAlignment), sizeof(Chunk));
  Chunk* chunk = find(whole);
  if (chunk == nullptr) {
    grow(whole);
    chunk = find(whole);
  }
  remove(chunk);
  if (const std::uint32_t rest = chunk->size - whole; rest >= kSmallestRest) {
    set_size(chunk, whole);
    set_size(after(chunk), rest);
    insert(after(chunk));
  }
  return at<void>(chunk, kHeader);
}

void give_memory(void* memory) {
  if (memory != nullptr) merge(at<Chunk>(memory, -kHeader));
}

}  // namespace codio::wasm
