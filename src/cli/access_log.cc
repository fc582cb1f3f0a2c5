#include "cli/access_log.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <utility>

namespace codio::cli {

Result<std::unique_ptr<AccessLog>> AccessLog::open(std::filesystem::path file) {
  std::unique_ptr<AccessLog> log(new AccessLog(std::move(file)));
  if (auto opened = log->reopen(); !opened) return std::unexpected(opened.error());
  return log;
}

Result<void> AccessLog::reopen() {
  try {
    spdlog::sink_ptr sink;
    if (file_ == "-") {
      sink = std::make_shared<spdlog::sinks::stdout_sink_mt>();
    } else {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file_.string());
    }
    auto log = std::make_shared<spdlog::logger>("access", std::move(sink));
    log->set_pattern("%v");
    log->flush_on(spdlog::level::info);
    const std::lock_guard lock(mutex_);
    log_ = std::move(log);
  } catch (const spdlog::spdlog_ex& error) {
    return fail(ErrorCode::kIo, "cannot write the access log: " + std::string(error.what()));
  }
  return {};
}

void AccessLog::write(const node::AccessRecord& record) {
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  const nlohmann::ordered_json line{
      {"time", static_cast<double>(now.count()) / 1000},
      {"client", record.client.to_string()},
      {"method", record.method},
      {"host", record.host},
      {"target", record.target},
      {"status", record.status},
      {"bytes", record.bytes},
      {"ms", std::chrono::duration<double, std::milli>(record.took).count()},
  };
  std::shared_ptr<spdlog::logger> log;
  {
    const std::lock_guard lock(mutex_);
    log = log_;
  }
  log->info(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace codio::cli
