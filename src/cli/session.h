// The store and, when a command may need the network, a TransferManager that runs while the command waits.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>
#include <boost/asio/io_context.hpp>

#include "cli/dht.h"
#include "cli/options.h"
#include "identity/identity.h"
#include "node/content_path.h"
#include "node/transfer_manager.h"

namespace codio::cli {

/// The repo's folder: as given, else $CODIO_REPO, else ~/.codio.
std::filesystem::path repo_folder(const CommonOptions& common);

/// The folder if it is there, else the closest one above it that is: where it would be made.
std::filesystem::path existing_part(std::filesystem::path folder);

/// The block store of the repo: the running node's if there is one, else opened or made here.
Result<std::shared_ptr<store::BlockStore>> open_store(const CommonOptions& common,
                                                      store::BlockStore::Options options = {});
/// Opened or made here, or not at all: for the node itself.
Result<std::shared_ptr<store::BlockStore>> open_own_store(const CommonOptions& common,
                                                          store::BlockStore::Options options = {});

/// The key of the repo's peer, making both if need be. Needs no store, so it works beside a running node.
Result<identity::Key> load_key(const CommonOptions& common);

/// `URL` or `URL,USERNAME,CREDENTIAL` for each.
Result<std::vector<webrtc::IceServer>> parse_ice_servers(const std::vector<std::string>& texts);

/// Whether it is a TURN server that was given without a user: only `serve` can use it, with a secret.
bool needs_credentials(const webrtc::IceServer& server);

/// `URL` or `URL,URL…`.
Result<std::vector<rendezvous::ServerUrl>> parse_rendezvous(const std::string& text);

/// Bytes: a number, and K, M, G or T for KiB, MiB, GiB or TiB; `none` is nothing.
Result<std::optional<std::uint64_t>> parse_size(const std::string& text);
/// Bytes a second: a number, and K, M, G or T; `none` is nothing.
Result<std::optional<std::uint64_t>> parse_rate(const std::string& text);

/// What a TransferManager needs of the command line.
Result<node::TransferManagerOptions> transfer_options(const CommonOptions& common);

/// Where the bytes of a session's downloads came from.
struct Sources {
  std::uint64_t store = 0;
  std::uint64_t peers = 0;
  std::uint64_t http = 0;  ///< Nodes that were found, over HTTP.
  std::uint64_t gateways = 0;
};

class Session {
 public:
  static Result<std::unique_ptr<Session>> open(const CommonOptions& common);

  /// What the path leads to.
  Result<content_id::unixfs::Entity> find(const node::ContentPath& path);
  /// A directory's entries.
  Result<std::vector<content_id::unixfs::DirectoryEntry>> list(const node::ContentPath& path);
  /// Gives the file's bytes to `take`, in order. `take` may stop it with an error.
  Result<void> read(const node::ContentPath& path, content_id::unixfs::ByteRange range,
                    const std::function<Result<void>(BytesView)>& take);

  /// Brings everything below the path to the store, which has it after leave_network(). `on_progress` is told of all
  /// the bytes so far.
  Result<void> fetch(const node::ContentPath& path, const std::function<void(std::uint64_t)>& on_progress);
  /// Waits until everything that was downloaded is in the store, and ends all downloading. An error if the store did
  /// not take something.
  Result<void> leave_network();

  store::BlockStore& store() { return *store_; }
  const Sources& sources() const { return sources_; }

 private:
  Session() = default;
  /// Runs one download to its end, until an event sets `stop`, or until interrupted.
  Result<void> run(const node::ContentPath& path, content_id::unixfs::TraversalOptions traversal,
                   node::DownloadEvents events, const bool& stop);

  boost::asio::io_context io_;
  std::shared_ptr<store::BlockStore> store_;
  std::shared_ptr<LazyDhtFinder> dht_;  ///< Null with --no-dht.
  std::mutex mutex_;
  std::optional<Error> not_stored_;  ///< Under the mutex: the first failure.
  std::optional<Error> not_loaded_;  ///< Of the run under way, the last one.
  std::unique_ptr<node::TransferManager> transfers_;
  Sources sources_;
};

}  // namespace codio::cli
