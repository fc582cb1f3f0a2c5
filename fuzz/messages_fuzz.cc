// Frames of a stranger: no crash, and what was read is written and read again as the same.
#include <cstdint>

#include "common/check.h"
#include "transfer/wire/messages.h"

using namespace codio;
using namespace codio::transfer;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto message = wire::decode({data, size});
  if (!message || !*message) return 0;
  const Bytes frame = wire::encode(**message);
  const auto again = wire::decode(frame);
  check(again && *again);
  check((*again)->index() == (*message)->index());
  check(wire::encode(**again) == frame);
  return 0;
}
