// Finds out who provides what a download needs, and how each is reached.
#include <utility>

#include "gateway/gateway_url.h"
#include "node/transfer_manager_impl.h"

namespace codio::node {
namespace {

/// A rendezvous elsewhere is left when it was not used for so long: longer than a connection takes.
constexpr Duration kUnusedElsewhere = std::chrono::seconds(30);

}  // namespace

void TransferManager::Impl::carry_out(transfer::FindProviders& output) {
  Download* download = find_download(output.transfer);
  if (download == nullptr) return;
  download->providers = 0;
  if (!download->peers.empty() && !options_.rendezvous.empty()) {
    for (const std::string& peer : download->peers) try_provider(output.transfer, 0, peer);
  } else {
    for (std::size_t client = 0; client < homes(); ++client) search(output.transfer, client);
    for (const auto& finder : options_.finders) {
      // One that still searches would begin anew, and never come to its end.
      const bool is_searching =
          std::ranges::any_of(download->searches, [&](const auto& search) { return search.first == finder.get(); });
      if (!is_searching) search(output.transfer, *finder);
    }
  }
  report_pending(output.transfer);
}

void TransferManager::Impl::search(TransferId transfer, ProviderFinder& finder) {
  Download& download = downloads_.at(transfer);
  ++download.pending;
  const FindId find = finder.find(
      download.root, options_.find_deadline,
      [this, transfer](const Provider& provider) {
        if (find_download(transfer) == nullptr) return;
        use(transfer, provider);
        report_pending(transfer);
        drain();
      },
      [this, transfer, &finder](const FindSummary& summary) {
        if (!summary.trouble.empty()) log("searching for providers: " + summary.trouble);
        Download* searching = find_download(transfer);
        if (searching == nullptr) return;
        note_trouble(*searching, summary.trouble);
        std::erase_if(searching->searches, [&](const auto& search) { return search.first == &finder; });
        --searching->pending;
        report_pending(transfer);
        drain();
      });
  download.searches.emplace_back(&finder, find);
}

void TransferManager::Impl::use(TransferId transfer, const Provider& provider) {
  if (provider.peer == id()) return;
  log("found provider " + provider.peer + " at " + provider.address);
  for (const std::string& text : provider.gateways) {
    const auto url = gateway::parse_gateway_url(text);
    if (!url) continue;
    ask_over_http(transfer, *url, provider.teller);
    break;
  }
  if (!provider.rendezvous.empty()) {
    try_elsewhere(transfer, {provider.peer, provider.rendezvous.front()}, provider.teller);
  }
}

void TransferManager::Impl::ask_over_http(TransferId transfer, const std::string& url, Reach teller) {
  Download& download = downloads_.at(transfer);
  for (const auto& [id, peer] : http_peers_) {
    if (peer->gateway() == url) return exchange_.handle_peer_provides(now(), id, transfer);
  }
  const auto banned = banned_.find({std::nullopt, url});
  if (banned != banned_.end() && banned->second > now()) return;
  if (download.providers >= options_.max_providers || http_peers_.size() >= options_.max_connections) return;
  ++download.providers;
  const PeerId id{++last_peer_};
  http_owners_.emplace(id, transfer);
  http_peers_.emplace(id,
                      std::make_unique<HttpPeer>(
                          executor_, *http_, url, teller,
                          HttpPeerEvents{.on_message =
                                             [this, id](Bytes message) {
                                               exchange_.handle_message(now(), id, message);
                                               drain();
                                             },
                                         .on_closed = [this, id](const Error& reason) { close_http(id, reason); }}));
  exchange_.handle_peer_connected(now(), id, transfer);
}

void TransferManager::Impl::close_http(PeerId id, const Error& reason) {
  log(reason.message);
  exchange_.handle_peer_disconnected(now(), id);
  drop_http(id);
  drain_later();
}

void TransferManager::Impl::drop_http(PeerId id) {
  http_peers_.erase(id);
  const auto owner = http_owners_.extract(id);
  Download* download = find_download(owner.mapped());
  if (download != nullptr && download->providers > 0) --download->providers;  // A new search counts from 0.
}

void TransferManager::Impl::search(TransferId transfer, std::size_t client) {
  Download& searching = downloads_.at(transfer);
  ++searching.pending;
  clients_.at(client)->find(searching.root, [this, transfer, client](const Result<rendezvous::Found>& found) {
    Download* download = find_download(transfer);
    if (download == nullptr) return;
    if (!found || !found->more) --download->pending;
    if (!found) {
      log(found.error().message);
      note_trouble(*download, found.error().message);
    } else {
      for (const std::string& peer : found->peers) try_provider(transfer, client, peer);
      for (const rendezvous::Elsewhere& provider : found->elsewhere) {
        try_elsewhere(transfer, provider, teller_of(client, provider.rendezvous));
      }
    }
    report_pending(transfer);
    drain();
  });
}

void TransferManager::Impl::try_provider(TransferId transfer, std::size_t client, const std::string& peer) {
  Download& download = downloads_.at(transfer);
  if (peer == id() || is_banned(client, peer) || download.providers >= options_.max_providers) return;
  ++download.providers;
  ++download.pending;
  connect(client, peer, transfer, [this, transfer, peer](const Result<void>& connected) {
    const std::string trouble = connected ? "" : "cannot connect to peer " + peer + ": " + connected.error().message;
    if (!connected) log(trouble);
    Download* waiting = find_download(transfer);
    if (waiting == nullptr) return;
    note_trouble(*waiting, trouble);
    --waiting->pending;
    if (!connected && waiting->providers > 0) --waiting->providers;
    report_pending(transfer);
    drain_later();
  });
}

/// A rendezvous passes on what strangers said. An address it may have judged by where it stands; a name that it did
/// not look up leads to the internet or nowhere.
Reach TransferManager::Impl::teller_of(std::size_t client, const std::string& url) const {
  const bool is_name = reach_of_url(url) == Reach::kInternet;
  return is_name ? Reach::kInternet : reach_of_url(clients_.at(client)->url().text);
}

void TransferManager::Impl::try_elsewhere(TransferId transfer, const rendezvous::Elsewhere& provider, Reach teller) {
  for (std::size_t client = 0; client < homes(); ++client) {
    if (clients_.at(client)->url().text == provider.rendezvous) return try_provider(transfer, client, provider.peer);
  }
  auto joined = elsewhere_.find(provider.rendezvous);
  if (joined == elsewhere_.end()) {
    auto url = rendezvous::ServerUrl::parse(provider.rendezvous);
    if (!url || elsewhere_.size() >= options_.max_elsewhere) return;
    auto options = client_options();
    options.may_connect = [teller](const boost::asio::ip::address& address) { return may_name(teller, address); };
    const std::size_t client = last_client_++;
    joined = elsewhere_.emplace(provider.rendezvous, Elsewhere{.client = client, .last_used = now()}).first;
    clients_.emplace(
        client, std::make_unique<rendezvous::Client>(
                    executor_, *std::move(url), elsewhere_events(client, provider.rendezvous), std::move(options)));
    leave_unused_in_time();
  }
  joined->second.last_used = now();
  if (clients_.at(joined->second.client)->is_connected()) {
    return try_provider(transfer, joined->second.client, provider.peer);
  }
  ++downloads_.at(transfer).pending;
  joined->second.waiting.emplace_back(transfer, provider.peer);
}

rendezvous::ClientEvents TransferManager::Impl::elsewhere_events(std::size_t client, const std::string& url) {
  rendezvous::ClientEvents events = client_events(client);
  events.on_ice_servers = {};  // A stranger's TURN servers would see who talks to whom.
  events.on_connected = [this, client, url](const rendezvous::Welcome&) { handle_joined(url, client); };
  events.on_disconnected = [this, url](const Error& error) {
    log(error.message);
    leave(url);
  };
  return events;
}

void TransferManager::Impl::handle_joined(const std::string& url, std::optional<std::size_t> client) {
  const auto waiting = std::exchange(elsewhere_.at(url).waiting, {});
  for (const auto& [transfer, peer] : waiting) {
    Download* download = find_download(transfer);
    if (download == nullptr) continue;
    --download->pending;
    if (client) try_provider(transfer, *client, peer);
    report_pending(transfer);
  }
  drain_later();
}

void TransferManager::Impl::leave(const std::string& url) {
  handle_joined(url, std::nullopt);
  const auto entry = elsewhere_.extract(url);
  clients_.erase(entry.mapped().client);
}

void TransferManager::Impl::leave_unused_in_time() {
  leave_elsewhere_.expires_after(kUnusedElsewhere / 2);
  leave_elsewhere_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (error || !self || self->stopped_) return;
    std::vector<std::string> unused;
    for (const auto& [url, joined] : self->elsewhere_) {
      if (joined.last_used + kUnusedElsewhere <= now()) unused.push_back(url);
    }
    for (const std::string& url : unused) self->leave(url);
    if (!self->elsewhere_.empty()) self->leave_unused_in_time();
  });
}

void TransferManager::Impl::report_pending(TransferId transfer) {
  if (const Download* download = find_download(transfer)) {
    exchange_.handle_providers(now(), transfer, download->pending);
  }
}

}  // namespace codio::node
