#include "node/web_files.h"

#include <chrono>
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

TEST_F(WebFilesTest, TakesWhatIsCompressedBesideAFileUnlessItIsOlder) {
  write("pkg/a.js", "one");
  write("pkg/a.js.gz", "packed");
  write("pkg/a.js.br", "packed better");
  const auto both = files_.find("/pkg/a.js");
  EXPECT_EQ(as_text(both->gzip), "packed");
  EXPECT_EQ(as_text(both->brotli), "packed better");
  write("pkg/a.js", "another");
  const auto times = std::filesystem::last_write_time(folder_.path() / "pkg/a.js");
  std::filesystem::last_write_time(folder_.path() / "pkg/a.js.gz", times - std::chrono::seconds(1));
  std::filesystem::remove(folder_.path() / "pkg/a.js.br");
  const auto none = files_.find("/pkg/a.js");
  EXPECT_EQ(as_text(none->bytes), "another");
  EXPECT_TRUE(none->gzip.empty());
  EXPECT_TRUE(none->brotli.empty());
  EXPECT_EQ(as_text(both->brotli), "packed better");
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
