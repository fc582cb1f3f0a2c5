// Which seeds the simulations run on.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <vector>

namespace codio::sim {

/// As many as CODIO_SIM_SEEDS says, from CODIO_SIM_FIRST_SEED on; from 1 to 200 by default.
inline std::vector<std::uint64_t> seeds() {
  const auto number = [](const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
  };
  std::vector<std::uint64_t> result(number("CODIO_SIM_SEEDS", 200));
  std::uint64_t next = number("CODIO_SIM_FIRST_SEED", 1);
  for (std::uint64_t& seed : result) seed = next++;
  return result;
}

}  // namespace codio::sim
