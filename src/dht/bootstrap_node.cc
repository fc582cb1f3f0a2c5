#include "dht/bootstrap_node.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

namespace codio::dht {

Result<BootstrapNode> BootstrapNode::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  std::string host(text.substr(0, std::min(colon, text.size())));
  const std::string_view digits = colon == text.npos ? std::string_view() : text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  const bool has_brackets = host.size() > 2 && host.starts_with('[') && host.ends_with(']');
  if (has_brackets) host = host.substr(1, host.size() - 2);
  const bool is_host =
      !host.empty() && host.size() <= 253 && host.find_first_of(has_brackets ? "[], \t" : "[]:, \t/") == host.npos;
  if (!is_host || read.ec != std::errc() || read.ptr != digits.data() + digits.size() || port == 0) {
    return fail(ErrorCode::kMalformed, "'" + std::string(text) + "' is not HOST:PORT, such as router.example.net:6881");
  }
  return BootstrapNode{std::move(host), port};
}

std::string BootstrapNode::to_string() const { return bracketed(host) + ":" + std::to_string(port); }

const std::vector<BootstrapNode>& mainline_nodes() {
  static const std::vector<BootstrapNode> nodes{
      {"dht.libtorrent.org", 25401}, {"router.bittorrent.com", 6881}, {"dht.transmissionbt.com", 6881}};
  return nodes;
}

std::string bracketed(const std::string& host) { return host.find(':') == host.npos ? host : "[" + host + "]"; }

}  // namespace codio::dht
