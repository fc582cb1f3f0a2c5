// What a node that serves offers: pins, what is added while it runs, a site that changes.
#include <condition_variable>
#include <cstdint>
#include <spdlog/spdlog.h>
#include <string_view>
#include <system_error>
#include <utility>
#include <boost/asio/post.hpp>

#include "cli/content.h"
#include "cli/output.h"
#include "cli/serving.h"
#include "cli/terminal.h"

namespace codio::cli {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using content_id::ContentId;

namespace {

/// How often it is looked whether the node is connected to its own rendezvous.
constexpr std::chrono::milliseconds kReadyCheck{20};
/// How often it is looked whether a site has changed.
constexpr std::chrono::seconds kScan{1};

/// What changes when a file below the folder does: names, kinds, sizes and times.
std::string fingerprint_of(const fs::path& folder) {
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto mix = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  };
  // Whatever order the system lists them in.
  std::uint64_t sum = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    hash = 0xcbf29ce484222325;
    mix(entry->path().string());
    mix(std::to_string(static_cast<int>(entry->symlink_status(ignored).type())));
    if (entry->is_regular_file(ignored)) mix(std::to_string(entry->file_size(ignored)));
    if (entry->is_symlink(ignored)) mix(fs::read_symlink(entry->path(), ignored).string());
    mix(std::to_string(fs::last_write_time(entry->path(), ignored).time_since_epoch().count()));
    sum += hash;
  }
  return std::to_string(sum);
}

}  // namespace

void Serving::announce(const ContentId& cid) {
  const bool is_denied = this->is_denied(cid);
  offered_.insert_or_assign(cid, is_denied);
  if (is_denied) return;
  transfers_->announce_content(cid);
  if (!dht_) return;
  if (!dht_->announce(cid)) spdlog::warn("{} is not announced in the DHT: there is too much already", cid.to_string());
  announced_.emplace(dht::key_of(cid), cid);
}

void Serving::withdraw(const ContentId& cid) {
  offered_.erase(cid);
  stop_offering(cid);
}

void Serving::stop_offering(const ContentId& cid) {
  transfers_->withdraw_content(cid);
  if (dht_) dht_->withdraw(cid);
}

bool Serving::is_denied(const ContentId& cid) const {
  return deny_lists_ && deny_lists_->denied_block(cid).has_value();
}

void Serving::offer_by_the_list() {
  for (auto& [cid, was_denied] : offered_) {
    if (is_denied(cid) == was_denied) continue;
    if (was_denied) {
      announce(cid);
    } else {
      was_denied = true;
      stop_offering(cid);
    }
  }
}

void Serving::handle_announced(const dht::Key& key) {
  const auto cid = announced_.extract(key);
  if (cid.empty()) return;
  const std::string text = cid.mapped().to_string();
  if (common_.json) print_json({{"event", "announced"}, {"cid", text}});
  spdlog::info("announced {} in the DHT", text);
}

void Serving::import_paths(const std::stop_token& stop) {
  std::string seen = options_.site ? fingerprint_of(options_.paths.front()) : "";
  for (const fs::path& path : options_.paths) {
    auto root = add_path(path, store_.get(), {.nocopy = options_.nocopy}, !common_.json);
    const bool failed = !root;
    asio::post(io_, [this, path, root = std::move(root)] {
      if (!root) return end(std::unexpected(root.error()));
      handle_root(*root, path);
    });
    if (failed) break;
  }
  asio::post(io_, [this] { handle_imported(); });
  if (options_.site) watch_site(stop, std::move(seen));
}

void Serving::watch_site(const std::stop_token& stop, std::string added) {
  const fs::path& path = options_.paths.front();
  std::string before = added;
  std::mutex mutex;
  std::condition_variable_any ended;
  for (;;) {
    std::unique_lock lock(mutex);
    if (ended.wait_for(lock, stop, kScan, [&] { return stop.stop_requested(); })) return;
    std::string now = fingerprint_of(path);
    if (now != added && now == before) {
      importing_ = true;
      auto root = add_path(path, store_.get(), {.nocopy = options_.nocopy}, false);
      importing_ = false;
      if (root) {
        added = now;
        asio::post(io_, [this, path, root = *std::move(root)] { handle_root(root, path); });
      } else {
        spdlog::warn("the site stays as it was: {}", root.error().message);
      }
    }
    before = std::move(now);
  }
}

void Serving::handle_root(const store::Root& root, const fs::path& path) {
  if (options_.site) {
    const auto before = site_root();
    if (before == root.cid) return;
    {
      const std::lock_guard lock(site_mutex_);
      site_root_ = root.cid;
    }
    if (before) {
      withdraw(*before);
      if (auto removed = store_->remove_root(*before); !removed) spdlog::warn("{}", removed.error().message);
    }
  }
  announce(root.cid);
  print_root(root, path.string());
}

std::optional<ContentId> Serving::site_root() const {
  const std::lock_guard lock(site_mutex_);
  return site_root_;
}

void Serving::handle_imported() {
  imported_ = true;
  if (ending_) return;
  const auto roots = store_->roots();
  if (!roots) return end(std::unexpected(roots.error()));
  for (const store::Root& root : *roots) {
    if (!printed_.contains(root.cid)) print_root(root, root.name);
  }
  report_when_ready();
}

void Serving::print_root(const store::Root& root, const std::string& path) {
  printed_.insert(root.cid);
  const std::string cid = root.cid.to_string();
  if (common_.json) {
    print_json({{"event", "root"}, {"cid", cid}, {"path", path}, {"size", root.size}});
  } else {
    print_line(cid + "  " + printable(path));
  }
}

void Serving::report_when_ready() {
  if (!common_.json || ending_) return;
  if (transfers_->is_connected()) return print_json({{"event", "ready"}});
  timer_.expires_after(kReadyCheck);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) report_when_ready();
  });
}

}  // namespace codio::cli
