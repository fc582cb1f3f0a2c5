#include "dht/dht_node.h"

#include <algorithm>
#include <chrono>
#include <libtorrent/alert_types.hpp>
#include <libtorrent/disabled_disk_io.hpp>
#include <libtorrent/session.hpp>
#include <libtorrent/session_params.hpp>
#include <libtorrent/session_stats.hpp>
#include <libtorrent/settings_pack.hpp>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "dht/direct_announcements.h"
#include "dht/name_lookups.h"
#include "dht/own_storage.h"
#include "dht/settings.h"
#include "dht/state_file.h"

namespace codio::dht {

namespace lt = libtorrent;
using content_id::ContentId;
using lt::settings_pack;
using std::chrono::milliseconds;

namespace {

/// Names to join at are waited for so long; they count when they come later, too.
constexpr std::chrono::seconds kNamesTimeout{5};
/// How often it is asked which lookups run, while one of ours does …
constexpr milliseconds kLookupCheck{50};
/// … while it is not known yet whether anybody answers …
constexpr milliseconds kReadyCheck{100};
/// … and else, to know how many nodes there are.
constexpr milliseconds kIdleCheck{5'000};
/// Of a lookup in a network of one's own, whose nodes are near: when it has sent nothing for so many seconds, those
/// that have not answered are gone. libtorrent waits for them, so it is announced to the others without it …
constexpr int kSilentAnnouncement = 1;
/// … and a search is over; later, as an answer would be lost.
constexpr int kSilentSearch = 3;
/// To hear from a node that was named to join at; the network of one's own is near.
constexpr std::chrono::seconds kJoinTimeout{3};
/// While no node is known it is tried again to join after this, and twice as long each time.
constexpr milliseconds kFirstRejoin{2'000};
constexpr milliseconds kLastRejoin{300'000};
/// A node is killed more often than it is stopped.
constexpr std::chrono::minutes kSaveInterval{10};
/// For a port that is free at all addresses.
constexpr int kPortTries = 16;
/// The operating system answers at once; this is for one that is starved.
constexpr std::chrono::seconds kListenTimeout{10};

Time now() { return Time(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())); }

lt::sha1_hash to_hash(const Key& key) { return lt::sha1_hash(reinterpret_cast<const char*>(key.data())); }

Key to_key(const lt::sha1_hash& hash) {
  Key key;
  std::copy(hash.begin(), hash.end(), key.begin());
  return key;
}

const std::vector<BootstrapNode>& nodes_to_join(const DhtOptions& options) {
  return options.network == Network::kMainline && options.bootstrap.empty() ? mainline_nodes() : options.bootstrap;
}

}  // namespace

class DhtNode::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(boost::asio::any_io_executor executor, DhtOptions options)
      : executor_(std::move(executor)),
        options_(std::move(options)),
        schedule_(options_.announce, std::random_device()()),
        searches_(search_options()),
        own_(std::make_shared<OwnStorage>(options_.http_port)),
        direct_(options_.http_port),
        timer_(executor_),
        check_at_(now()),
        save_at_(now() + kSaveInterval),
        ready_at_(check_at_),
        names_until_(check_at_ + kNamesTimeout),
        is_bootstrapped_(options_.network == Network::kOwn) {}

  Result<void> start() {
    auto port = find_port();
    // The one that the first address was given may be taken at another.
    for (int tries = 1; !port && options_.port == 0 && tries < kPortTries; ++tries) port = find_port();
    if (!port) return std::unexpected(port.error());
    options_.port = *port;
    lt::dht::dht_state state;
    if (auto read = read_state(options_.state_file)) {
      state = *std::move(read);
    } else {
      log(read.error().message);
    }
    const bool knows_nodes = !state.nodes.empty() || !state.nodes6.empty();
    if (knows_nodes || !options_.bootstrap.empty()) ready_at_ += kJoinTimeout;
    lt::session_params params;
    params.settings = settings_of(options_);
    params.disk_io_constructor = lt::disabled_disk_io_constructor;
    // A session that begins with its DHT on forgets the state that it is given.
    params.settings.set_bool(settings_pack::enable_dht, false);
    session_.emplace(std::move(params), lt::session_flags_t{});
    session_->set_dht_state(std::move(state));
    if (options_.network == Network::kOwn) {
      session_->set_dht_storage(
          [own = own_](const lt::settings_interface& settings) { return own->make_storage(settings); });
    }
    // One of Mainline's begins with those to join at, or it would find at once that there is nobody.
    if (options_.network == Network::kOwn || knows_nodes) turn_on();
    if (auto listening = await_listening(); !listening) return listening;
    session_->set_alert_notify([weak = weak_from_this(), executor = executor_] {
      boost::asio::post(executor, [weak] {
        if (const auto self = weak.lock(); self && self->session_) self->take_alerts();
      });
    });
    join();
    update();
    return {};
  }

  /// On the executor, or when it runs no more.
  void stop() {
    timer_.cancel();
    names_.reset();
    session_->set_alert_notify({});
    save_state();
    session_.reset();
  }

  bool announce(const ContentId& cid) {
    const Key key = key_of(cid);
    if (!schedule_.add(key)) return false;
    own_->add(key);
    update_later();
    return true;
  }

  void withdraw(const ContentId& cid) {
    const Key key = key_of(cid);
    schedule_.remove(key);
    own_->remove(key);
  }

  SearchId find(const ContentId& cid, Duration deadline, OnFound on_found, OnEnd on_end) {
    const Time begin = now();
    const SearchId id = searches_.find(begin, key_of(cid), begin + deadline);
    callbacks_.emplace(id, Callbacks{std::move(on_found), std::move(on_end)});
    update_later();
    return id;
  }

  void cancel(SearchId search) {
    searches_.cancel(search);
    callbacks_.erase(search);
    update_later();
  }

  DhtStatus status() const {
    return {.is_ready = is_ready_,
            .is_reachable = is_reachable(),
            .nodes = nodes_,
            .port = port_,
            .announced = schedule_.size(),
            .waiting = schedule_.waiting()};
  }

 private:
  struct Callbacks {
    OnFound on_found;
    OnEnd on_end;
  };

  void log(const std::string& message) const {
    if (options_.on_log) options_.on_log(message);
  }

  SearchOptions search_options() const {
    SearchOptions search = options_.search;
    search.public_only = options_.network == Network::kMainline;
    return search;
  }

  void save_state() const {
    // Without a node it would replace a better one.
    if (options_.state_file.empty() || nodes_ == 0) return;
    const auto state = session_->session_state(lt::session_handle::save_dht_state).dht_state;
    if (auto written = write_state(options_.state_file, state); !written) log(written.error().message);
  }

  // libtorrent.

  /// The one port of all addresses: others are told one number. libtorrent would take another for each, and shares one
  /// with whoever else shares it.
  Result<std::uint16_t> find_port() const {
    boost::asio::io_context io;
    std::vector<boost::asio::ip::udp::socket> bound;
    std::uint16_t port = options_.port;
    for (const std::string& text : options_.addresses) {
      const boost::asio::ip::udp::endpoint local(boost::asio::ip::make_address(text), port);
      boost::asio::ip::udp::socket& socket = bound.emplace_back(io);
      boost::system::error_code error;
      socket.open(local.protocol(), error);
      if (!error && local.address().is_v6()) socket.set_option(boost::asio::ip::v6_only(true), error);
      if (!error) socket.bind(local, error);
      if (error == boost::asio::error::address_in_use || error == boost::asio::error::access_denied) {
        return port_failure(error.message());
      }
      if (!error) port = socket.local_endpoint().port();
    }
    return port;
  }

  std::unexpected<Error> port_failure(const std::string& cause) const {
    return fail(ErrorCode::kIo, "cannot use UDP port " + std::to_string(options_.port) + " for the DHT: " + cause +
                                    "; choose another with --dht-port (0: any), or go without with --no-dht");
  }

  /// Until every address is bound or refused.
  Result<void> await_listening() {
    const auto deadline = std::chrono::steady_clock::now() + kListenTimeout;
    std::size_t refused = 0;
    std::string cause = "no answer from the operating system";
    // Addresses like 0.0.0.0 are taken interface by interface: the first that is bound decides.
    while (port_ == 0 && refused < options_.addresses.size() && std::chrono::steady_clock::now() < deadline) {
      session_->wait_for_alert(milliseconds(100));
      std::vector<lt::alert*> alerts;
      session_->pop_alerts(&alerts);
      for (const lt::alert* alert : alerts) {
        if (const auto* failed = lt::alert_cast<lt::listen_failed_alert>(alert)) {
          ++refused;
          cause = failed->error.message();
        }
        handle(*alert);
      }
    }
    if (port_ != 0) return {};
    return port_failure(cause);
  }

  void turn_on() {
    if (std::exchange(is_on_, true)) return;
    settings_pack on;
    on.set_bool(settings_pack::enable_dht, true);
    session_->apply_settings(std::move(on));
  }

  void join() {
    if (names_open_ > 0) return;
    for (const BootstrapNode& node : nodes_to_join(options_)) {
      boost::system::error_code error;
      boost::asio::ip::make_address(node.host, error);
      if (!error) {
        add_node(node);
        continue;
      }
      if (!names_) {
        names_.emplace(executor_, [this](const BootstrapNode& named, const std::vector<std::string>& addresses) {
          handle_looked_up(named, addresses);
        });
      }
      ++names_open_;
      names_->start(node);
    }
    if (names_open_ == 0) turn_on();
  }

  void handle_looked_up(const BootstrapNode& node, const std::vector<std::string>& addresses) {
    --names_open_;
    if (addresses.empty()) log("the DHT: the name " + node.host + " to join at leads nowhere");
    for (const std::string& address : addresses) add_node({address, node.port});
    if (names_open_ == 0 || !addresses.empty()) turn_on();
    update();
  }

  /// Routers, as libtorrent calls these, are asked but never counted as nodes: right for the few that all of Mainline
  /// joins at, not for a network that may have no other node yet.
  void add_node(const BootstrapNode& node) {
    if (options_.network == Network::kOwn || is_ready_) return session_->add_dht_node({node.host, node.port});
    routers_ += (routers_.empty() ? "" : ",") + node.to_string();
    settings_pack settings;
    settings.set_str(settings_pack::dht_bootstrap_nodes, routers_);
    session_->apply_settings(std::move(settings));
  }

  void take_alerts() {
    std::vector<lt::alert*> alerts;
    session_->pop_alerts(&alerts);
    for (const lt::alert* alert : alerts) handle(*alert);
    update();
  }

  void handle(const lt::alert& alert) {
    if (const auto* peers = lt::alert_cast<lt::dht_get_peers_reply_alert>(&alert)) {
      std::vector<Endpoint> endpoints;
      for (const auto& peer : peers->peers()) endpoints.emplace_back(peer.address(), peer.port());
      searches_.handle_endpoints(to_key(peers->info_hash), endpoints);
    } else if (const auto* stats = lt::alert_cast<lt::dht_stats_alert>(&alert)) {
      handle_stats(*stats);
    } else if (const auto* counters = lt::alert_cast<lt::session_stats_alert>(&alert)) {
      static const int kMessagesIn = lt::find_metric_idx("dht.dht_messages_in");
      was_heard_ = counters->counters()[kMessagesIn] > 0;
    } else if (lt::alert_cast<lt::dht_bootstrap_alert>(&alert) != nullptr) {
      is_bootstrapped_ = true;
    } else if (const auto* listening = lt::alert_cast<lt::listen_succeeded_alert>(&alert)) {
      if (listening->socket_type == lt::socket_type_t::utp && port_ == 0) {
        port_ = static_cast<std::uint16_t>(listening->port);
      }
    } else if (const auto* known = lt::alert_cast<lt::dht_live_nodes_alert>(&alert)) {
      direct_.handle_nodes(*session_, *known);
    } else if (const auto* answer = lt::alert_cast<lt::dht_direct_response_alert>(&alert)) {
      direct_.handle_answer(*session_, *answer);
    } else if (const auto* failed = lt::alert_cast<lt::dht_error_alert>(&alert)) {
      log("the DHT: " + failed->message());
    }
  }

  void handle_stats(const lt::dht_stats_alert& stats) {
    has_stats_ = true;
    for (const lt::dht_routing_bucket& bucket : stats.routing_table) {
      stats_nodes_ += static_cast<std::size_t>(std::max(bucket.num_nodes, 0));
    }
    ids_.insert(stats.nid);
    for (const lt::dht_lookup& lookup : stats.active_requests) {
      const auto [running, is_new] = running_.emplace(to_key(lookup.target), lookup.last_sent);
      if (!is_new) running->second = std::min(running->second, lookup.last_sent);
    }
  }

  /// The nodes to join at are in no routing table.
  bool is_reachable() const { return is_ready_ && (nodes_ > 0 || was_heard_); }

  /// What the last question brought, and asks the next.
  void check(Time time) {
    if (std::exchange(has_stats_, false)) {
      const bool was_cut_off = is_ready_ && nodes_ == 0;
      nodes_ = std::exchange(stats_nodes_, 0);
      if (nodes_ > 0 || (is_bootstrapped_ && time >= ready_at_)) {
        is_ready_ = true;
        searches_.handle_ready(is_reachable());
      }
      // What was announced before may have reached nobody, or nobody but the nodes to join at.
      if (nodes_ > 0 && was_cut_off) schedule_.restart();
      handle_lookups(std::exchange(running_, {}), std::exchange(ids_, {}));
    }
    if (time >= names_until_) turn_on();
    rejoin(time);
    session_->post_dht_stats();
    session_->post_session_stats();
    const bool waits = searches_.has_lookups() || announcing_.size() > 0;
    check_at_ = time + (waits ? kLookupCheck : is_reachable() ? kIdleCheck : kReadyCheck);
  }

  void handle_lookups(const std::map<Key, int>& silent_for, const std::set<lt::sha1_hash>& ids) {
    const bool is_own = options_.network == Network::kOwn;
    std::set<Key> announcing;
    std::set<Key> searching;
    for (const auto& [key, seconds] : silent_for) {
      announcing.insert(key);
      if (!is_own || seconds < kSilentSearch) searching.insert(key);
      if (is_own && seconds >= kSilentAnnouncement && announcing_.contains(key)) direct_.begin(*session_, key, ids);
    }
    searches_.handle_lookups(searching);
    for (const Key& key : announcing_.handle_running(announcing)) {
      direct_.forget(key);
      announced_.push_back(key);
    }
    for (const Key& key : direct_.take_announced()) {
      announcing_.forget(key);
      announced_.push_back(key);
    }
  }

  /// Also looks names up again: the machine may have been offline.
  void rejoin(Time time) {
    if (nodes_ > 0) {
      rejoin_at_.reset();
      rejoin_delay_ = kFirstRejoin;
      return;
    }
    if (!is_ready_ || (rejoin_at_ && time < *rejoin_at_)) return;
    if (rejoin_at_) {
      join();
      rejoin_delay_ = std::min(2 * rejoin_delay_, Duration(kLastRejoin));
    }
    rejoin_at_ = time + rejoin_delay_;
  }

  // What the pure part wants.

  void update_later() {
    if (std::exchange(update_posted_, true)) return;
    boost::asio::post(executor_, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self || !self->session_) return;
      self->update_posted_ = false;
      self->update();
    });
  }

  void update() {
    const Time time = now();
    searches_.handle_wakeup(time);
    if (time >= check_at_) check(time);
    bool has_news = false;
    while (is_reachable()) {
      const auto key = schedule_.poll(time);
      if (!key) break;
      session_->dht_announce(to_hash(*key), options_.http_port);
      announcing_.start(*key);
      has_news = true;
    }
    // A callback may search, cancel or end this node.
    const auto self = shared_from_this();
    for (const Key& key : std::exchange(announced_, {})) {
      if (session_ && options_.on_announced) options_.on_announced(key);
    }
    while (session_) {
      auto output = searches_.poll_output();
      if (!output) break;
      if (const auto* lookup = std::get_if<StartLookup>(&*output)) {
        session_->dht_get_peers(to_hash(lookup->key));
        searches_.handle_endpoints(lookup->key, own_->find(lookup->key));
        has_news = true;
      } else if (const auto* found = std::get_if<Found>(&*output)) {
        const auto callbacks = callbacks_.find(found->search);
        if (callbacks == callbacks_.end()) continue;
        const OnFound on_found = callbacks->second.on_found;
        if (on_found) on_found(found->endpoint, found->place);
      } else if (const auto* ended = std::get_if<Ended>(&*output)) {
        const auto callbacks = callbacks_.extract(ended->search);
        if (!callbacks.empty() && callbacks.mapped().on_end) callbacks.mapped().on_end(ended->end);
      }
    }
    if (!session_) return;
    if (time >= save_at_) {
      save_at_ = time + kSaveInterval;
      save_state();
    }
    if (has_news) check_at_ = std::min(check_at_, time + kLookupCheck);
    set_timer();
  }

  void set_timer() {
    Time next = std::min(check_at_, save_at_);
    if (const auto wakeup = searches_.next_wakeup()) next = std::min(next, *wakeup);
    if (const auto wakeup = schedule_.next_wakeup(); wakeup && is_reachable()) next = std::min(next, *wakeup);
    timer_.expires_at(std::chrono::steady_clock::time_point(next.time_since_epoch()));
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (!error && self && self->session_) self->update();
    });
  }

  boost::asio::any_io_executor executor_;
  DhtOptions options_;
  AnnounceSchedule schedule_;
  SearchTable searches_;
  std::shared_ptr<OwnStorage> own_;
  LookupWatch announcing_;
  DirectAnnouncements direct_;
  std::vector<Key> announced_;  ///< Not told yet.
  std::map<SearchId, Callbacks> callbacks_;
  boost::asio::steady_timer timer_;
  Time check_at_;
  Time save_at_;
  Time ready_at_;  ///< When nobody has answered then, it may be that nobody will.
  Time names_until_;
  std::optional<Time> rejoin_at_;
  Duration rejoin_delay_ = kFirstRejoin;
  std::uint16_t port_ = 0;
  std::size_t nodes_ = 0;
  std::optional<NameLookups> names_;
  std::size_t names_open_ = 0;
  std::string routers_;
  bool is_on_ = false;
  bool is_bootstrapped_;
  bool was_heard_ = false;  ///< Any message of another node came.
  bool is_ready_ = false;
  bool update_posted_ = false;
  // What came since the last question: one answer for each address.
  bool has_stats_ = false;
  std::size_t stats_nodes_ = 0;
  std::set<lt::sha1_hash> ids_;  ///< Of our nodes, one for each address.
  std::map<Key, int> running_;   ///< For how many seconds each has sent nothing.
  std::optional<lt::session> session_;
};

Result<std::unique_ptr<DhtNode>> DhtNode::start(boost::asio::any_io_executor executor, DhtOptions options) {
  auto impl = std::make_shared<Impl>(std::move(executor), std::move(options));
  if (auto started = impl->start(); !started) return std::unexpected(started.error());
  return std::unique_ptr<DhtNode>(new DhtNode(std::move(impl)));
}

DhtNode::DhtNode(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
DhtNode::~DhtNode() { impl_->stop(); }

bool DhtNode::announce(const ContentId& cid) { return impl_->announce(cid); }
void DhtNode::withdraw(const ContentId& cid) { impl_->withdraw(cid); }

SearchId DhtNode::find_providers(const ContentId& cid, Duration deadline, OnFound on_found, OnEnd on_end) {
  return impl_->find(cid, deadline, std::move(on_found), std::move(on_end));
}

void DhtNode::cancel(SearchId search) { impl_->cancel(search); }
DhtStatus DhtNode::status() const { return impl_->status(); }

}  // namespace codio::dht
