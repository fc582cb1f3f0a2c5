// CIDs as text and as binary: what is read is written the same again.
#include <algorithm>
#include <cstdint>

#include "common/check.h"
#include "content_id/cid.h"

using codio::as_text;
using codio::BytesView;
using codio::check;
using codio::content_id::ContentId;
using codio::content_id::Multibase;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BytesView input(data, size);
  if (const auto cid = ContentId::parse(as_text(input))) {
    check(ContentId::parse(cid->to_string()) == *cid);
    check(ContentId::parse(cid->to_string(Multibase::kBase36)) == *cid);
    check(ContentId::decode(cid->bytes()) == *cid);
    check(cid->to_v1().version() == 1);
  }
  if (const auto prefix = ContentId::decode_prefix(input)) {
    check(prefix->size <= size);
    check(ContentId::decode(input.first(prefix->size)) == prefix->cid);
    check(std::ranges::equal(prefix->cid.bytes(), input.first(prefix->size)));
    check(ContentId::parse(prefix->cid.to_string()) == prefix->cid);
  }
  return 0;
}
