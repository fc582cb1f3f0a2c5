#include <cstdint>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <string>
#include <string_view>

namespace rocksdb::crc32c {
uint32_t Extend(uint32_t crc, const char* data, size_t size);
}

namespace codio::store {
namespace {

uint32_t extend(uint32_t crc, std::string_view data) {
  return rocksdb::crc32c::Extend(crc, data.data(), data.size());
}

/// RFC 3720, B.4, and the check value of the catalogues of CRCs.
TEST(Crc32c, IsWhatOthersWrote) {
  EXPECT_EQ(extend(0, ""), 0);
  EXPECT_EQ(extend(0, "123456789"), 0xE3069283);
  EXPECT_EQ(extend(0, std::string(32, '\0')), 0x8A9136AA);
  EXPECT_EQ(extend(extend(0, "1234"), "56789"), 0xE3069283);
}

/// Where the dynamic linker finds it for the library as well.
TEST(Crc32c, StandsInThePlaceOfRocksDbs) {
  void* const found = dlsym(RTLD_DEFAULT, "_ZN7rocksdb6crc32c6ExtendEjPKcm");
  Dl_info theirs{};
  Dl_info ours{};
  ASSERT_NE(dladdr(found, &theirs), 0);
  ASSERT_NE(dladdr(reinterpret_cast<void*>(&extend), &ours), 0);
  EXPECT_STREQ(theirs.dli_fname, ours.dli_fname);
}

}  // namespace
}  // namespace codio::store
