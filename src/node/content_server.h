// Answers of the gateway: content by its CID, from the store and, where that is wanted, from elsewhere.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <boost/asio/awaitable.hpp>

#include "node/block_cache.h"
#include "node/deny_lists.h"
#include "node/gzip.h"
#include "node/http_connection.h"
#include "node/puller.h"
#include "store/block_store.h"
#include "web/content_request.h"

namespace codio::node {

struct ContentServerOptions {
  /// Nothing: what is not here is not served.
  std::shared_ptr<Puller> puller;
  /// Nothing: all is served.
  std::shared_ptr<DenyLists> deny_lists;
  /// Put into a site's HTML pages, behind `<head>`; empty: they go out as they are.
  std::string injected;
  /// Bytes of blocks kept in memory: what is popular, a film's 100 MiB among it.
  std::size_t cache = std::size_t{128} << 20;
  /// Bytes of text files kept compressed.
  std::size_t compressed_cache = std::size_t{16} << 20;
};

/// Reads the store on the caller's thread, as a web server reads files. Thread-safe; a call uses one thread.
///
/// Memory: the caches, and of an answer two blocks, or a file of kMaxCompressed and what it is compressed to, and the
/// links of the blocks that its walk is below.
class ContentServer {
 public:
  ContentServer(std::shared_ptr<const store::BlockStore> store, ContentServerOptions options);
  ~ContentServer();

  boost::asio::awaitable<void> answer(HttpCall& call, web::ContentRequest content) const;

 private:
  class Answer;
  std::shared_ptr<const store::BlockStore> store_;
  mutable BlockCache cache_;
  mutable CompressedFiles compressed_;
  ContentServerOptions options_;
};

}  // namespace codio::node
