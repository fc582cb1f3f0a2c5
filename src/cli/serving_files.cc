// Files that a node which serves reads again: certificate, deny lists, access log.
#include <spdlog/spdlog.h>
#include <string_view>
#include <utility>

#include "cli/serving.h"

namespace codio::cli {

namespace {

/// How often it is looked whether a certificate or a deny list has changed.
constexpr std::chrono::seconds kReload{2};
/// Downloads at a time for those who ask the gateway.
constexpr std::size_t kMaxPulls = 256;

}  // namespace

Result<void> Serving::read_files() {
  if (!options_.deny_lists.empty()) {
    auto lists = node::DenyLists::load(options_.deny_lists);
    if (!lists) return std::unexpected(lists.error());
    deny_lists_ = *std::move(lists);
    spdlog::info("{} rules say what is not served", deny_lists_->size());
  }
  if (!options_.tls_cert.empty()) {
    auto tls = node::TlsFiles::load(options_.tls_cert, options_.tls_key);
    if (!tls) return std::unexpected(tls.error());
    tls_ = *std::move(tls);
  }
  if (!options_.access_log.empty()) {
    auto log = AccessLog::open(options_.access_log);
    if (!log) return std::unexpected(log.error());
    access_log_ = *std::move(log);
  }
  if (options_.pull || !options_.upstreams.empty()) {
    puller_ = std::make_shared<node::Puller>(io_.get_executor(), kMaxPulls);
  }
  return {};
}

void Serving::reload_in_time() {
  if (!tls_ && !deny_lists_) return;
  reload_.expires_after(kReload);
  reload_.async_wait([this](const boost::system::error_code& error) {
    if (error || ending_) return;
    reload();
    reload_in_time();
  });
}

void Serving::reload_on_hangup() {
  hangup_.async_wait([this](const boost::system::error_code& error, int) {
    if (error) return;
    reload();
    if (access_log_) {
      if (auto opened = access_log_->reopen(); !opened) spdlog::warn("{}", opened.error().message);
    }
    reload_on_hangup();
  });
}

void Serving::reload() {
  const auto tell = [](const Result<bool>& changed, std::string_view what) {
    if (!changed) spdlog::warn("{}; the old one stays in use", changed.error().message);
    if (changed && *changed) spdlog::info("{} was read again", what);
  };
  if (tls_) tell(tls_->reload(), "the certificate");
  if (deny_lists_) {
    const auto changed = deny_lists_->reload();
    tell(changed, "the deny list");
    if (changed && *changed) offer_by_the_list();
  }
}

}  // namespace codio::cli
