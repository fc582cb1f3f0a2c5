// For the tests of this module and of those above it.
#pragma once

#include <filesystem>
#include <stdlib.h>
#include <string>
#include <sys/mount.h>

namespace codio::store {

/// Removed with all that is in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "codio-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// A file system of its own over a folder, where that is allowed.
class SmallFileSystem {
 public:
  /// `size`: as mount has it, such as "16m".
  SmallFileSystem(const std::filesystem::path& folder, const char* size)
      : folder_(folder),
        mounted_(::mount("tmpfs", folder.c_str(), "tmpfs", 0, (std::string("size=") + size).c_str()) == 0) {}
  ~SmallFileSystem() {
    if (mounted_) ::umount2(folder_.c_str(), MNT_DETACH);
  }
  SmallFileSystem(const SmallFileSystem&) = delete;
  SmallFileSystem& operator=(const SmallFileSystem&) = delete;
  bool is_mounted() const { return mounted_; }

 private:
  const std::filesystem::path folder_;
  const bool mounted_;
};

}  // namespace codio::store
