// serve: a node, from its first line on the standard output to SIGINT or SIGTERM.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <spdlog/spdlog.h>
#include <string>
#include <system_error>
#include <utility>

#include "cli/open_files.h"
#include "cli/output.h"
#include "cli/serving.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "node/remote_store.h"

namespace codio::cli {

namespace fs = std::filesystem;
using content_id::ContentId;

namespace {

/// How often it is looked whether all answers have ended.
constexpr std::chrono::milliseconds kReadyCheck{20};
/// For the clients of the rendezvous to hear that the node goes.
constexpr std::chrono::milliseconds kFarewell{100};

std::vector<rendezvous::IceServer> for_clients(const std::vector<webrtc::IceServer>& servers) {
  std::vector<rendezvous::IceServer> result;
  for (const auto& server : servers) result.push_back({server.urls, server.username, server.credential});
  return result;
}

rendezvous::Server::Options rendezvous_options(std::vector<rendezvous::IceServer> ice_servers, const std::string& bus,
                                               rendezvous::Server::FindElsewhere find_elsewhere) {
  rendezvous::Server::Options options;
  options.directory.ice_servers = std::move(ice_servers);
  options.bus = bus;
  options.find_elsewhere = std::move(find_elsewhere);
  options.on_log = [](const std::string& message) { spdlog::info("{}", message); };
  return options;
}

/// Before it listens: a misspelt path is told at once.
Result<void> check_paths(const std::vector<fs::path>& paths) {
  for (const fs::path& path : paths) {
    std::error_code error;
    (void)fs::symlink_status(path, error);
    if (error) return io_failure("read", path, error.value());
  }
  return {};
}

}  // namespace

Serving::Serving(const CommonOptions& common, const ServeOptions& options, std::shared_ptr<store::BlockStore> store,
                 const std::vector<webrtc::IceServer>& ice_servers, std::optional<rendezvous::TurnSecret> turn_secret)
    : common_(common),
      options_(options),
      store_(std::move(store)),
      ice_servers_(for_clients(ice_servers)),
      turn_secret_(std::move(turn_secret)),
      rendezvous_(io_.get_executor(),
                  rendezvous_options(issued_ice_servers(), options.bus,
                                     [this](const ContentId& cid, rendezvous::Server::OnElsewhere answer) {
                                       find_elsewhere(cid, std::move(answer));
                                     })),
      signals_(io_, SIGINT, SIGTERM),
      hangup_(io_, SIGHUP),
      timer_(io_),
      issue_(io_),
      reload_(io_) {}

Result<void> Serving::start() {
  if (auto read = read_files(); !read) return read;
  if (auto listening = listen(); !listening) return listening;
  if (auto joined = join_dht(); !joined) return joined;
  if (auto joined = join_network(); !joined) return joined;
  if (auto reachable = serve_commands(); !reachable) return reachable;
  const auto roots = store_->roots();
  if (!roots) return std::unexpected(roots.error());
  if (options_.provided.empty()) {
    for (const store::Root& root : *roots) announce(root.cid);
  }
  for (const ContentId& cid : options_.provided) announce(cid);
  signals_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (!error) signal == SIGTERM ? leave() : end({});
  });
  issue_in_time();
  reload_in_time();
  reload_on_hangup();
  importer_ = std::jthread([this](const std::stop_token& stop) { import_paths(stop); });
  return {};
}

Result<void> Serving::run() {
  io_.run();
  api_.reset();
  transfers_.reset();
  http_.reset();
  finder_.reset();
  dht_.reset();
  // An import cannot be stopped half-way, and may take minutes; the store is made to survive this.
  if (!imported_ || importing_) std::_Exit(outcome_ ? EXIT_SUCCESS : EXIT_FAILURE);
  return outcome_;
}

void Serving::leave() {
  signals_.clear();
  if (ending_) return;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(options_.leave_time);
  http_->drain();
  rendezvous_.leave(std::chrono::seconds(options_.leave_time), [this, deadline] { end_when_answered(deadline); });
}

void Serving::end_when_answered(std::chrono::steady_clock::time_point deadline) {
  if (http_->connections() == 0 || std::chrono::steady_clock::now() >= deadline) return end({});
  timer_.expires_after(kReadyCheck);
  timer_.async_wait([this, deadline](const boost::system::error_code& error) {
    if (!error) end_when_answered(deadline);
  });
}

void Serving::end(Result<void> outcome) {
  if (std::exchange(ending_, true)) return;
  outcome_ = std::move(outcome);
  signals_.clear();  // A second one kills.
  rendezvous_.close();
  timer_.expires_after(kFarewell);
  timer_.async_wait([this](const boost::system::error_code&) { io_.stop(); });
}

Result<void> serve(const CommonOptions& common, const ServeOptions& options) {
  if (auto paths = check_paths(options.paths); !paths) return paths;
  if (options.site && (options.paths.size() != 1 || !fs::is_directory(options.paths.front()))) {
    return fail(ErrorCode::kMalformed, "--site is for one folder: codio serve --site public/");
  }
  const auto ice_servers = parse_ice_servers(common.ice_servers);
  if (!ice_servers) return std::unexpected(ice_servers.error());
  if (node::LocalClient::connect(repo_folder(common))) {
    return fail(ErrorCode::kUnavailable, "a node runs on the repo " + repo_folder(common).string() +
                                             " already: `codio stats` tells of it, or choose another with --repo DIR");
  }
  std::optional<rendezvous::TurnSecret> turn_secret;
  if (!options.turn_secret_file.empty()) {
    auto read = rendezvous::TurnSecret::read(options.turn_secret_file, std::chrono::seconds(options.turn_lifetime));
    if (!read) return std::unexpected(read.error());
    turn_secret = *std::move(read);
  }
  if (const std::uint64_t most = raise_open_files(); most < kFewOpenFiles) {
    spdlog::warn("only {} files and sockets may be open at a time; {}", most, kRaiseOpenFiles);
  }
  const auto store = open_own_store(common);
  if (!store) return std::unexpected(store.error());
  Serving serving(common, options, *store, *ice_servers, std::move(turn_secret));
  if (auto started = serving.start(); !started) return started;
  return serving.run();
}

}  // namespace codio::cli
