// The rules of ARCHITECTURE.md about who includes what, checked in the sources themselves.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace codio {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

/// Which modules each module sees besides itself.
const std::map<std::string, Names> kSees{
    {"common", {}},
    {"content_id", {"common"}},
    {"transfer", {"common", "content_id"}},
    {"web", {"common", "content_id"}},
    {"wasm", {"common", "content_id", "transfer"}},
    {"store", {"common", "content_id"}},
    {"webrtc", {"common", "content_id"}},
    {"identity", {"common", "content_id"}},
    {"rendezvous", {"common", "content_id", "identity"}},
    {"dht", {"common", "content_id"}},
    {"gateway", {"common", "content_id"}},
    {"node",
     {"common", "content_id", "identity", "transfer", "store", "web", "webrtc", "rendezvous", "dht", "gateway"}},
    {"cli",
     {"common", "content_id", "identity", "transfer", "store", "web", "webrtc", "rendezvous", "dht", "gateway",
      "node"}},
};

const Names kPureModules{"common", "content_id", "transfer", "web"};

/// Standard headers that let a module do more than compute.
const Names kImpureHeaders{"atomic",       "condition_variable", "cstdio",     "ctime", "filesystem", "fstream",
                           "future",       "iostream",           "latch",      "mutex", "random",     "semaphore",
                           "shared_mutex", "stop_token",         "syncstream", "thread"};

/// The first folder of a third party's headers, and the only module that may see them.
const std::map<std::string, std::string> kThirdPartyOwners{
    {"rocksdb", "store"},  {"curl", "gateway"},    {"api", "webrtc"},      {"rtc_base", "webrtc"}, {"CLI", "cli"},
    {"libtorrent", "dht"}, {"nats", "rendezvous"}, {"prometheus", "node"}, {"zlib.h", "node"},
};

struct Include {
  std::string module;
  fs::path file;
  std::string header;
  bool quoted;
};

std::string first_folder(const std::string& header) { return header.substr(0, header.find('/')); }

std::string told(const Include& include) { return include.file.string() + " includes " + include.header; }

/// Tests, benchmarks and what only they include may use more than their module.
bool is_product(const fs::path& file) {
  return !std::regex_search(file.filename().string(), std::regex("(_test|_bench)\\.cc$|^testing\\.h$"));
}

struct Source {
  std::string module;
  fs::path file;  ///< Below src/.
  std::vector<std::string> lines;
};

std::vector<Source> read_sources() {
  const fs::path root = fs::path(CODIO_SOURCE_DIR) / "src";
  std::vector<Source> sources;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".h" && entry.path().extension() != ".cc") continue;
    Source source{.module = "", .file = fs::relative(entry.path(), root), .lines = {}};
    source.module = source.file.begin()->string();
    std::ifstream stream(entry.path());
    for (std::string line; std::getline(stream, line);) source.lines.push_back(line);
    sources.push_back(std::move(source));
  }
  return sources;
}

class Architecture : public testing::Test {
 protected:
  Architecture() {
    static const std::regex include_line(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"].*)re");
    for (const Source& source : sources_) {
      for (const std::string& line : source.lines) {
        std::smatch found;
        if (!std::regex_match(line, found, include_line)) continue;
        includes_.push_back({source.module, source.file, found[2], found[1] == "\""});
      }
    }
  }

  const std::vector<Source> sources_ = read_sources();
  std::vector<Include> includes_;
};

TEST_F(Architecture, KnowsEveryModule) {
  Names modules;
  for (const Source& source : sources_) modules.insert(source.module);
  Names known;
  for (const auto& [module, sees] : kSees) known.insert(module);
  EXPECT_EQ(modules, known);
}

TEST_F(Architecture, IncludesPointDownward) {
  ASSERT_FALSE(includes_.empty());
  for (const Include& include : includes_) {
    if (!include.quoted) continue;
    const std::string target = first_folder(include.header);
    EXPECT_TRUE(target == include.module || kSees.at(include.module).contains(target)) << told(include);
  }
}

TEST_F(Architecture, ModulesLieAboveWhatTheySee) {
  for (const auto& [module, sees] : kSees) {
    for (const std::string& below : sees) {
      const Names& beyond = kSees.at(below);
      EXPECT_TRUE(std::includes(sees.begin(), sees.end(), beyond.begin(), beyond.end())) << module << " over " << below;
      EXPECT_FALSE(beyond.contains(module)) << module << " and " << below << " see each other";
    }
  }
}

TEST_F(Architecture, ThePureCoreSeesNothingOfTheMachine) {
  for (const Include& include : includes_) {
    if (!kPureModules.contains(include.module) || include.quoted || !is_product(include.file)) continue;
    // A name without dot and slash is the standard library's; others are a system's or a third party's.
    EXPECT_EQ(include.header.find_first_of("./"), std::string::npos) << told(include);
    EXPECT_FALSE(kImpureHeaders.contains(include.header)) << told(include);
  }
}

TEST_F(Architecture, ThePureCoreReadsNoClock) {
  for (const Source& source : sources_) {
    if (!kPureModules.contains(source.module) || !is_product(source.file)) continue;
    for (const std::string& line : source.lines)
      EXPECT_EQ(line.find("::now("), line.npos) << source.file << ": " << line;
  }
}

TEST_F(Architecture, AThirdPartyIsSeenByItsModuleOnly) {
  for (const Include& include : includes_) {
    if (include.quoted) continue;
    const auto owner = kThirdPartyOwners.find(first_folder(include.header));
    if (owner == kThirdPartyOwners.end()) continue;
    EXPECT_EQ(include.module, owner->second) << told(include);
  }
}

}  // namespace
}  // namespace codio
