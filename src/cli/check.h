// One test of `codio status --doctor`, and what all of them share.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "cli/doctor.h"
#include "cli/options.h"
#include "node/transfer_manager.h"

namespace codio::cli {

/// For each check.
inline constexpr std::chrono::seconds kCheckDeadline{5};
inline constexpr const char* kTooLate = "did not answer within 5 seconds";

inline std::string milliseconds_since(std::chrono::steady_clock::time_point start) {
  char text[32];
  const double time = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  std::snprintf(text, sizeof text, time < 10 ? "%.1f ms" : "%.0f ms", time);
  return text;
}

/// What the checks share. Everything happens on the thread that runs `io`.
struct Ward {
  boost::asio::io_context& io;
  const CommonOptions& common;
  const node::TransferManagerOptions& options;
  const nlohmann::json& node;  ///< What the running one tells; null if there is none.
  const std::function<void(const Finding&)>& report;
  std::size_t running = 0;
};

/// One check, under way until it ends, which it does once.
class Check {
 public:
  Check(Ward& ward, std::string name) : ward_(ward), name_(std::move(name)), deadline_(ward.io) { ++ward_.running; }
  virtual ~Check() = default;
  Check(const Check&) = delete;
  Check& operator=(const Check&) = delete;

  virtual void start() = 0;
  bool has_ended() const { return has_ended_; }

 protected:
  Ward& ward() { return ward_; }

  /// handle_deadline() comes after this, and then it must end.
  void expect_end(std::chrono::steady_clock::duration time = kCheckDeadline) {
    deadline_.expires_after(time);
    deadline_.async_wait([this](const boost::system::error_code& error) {
      if (!error && !has_ended_) handle_deadline();
    });
  }

  void end(Health health, std::string seen, std::string advice = "") {
    if (std::exchange(has_ended_, true)) return;
    deadline_.cancel();
    ward_.report({name_, health, std::move(seen), std::move(advice)});
    --ward_.running;
  }

 private:
  virtual void handle_deadline() {}

  Ward& ward_;
  const std::string name_;
  boost::asio::steady_timer deadline_;
  bool has_ended_ = false;
};

}  // namespace codio::cli
