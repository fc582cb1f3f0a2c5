#include "rendezvous/turn.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

namespace codio::rendezvous {
namespace {

using testing::HasSubstr;

TEST(TurnSecret, GivesCredentialsToTurnServersThatHaveNone) {
  const auto secret = TurnSecret::make("north", std::chrono::hours(12));
  const std::vector<IceServer> given{
      {{"stun:a"}, "", ""}, {{"turn:b"}, "", ""}, {{"turn:c"}, "u", "c"}, {{"stun:d", "turns:d"}, "", ""}};
  const auto issued = secret->issue(given, std::chrono::seconds(1'700'000'000));
  EXPECT_EQ(issued[0], given[0]);
  EXPECT_EQ(issued[2], given[2]);
  for (const std::size_t turn : {1, 3}) {
    EXPECT_EQ(issued[turn].username, "1700043200:codio");
    EXPECT_EQ(issued[turn].credential, "wLCT2R7dkLASzRNWlVkq7ya21TQ=");
  }
}

TEST(TurnSecret, IsReadFromAFileThatIsPrivate) {
  std::string folder = (std::filesystem::temp_directory_path() / "codio-turn-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string file = folder + "/secret";
  const auto error_of = [&] {
    const auto secret = TurnSecret::read(file, std::chrono::hours(1));
    return secret ? std::string() : secret.error().message;
  };
  EXPECT_THAT(error_of(), HasSubstr("No such file"));
  std::ofstream(file) << "north\nmore\n";
  ::chmod(file.c_str(), 0644);
  EXPECT_THAT(error_of(), HasSubstr("chmod o-rwx"));
  ::chmod(file.c_str(), 0640);
  const auto secret = TurnSecret::read(file, std::chrono::hours(12));
  ASSERT_TRUE(secret.has_value());
  EXPECT_EQ(secret->issue({{{"turn:b"}, "", ""}}, std::chrono::seconds(1'700'000'000))[0].credential,
            "wLCT2R7dkLASzRNWlVkq7ya21TQ=");
  std::ofstream(file, std::ios::trunc) << "\n";
  EXPECT_THAT(error_of(), HasSubstr("first line"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace codio::rendezvous
