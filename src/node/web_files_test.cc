#include "node/web_files.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "node/testing.h"

namespace codio::node {
namespace {

class WebFilesTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_.path() / "pkg"); }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_.path() / name, std::ios::binary) << text;
  }

  TemporaryFolder folder_;
  WebFiles files_{folder_.path()};
};

TEST_F(WebFilesTest, ReadsAFileOnceAndAgainWhenItChanged) {
  write("pkg/a.js", "one");
  const auto first = files_.find("/pkg/a.js");
  ASSERT_TRUE(first);
  EXPECT_EQ(as_text(first->bytes), "one");
  EXPECT_EQ(files_.find("/pkg/a.js"), first);
  write("pkg/a.js", "two of another size");
  const auto second = files_.find("/pkg/a.js");
  EXPECT_EQ(as_text(second->bytes), "two of another size");
  EXPECT_NE(second->hash, first->hash);
  EXPECT_EQ(as_text(first->bytes), "one");  // Who still sends it has it.
}

TEST_F(WebFilesTest, FindsWhatIsThereAndNothingOutside) {
  write("secret", "x");
  EXPECT_FALSE(files_.find("/pkg/none.js"));
  EXPECT_FALSE(files_.find("/pkg/../secret"));
  EXPECT_FALSE(files_.find("/pkg/"));
  EXPECT_FALSE(files_.find("secret"));
}

TEST(WebFiles, OfTheProgramAreHashedOnce) {
  const WebFiles files;
  const auto page = files.find("/");
  if (!page) GTEST_SKIP() << "this program was built without the browser's files: script/build makes them";
  EXPECT_EQ(files.find("/"), page);
  EXPECT_EQ(page->hash.size(), 32u);
}

}  // namespace
}  // namespace codio::node
