#include "common/decimal.h"

#include <gtest/gtest.h>
#include <limits>

namespace codio {
namespace {

TEST(Decimal, IsWhatTheStandardLibraryWrites) {
  for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{9}, std::uint64_t{10}, std::uint64_t{1'000'203},
                                    std::numeric_limits<std::uint64_t>::max()}) {
    EXPECT_EQ(to_decimal(value), std::to_string(value));
  }
}

}  // namespace
}  // namespace codio
