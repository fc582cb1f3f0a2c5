#include "node/local_reply.h"

#include <algorithm>

namespace codio::node {

namespace http = boost::beast::http;
using nlohmann::json;

LocalReply reply(const json& value, const char* type) {
  if (type == kCborType) return {http::status::ok, type, share(to_cbor(value))};
  const std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  const BytesView bytes = as_bytes(text);
  return {http::status::ok, type, share(Bytes(bytes.begin(), bytes.end()))};
}

LocalReply refuse(const Error& error) {
  LocalReply refusal = reply(encode(error), kJsonType);
  switch (error.code) {
    case ErrorCode::kNotFound: refusal.status = http::status::not_found; break;
    case ErrorCode::kMalformed: refusal.status = http::status::bad_request; break;
    default: refusal.status = http::status::internal_server_error;
  }
  return refusal;
}

LocalReply reply_done(const Result<void>& done) { return done ? reply(json::object()) : refuse(done.error()); }

Error unknown(std::string_view what) {
  return {ErrorCode::kNotFound,
          "the node knows no " + std::string(what) + ": it is another version of codio; stop it and start this one"};
}

LocalTarget::LocalTarget(std::string_view text) {
  const std::size_t mark = std::min(text.find('?'), text.size());
  query = text.substr(std::min(mark + 1, text.size()));
  text = text.substr(0, mark);
  constexpr std::string_view kPrefix = "/v1/";
  if (!text.starts_with(kPrefix)) return;
  text.remove_prefix(kPrefix.size());
  const std::size_t slash = std::min(text.find('/'), text.size());
  name = text.substr(0, slash);
  rest = text.substr(std::min(slash + 1, text.size()));
}

std::string LocalTarget::parameter(std::string_view wanted) const {
  for (std::string_view left = query; !left.empty();) {
    const std::size_t end = std::min(left.find('&'), left.size());
    const std::string_view pair = left.substr(0, end);
    left.remove_prefix(std::min(end + 1, left.size()));
    if (pair.starts_with(wanted) && pair.substr(wanted.size()).starts_with('=')) {
      return std::string(pair.substr(wanted.size() + 1));
    }
  }
  return {};
}

std::string_view target_of(const LocalRequest& request) { return {request.target().data(), request.target().size()}; }

}  // namespace codio::node
