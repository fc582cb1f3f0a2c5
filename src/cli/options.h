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
  std::vector<std::string> rendezvous;  ///< ws: or wss: URLs.
  std::vector<std::string> ice_servers;
  std::string max_upload;  ///< As parse_rate() reads; empty: no limit.
  std::string max_download;
  std::size_t upload_slots = transfer::Limits().upload_slots;
};

struct AddOptions {
  std::vector<std::filesystem::path> paths;
  bool quiet = false;  ///< Print only the root's CID.
  bool only_hash = false;
  bool hidden = false;
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

struct ServeOptions {
  std::vector<std::filesystem::path> paths;
  std::string http = "127.0.0.1:8080";
  std::filesystem::path web_root;  ///< Instead of the embedded browser files.
};

/// The commands. Each prints its result on the standard output; an error is for main() to print.
Result<void> add(const CommonOptions& common, const AddOptions& options);
Result<void> get(const CommonOptions& common, const GetOptions& options);
Result<void> cat(const CommonOptions& common, const CatOptions& options);
Result<void> ls(const CommonOptions& common, const std::string& path);
Result<void> stat(const CommonOptions& common, const std::string& path);
Result<void> rm(const CommonOptions& common, const std::string& cid);
Result<void> car_export(const CommonOptions& common, const CarOptions& options);
Result<void> car_import(const CommonOptions& common, const CarOptions& options);
Result<void> id(const CommonOptions& common);
/// Runs until SIGINT or SIGTERM.
Result<void> serve(const CommonOptions& common, const ServeOptions& options);

}  // namespace codio::cli
