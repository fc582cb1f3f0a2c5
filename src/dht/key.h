// What content is called in Mainline's DHT, which has room for 20 bytes.
#pragma once

#include <array>
#include <cstdint>

#include "content_id/cid.h"

namespace codio::dht {

using Key = std::array<std::uint8_t, 20>;

/// SHA-1 of the CID's multihash, so that v0 and v1 of one block are one. SHA-1 is the DHT's; what is found under the
/// key is verified by the CID.
Key key_of(const content_id::ContentId& cid);

}  // namespace codio::dht
