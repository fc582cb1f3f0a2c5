// CAR archives: the same blocks come out whatever the pieces, and memory is bounded by the input.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/check.h"
#include "content_id/car.h"

using namespace codio;
using namespace codio::content_id;

namespace {

struct Outcome {
  std::vector<ContentId> cids;
  bool failed = false;
  bool at_boundary = false;

  bool operator==(const Outcome&) const = default;
};

Outcome read(BytesView input, std::size_t piece) {
  Outcome outcome;
  CarReader reader;
  for (std::size_t at = 0; at < input.size(); at += piece) {
    reader.append(input.subspan(at, std::min(piece, input.size() - at)));
    while (true) {
      const auto block = reader.poll_block();
      outcome.failed = !block;
      if (!block) return outcome;
      if (!*block) break;
      check((*block)->bytes->size() <= kMaxBlockSize);
      outcome.cids.push_back((*block)->cid);
    }
  }
  outcome.at_boundary = reader.at_boundary();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BytesView input(data, size);
  const Outcome whole = read(input, std::max<std::size_t>(size, 1));
  check(read(input, 1) == whole);
  check(read(input, 37) == whole);
  return 0;
}
