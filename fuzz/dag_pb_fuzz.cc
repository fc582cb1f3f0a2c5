// dag-pb blocks: what is read can be written, and is then read as the same.
#include <algorithm>
#include <cstdint>

#include "common/check.h"
#include "content_id/dag_pb.h"

using namespace codio;
using namespace codio::content_id;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto node = decode_dag_pb({data, size});
  if (!node) return 0;
  const Bytes block = encode_dag_pb(node->links, node->data);
  const auto again = decode_dag_pb(block);
  check(again && again->links.size() == node->links.size());
  check(again->data.has_value() == node->data.has_value());
  if (node->data) check(std::ranges::equal(*again->data, *node->data));
  check(std::ranges::is_sorted(again->links, {}, &DagPbLink::name));
  check(encode_dag_pb(again->links, again->data) == block);
  return 0;
}
