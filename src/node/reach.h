// From where an address can be reached, and so who may send us there.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>
#include <boost/asio/ip/address.hpp>

namespace codio::node {

/// The nearest first.
enum class Reach : std::uint8_t {
  kMachine,   ///< From this machine only.
  kNetwork,   ///< From a local network, or one of the ranges that are set aside.
  kInternet,  ///< From anywhere.
};

Reach reach_of(const boost::asio::ip::address& address);

/// Of the host of an absolute URL. A name counts as the internet's, except `localhost`: where it leads shows when it is
/// looked up.
Reach reach_of_url(std::string_view url);

/// Whether one who was met at an address of `teller`'s reach may send us to this one: only to what at least as many can
/// reach. So nobody on the internet makes us ask machines of our own network, and nobody in that network makes us ask
/// what listens on this machine alone.
bool may_name(Reach teller, const boost::asio::ip::address& address);

/// Leaves out the URLs of hosts that such a one may not name.
void drop_closer(std::vector<std::string>& urls, Reach teller);

/// The same as text, for gateway::HttpRequest::may_ask.
std::function<bool(std::string_view address)> named_by(Reach teller);

}  // namespace codio::node
