// What every RocksDB database of ours is opened with.
#pragma once

#include <cstdarg>
#include <rocksdb/env.h>

namespace codio::store {

/// RocksDB's diary is of no use to the user, and Debian's build of it ends the process when the disk is too full to
/// write it. What matters comes back as a Status.
class NoDiary : public rocksdb::Logger {
 public:
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
};

}  // namespace codio::store
