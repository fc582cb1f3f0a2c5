#include "node/reach.h"

#include <algorithm>

#include "dht/address.h"

namespace codio::node {

namespace ip = boost::asio::ip;

Reach reach_of(const ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return reach_of(ip::make_address_v4(ip::v4_mapped, address.to_v6()));
  }
  // Who connects to 0.0.0.0 or :: gets the loopback interface.
  if (address.is_loopback() || address.is_unspecified()) return Reach::kMachine;
  return dht::is_public(address) ? Reach::kInternet : Reach::kNetwork;
}

Reach reach_of_url(std::string_view url) {
  const std::size_t scheme = url.find("://");
  std::string_view host = scheme == url.npos ? url : url.substr(scheme + 3);
  host = host.substr(0, host.find_first_of("/?#"));
  if (host.starts_with('[')) {
    host = host.substr(1, std::min(host.find(']'), host.size()) - 1);
  } else {
    host = host.substr(0, host.find(':'));
  }
  boost::system::error_code error;
  const ip::address address = ip::make_address(std::string(host), error);
  if (!error) return reach_of(address);
  std::string name(host);
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (name.ends_with('.')) name.pop_back();
  return name == "localhost" || name.ends_with(".localhost") ? Reach::kMachine : Reach::kInternet;
}

bool may_name(Reach teller, const ip::address& address) { return reach_of(address) >= teller; }

void drop_closer(std::vector<std::string>& urls, Reach teller) {
  std::erase_if(urls, [teller](const std::string& url) { return reach_of_url(url) < teller; });
}

std::function<bool(std::string_view)> named_by(Reach teller) {
  return [teller](std::string_view text) {
    boost::system::error_code error;
    const ip::address address = ip::make_address(std::string(text), error);
    return !error && may_name(teller, address);
  };
}

}  // namespace codio::node
