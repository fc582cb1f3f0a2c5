#include "node/local_protocol.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include "content_id/multihash.h"

namespace codio::node {

using content_id::ContentId;
using content_id::Multihash;
using nlohmann::json;
using store::BlockInfo;
using store::BlockStore;
using store::Collection;
using store::Reference;
using store::Root;
using store::Usage;

namespace {

json encode_bytes(BytesView bytes) { return json::binary({bytes.begin(), bytes.end()}); }

/// Reads fields; after one that is missing or of another type, nothing but defaults, and ok() is false.
class Fields {
 public:
  explicit Fields(const json& value) : value_(value), ok_(value.is_object()) {}

  std::uint64_t number(const char* name) {
    const json* field = find(name);
    if (field != nullptr && field->is_number_unsigned()) return field->get<std::uint64_t>();
    ok_ = false;
    return 0;
  }
  bool flag(const char* name) {
    const json* field = find(name);
    if (field != nullptr && field->is_boolean()) return field->get<bool>();
    ok_ = false;
    return false;
  }
  BytesView bytes(const char* name) {
    const json* field = find(name);
    if (field != nullptr && field->is_binary()) return BytesView(field->get_binary());
    ok_ = false;
    return {};
  }
  std::string string(const char* name) { return std::string(as_text(bytes(name))); }
  const json* find(const char* name) const {
    if (!value_.is_object()) return nullptr;
    const auto field = value_.find(name);
    return field == value_.end() ? nullptr : &*field;
  }

  template <class T>
  Result<T> result(T value) const {
    if (!ok_) return fail(ErrorCode::kMalformed, "not what this version of codio understands");
    return value;
  }

 private:
  const json& value_;
  bool ok_;
};

}  // namespace

Result<LocalEndpoint> LocalEndpoint::of(const std::filesystem::path& path) {
  if (path.string().size() < sizeof(sockaddr_un::sun_path)) return LocalEndpoint(path.string(), -1);
  const int folder = ::open(path.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) {
    return fail(ErrorCode::kIo, "cannot open " + path.parent_path().string() + ": " + std::strerror(errno));
  }
  return LocalEndpoint("/proc/self/fd/" + std::to_string(folder) + "/" + path.filename().string(), folder);
}

LocalEndpoint::LocalEndpoint(LocalEndpoint&& other) noexcept
    : path_(std::move(other.path_)), folder_(std::exchange(other.folder_, -1)) {}

LocalEndpoint::~LocalEndpoint() {
  if (folder_ >= 0) ::close(folder_);
}

json encode(const Error& error) { return {{"error", {{"code", to_string(error.code)}, {"message", error.message}}}}; }

template <>
Result<Error> decode(const json& value) {
  const auto* const inner = value.is_object() && value.contains("error") ? &value["error"] : nullptr;
  if (inner != nullptr && inner->is_object() && inner->value("code", json()).is_string() &&
      inner->value("message", json()).is_string()) {
    for (int code = 0; code <= static_cast<int>(ErrorCode::kIo); ++code) {
      if ((*inner)["code"] == to_string(static_cast<ErrorCode>(code))) {
        return Error{static_cast<ErrorCode>(code), (*inner)["message"].get<std::string>()};
      }
    }
  }
  return fail(ErrorCode::kMalformed, "not an error");
}

json encode(const Root& root) {
  return {{"cid", encode_bytes(root.cid.bytes())},
          {"name", encode_bytes(as_bytes(root.name))},
          {"added", root.added},
          {"size", root.size}};
}

template <>
Result<Root> decode(const json& value) {
  Fields fields(value);
  auto cid = ContentId::decode(fields.bytes("cid"));
  if (!cid) return std::unexpected(cid.error());
  return fields.result(Root{*std::move(cid), fields.string("name"), fields.number("added"), fields.number("size")});
}

json encode(const Reference& reference) {
  return {{"path", encode_bytes(as_bytes(reference.path))},
          {"offset", reference.offset},
          {"fileSize", reference.file_size},
          {"modified", reference.modified}};
}

template <>
Result<Reference> decode(const json& value) {
  Fields fields(value);
  return fields.result(
      Reference{fields.string("path"), fields.number("offset"), fields.number("fileSize"), fields.number("modified")});
}

json encode(const BlockStore::ReferenceEntry& entry) {
  return {{"cid", encode_bytes(entry.cid.bytes())}, {"size", entry.size}, {"reference", encode(entry.reference)}};
}

template <>
Result<BlockStore::ReferenceEntry> decode(const json& value) {
  Fields fields(value);
  auto cid = ContentId::decode(fields.bytes("cid"));
  if (!cid) return std::unexpected(cid.error());
  if (cid->multihash().code() != content_id::HashCode::kSha2_256) {
    return fail(ErrorCode::kUnsupported, "a reference needs a SHA-256 hash");
  }
  const json* const inner = fields.find("reference");
  auto reference = decode<Reference>(inner == nullptr ? json() : *inner);
  if (!reference) return std::unexpected(reference.error());
  return fields.result(BlockStore::ReferenceEntry{*std::move(cid), fields.number("size"), *std::move(reference)});
}

json encode(const BlockInfo& block) {
  return {{"hash", encode_bytes(block.hash.bytes())},
          {"size", block.size},
          {"used", block.used},
          {"isReference", block.is_reference}};
}

template <>
Result<BlockInfo> decode(const json& value) {
  Fields fields(value);
  BytesView bytes = fields.bytes("hash");
  auto hash = Multihash::take(bytes);
  if (!hash) return std::unexpected(hash.error());
  return fields.result(
      BlockInfo{*std::move(hash), fields.number("size"), fields.number("used"), fields.flag("isReference")});
}

json encode(const Usage& usage) {
  return {{"blocks", usage.blocks},
          {"bytes", usage.bytes},
          {"references", usage.references},
          {"referenceBytes", usage.reference_bytes},
          {"pins", usage.pins},
          {"diskBytes", usage.disk_bytes},
          {"limit", usage.limit ? json(*usage.limit) : json()},
          {"folder", encode_bytes(as_bytes(usage.folder))}};
}

template <>
Result<Usage> decode(const json& value) {
  Fields fields(value);
  Usage usage{.blocks = fields.number("blocks"),
              .bytes = fields.number("bytes"),
              .references = fields.number("references"),
              .reference_bytes = fields.number("referenceBytes"),
              .pins = fields.number("pins"),
              .disk_bytes = fields.number("diskBytes"),
              .limit = std::nullopt,
              .folder = fields.string("folder")};
  if (const json* const limit = fields.find("limit"); limit != nullptr && !limit->is_null()) {
    usage.limit = fields.number("limit");
  }
  return fields.result(std::move(usage));
}

json encode(const Collection& collection) {
  return {{"kept", collection.kept},
          {"examined", collection.examined},
          {"inUse", collection.in_use},
          {"removed", collection.removed},
          {"removedBytes", collection.removed_bytes}};
}

template <>
Result<Collection> decode(const json& value) {
  Fields fields(value);
  return fields.result(Collection{fields.number("kept"), fields.number("examined"), fields.number("inUse"),
                                  fields.number("removed"), fields.number("removedBytes")});
}

Result<json> parse_cbor(BytesView bytes) {
  auto value = json::from_cbor(bytes.begin(), bytes.end(), /*strict=*/true, /*allow_exceptions=*/false);
  if (value.is_discarded()) return fail(ErrorCode::kMalformed, "not CBOR");
  return value;
}

Bytes to_cbor(const json& value) { return json::to_cbor(value); }

}  // namespace codio::node
