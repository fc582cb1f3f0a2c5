#include "cli/session.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <spdlog/spdlog.h>
#include <string_view>
#include <utility>
#include <boost/asio/executor_work_guard.hpp>

#include "cli/terminal.h"
#include "node/remote_store.h"
#include "node/router_finder.h"

namespace codio::cli {

namespace fs = std::filesystem;
namespace unixfs = content_id::unixfs;

namespace {

/// How long an interrupt may go unseen while nothing happens.
constexpr std::chrono::milliseconds kInterruptCheck{100};
/// A download comes more slowly than the store writes, and is to take little memory.
constexpr std::size_t kWriteBuffer = 16 << 20;

/// The repo's folder, which is there then.
Result<fs::path> make_repo(const CommonOptions& common) {
  const fs::path folder = repo_folder(common);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return fail(ErrorCode::kIo, "cannot make the repo " + folder.string() + ": " + error.message() +
                                    "; choose another with --repo DIR");
  }
  return folder;
}

/// A number, a unit of 1024s, one of the suffixes; or `none`.
Result<std::optional<std::uint64_t>> parse_amount(const std::string& text,
                                                  std::initializer_list<std::string_view> suffixes) {
  constexpr std::string_view kUnits = "KMGT";
  constexpr double kMost = 1e15;
  if (text == "none") return std::nullopt;
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [after, error] = std::from_chars(text.data(), end, number);
  std::string_view unit(after, static_cast<std::size_t>(end - after));
  for (const std::string_view suffix : suffixes) {
    if (unit.ends_with(suffix)) unit.remove_suffix(suffix.size());
  }
  const std::size_t power = unit.empty() ? 0 : kUnits.find(unit.front()) + 1;
  const bool known = unit.empty() || (unit.size() == 1 && power > 0);
  const double amount = number * std::pow(1024.0, static_cast<double>(power));
  if (error != std::errc() || !known || !(amount >= 0) || amount > kMost) {
    return fail(ErrorCode::kMalformed, "no amount");
  }
  return static_cast<std::uint64_t>(amount);
}

}  // namespace

fs::path repo_folder(const CommonOptions& common) {
  if (!common.repo.empty()) return common.repo;
  if (const char* repo = std::getenv("CODIO_REPO"); repo != nullptr && *repo != '\0') return repo;
  const char* home = std::getenv("HOME");
  return fs::path(home == nullptr ? "." : home) / ".codio";
}

fs::path existing_part(fs::path folder) {
  std::error_code error;
  folder = fs::absolute(folder, error).lexically_normal();
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  return folder;
}

Result<std::shared_ptr<store::BlockStore>> open_own_store(const CommonOptions& common,
                                                          store::BlockStore::Options options) {
  const auto folder = make_repo(common);
  if (!folder) return std::unexpected(folder.error());
  if (!common.store_limit.empty()) {
    const auto limit = parse_size(common.store_limit);
    if (!limit) return std::unexpected(limit.error());
    options.limit = *limit;
  }
  auto store = store::BlockStore::open(*folder / "blocks", options);
  if (!store) return std::unexpected(store.error());
  return std::shared_ptr<store::BlockStore>(*std::move(store));
}

Result<identity::Key> load_key(const CommonOptions& common) {
  const auto folder = make_repo(common);
  if (!folder) return std::unexpected(folder.error());
  return identity::Key::load_or_make(*folder / "identity.pem");
}

Result<std::shared_ptr<store::BlockStore>> open_store(const CommonOptions& common, store::BlockStore::Options options) {
  const fs::path folder = repo_folder(common);
  if (auto node = node::LocalClient::connect(folder)) {
    if (!common.store_limit.empty()) {
      return fail(ErrorCode::kUnsupported, "a node runs on the repo " + folder.string() +
                                               ", and its limit holds: change that with `codio limits --store-limit`");
    }
    return std::make_shared<node::RemoteStore>(*std::move(node));
  }
  auto store = open_own_store(common, std::move(options));
  if (!store && store.error().code == ErrorCode::kUnavailable) {
    return fail(ErrorCode::kUnavailable, "another codio command works on the repo " + folder.string() +
                                             ": wait for it to end, or choose another with --repo DIR");
  }
  return store;
}

Result<std::vector<webrtc::IceServer>> parse_ice_servers(const std::vector<std::string>& texts) {
  std::vector<webrtc::IceServer> servers;
  for (const std::string& text : texts) {
    const std::size_t first = text.find(',');
    const std::size_t second = first == text.npos ? text.npos : text.find(',', first + 1);
    const std::string url = text.substr(0, first);
    const bool known = url.starts_with("stun:") || url.starts_with("turn:") || url.starts_with("turns:");
    if (!known || (first != text.npos && second == text.npos)) {
      return fail(ErrorCode::kMalformed,
                  "'" + text + "' is not an ICE server: stun:HOST:PORT or turn:HOST:PORT,USERNAME,CREDENTIAL");
    }
    webrtc::IceServer server{.urls = {url}, .username = {}, .credential = {}};
    if (first != text.npos) {
      server.username = text.substr(first + 1, second - first - 1);
      server.credential = text.substr(second + 1);
    }
    servers.push_back(std::move(server));
  }
  return servers;
}

bool needs_credentials(const webrtc::IceServer& server) {
  return server.username.empty() && server.urls.front().starts_with("turn");
}

Result<std::vector<rendezvous::ServerUrl>> parse_rendezvous(const std::string& text) {
  std::vector<rendezvous::ServerUrl> urls;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    auto url = rendezvous::ServerUrl::parse(std::string_view(text).substr(begin, end - begin));
    if (!url) return std::unexpected(url.error());
    urls.push_back(*std::move(url));
    begin = end + 1;
  }
  return urls;
}

Result<std::optional<std::uint64_t>> parse_size(const std::string& text) {
  const auto size = parse_amount(text, {"iB", "B"});
  return size ? size : fail(ErrorCode::kMalformed, "'" + text + "' is no size: bytes such as 500M or 2.5G, or none");
}

Result<std::optional<std::uint64_t>> parse_rate(const std::string& text) {
  const auto rate = parse_amount(text, {"B/s", "/s", "iB", "B"});
  return rate ? rate
              : fail(ErrorCode::kMalformed, "'" + text + "' is no rate: bytes a second such as 500K or 2.5M, or none");
}

Result<node::TransferManagerOptions> transfer_options(const CommonOptions& common) {
  node::TransferManagerOptions options;
  for (const std::string& text : common.rendezvous) {
    auto urls = parse_rendezvous(text);
    if (!urls) return std::unexpected(urls.error());
    options.rendezvous.push_back(*std::move(urls));
  }
  options.relay_only = common.relay_only;
  auto servers = parse_ice_servers(common.ice_servers);
  if (!servers) return std::unexpected(servers.error());
  if (const auto bare = std::ranges::find_if(*servers, needs_credentials); bare != servers->end()) {
    return fail(ErrorCode::kMalformed, "the ICE server " + bare->urls.front() +
                                           " needs a user: turn:HOST:PORT,USERNAME,CREDENTIAL, or with serve "
                                           "--turn-secret-file");
  }
  options.ice_servers = *std::move(servers);
  transfer::Limits& limits = options.exchange.limits;
  for (const auto& [text, rate] :
       {std::pair(&common.max_upload, &limits.upload_rate), std::pair(&common.max_download, &limits.download_rate)}) {
    if (text->empty()) continue;
    const auto parsed = parse_rate(*text);
    if (!parsed) return std::unexpected(parsed.error());
    *rate = *parsed;
  }
  limits.upload_slots = common.upload_slots.value_or(limits.upload_slots);
  if (!common.no_gateway) {
    gateway::GatewayConfig config;
    if (!common.gateways.empty()) {
      config.primary = common.gateways.front();
      config.fallbacks.assign(common.gateways.begin() + 1, common.gateways.end());
    }
    config.on_failure = [](std::string_view gateway, const Error& error) {
      spdlog::info("gateway {}: {}", gateway, error.message);
    };
    options.gateway = std::move(config);
  }
  options.on_log = [](const std::string& message) { spdlog::info("{}", message); };
  return options;
}

Result<std::unique_ptr<Session>> Session::open(const CommonOptions& common) {
  std::unique_ptr<Session> session(new Session);
  auto store = open_store(common, {.write_buffer = kWriteBuffer});
  if (!store) return std::unexpected(store.error());
  session->store_ = *std::move(store);
  auto options = transfer_options(common);
  if (!options) return std::unexpected(options.error());
  if (auto dht = dht_options(common)) {
    session->dht_ = std::make_shared<LazyDhtFinder>(session->io_.get_executor(), *std::move(dht));
    options->finders.push_back(session->dht_);
  }
  for (const std::string& text : common.routers) {
    auto url = node::parse_router_url(text);
    if (!url) return std::unexpected(url.error());
    options->finders.push_back(std::make_shared<node::RouterFinder>(session->io_.get_executor(), *std::move(url)));
  }
  options->on_not_stored = [raw = session.get()](const Error& error) {
    const std::lock_guard lock(raw->mutex_);
    if (!raw->not_stored_) raw->not_stored_ = error;
  };
  options->on_not_loaded = [raw = session.get()](const Error& error) { raw->not_loaded_ = error; };
  auto transfers = node::TransferManager::make(session->io_.get_executor(), session->store_, *std::move(options));
  if (!transfers) return std::unexpected(transfers.error());
  session->transfers_ = *std::move(transfers);
  return session;
}

Result<void> Session::leave_network() {
  transfers_.reset();
  const std::lock_guard lock(mutex_);
  return not_stored_ ? std::unexpected(*not_stored_) : Result<void>();
}

Result<void> Session::run(const node::ContentPath& path, unixfs::TraversalOptions traversal,
                          node::DownloadEvents events, const bool& stop) {
  std::optional<Result<void>> end;
  events.on_end = [&](Result<void> result) { end = std::move(result); };
  events.on_received = [this, then = std::move(events.on_received)](transfer::SourceKind source,
                                                                    const std::string& peer, std::uint64_t size) {
    switch (source) {
      case transfer::SourceKind::kStore: sources_.store += size; break;
      case transfer::SourceKind::kPeer: (peer.starts_with("http") ? sources_.http : sources_.peers) += size; break;
      case transfer::SourceKind::kGateway: sources_.gateways += size; break;
    }
    if (then) then(source, peer, size);
  };
  traversal.path = path.names;
  transfer::DownloadOptions options;
  options.traversal = std::move(traversal);
  not_loaded_.reset();
  io_.restart();  // It stopped when the run before had no more work.
  const auto work = boost::asio::make_work_guard(io_);
  const auto transfer = transfers_->download(path.root, std::move(options), std::move(events));
  while (!end && !stop && !interrupted()) io_.run_one_for(kInterruptCheck);
  // What troubled the search is in the message already.
  if (end && !*end && dht_ && dht_->summary() && dht_->summary()->trouble.empty()) {
    (*end).error().message += "; " + describe(*dht_->summary());
  }
  if (end && !*end && not_loaded_) {
    return fail(end->error().code, end->error().message + "; and here, " + not_loaded_->message);
  }
  if (end) return *end;
  transfers_->cancel(transfer);
  return check_interrupt();
}

Result<unixfs::Entity> Session::find(const node::ContentPath& path) {
  std::optional<unixfs::Entity> entity;
  bool found = false;
  node::DownloadEvents events;
  events.on_entity = [&](const unixfs::Entity& value) {
    entity = value;
    found = true;
  };
  auto end = run(path, {.path = {}, .scope = unixfs::Scope::kEntity}, std::move(events), found);
  if (entity) return *std::move(entity);
  return end ? fail(ErrorCode::kUnsupported, path.root.to_string() + " is no file or directory")
             : std::unexpected(end.error());
}

Result<std::vector<unixfs::DirectoryEntry>> Session::list(const node::ContentPath& path) {
  std::vector<unixfs::DirectoryEntry> entries;
  bool stop = false;
  Result<void> kind;
  node::DownloadEvents events;
  events.on_entity = [&](const unixfs::Entity& entity) {
    if (entity.type == unixfs::EntityType::kDirectory) return;
    kind = fail(ErrorCode::kUnsupported, entity.cid.to_string() + " is not a directory; `codio stat` says what it is");
    stop = true;
  };
  events.on_entry = [&](const unixfs::DirectoryEntry& entry) { entries.push_back(entry); };
  const auto end = run(path, {.path = {}, .scope = unixfs::Scope::kEntity}, std::move(events), stop);
  if (!kind) return std::unexpected(kind.error());
  if (!end) return std::unexpected(end.error());
  return entries;
}

Result<void> Session::read(const node::ContentPath& path, unixfs::ByteRange range,
                           const std::function<Result<void>(BytesView)>& take) {
  Result<void> taken;
  bool stop = false;
  node::DownloadEvents events;
  events.on_data = [&](const unixfs::Segment& segment) {
    if (taken) taken = take(segment.view());
    stop = !taken;
  };
  const auto end = run(path, {.path = {}, .scope = unixfs::Scope::kBytes, .range = range}, std::move(events), stop);
  return taken ? end : taken;
}

Result<void> Session::fetch(const node::ContentPath& path, const std::function<void(std::uint64_t)>& on_progress) {
  std::uint64_t received = 0;
  node::DownloadEvents events;
  events.on_received = [&](transfer::SourceKind, const std::string&, std::uint64_t size) {
    on_progress(received += size);
  };
  const bool stop = false;
  return run(path, {.path = {}, .scope = unixfs::Scope::kAll}, std::move(events), stop);
}

}  // namespace codio::cli
