// SCTP checks every packet with CRC-32C, and Debian builds libwebrtc without the processor's instruction for that: it
// was a twentieth of what a channel cost. The linker puts this function in the place of that one (CMakeLists.txt).
#include <cstddef>
#include <cstdint>

#include <isa-l/crc.h>

/// The CRC of what has the CRC `crc`, followed by `data`: of a packet, so that `size` is small.
extern "C" std::uint32_t codio_sctp_crc32c(std::uint32_t crc, const std::uint8_t* data, std::size_t size);

extern "C" std::uint32_t codio_sctp_crc32c(std::uint32_t crc, const std::uint8_t* data, std::size_t size) {
  return ~crc32_iscsi(const_cast<unsigned char*>(data), static_cast<int>(size), ~crc);
}
