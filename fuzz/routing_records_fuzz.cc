// Routers' answers: what is read is bounded and reads the same when it is written again, and addresses go there and
// back.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "common/check.h"
#include "node/routing_records.h"

using namespace codio;
using namespace codio::node;

namespace {

void check_address(const std::string& address) {
  const auto gateway = gateway_of(address);
  if (!gateway) return;
  const auto back = multiaddr_of(*gateway);
  check(back.has_value());
  check(gateway_of(*back) == gateway);
}

void check_answer(std::string_view text, bool as_lines) {
  const std::string type = as_lines ? "application/x-ndjson" : "application/json";
  const auto records = parse_routing_answer(type, text);
  if (!records) return;
  check(records->size() <= kMaxRoutingRecords);
  for (const RoutingRecord& record : *records) {
    check(record.addrs.size() <= kMaxRoutingAddresses);
    std::ranges::for_each(record.addrs, check_address);
  }
  check(parse_routing_answer(type, write_routing_answer(*records, as_lines)) == *records);
  const std::string filter(text.substr(0, 64));
  check(filter_records(*records, filter, "").size() <= records->size());
  check(filter_records(*records, "", filter).size() <= records->size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  check_answer(text, false);
  check_answer(text, true);
  check_address(std::string(text));
  multiaddr_of(text);
  return 0;
}
