// What `codio status --doctor` tests, besides the repo and the node that the command has asked already.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "cli/options.h"
#include "common/result.h"

namespace codio::cli {

enum class Health : std::uint8_t {
  kOk,
  kWarning,  ///< Something will work less well, or was not tested.
  kProblem,
};

/// "ok", "warning", "problem".
std::string_view to_string(Health health);

/// What a check has seen.
struct Finding {
  std::string check;  ///< What was tested: "dht". Several servers of a kind are tested by a check each.
  Health state;
  std::string seen;    ///< A sentence.
  std::string advice;  ///< What to do; empty if all is well.
};

/// Runs every check, all at once, each for a few seconds at most, and gives what they find as it is found. `node` is
/// what the running node tells of itself, or null. Asks only servers that the options and that node name, the default
/// gateway, and the public DHT. kCancelled once interrupted.
Result<void> examine(const CommonOptions& common, const nlohmann::json& node,
                     const std::function<void(const Finding&)>& report);

}  // namespace codio::cli
