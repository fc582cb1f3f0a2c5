// Compression for HTTP: zlib's gzip, and what has been compressed lately.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "common/bytes.h"

namespace codio::node {

/// One stream of gzip. 96 KiB of memory.
class Gzip {
 public:
  Gzip();
  ~Gzip();
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  /// What goes out now; often nothing.
  Bytes add(BytesView bytes);
  Bytes end();

 private:
  struct Stream;
  Bytes run(BytesView bytes, int flush);
  std::unique_ptr<Stream> stream_;
};

/// Files that were compressed lately: those that many ask for are compressed once. Thread-safe.
class CompressedFiles {
 public:
  /// `capacity`: bytes of compressed files, the least recently used going first.
  explicit CompressedFiles(std::size_t capacity) : capacity_(capacity) {}

  /// Null if it is not there. `key` says which bytes: a CID, or a hash.
  SharedBytes find(const std::string& key);
  SharedBytes compress(const std::string& key, BytesView bytes);

 private:
  struct Entry {
    std::string key;
    SharedBytes bytes;
  };
  std::size_t capacity_;
  std::mutex mutex_;
  std::list<Entry> entries_;  ///< The last used first.
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
  std::size_t size_ = 0;
};

/// A smaller file gains less than the header costs; a larger one is compressed by nobody: it would be held whole, and
/// keep a thread busy for more than 50 ms.
inline constexpr std::size_t kMinCompressed = 512;
inline constexpr std::size_t kMaxCompressed = std::size_t{2} << 20;

}  // namespace codio::node
