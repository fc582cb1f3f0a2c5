// What libtorrent is told to be: a node of the DHT, and nothing else.
#pragma once

#include <libtorrent/settings_pack.hpp>

#include "dht/dht_node.h"

namespace codio::dht {

libtorrent::settings_pack settings_of(const DhtOptions& options);

}  // namespace codio::dht
