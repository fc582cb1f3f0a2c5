// The seeds that a scenario runs on: `for (const std::uint64_t seed : seeds()) { SCOPED_TRACE(seed); … }`.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <vector>

namespace codio::sim {

#ifdef __SANITIZE_ADDRESS__
inline constexpr std::uint64_t kSeeds = 3;
#else
inline constexpr std::uint64_t kSeeds = 200;
#endif

/// CODIO_SIM_SEEDS of them (kSeeds), from CODIO_SIM_FIRST_SEED (1) on. So a failure's seed is run alone with
/// CODIO_SIM_SEEDS=1 and CODIO_SIM_FIRST_SEED set to it.
inline std::vector<std::uint64_t> seeds() {
  const auto number = [](const char* name, std::uint64_t otherwise) -> std::uint64_t {
    const char* text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
  };
  std::vector<std::uint64_t> result(number("CODIO_SIM_SEEDS", kSeeds));
  std::iota(result.begin(), result.end(), number("CODIO_SIM_FIRST_SEED", 1));
  return result;
}

}  // namespace codio::sim
