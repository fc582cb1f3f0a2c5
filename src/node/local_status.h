// What a node tells the commands beside it of its work, and the limits that they change.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/bytes.h"
#include "common/result.h"
#include "node/transfer_manager.h"
#include "store/block_store.h"
#include "transfer/limits.h"

namespace codio::node {

/// What a command wants changed. What is not there stays; an inner nothing is no limit.
struct LimitChanges {
  std::optional<std::optional<std::uint64_t>> upload_rate;
  std::optional<std::optional<std::uint64_t>> download_rate;
  std::optional<std::size_t> upload_slots;
  std::optional<std::optional<std::uint64_t>> store_limit;
};

/// Reads JSON; kMalformed says which field is wrong.
Result<LimitChanges> parse_limits(const Bytes& text);
/// On the manager's executor; of the store what it fails with.
Result<void> change_limits(TransferManager& transfers, store::BlockStore& store, const LimitChanges& changes);

// JSON as the commands print it. On the manager's executor.
nlohmann::json limits_json(const transfer::Limits& limits, const std::optional<std::uint64_t>& store_limit);
nlohmann::json peers_json(TransferManager& transfers);
nlohmann::json stats_json(TransferManager& transfers, const store::Usage& usage, std::chrono::seconds uptime);

}  // namespace codio::node
