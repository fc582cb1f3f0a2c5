// A request and a reply of the local API, for what answers there.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/vector_body.hpp>

#include "common/bytes.h"
#include "common/result.h"
#include "node/local_protocol.h"

namespace codio::node {

inline constexpr const char* kJsonType = "application/json";
inline constexpr const char* kCborType = "application/cbor";
inline constexpr const char* kBlockType = "application/vnd.ipld.raw";

using LocalRequest = boost::beast::http::request<boost::beast::http::vector_body<std::uint8_t>>;

struct LocalReply {
  boost::beast::http::status status = boost::beast::http::status::ok;
  const char* type = kCborType;
  SharedBytes body;
};

LocalReply reply(const nlohmann::json& value, const char* type = kCborType);
LocalReply refuse(const Error& error);
/// What is done is all there is to say.
LocalReply reply_done(const Result<void>& done);

template <class T>
LocalReply reply_encoded(const Result<T>& value) {
  return value ? reply(encode(*value)) : refuse(value.error());
}

/// Of a command that is not of this version.
Error unknown(std::string_view what);

/// `/v1/NAME[/REST][?QUERY]`
struct LocalTarget {
  std::string name;
  std::string rest;
  std::string query;

  explicit LocalTarget(std::string_view text);
  /// Empty if there is none of that name.
  std::string parameter(std::string_view wanted) const;
};

std::string_view target_of(const LocalRequest& request);

}  // namespace codio::node
