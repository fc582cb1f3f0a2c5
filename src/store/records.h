// What stands in the columns of the store's database, as bytes.
#pragma once

#include <cstdint>
#include <rocksdb/slice.h>
#include <rocksdb/status.h>
#include <string_view>

#include "common/bytes.h"
#include "common/result.h"
#include "content_id/cid.h"
#include "store/block_store.h"

namespace codio::store {

/// What stands in `sizes`.
struct Record {
  std::uint64_t size = 0;
  std::uint64_t used = 0;
  bool is_reference = false;
};

Bytes encode(const Record& record);
Bytes encode(const Reference& reference);
Bytes encode(const Root& root);

/// kMalformed: the database is damaged.
Result<Record> decode_record(BytesView value);
Result<Reference> decode_reference(BytesView value);
Result<Root> decode_root(BytesView key, BytesView record);

/// As RocksDB tells of damage.
rocksdb::Status as_corruption(const Error& error);

// Views of the same bytes.

rocksdb::Slice as_slice(BytesView bytes);
BytesView as_view(const rocksdb::Slice& slice);
std::string_view as_text(const rocksdb::Slice& slice);
/// Of the columns that know blocks.
rocksdb::Slice key_of(const content_id::ContentId& cid);

}  // namespace codio::store
