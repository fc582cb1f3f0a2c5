// A line of JSON for each request that the HTTP server answered.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>

#include "common/result.h"
#include "node/http_metrics.h"

namespace spdlog {
class logger;
}

namespace codio::cli {

/// Thread-safe.
class AccessLog {
 public:
  /// Appends to the file; "-" is the standard output.
  static Result<std::unique_ptr<AccessLog>> open(std::filesystem::path file);
  /// For who has moved the file away.
  Result<void> reopen();

  void write(const node::AccessRecord& record);

 private:
  explicit AccessLog(std::filesystem::path file) : file_(std::move(file)) {}

  std::filesystem::path file_;
  std::mutex mutex_;
  std::shared_ptr<spdlog::logger> log_;
};

}  // namespace codio::cli
