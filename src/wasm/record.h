// Filling the record of abi.h.
#pragma once

#include <cstdint>
#include <string>

#include "common/bytes.h"
#include "common/result.h"
#include "wasm/abi.h"

namespace codio::wasm {

extern Record the_record;

/// Empties the record but for these.
void set(OutputKind kind, std::uint32_t id = 0);
/// They must outlive the record.
void set_bytes(BytesView bytes);
void set_text(std::string text);
void set_error(const Error& error);

}  // namespace codio::wasm
