// status: the repo and its node on one screen; and, with --doctor, what is wrong with them and around them.
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cli/doctor.h"
#include "cli/options.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "node/remote_store.h"

namespace codio::cli {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// What the running node tells of itself; null if there is none.
Result<json> ask_node(const fs::path& folder) {
  const auto node = node::LocalClient::connect(folder);
  if (!node && node.error().code == ErrorCode::kUnavailable) return json();
  if (!node) return std::unexpected(node.error());
  return (*node)->ask_json("GET", "/v1/stats");
}

json to_json(const store::Usage& usage) {
  return {{"blocks", usage.blocks}, {"bytes", usage.bytes}, {"pins", usage.pins}};
}

/// Makes no repo where there is none.
Result<json> describe_repo(const CommonOptions& common) {
  const fs::path folder = repo_folder(common);
  json repo = to_json({});
  std::error_code error;
  if (fs::exists(folder / "blocks", error)) {
    const auto store = open_store(common);
    if (!store) return std::unexpected(store.error());
    const auto usage = (*store)->usage();
    if (!usage) return std::unexpected(usage.error());
    repo = to_json(*usage);
  }
  repo["path"] = folder.string();
  const auto space = fs::space(existing_part(folder), error);
  repo["diskFree"] = error ? json() : json(space.available);
  return repo;
}

std::uint64_t number(const json& object, const char* name) { return object.at(name).get<std::uint64_t>(); }

std::string describe_content(const json& repo) {
  return std::to_string(number(repo, "blocks")) + " blocks, " + human_size(number(repo, "bytes")) + "; " +
         std::to_string(number(repo, "pins")) + " pins";
}

std::string describe_node(const json& node) {
  if (node.is_null()) return "none runs on this repo; `codio serve` starts one";
  return printable(node.value("http", "")) + ", " + std::to_string(number(node, "connections")) + " connections";
}

std::string describe_dht(const json& dht) {
  if (!dht.is_object()) return "not joined";
  const std::uint64_t waiting = number(dht, "waiting");
  return std::to_string(number(dht, "nodes")) + " nodes known, UDP port " + std::to_string(number(dht, "port")) +
         (dht.value("reachable", false) ? "" : "; none answers") +
         "; roots announced: " + std::to_string(number(dht, "announced")) +
         (waiting == 0 ? "" : ", waiting for it: " + std::to_string(waiting));
}

void print_screen(const std::string& version, const json& repo, const json& node) {
  print_line("codio    " + version);
  print_line("repo     " + printable(repo.at("path").get<std::string>()));
  print_line("content  " + describe_content(repo));
  print_line("disk     " +
             (repo.at("diskFree").is_null() ? "unknown" : human_size(number(repo, "diskFree")) + " free"));
  print_line("node     " + describe_node(node));
  if (node.is_null()) return;
  const std::string id = node.value("id", "");
  print_line("peer id  " + (id.empty() ? "none: not connected to a rendezvous" : printable(id)));
  print_line("dht      " + describe_dht(node.value("dht", json())));
}

json summary_of(const json& node) {
  if (node.is_null()) return node;
  json summary;
  for (const char* name : {"http", "id", "connections", "uptime", "rendezvous", "dht"}) {
    summary[name] = node.value(name, json());
  }
  return summary;
}

/// Collects what is found and, for a person, prints it at once.
class Report {
 public:
  explicit Report(bool as_json) : as_json_(as_json) {}

  void add(const Finding& finding) {
    ++counts_[static_cast<std::size_t>(finding.state)];
    const std::string state(to_string(finding.state));
    if (as_json_) {
      all_.push_back({{"check", finding.check}, {"state", state}, {"seen", finding.seen}, {"advice", finding.advice}});
      return;
    }
    char head[64];
    std::snprintf(head, sizeof head, "%-7s  %-10s  ", state.c_str(), finding.check.c_str());
    print_line(head + printable(finding.seen));
    if (!finding.advice.empty()) print_line("         " + printable(finding.advice));
  }

  /// Whether all is well, but for warnings.
  bool finish() const {
    const std::size_t warnings = counts_[static_cast<std::size_t>(Health::kWarning)];
    const std::size_t problems = counts_[static_cast<std::size_t>(Health::kProblem)];
    if (as_json_) {
      print_json(all_);
    } else {
      print_line("problems: " + std::to_string(problems) + ", warnings: " + std::to_string(warnings));
    }
    return problems == 0;
  }

 private:
  const bool as_json_;
  json all_ = json::array();
  std::size_t counts_[3] = {};
};

Finding finding_of(const Result<json>& repo) {
  if (repo) return {"repo", Health::kOk, repo->at("path").get<std::string>() + ": " + describe_content(*repo), ""};
  if (repo.error().code == ErrorCode::kUnavailable) {
    return {"repo", Health::kWarning, repo.error().message, "ask again when it has ended"};
  }
  return {"repo", Health::kProblem, repo.error().message, "`codio verify` says what of the content is damaged"};
}

Finding finding_of_node(const Result<json>& node) {
  if (node) return {"node", Health::kOk, describe_node(*node), ""};
  return {"node", Health::kProblem, node.error().message, "end the node that runs on this repo, and start it again"};
}

}  // namespace

Result<bool> status(const CommonOptions& common, const StatusOptions& options) {
  const auto node = ask_node(repo_folder(common));
  const auto repo = describe_repo(common);
  if (options.doctor) {
    Report report(common.json);
    if (!common.json) print_line("codio " + options.version);
    report.add(finding_of(repo));
    report.add(finding_of_node(node));
    const auto examined =
        examine(common, node.value_or(json()), [&report](const Finding& finding) { report.add(finding); });
    if (!examined) return std::unexpected(examined.error());
    return report.finish();
  }
  if (!node) return std::unexpected(node.error());
  if (!repo) return std::unexpected(repo.error());
  if (common.json) {
    print_json({{"version", options.version}, {"repo", *repo}, {"node", summary_of(*node)}});
  } else {
    print_screen(options.version, *repo, *node);
  }
  return true;
}

}  // namespace codio::cli
