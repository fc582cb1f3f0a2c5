// id: who this repo is among peers.
#include <nlohmann/json.hpp>

#include "cli/options.h"
#include "cli/session.h"
#include "cli/terminal.h"

namespace codio::cli {

Result<void> id(const CommonOptions& common) {
  const auto key = load_key(common);
  if (!key) return std::unexpected(key.error());
  common.json ? print_json({{"peer", key->peer_id()}}) : print_line(key->peer_id());
  return {};
}

}  // namespace codio::cli
