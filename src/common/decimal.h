// Numbers in messages.
#pragma once

#include <cstdint>
#include <string>

namespace codio {

/// As std::to_string(), whose tables a page would download.
std::string to_decimal(std::uint64_t value);

}  // namespace codio
