#include "node/local_status.h"

#include <fstream>
#include <string>
#include <unistd.h>
#include <utility>

namespace codio::node {

using nlohmann::json;

namespace {

json rate_json(const std::optional<std::uint64_t>& rate) { return rate ? json(*rate) : json(); }

using RateChange = std::optional<std::optional<std::uint64_t>>;

/// Nothing if the field is not there; an inner nothing if it is null.
Result<RateChange> rate_field(const json& body, const char* name) {
  const auto field = body.find(name);
  if (field == body.end()) return RateChange();
  if (field->is_null()) return RateChange(std::in_place, std::nullopt);
  if (field->is_number_unsigned()) return RateChange(std::in_place, field->get<std::uint64_t>());
  return fail(ErrorCode::kMalformed, std::string(name) + " is no number of bytes");
}

json transfer_json(const TransferProgress& transfer) {
  const transfer::Progress& progress = transfer.progress;
  json peers = json::array();
  for (std::size_t i = 0; i < progress.peers.size(); ++i) {
    peers.push_back(
        {{"id", transfer.peers.at(i)}, {"bytes", progress.peers[i].bytes}, {"rate", progress.peers[i].rate}});
  }
  return {{"cid", transfer.root.to_string()},
          {"received", progress.received},
          {"total", rate_json(progress.total)},
          {"verified", progress.verified},
          {"fromStore", progress.from_store},
          {"fromPeers", progress.from_peers},
          {"fromGateways", progress.from_gateways},
          {"duplicates", progress.duplicates},
          {"rate", progress.rate},
          {"averageRate", progress.average_rate},
          {"remaining", progress.remaining ? json(std::chrono::duration<double>(*progress.remaining).count()) : json()},
          {"peers", peers}};
}

/// Resident bytes of this process; 0 if they cannot be known.
std::uint64_t memory_in_use() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  file >> size >> resident;
  return file ? resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

}  // namespace

Result<LimitChanges> parse_limits(const Bytes& text) {
  const json body = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!body.is_object()) return fail(ErrorCode::kMalformed, "the limits are no JSON object");
  LimitChanges changes;
  for (const auto& [name, target] :
       {std::pair("maxUpload", &changes.upload_rate), std::pair("maxDownload", &changes.download_rate),
        std::pair("storeLimit", &changes.store_limit)}) {
    auto rate = rate_field(body, name);
    if (!rate) return std::unexpected(rate.error());
    *target = *rate;
  }
  if (const auto slots = body.find("uploadSlots"); slots != body.end()) {
    if (!slots->is_number_unsigned() || *slots == 0) {
      return fail(ErrorCode::kMalformed, "uploadSlots is no number of peers");
    }
    changes.upload_slots = slots->get<std::size_t>();
  }
  return changes;
}

Result<void> change_limits(TransferManager& transfers, store::BlockStore& store, const LimitChanges& changes) {
  transfer::Limits limits = transfers.limits();
  limits.upload_rate = changes.upload_rate.value_or(limits.upload_rate);
  limits.download_rate = changes.download_rate.value_or(limits.download_rate);
  limits.upload_slots = changes.upload_slots.value_or(limits.upload_slots);
  transfers.set_limits(limits);
  return changes.store_limit ? store.set_limit(*changes.store_limit) : Result<void>();
}

json limits_json(const transfer::Limits& limits, const std::optional<std::uint64_t>& store_limit) {
  return {{"maxUpload", rate_json(limits.upload_rate)},
          {"maxDownload", rate_json(limits.download_rate)},
          {"uploadSlots", limits.upload_slots},
          {"storeLimit", rate_json(store_limit)}};
}

json peers_json(TransferManager& transfers) {
  json list = json::array();
  for (const PeerInfo& peer : transfers.peers()) {
    list.push_back({{"id", peer.id},
                    {"downloaded", peer.stats.downloaded},
                    {"uploaded", peer.stats.uploaded},
                    {"downloadRate", peer.stats.download_rate},
                    {"uploadRate", peer.stats.upload_rate},
                    {"window", peer.stats.window}});
  }
  return list;
}

json stats_json(TransferManager& transfers, const store::Usage& usage, std::chrono::seconds uptime) {
  const auto peers = transfers.peers();
  double upload_rate = 0;
  double download_rate = 0;
  for (const PeerInfo& peer : peers) {
    upload_rate += peer.stats.upload_rate;
    download_rate += peer.stats.download_rate;
  }
  json running = json::array();
  for (const TransferProgress& transfer : transfers.transfers()) running.push_back(transfer_json(transfer));
  const transfer::Totals& totals = transfers.totals();
  return {{"id", transfers.id()},
          {"uptime", uptime.count()},
          {"connections", peers.size()},
          {"uploaded", totals.uploaded},
          {"downloaded", totals.from_peers},
          {"fromGateways", totals.from_gateways},
          {"duplicates", totals.duplicates},
          {"uploadRate", upload_rate},
          {"downloadRate", download_rate},
          {"transfers", running},
          {"store",
           {{"path", usage.folder},
            {"blocks", usage.blocks},
            {"bytes", usage.bytes},
            {"references", usage.references},
            {"referenceBytes", usage.reference_bytes},
            {"pins", usage.pins},
            {"diskBytes", usage.disk_bytes}}},
          {"memory", memory_in_use()},
          {"limits", limits_json(transfers.limits(), usage.limit)}};
}

}  // namespace codio::node
