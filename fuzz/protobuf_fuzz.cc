// Varints and protobuf fields: what is read is as long as it says, and every message ends.
#include <cstdint>

#include "common/check.h"
#include "common/protobuf.h"
#include "common/varint.h"

using namespace codio;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BytesView input(data, size);
  if (const auto varint = read_varint(input)) {
    Bytes again;
    append_varint(again, varint->value);
    check(again.size() == varint->size && again.size() == varint_size(varint->value));
  }

  ProtobufReader reader(input);
  std::size_t payload = 0;
  for (ProtobufField field; reader.next(field);) {
    payload += field.bytes.size() + 1;
    check(payload <= size);
  }
  return 0;
}
