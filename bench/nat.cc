// A NAT for one network: between a TUN device and the kernel's routing. IPv4, UDP and TCP.
//
// usage: nat DEVICE PUBLIC-ADDRESS cone|symmetric
//
// Packets that the kernel routes into the device come out of it translated: those from inside get the public address as
// their source, those to the public address the inside's as their destination. Only who was sent to may answer, from
// the same address and port. `cone` keeps one outside port for an inside port, whomever it talks to
// (endpoint-independent mapping, RFC 4787); `symmetric` takes another for each destination, so that a port that STUN
// told is of no use to others. Prints a line when it is ready, and runs until it is killed.
#include <arpa/inet.h>
#include <array>
#include <compare>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <map>
#include <set>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>

namespace {

struct Endpoint {
  std::uint32_t address = 0;  // In network order, as the port.
  std::uint16_t port = 0;

  auto operator<=>(const Endpoint&) const = default;
};

struct Mapping {
  std::uint8_t protocol = 0;
  Endpoint inside;
  Endpoint destination;  // Of a symmetric NAT only.

  auto operator<=>(const Mapping&) const = default;
};

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

int open_device(const char* name) {
  const int device = ::open("/dev/net/tun", O_RDWR);
  if (device < 0) fail("/dev/net/tun");
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (::ioctl(device, TUNSETIFF, &request) < 0) fail(name);
  return device;
}

std::uint16_t read16(const std::uint8_t* at) {
  std::uint16_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// RFC 1624: the checksum after a 16-bit word changed.
void adjust(std::uint8_t* checksum, std::uint16_t before, std::uint16_t after) {
  std::uint32_t sum = static_cast<std::uint16_t>(~read16(checksum));
  sum += static_cast<std::uint16_t>(~before);
  sum += after;
  while ((sum >> 16) != 0) sum = (sum & 0xffff) + (sum >> 16);
  const auto result = static_cast<std::uint16_t>(~sum);
  std::memcpy(checksum, &result, sizeof result);
}

class Nat {
 public:
  Nat(std::uint32_t address, bool is_symmetric) : public_(address), is_symmetric_(is_symmetric) {}

  // Whether the packet goes on.
  bool translate(std::uint8_t* packet, std::size_t size) {
    const std::size_t head = static_cast<std::size_t>(packet[0] & 0xf) * 4;
    const std::uint8_t protocol = packet[9];
    if (packet[0] >> 4 != 4 || head < 20 || (protocol != IPPROTO_UDP && protocol != IPPROTO_TCP)) return false;
    if (size < head + (protocol == IPPROTO_UDP ? 8U : 20U) || (read16(packet + 6) & htons(0x1fff)) != 0) return false;
    Endpoint source = read(packet + 12, packet + head);
    Endpoint destination = read(packet + 16, packet + head + 2);
    std::uint8_t* checksum = packet + head + (protocol == IPPROTO_UDP ? 6 : 16);
    const bool has_checksum = protocol == IPPROTO_TCP || read16(checksum) != 0;

    if (destination.address == public_) {
      const auto inside = outside_.find({protocol, destination.port});
      if (inside == outside_.end() || !allowed_.contains({protocol, {destination.port, source}})) return false;
      write(packet, packet + 16, packet + head + 2, inside->second, has_checksum ? checksum : nullptr);
      return true;
    }
    const Mapping mapping{protocol, source, is_symmetric_ ? destination : Endpoint{}};
    auto known = ports_.find(mapping);
    if (known == ports_.end()) {
      const std::uint16_t port = htons(next_port_++);
      known = ports_.emplace(mapping, port).first;
      outside_[{protocol, port}] = source;
    }
    allowed_.insert({protocol, {known->second, destination}});
    write(packet, packet + 12, packet + head, {public_, known->second}, has_checksum ? checksum : nullptr);
    return true;
  }

 private:
  static Endpoint read(const std::uint8_t* address, const std::uint8_t* port) {
    Endpoint endpoint;
    std::memcpy(&endpoint.address, address, sizeof endpoint.address);
    std::memcpy(&endpoint.port, port, sizeof endpoint.port);
    return endpoint;
  }

  static void write(std::uint8_t* packet, std::uint8_t* address, std::uint8_t* port, Endpoint value,
                    std::uint8_t* checksum) {
    std::array<std::uint8_t, 4> bytes;
    std::memcpy(bytes.data(), &value.address, bytes.size());
    for (const std::size_t i : {0, 2}) {
      adjust(packet + 10, read16(address + i), read16(&bytes[i]));
      if (checksum != nullptr) adjust(checksum, read16(address + i), read16(&bytes[i]));
    }
    if (checksum != nullptr) adjust(checksum, read16(port), value.port);
    std::memcpy(address, bytes.data(), bytes.size());
    std::memcpy(port, &value.port, sizeof value.port);
  }

  std::uint32_t public_;
  bool is_symmetric_;
  std::uint16_t next_port_ = 20'000;
  std::map<Mapping, std::uint16_t> ports_;
  std::map<std::pair<std::uint8_t, std::uint16_t>, Endpoint> outside_;
  std::set<std::pair<std::uint8_t, std::pair<std::uint16_t, Endpoint>>> allowed_;
};

}  // namespace

int main(int count, char** arguments) {
  in_addr address{};
  const std::string_view kind = count == 4 ? arguments[3] : "";
  if ((kind != "cone" && kind != "symmetric") || ::inet_pton(AF_INET, arguments[2], &address) != 1) {
    std::fprintf(stderr, "usage: nat DEVICE PUBLIC-ADDRESS cone|symmetric\n");
    return 2;
  }
  const int device = open_device(arguments[1]);
  Nat nat(address.s_addr, kind == "symmetric");
  std::puts("ready");
  std::fflush(stdout);
  std::array<std::uint8_t, 65'536> packet;
  while (true) {
    const auto size = ::read(device, packet.data(), packet.size());
    if (size < 0) fail("read");
    if (size < 20 || !nat.translate(packet.data(), static_cast<std::size_t>(size))) continue;
    // The kernel drops what it cannot route; that is its loss.
    if (::write(device, packet.data(), static_cast<std::size_t>(size)) < 0) continue;
  }
}
