#include "dht/settings.h"

#include <cstdint>
#include <libtorrent/alert.hpp>
#include <string>

namespace codio::dht {

namespace lt = libtorrent;
using lt::settings_pack;

settings_pack settings_of(const DhtOptions& options) {
  settings_pack settings;
  std::string listen;
  for (const std::string& address : options.addresses) {
    listen += (listen.empty() ? "" : ",") + bracketed(address) + ":" + std::to_string(options.port);
  }
  settings.set_str(settings_pack::listen_interfaces, listen);
  settings.set_int(settings_pack::max_retry_port_bind, 0);
  const bool is_own = options.network == Network::kOwn;
  settings.set_str(settings_pack::dht_bootstrap_nodes, "");  // They come when they have been looked up.

  // A DHT node and nothing else.
  for (const auto off : {settings_pack::enable_lsd, settings_pack::enable_upnp, settings_pack::enable_natpmp,
                         settings_pack::enable_incoming_tcp, settings_pack::enable_outgoing_tcp,
                         settings_pack::enable_incoming_utp, settings_pack::enable_outgoing_utp}) {
    settings.set_bool(off, false);
  }
  settings.set_bool(settings_pack::dht_read_only, options.read_only);
  // Twice what AnnounceOptions say at most: requests of others are answered from it too.
  settings.set_int(settings_pack::dht_upload_rate_limit, 100'000);
  if (is_own) {
    for (const auto off : {settings_pack::dht_restrict_routing_ips, settings_pack::dht_restrict_search_ips,
                           settings_pack::dht_enforce_node_id, settings_pack::dht_prefer_verified_node_ids,
                           settings_pack::dht_ignore_dark_internet}) {
      settings.set_bool(off, false);
    }
    // One that is gone is soon forgotten: there may be no other to take its place, and each lookup would ask it.
    settings.set_int(settings_pack::dht_max_fail_count, 3);
    // All nodes of a machine are one address to each other.
    settings.set_int(settings_pack::dht_block_ratelimit, 1'000'000);
    settings.set_int(settings_pack::dht_upload_rate_limit, 10'000'000);
  }
  settings.set_int(
      settings_pack::alert_mask,
      static_cast<int>(static_cast<std::uint32_t>(lt::alert_category::dht | lt::alert_category::dht_operation |
                                                  lt::alert_category::error | lt::alert_category::status)));
  settings.set_int(settings_pack::alert_queue_size, 10'000);
  return settings;
}

}  // namespace codio::dht
