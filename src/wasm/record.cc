#include "wasm/record.h"

#include <utility>

#include "wasm/heap.h"

namespace codio::wasm {
namespace {

/// What the record's `text` points to.
std::string the_text;

}  // namespace

Record the_record;

void set(OutputKind kind, std::uint32_t id) {
  the_record = {};
  the_record.kind = static_cast<std::uint32_t>(kind);
  the_record.id = id;
}

void set_bytes(BytesView bytes) {
  the_record.bytes = bytes.data();
  the_record.bytes_size = static_cast<std::uint32_t>(bytes.size());
}

void set_text(std::string text) {
  the_text = std::move(text);
  the_record.text = the_text.data();
  the_record.text_size = static_cast<std::uint32_t>(the_text.size());
}

void set_error(const Error& error) {
  the_record.code = static_cast<std::uint32_t>(error.code);
  set_text(error.message);
}

extern "C" {

const Record* record() { return &the_record; }

void* allocate(std::uint32_t size) { return take_memory(size); }
void release(void* memory) { give_memory(memory); }
}

}  // namespace codio::wasm
