#include "dht/state_file.h"

#include <cstdint>
#include <exception>
#include <fstream>
#include <iterator>
#include <libtorrent/session_handle.hpp>
#include <libtorrent/session_params.hpp>
#include <string>
#include <system_error>
#include <vector>

namespace codio::dht {

namespace fs = std::filesystem;
namespace lt = libtorrent;

namespace {

/// A full routing table takes some 30 kB.
constexpr std::uintmax_t kMaxSize = 1 << 20;

}  // namespace

Result<lt::dht::dht_state> read_state(const fs::path& path) {
  std::error_code error;
  const auto size = path.empty() ? 0 : fs::file_size(path, error);
  if (error || size == 0 || size > kMaxSize) return {};
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  try {
    return lt::read_session_params(text, lt::session_handle::save_dht_state).dht_state;
  } catch (const std::exception& failure) {
    return fail(ErrorCode::kMalformed, "the DHT starts without " + path.string() + ": " + failure.what());
  }
}

Result<void> write_state(const fs::path& path, const lt::dht::dht_state& state) {
  lt::session_params params;
  params.dht_state = state;
  const std::vector<char> text = lt::write_session_params_buf(params, lt::session_handle::save_dht_state);
  const fs::path part = path.string() + ".part";
  std::ofstream file(part, std::ios::binary | std::ios::trunc);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  std::error_code error;
  if (file) fs::rename(part, path, error);
  if (!file || error) {
    return fail(ErrorCode::kIo, "cannot write " + path.string() + "; the next start will be slower");
  }
  return {};
}

}  // namespace codio::dht
