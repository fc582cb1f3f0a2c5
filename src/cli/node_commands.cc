// peers, stats, limits: what a running node tells of itself, and takes.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "cli/options.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "node/remote_store.h"

namespace codio::cli {

using nlohmann::json;

namespace {

Result<json> ask(const CommonOptions& common, std::string_view method, const std::string& target,
                 const json& body = nullptr) {
  const auto node = node::LocalClient::connect(repo_folder(common));
  if (!node) return std::unexpected(node.error());
  return (*node)->ask_json(method, target, body);
}

std::string human_rate(double bytes) { return human_size(static_cast<std::uint64_t>(std::max(0.0, bytes))) + "/s"; }

/// Of a JSON number or null.
std::string human_limit(const json& limit, const char* unit = "") {
  return limit.is_null() ? "none" : human_size(limit.get<std::uint64_t>()) + unit;
}

std::string human_time(double seconds) {
  const auto whole = static_cast<std::uint64_t>(seconds);
  char text[64];
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%d s", static_cast<int>(whole));
  } else if (whole < 24 * 3600) {
    std::snprintf(text, sizeof text, "%d:%02d:%02d", static_cast<int>(whole / 3600), static_cast<int>(whole / 60 % 60),
                  static_cast<int>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%d days %d h", static_cast<int>(whole / 86400),
                  static_cast<int>(whole / 3600 % 24));
  }
  return text;
}

std::uint64_t number(const json& object, const char* name) { return object.at(name).get<std::uint64_t>(); }

/// Right-aligned but for the first column.
void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line = row[0] + std::string(widths[0] - row[0].size(), ' ');
    for (std::size_t i = 1; i < row.size(); ++i) line += std::string(widths[i] - row[i].size() + 2, ' ') + row[i];
    print_line(line);
  }
}

void print_peers(const json& peers) {
  if (peers.empty()) return print_line("no peer is connected");
  std::vector<std::vector<std::string>> rows{{"PEER", "FROM IT", "RATE", "TO IT", "RATE", "WINDOW"}};
  for (const json& peer : peers) {
    rows.push_back({printable(peer.at("id").get<std::string>()), human_size(number(peer, "downloaded")),
                    human_rate(peer.at("downloadRate").get<double>()), human_size(number(peer, "uploaded")),
                    human_rate(peer.at("uploadRate").get<double>()), human_size(number(peer, "window"))});
  }
  print_table(rows);
}

void print_transfer(const json& transfer) {
  const json& total = transfer.at("total");
  std::string line = "  " + transfer.at("cid").get<std::string>() + "  " + human_size(number(transfer, "verified"));
  if (!total.is_null()) line += " of " + human_size(total.get<std::uint64_t>());
  line += ", " + human_rate(transfer.at("rate").get<double>());
  if (const json& left = transfer.at("remaining"); !left.is_null()) line += ", " + human_time(left) + " left";
  print_line(line);
}

void print_limits(const json& limits) {
  print_line("max upload    " + human_limit(limits.at("maxUpload"), "/s"));
  print_line("max download  " + human_limit(limits.at("maxDownload"), "/s"));
  print_line("upload slots  " + std::to_string(number(limits, "uploadSlots")));
  print_line("store limit   " + human_limit(limits.at("storeLimit")));
}

void print_stats(const json& stats) {
  const json& store = stats.at("store");
  print_line("node          " + stats.value("http", "") + ", up for " + human_time(stats.at("uptime")));
  const std::string id = stats.at("id");
  print_line("peer id       " + (id.empty() ? "none: not connected to a rendezvous" : printable(id)));
  print_line("connections   " + std::to_string(number(stats, "connections")));
  print_line("uploaded      " + human_size(number(stats, "uploaded")) + ", now " +
             human_rate(stats.at("uploadRate").get<double>()));
  print_line("downloaded    " + human_size(number(stats, "downloaded")) + " from peers, now " +
             human_rate(stats.at("downloadRate").get<double>()) + "; " + human_size(number(stats, "fromGateways")) +
             " from gateways");
  print_line("stored        " + human_size(number(store, "bytes")) + " in " +
             std::to_string(number(store, "blocks") - number(store, "references")) + " blocks; " +
             human_size(number(store, "diskBytes")) + " on disk");
  print_line("pins          " + std::to_string(number(store, "pins")));
  if (number(store, "references") > 0) {
    print_line("referenced    " + human_size(number(store, "referenceBytes")) + " in your files");
  }
  print_line("memory        " + human_size(number(stats, "memory")));
  print_limits(stats.at("limits"));
  print_line("transfers     " + std::to_string(stats.at("transfers").size()));
  for (const json& transfer : stats.at("transfers")) print_transfer(transfer);
}

}  // namespace

Result<void> peers(const CommonOptions& common) {
  const auto answer = ask(common, "GET", "/v1/peers");
  if (!answer) return std::unexpected(answer.error());
  common.json ? print_json(*answer) : print_peers(*answer);
  return {};
}

Result<void> stats(const CommonOptions& common) {
  const auto answer = ask(common, "GET", "/v1/stats");
  if (!answer) return std::unexpected(answer.error());
  common.json ? print_json(*answer) : print_stats(*answer);
  return {};
}

Result<void> limits(const CommonOptions& common) {
  json changes = json::object();
  for (const auto& [name, text, parse] : {std::tuple("maxUpload", &common.max_upload, &parse_rate),
                                          std::tuple("maxDownload", &common.max_download, &parse_rate),
                                          std::tuple("storeLimit", &common.store_limit, &parse_size)}) {
    if (text->empty()) continue;
    const auto amount = parse(*text);
    if (!amount) return std::unexpected(amount.error());
    changes[name] = *amount ? json(**amount) : json();
  }
  if (common.upload_slots) changes["uploadSlots"] = *common.upload_slots;
  const auto answer = changes.empty() ? ask(common, "GET", "/v1/limits") : ask(common, "PATCH", "/v1/limits", changes);
  if (!answer) return std::unexpected(answer.error());
  common.json ? print_json(*answer) : print_limits(*answer);
  return {};
}

}  // namespace codio::cli
