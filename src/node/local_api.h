// The way in to a running node for the commands of its own user: a Unix socket that no page and no other user can
// reach.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <boost/asio/io_context.hpp>

#include "common/result.h"
#include "node/transfer_manager.h"
#include "store/block_store.h"

namespace codio::node {

struct LocalApiOptions {
  /// Of the socket.
  std::filesystem::path path;
  /// What the node tells of itself besides, in an object: its `http`, for one. On the io_context's thread.
  std::function<nlohmann::json()> about = [] { return nlohmann::json::object(); };
  /// A command pinned something, or gave a pin up. On the io_context's thread.
  std::function<void(const content_id::ContentId&)> on_pinned;
  std::function<void(const content_id::ContentId&)> on_unpinned;
};

/// | what            | path                                                       | body                             |
/// |-----------------|------------------------------------------------------------|----------------------------------|
/// | GET             | /v1/peers, /v1/stats                                       | JSON                             |
/// | GET, PATCH      | /v1/limits                                                 | JSON                             |
/// | GET             | /v1/blocks/CID                                             | the block                        |
/// | PUT, DELETE     | /v1/blocks/CID                                             | the block; -                     |
/// | POST            | /v1/touch/CID                                              | → CBOR                           |
/// | GET             | /v1/info/CID                                               | CBOR: size and reference         |
/// | GET             | /v1/blocks?after=HEX&max=N                                 | CBOR: BlockInfo                  |
/// | POST            | /v1/blocks, /v1/references                                 | a CAR; CBOR: ReferenceEntry      |
/// | POST            | /v1/sync                                                   | -                                |
/// | GET, PUT        | /v1/pins                                                   | CBOR: Root                       |
/// | DELETE          | /v1/pins/CID                                               | -                                |
/// | GET             | /v1/usage                                                  | CBOR: Usage                      |
/// | GET             | /v1/hold                                                   | open for as long as it holds     |
/// | POST            | /v1/collect?dry-run=1&below=CID                            | → lines of JSON, the result last |
///
/// A failure is a 4xx or 5xx with encode(Error) as JSON.
///
/// Threads: the io_context's one thread; the store is used on others.
class LocalApi {
 public:
  /// Listens at the path, in place of what a killed node left there: the caller has the repo's lock. The file is only
  /// its owner's. Both references must outlive this object.
  static Result<std::unique_ptr<LocalApi>> listen(boost::asio::io_context& io, std::shared_ptr<store::BlockStore> store,
                                                  TransferManager& transfers, LocalApiOptions options);
  /// Removes the socket. Commands under way fail.
  ~LocalApi();

 private:
  class Impl;
  explicit LocalApi(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace codio::node
