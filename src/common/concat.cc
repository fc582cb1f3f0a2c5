#include "common/concat.h"

#include <algorithm>
#include <cstddef>

namespace codio {

std::string concat(std::initializer_list<std::string_view> parts) {
  std::size_t size = 0;
  for (const std::string_view part : parts) size += part.size();
  std::string whole(size, '\0');
  auto end = whole.begin();
  for (const std::string_view part : parts) end = std::ranges::copy(part, end).out;
  return whole;
}

}  // namespace codio
