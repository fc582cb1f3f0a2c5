#include "dht/address.h"

#include <algorithm>
#include <array>
#include <boost/asio/ip/network_v4.hpp>

namespace codio::dht {

namespace {

namespace ip = boost::asio::ip;

bool is_public(const ip::address_v4& address) {
  struct Range {
    std::uint32_t prefix;
    int length;
  };
  // https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast.
  static constexpr std::array<Range, 15> kSetAside{{{0x00000000, 8},
                                                    {0x0a000000, 8},
                                                    {0x64400000, 10},
                                                    {0x7f000000, 8},
                                                    {0xa9fe0000, 16},
                                                    {0xac100000, 12},
                                                    {0xc0000000, 24},
                                                    {0xc0000200, 24},
                                                    {0xc0586300, 24},
                                                    {0xc0a80000, 16},
                                                    {0xc6120000, 15},
                                                    {0xc6336400, 24},
                                                    {0xcb007100, 24},
                                                    {0xe0000000, 4},
                                                    {0xf0000000, 4}}};
  return std::ranges::none_of(
      kSetAside, [&](const Range& range) { return (address.to_uint() ^ range.prefix) >> (32 - range.length) == 0; });
}

}  // namespace

bool is_public(const ip::address& address) {
  if (address.is_v4()) return is_public(address.to_v4());
  const ip::address_v6 v6 = address.to_v6();
  if (v6.is_v4_mapped()) return is_public(ip::make_address_v4(ip::v4_mapped, v6));
  const auto bytes = v6.to_bytes();
  // Global unicast is 2000::/3; of that 2001:db8::/32 is for documents, 2002::/16 (6to4) and 2001::/32 (Teredo) carry
  // IPv4 addresses of any kind.
  const bool is_global = (bytes[0] & 0xe0) == 0x20;
  const bool is_set_aside = bytes[0] == 0x20 && (bytes[1] == 0x02 || (bytes[1] == 0x01 && bytes[2] == 0x0d) ||
                                                 (bytes[1] == 0x01 && bytes[2] == 0 && bytes[3] == 0));
  return is_global && !is_set_aside;
}

}  // namespace codio::dht
