// RocksDB checks all that it writes and reads with CRC-32C, and Debian builds it without the processor's instruction
// for that. This function stands in the place of the library's own: where a program and a shared library both define a
// symbol, the dynamic linker takes the program's for both. CMakeLists.txt sees to it that every program defines it.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <isa-l/crc.h>

namespace rocksdb::crc32c {

/// The CRC of what has the CRC `crc`, followed by `data`.
uint32_t Extend(uint32_t crc, const char* data, size_t size);

uint32_t Extend(uint32_t crc, const char* data, size_t size) {
  constexpr size_t kMost = size_t{1} << 30;  // ISA-L counts in int.
  crc = ~crc;
  while (size > 0) {
    const size_t part = std::min(size, kMost);
    crc = crc32_iscsi(reinterpret_cast<unsigned char*>(const_cast<char*>(data)), static_cast<int>(part), crc);
    data += part;
    size -= part;
  }
  return ~crc;
}

}  // namespace rocksdb::crc32c
