#include "common/concat.h"

#include <gtest/gtest.h>

namespace codio {
namespace {

TEST(Concat, JoinsItsParts) {
  const std::string word = "block";
  EXPECT_EQ(concat({"no ", word, std::string_view("s here or there").substr(0, 6), ""}), "no blocks here");
  EXPECT_EQ(concat({}), "");
}

}  // namespace
}  // namespace codio
