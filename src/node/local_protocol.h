// What a running node and the commands beside it say to each other, over a Unix socket in the repo's folder: HTTP, with
// JSON for what people read and CBOR for what may hold any bytes. Both ends are one version of one program.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include <boost/asio/local/stream_protocol.hpp>

#include "common/bytes.h"
#include "common/result.h"
#include "store/block_store.h"

namespace codio::node {

/// The socket's name in the repo.
inline constexpr const char* kLocalSocket = "api.sock";
/// Of either direction: some batches of blocks, or a page of their list.
inline constexpr std::uint64_t kMaxLocalBody = std::uint64_t{64} << 20;
/// Blocks of one page of the list.
inline constexpr std::size_t kMaxLocalPage = 16384;

/// An address for a socket at `path`, however long that is: the system's own limit is 107 bytes.
class LocalEndpoint {
 public:
  /// kIo if the folder is not there.
  static Result<LocalEndpoint> of(const std::filesystem::path& path);
  LocalEndpoint(LocalEndpoint&& other) noexcept;
  LocalEndpoint& operator=(LocalEndpoint&&) = delete;
  ~LocalEndpoint();

  /// Valid as long as this object.
  boost::asio::local::stream_protocol::endpoint get() const { return {path_}; }

 private:
  LocalEndpoint(std::string path, int folder) : path_(std::move(path)), folder_(folder) {}

  std::string path_;
  int folder_;  ///< -1: not needed.
};

/// {"error":{"code":…,"message":…}}, as `--json` prints it.
nlohmann::json encode(const Error& error);
nlohmann::json encode(const store::Root& root);
nlohmann::json encode(const store::Reference& reference);
nlohmann::json encode(const store::BlockStore::ReferenceEntry& entry);
nlohmann::json encode(const store::BlockInfo& block);
nlohmann::json encode(const store::Usage& usage);
nlohmann::json encode(const store::Collection& collection);

/// kMalformed unless the value is what encode() makes.
template <class T>
Result<T> decode(const nlohmann::json& value);
template <>
Result<Error> decode(const nlohmann::json& value);
template <>
Result<store::Root> decode(const nlohmann::json& value);
template <>
Result<store::Reference> decode(const nlohmann::json& value);
template <>
Result<store::BlockStore::ReferenceEntry> decode(const nlohmann::json& value);
template <>
Result<store::BlockInfo> decode(const nlohmann::json& value);
template <>
Result<store::Usage> decode(const nlohmann::json& value);
template <>
Result<store::Collection> decode(const nlohmann::json& value);

template <class T>
nlohmann::json encode_list(std::span<const T> values) {
  auto list = nlohmann::json::array();
  for (const T& value : values) list.push_back(encode(value));
  return list;
}

template <class T>
Result<std::vector<T>> decode_list(const nlohmann::json& list) {
  if (!list.is_array()) return fail(ErrorCode::kMalformed, "not a list");
  std::vector<T> values;
  values.reserve(list.size());
  for (const auto& value : list) {
    auto decoded = decode<T>(value);
    if (!decoded) return std::unexpected(decoded.error());
    values.push_back(*std::move(decoded));
  }
  return values;
}

/// kMalformed if it is not CBOR.
Result<nlohmann::json> parse_cbor(BytesView bytes);
Bytes to_cbor(const nlohmann::json& value);

}  // namespace codio::node
