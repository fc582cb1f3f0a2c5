#include <cstddef>
#include <cstdint>
#include <gtest/gtest.h>
#include <string>

/// crc32c::ExtendPortable(unsigned int, unsigned char const*, unsigned long), as libwebrtc calls it
extern "C" std::uint32_t extend(std::uint32_t crc, const std::uint8_t* data,
                                std::size_t size) asm("_ZN6crc32c14ExtendPortableEjPKhm");
extern "C" std::uint32_t codio_sctp_crc32c(std::uint32_t crc, const std::uint8_t* data, std::size_t size);

namespace codio::webrtc {
namespace {

std::uint32_t extend(std::uint32_t crc, const std::string& data) {
  return ::extend(crc, reinterpret_cast<const std::uint8_t*>(data.data()), data.size());
}

TEST(SctpCrc32c, StandsInThePlaceOfLibwebrtcs) { EXPECT_EQ(&::extend, &codio_sctp_crc32c); }

/// RFC 3720, B.4, and the check value of the catalogues of CRCs.
TEST(SctpCrc32c, IsWhatOthersWrote) {
  EXPECT_EQ(extend(0, ""), 0U);
  EXPECT_EQ(extend(0, "123456789"), 0xE3069283U);
  EXPECT_EQ(extend(0, std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(extend(extend(0, "1234"), "56789"), 0xE3069283U);
}

}  // namespace
}  // namespace codio::webrtc
