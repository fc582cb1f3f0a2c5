#include "gateway/gateway_url.h"

#include <algorithm>
#include <curl/curl.h>
#include <memory>

namespace codio::gateway {
namespace {

using Url = std::unique_ptr<CURLU, decltype([](CURLU* url) { curl_url_cleanup(url); })>;

/// Empty if the URL has no such part.
std::string part(const Url& url, CURLUPart which) {
  char* text = nullptr;
  if (curl_url_get(url.get(), which, &text, 0) != CURLUE_OK) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

}  // namespace

Result<std::string> parse_gateway_url(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::kMalformed, "bad gateway URL \"" + std::string(text) + "\": " + std::string(why) +
                                           "; it should be like https://host/ipfs/");
  };
  const Url url(curl_url());
  const CURLUcode parsed = curl_url_set(url.get(), CURLUPART_URL, std::string(text).c_str(), 0);
  if (parsed != CURLUE_OK) return refuse(curl_url_strerror(parsed));

  const std::string scheme = part(url, CURLUPART_SCHEME);
  if (scheme != "https" && scheme != "http") return refuse("only https and http are supported");
  if (!part(url, CURLUPART_USER).empty() || !part(url, CURLUPART_PASSWORD).empty()) {
    return refuse("a user name or password is not supported");
  }
  if (!part(url, CURLUPART_QUERY).empty()) return refuse("it has a query");
  if (!part(url, CURLUPART_FRAGMENT).empty()) return refuse("it has a fragment");

  std::string path = part(url, CURLUPART_PATH);
  if (path == "/") path = "/ipfs/";
  if (!path.ends_with('/')) path += '/';
  if (!path.ends_with("/ipfs/")) return refuse("its path does not end in /ipfs/");

  // One gateway has one text, so that it is not taken for two.
  std::string host = part(url, CURLUPART_HOST);
  std::ranges::transform(host, host.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  std::string port = part(url, CURLUPART_PORT);
  if (port == "0") return refuse("there is no port 0");
  if (port == (scheme == "https" ? "443" : "80")) port.clear();
  return scheme + "://" + host + (port.empty() ? "" : ":" + port) + path;
}

}  // namespace codio::gateway
