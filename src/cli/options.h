// What the command line says, parsed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "content_id/unixfs/builder.h"
#include "node/http_server.h"
#include "node/transfer_manager.h"

namespace codio::cli {

/// Options of several commands.
struct CommonOptions {
  std::filesystem::path repo;  ///< Empty: $CODIO_REPO, else ~/.codio.
  bool json = false;
  bool verbose = false;
  std::vector<std::string> gateways;  ///< Empty: the default one.
  bool no_gateway = false;
  std::vector<std::string> rendezvous;     ///< ws: or wss: URLs; those of one rendezvous separated by commas.
  std::vector<std::string> dht_bootstrap;  ///< As parse_bootstrap() reads; empty: the public DHT.
  std::uint16_t dht_port = 0;
  bool no_dht = false;
  std::vector<std::string> routers;  ///< As node::parse_router_url() reads.
  std::vector<std::string> ice_servers;
  bool relay_only = false;
  std::string max_upload;  ///< As parse_rate() reads; empty: no limit.
  std::string max_download;
  std::optional<std::size_t> upload_slots;
  std::string store_limit;  ///< As parse_size() reads; empty: no limit, or as it is.
};

struct AddOptions {
  std::vector<std::filesystem::path> paths;
  bool quiet = false;  ///< Print only the root's CID.
  bool only_hash = false;
  bool hidden = false;
  bool nocopy = false;  ///< Refer to the files' bytes where they are.
  std::string profile = std::string(content_id::unixfs::kUnixfsV1_2025.name);
};

struct GetOptions {
  std::string path;
  std::filesystem::path output;  ///< Empty: named as the content.
};

struct CatOptions {
  std::string path;
  std::string range;  ///< `A-B`, inclusive as in HTTP; empty: all.
};

struct CarOptions {
  std::string cid;
  std::filesystem::path file;  ///< Of export: empty is the standard output.
};

struct PinOptions {
  std::vector<std::string> cids;
  std::string name;  ///< Of pin add.
};

struct VerifyOptions {
  std::vector<std::string> cids;  ///< Empty: everything.
  bool repair = false;
};

struct ServeOptions {
  std::vector<std::filesystem::path> paths;
  bool nocopy = false;
  std::string http = "127.0.0.1:8080";
  std::filesystem::path web_root;              ///< Instead of the embedded browser files.
  std::string bus;                             ///< As rendezvous::check_bus_urls() accepts; empty: none.
  std::string turn_secret_file;                ///< Empty: none.
  std::uint32_t turn_lifetime = 12 * 60 * 60;  ///< Seconds.
  std::uint32_t leave_time = 10;               ///< Seconds.
  bool pull = false;                           ///< Fetch what is asked for and is not here, from peers.
  std::vector<std::string> upstreams;          ///< … and from these gateways.
  std::vector<std::string> subdomains;         ///< Names of subdomain gateways.
  std::filesystem::path tls_cert;              ///< Empty: plain HTTP.
  std::filesystem::path tls_key;
  std::vector<std::filesystem::path> deny_lists;
  std::filesystem::path access_log;               ///< "-" is the standard output; empty: none.
  std::optional<std::size_t> client_connections;  ///< 0: no limit; nothing: no limit on the loopback interface.
  bool site = false;                              ///< The path is a site, shown at `/`.
  bool inject = false;                            ///< Puts our script into the site's pages.
  /// Announced instead of all roots, if any.
  std::vector<content_id::ContentId> provided = {};
};

struct FindOptions {
  std::string cid;
  std::string timeout = "20";  ///< As parse_timeout() reads.
};

struct ProvideOptions {
  std::vector<std::string> cids;
  std::string http = "127.0.0.1:8080";
  bool once = false;
};

struct StatusOptions {
  std::string version;
  bool doctor = false;
};

/// Seconds.
Result<Duration> parse_timeout(const std::string& text);

/// The commands. Each prints its result on the standard output; an error is for main() to print.
Result<void> add(const CommonOptions& common, const AddOptions& options);
Result<void> get(const CommonOptions& common, const GetOptions& options);
Result<void> cat(const CommonOptions& common, const CatOptions& options);
Result<void> ls(const CommonOptions& common, const std::string& path);
Result<void> stat(const CommonOptions& common, const std::string& path);
Result<void> rm(const CommonOptions& common, const std::string& cid);
Result<void> pin_add(const CommonOptions& common, const PinOptions& options);
Result<void> pin_rm(const CommonOptions& common, const PinOptions& options);
Result<void> pin_ls(const CommonOptions& common);
Result<void> gc(const CommonOptions& common, bool dry_run);
/// An error if anything is bad or missing and was not repaired.
Result<void> verify(const CommonOptions& common, const VerifyOptions& options);
Result<void> repo_stat(const CommonOptions& common);
Result<void> car_export(const CommonOptions& common, const CarOptions& options);
Result<void> car_import(const CommonOptions& common, const CarOptions& options);
Result<void> id(const CommonOptions& common);
Result<void> find(const CommonOptions& common, const FindOptions& options);
/// Until SIGINT or SIGTERM, or once.
Result<void> provide(const CommonOptions& common, const ProvideOptions& options);
/// These three need a running node.
Result<void> peers(const CommonOptions& common);
Result<void> stats(const CommonOptions& common);
/// Whether --doctor found no problem.
Result<bool> status(const CommonOptions& common, const StatusOptions& options);
/// Changes those that the command line names; prints all.
Result<void> limits(const CommonOptions& common);
/// Runs until SIGINT or SIGTERM.
Result<void> serve(const CommonOptions& common, const ServeOptions& options);

}  // namespace codio::cli
