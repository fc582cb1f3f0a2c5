#include "store/records.h"

#include <string>
#include <utility>

#include "common/protobuf.h"
#include "common/varint.h"

namespace codio::store {

using content_id::ContentId;
using rocksdb::Slice;
using rocksdb::Status;

namespace {

constexpr std::uint64_t kIsReference = 1;

enum ReferenceField : std::uint32_t { kPath = 1, kOffset = 2, kFileSize = 3, kModified = 4 };
enum RootField : std::uint32_t { kName = 1, kAdded = 2, kSize = 3 };

}  // namespace

Bytes encode(const Record& record) {
  Bytes value;
  append_varint(value, record.size);
  append_varint(value, record.used);
  append_varint(value, record.is_reference ? kIsReference : 0);
  return value;
}

Result<Record> decode_record(BytesView value) {
  Record record;
  std::uint64_t flags = 0;
  for (std::uint64_t* field : {&record.size, &record.used, &flags}) {
    if (value.empty() && field != &record.size) break;  // FORMAT 1.
    const auto number = read_varint(value);
    if (!number) return std::unexpected(number.error());
    *field = number->value;
    value = value.subspan(number->size);
  }
  record.is_reference = (flags & kIsReference) != 0;
  return record;
}

Bytes encode(const Reference& reference) {
  Bytes value;
  ProtobufWriter writer(value);
  writer.write_bytes(kPath, as_bytes(reference.path));
  writer.write_varint(kOffset, reference.offset);
  writer.write_varint(kFileSize, reference.file_size);
  writer.write_varint(kModified, reference.modified);
  return value;
}

Result<Reference> decode_reference(BytesView value) {
  Reference reference;
  ProtobufReader reader(value);
  for (ProtobufField field; reader.next(field);) {
    switch (field.number) {
      case kPath: reference.path = codio::as_text(field.bytes); break;
      case kOffset: reference.offset = field.integer; break;
      case kFileSize: reference.file_size = field.integer; break;
      case kModified: reference.modified = field.integer; break;
      default: break;
    }
  }
  if (!reader.problem().empty()) return fail(ErrorCode::kMalformed, std::string(reader.problem()));
  return reference;
}

Bytes encode(const Root& root) {
  Bytes record;
  ProtobufWriter writer(record);
  writer.write_bytes(kName, as_bytes(root.name));
  writer.write_varint(kAdded, root.added);
  writer.write_varint(kSize, root.size);
  return record;
}

Result<Root> decode_root(BytesView key, BytesView record) {
  auto cid = ContentId::decode(key);
  if (!cid) return std::unexpected(cid.error());
  Root root{.cid = *std::move(cid)};
  ProtobufReader reader(record);
  for (ProtobufField field; reader.next(field);) {
    switch (field.number) {
      case kName: root.name = codio::as_text(field.bytes); break;
      case kAdded: root.added = field.integer; break;
      case kSize: root.size = field.integer; break;
      default: break;
    }
  }
  if (!reader.problem().empty()) return fail(ErrorCode::kMalformed, std::string(reader.problem()));
  return root;
}

Status as_corruption(const Error& error) { return Status::Corruption(error.message); }

Slice as_slice(BytesView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
BytesView as_view(const Slice& slice) { return as_bytes({slice.data(), slice.size()}); }
std::string_view as_text(const Slice& slice) { return {slice.data(), slice.size()}; }

Slice key_of(const ContentId& cid) { return as_slice(cid.multihash().bytes()); }

}  // namespace codio::store
