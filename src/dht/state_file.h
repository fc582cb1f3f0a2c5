// What a DHT node remembers of others when it starts again.
#pragma once

#include <filesystem>
#include <libtorrent/kademlia/dht_state.hpp>

#include "common/result.h"

namespace codio::dht {

/// Nothing known if there is no file, or `file` is empty. kMalformed: it is damaged; the node starts without.
Result<libtorrent::dht::dht_state> read_state(const std::filesystem::path& file);

/// Replaces the file at once. kIo.
Result<void> write_state(const std::filesystem::path& file, const libtorrent::dht::dht_state& state);

}  // namespace codio::dht
