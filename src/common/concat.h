// Sentences out of parts.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace codio {

/// The parts one after the other. As `+` does, which a page would download for every pair of types.
std::string concat(std::initializer_list<std::string_view> parts);

}  // namespace codio
