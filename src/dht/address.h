// Which addresses found in a DHT may be believed and asked.
#pragma once

#include <string_view>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace codio::dht {

/// Where a provider's HTTP server is said to be.
using Endpoint = boost::asio::ip::tcp::endpoint;

/// Whether anybody on the internet may reach it: not this machine, not a local network, not one of the ranges that are
/// set aside (RFC 6890). A stranger must not make us ask machines of our own network.
bool is_public(const boost::asio::ip::address& address);

}  // namespace codio::dht
