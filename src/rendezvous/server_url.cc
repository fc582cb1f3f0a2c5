#include "rendezvous/server_url.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <system_error>

namespace codio::rendezvous {

Result<ServerUrl> ServerUrl::parse(std::string_view text) {
  const auto malformed = [&](std::string_view why) {
    return fail(ErrorCode::kMalformed, "the rendezvous URL " + std::string(text.substr(0, 256)) + " " +
                                           std::string(why) + "; it has the form wss://host[:port]/rendezvous");
  };
  ServerUrl url;
  url.text = text;
  std::string_view rest = text;
  if (rest.starts_with("wss://")) {
    url.tls = true;
    rest.remove_prefix(6);
  } else if (rest.starts_with("ws://")) {
    rest.remove_prefix(5);
  } else {
    return malformed("does not begin with ws:// or wss://");
  }
  if (text.size() > 2048 || std::ranges::any_of(text, [](char c) { return c <= ' ' || c == 0x7f || c == '#'; })) {
    return malformed("is too long or has characters that no such URL has");
  }
  const std::size_t path = rest.find_first_of("/?");
  std::string_view authority = rest.substr(0, path);
  if (path != std::string_view::npos) url.target = rest.substr(path);
  if (!url.target.starts_with('/')) url.target.insert(0, "/");
  if (authority.find('@') != std::string_view::npos) return malformed("has a user name, which is not sent");

  std::size_t host_end = authority.find(':');
  if (authority.starts_with('[')) {
    const std::size_t bracket = authority.find(']');
    if (bracket == std::string_view::npos) return malformed("has an IPv6 address without its bracket");
    url.host = authority.substr(1, bracket - 1);
    host_end = bracket + 1 == authority.size() ? std::string_view::npos : bracket + 1;
  } else {
    url.host = authority.substr(0, host_end);
  }
  if (url.host.empty()) return malformed("has no host");
  url.port = url.tls ? "443" : "80";
  if (host_end != std::string_view::npos) {
    if (authority[host_end] != ':') return malformed("has something between host and port");
    url.port = authority.substr(host_end + 1);
    std::uint16_t number = 0;
    const auto [end, error] = std::from_chars(url.port.data(), url.port.data() + url.port.size(), number);
    if (error != std::errc{} || end != url.port.data() + url.port.size() || number == 0) {
      return malformed("has a port that is not a number from 1 to 65535");
    }
  }
  return url;
}

}  // namespace codio::rendezvous
