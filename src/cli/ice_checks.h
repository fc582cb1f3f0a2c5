// What `codio status --doctor` tests of NATs, STUN and TURN servers.
#pragma once

#include <memory>
#include <vector>

#include "cli/check.h"
#include "webrtc/peer_connection.h"

namespace codio::cli {

/// One for each ICE server of the options, and one for the NAT, which all of them together show. `factory` must outlive
/// them.
void add_ice_checks(Ward& ward, webrtc::PeerConnectionFactory& factory, std::vector<std::unique_ptr<Check>>& checks);

}  // namespace codio::cli
