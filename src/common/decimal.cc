#include "common/decimal.h"

#include <iterator>
#include <limits>

namespace codio {

std::string to_decimal(std::uint64_t value) {
  char digits[std::numeric_limits<std::uint64_t>::digits10 + 1];
  char* begin = std::end(digits);
  do {
    *--begin = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value > 0);
  return {begin, std::end(digits)};
}

}  // namespace codio
