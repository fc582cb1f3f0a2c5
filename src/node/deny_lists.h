// The deny lists in files, as they are now.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "web/deny_list.h"

namespace codio::node {

/// Thread-safe.
class DenyLists {
 public:
  /// Reads the files; a list that cannot be read or parsed is an error that names the file.
  static Result<std::shared_ptr<DenyLists>> load(std::vector<std::filesystem::path> files);

  /// Reads them again if one has changed since; on an error the rules stay as they were.
  Result<bool> reload();

  std::optional<int> denied_block(const content_id::ContentId& cid) const;
  std::optional<int> denied_path(const content_id::ContentId& root, const std::vector<std::string>& names) const;
  std::size_t size() const { return current()->size(); }

 private:
  explicit DenyLists(std::vector<std::filesystem::path> files) : files_(std::move(files)) {}
  std::shared_ptr<const web::DenyList> current() const;
  std::string fingerprint() const;

  std::vector<std::filesystem::path> files_;
  std::string read_at_;  ///< Sizes and times of the files when they were read.
  mutable std::mutex mutex_;
  std::shared_ptr<const web::DenyList> list_;
};

}  // namespace codio::node
