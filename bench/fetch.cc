// A download by a native node as a program of ours would make it, timed from the inside; the bytes are dropped.
//
// usage: fetch RENDEZVOUS CID FOLDER
//
// FOLDER is for the node's store. Prints {"ms": …, "firstBlock": …, "size": …, "peers": {ID: BYTES, …}}: milliseconds
// from the node's start, with its way to the rendezvous, to its last byte and to its first verified block.
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "node/transfer_manager.h"

namespace codio::node {
namespace {

struct Figures {
  double ms = 0;
  double first_block = 0;
  std::uint64_t size = 0;
  std::map<std::string, std::uint64_t> peers;
};

Result<Figures> fetch(const char* rendezvous, const char* cid, const char* folder) {
  const auto root = content_id::ContentId::parse(cid);
  if (!root) return std::unexpected(root.error());
  auto url = rendezvous::ServerUrl::parse(rendezvous);
  if (!url) return std::unexpected(url.error());
  auto store = store::BlockStore::open(folder);
  if (!store) return std::unexpected(store.error());

  const auto began = std::chrono::steady_clock::now();
  const auto since = [began] {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
  };
  boost::asio::io_context io{1};
  TransferManagerOptions options;
  options.rendezvous.push_back({*std::move(url)});
  auto transfers = TransferManager::make(io.get_executor(), *std::move(store), std::move(options));
  if (!transfers) return std::unexpected(transfers.error());

  Figures figures;
  std::optional<Result<void>> end;
  DownloadEvents events;
  events.on_data = [&](const content_id::unixfs::Segment& segment) { figures.size += segment.size; };
  events.on_received = [&](transfer::SourceKind /*source*/, const std::string& peer, std::uint64_t size) {
    if (figures.first_block == 0) figures.first_block = since();
    figures.peers[peer] += size;
  };
  events.on_end = [&](Result<void> result) {
    figures.ms = since();
    end = std::move(result);
    io.stop();
  };
  const auto work = boost::asio::make_work_guard(io);
  (*transfers)->download(*root, {}, std::move(events));
  io.run();
  if (!*end) return std::unexpected(end->error());
  return figures;
}

}  // namespace
}  // namespace codio::node

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: fetch RENDEZVOUS CID FOLDER\n";
    return EXIT_FAILURE;
  }
  const auto figures = codio::node::fetch(argv[1], argv[2], argv[3]);
  if (!figures) {
    std::cerr << "fetch: " << figures.error().message << '\n';
    return EXIT_FAILURE;
  }
  std::cout << nlohmann::json{{"ms", figures->ms},
                              {"firstBlock", figures->first_block},
                              {"size", figures->size},
                              {"peers", figures->peers}}
            << '\n';
  return EXIT_SUCCESS;
}
