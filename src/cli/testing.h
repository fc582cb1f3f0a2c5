// What the tests of the commands share: a folder with a repo, and a way to see what a command prints.
#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sstream>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include "cli/options.h"
#include "cli/session.h"
#include "content_id/dag_pb.h"
#include "node/hash.h"

namespace codio::cli {

namespace fs = std::filesystem;
namespace unixfs = content_id::unixfs;
using content_id::Codec;
using content_id::ContentId;
using nlohmann::json;

inline std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void write_file(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

/// Bytes that no two blocks have in common.
inline std::string some_bytes(std::size_t size, unsigned seed) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return text;
}

/// What a command writes to the standard output goes to a file.
class Captured {
 public:
  explicit Captured(fs::path file) : file_(std::move(file)), saved_(::dup(STDOUT_FILENO)) {
    std::fflush(stdout);
    EXPECT_NE(std::freopen(file_.c_str(), "wb", stdout), nullptr);
  }
  ~Captured() { restore(); }
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;

  std::string text() {
    restore();
    return read_file(file_);
  }

 private:
  void restore() {
    if (saved_ < 0) return;
    std::fflush(stdout);
    ::dup2(saved_, STDOUT_FILENO);
    ::close(saved_);
    saved_ = -1;
  }

  fs::path file_;
  int saved_;
};

class Cli : public testing::Test {
 protected:
  void SetUp() override {
    // As the program does: what it logs is not among what it prints.
    if (!spdlog::get("codio")) spdlog::set_default_logger(spdlog::stderr_color_mt("codio"));
    std::string pattern = (fs::temp_directory_path() / "codio_cli_test.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    common_.repo = folder_ / "repo";
    common_.json = true;
    common_.no_gateway = true;
    common_.no_dht = true;
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// Runs a command and returns what it printed.
  template <class Command>
  std::string run(Command command) {
    Captured captured(folder_ / "stdout");
    last_ = command();
    return captured.text();
  }

  std::string add(const fs::path& path, AddOptions options = {}) {
    options.paths = {path};
    const std::string printed = run([&] { return cli::add(common_, options); });
    EXPECT_TRUE(last_) << last_.error().message;
    return last_ ? json::parse(printed).at("cid").get<std::string>() : "";
  }

  Result<void> get(const std::string& path, const fs::path& output) {
    run([&] { return cli::get(common_, {.path = path, .output = output}); });
    return last_;
  }

  std::string cat(const std::string& path, const std::string& range = "") {
    return run([&] { return cli::cat(common_, {.path = path, .range = range}); });
  }

  json stat(const std::string& path) {
    const std::string printed = run([&] { return cli::stat(common_, path); });
    return last_ ? json::parse(printed) : json{{"error", last_.error().message}};
  }

  Result<void> rm(const std::string& cid) {
    run([&] { return cli::rm(common_, cid); });
    return last_;
  }

  /// Puts a directory with one entry as a stranger could have made it.
  std::string put_directory(const std::string& name, const std::string& entry_cid) {
    const auto entry = *ContentId::parse(entry_cid);
    const std::vector<content_id::DagPbLink> links{{.cid = entry, .name = name, .size = 1}};
    const Bytes data{0x08, 0x01};  // UnixFS: Type = Directory.
    const Bytes block = content_id::encode_dag_pb(links, BytesView(data));
    const auto cid = ContentId::v1(Codec::kDagPb, node::sha256(block));
    EXPECT_TRUE((*open_store(common_))->put(cid, block));
    return cid.to_string();
  }

  fs::path make_site() {
    const fs::path site = folder_ / "site";
    fs::create_directories(site / "img" / "empty");
    write_file(site / "index.html", "<h1>Hello</h1>");
    write_file(site / "img" / "large.bin", some_bytes(3'000'000, 1));
    write_file(site / "none.txt", "");
    write_file(site / ".hidden", "secret");
    fs::create_symlink("img/large.bin", site / "latest");
    return site;
  }

  fs::path folder_;
  CommonOptions common_;
  Result<void> last_;
};

}  // namespace codio::cli
