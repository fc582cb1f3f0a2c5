// The store of a repo that a running node has open, for the commands beside it.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "store/block_store.h"

namespace codio::node {

/// Asks a running node, which answers as src/node/local_api.h says. Threads: any number may use it at a time; every
/// call blocks until the node has answered. When the node goes in the middle, that is kIo.
class LocalClient {
 public:
  /// kUnavailable, and the message says how to start one, if no node runs on the repo in `folder`.
  static Result<std::unique_ptr<LocalClient>> connect(const std::filesystem::path& folder);
  ~LocalClient();

  /// The body of the answer. An error is what the node says, too.
  Result<Bytes> ask(std::string_view method, const std::string& target, BytesView body = {});
  /// Where the answer is JSON.
  Result<nlohmann::json> ask_json(std::string_view method, const std::string& target,
                                  const nlohmann::json& body = nullptr);
  Result<nlohmann::json> ask_cbor(std::string_view method, const std::string& target, BytesView body = {});

  /// Gives every line of the answer, which is JSON, to `take`, until there is no more or it returns false; then the
  /// node is told to stop.
  Result<void> follow(const std::string& target, const std::function<bool(const nlohmann::json&)>& take);
  /// Keeps the request under way until the result goes.
  Result<std::shared_ptr<const void>> keep(const std::string& target);

 private:
  struct Connection;
  class Pool;
  explicit LocalClient(std::filesystem::path socket);
  Result<std::unique_ptr<Connection>> open();

  const std::filesystem::path socket_;
  std::unique_ptr<Pool> pool_;
};

/// The node's store, used through its socket: one round trip a call. set_limit() changes the node's.
class RemoteStore final : public store::BlockStore {
 public:
  explicit RemoteStore(std::unique_ptr<LocalClient> client) : client_(std::move(client)) {}

  Result<void> put(const content_id::ContentId& cid, BytesView bytes) override;
  Result<void> put_many(std::span<const Entry> entries) override;
  Result<void> put_references(std::span<const ReferenceEntry> entries) override;
  Result<void> sync() override;
  Result<std::optional<SharedBytes>> get(const content_id::ContentId& cid) const override;
  Result<bool> touch(const content_id::ContentId& cid) const override;
  Result<std::optional<std::uint64_t>> size(const content_id::ContentId& cid) const override;
  Result<std::optional<store::Reference>> reference(const content_id::ContentId& cid) const override;
  Result<void> remove(const content_id::ContentId& cid) override;
  Result<std::vector<store::BlockInfo>> list(const std::optional<content_id::Multihash>& after,
                                             std::size_t max) const override;
  Result<void> add_root(const store::Root& root) override;
  Result<void> remove_root(const content_id::ContentId& cid) override;
  Result<std::vector<store::Root>> roots() const override;
  Result<store::Hold> hold() override;
  Result<store::Collection> collect(const store::CollectOptions& options) override;
  Result<void> set_limit(std::optional<std::uint64_t> limit) override;
  Result<store::Usage> usage() const override;

 private:
  const std::unique_ptr<LocalClient> client_;
};

}  // namespace codio::node
