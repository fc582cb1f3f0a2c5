// UnixFS messages: what is read can be written, and is then read as the same.
#include <cstdint>

#include "common/check.h"
#include "content_id/unixfs/data.h"

using namespace codio;
using namespace codio::content_id::unixfs;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto read = decode_data({data, size});
  if (!read) return 0;
  const Bytes message = encode_data(*read);
  const auto again = decode_data(message);
  check(again.has_value());
  check(again->type == read->type && again->file_size == read->file_size && again->block_sizes == read->block_sizes);
  check(again->mode == read->mode && again->mtime == read->mtime && again->fanout == read->fanout);
  check(encode_data(*again) == message);
  return 0;
}
