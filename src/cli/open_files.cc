#include "cli/open_files.h"

#include <limits>
#include <sys/resource.h>

namespace codio::cli {
namespace {

std::uint64_t count(rlim_t limit) { return limit == RLIM_INFINITY ? std::numeric_limits<std::uint64_t>::max() : limit; }

/// Fails for a bad address only, or a resource that Linux does not know.
rlimit open_files() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit;
}

}  // namespace

std::uint64_t most_open_files() { return count(open_files().rlim_max); }

std::uint64_t raise_open_files() {
  rlimit limit = open_files();
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return count(open_files().rlim_cur);
}

}  // namespace codio::cli
