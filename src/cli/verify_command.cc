// verify: is every block what its CID says, and everything here that is pinned?
#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <spdlog/spdlog.h>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cli/content.h"
#include "cli/options.h"
#include "cli/pins.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "gateway/verify.h"

namespace codio::cli {

using content_id::Codec;
using content_id::ContentId;
using content_id::Multihash;
using nlohmann::json;

namespace {

/// Blocks that are handed to the hashing threads together.
constexpr std::size_t kPage = 1024;

/// Blocks by block_key().
using Blocks = std::set<ContentId>;

class Verification {
 public:
  Verification(const CommonOptions& common, store::BlockStore& store) : common_(common), store_(store) {}

  /// Hashes every block of the store.
  Result<void> check_store() {
    const auto usage = store_.usage();
    if (!usage) return std::unexpected(usage.error());
    ProgressBar bar("verify", usage->bytes + usage->reference_bytes, !common_.json);
    std::optional<Multihash> last;
    for (;;) {
      const auto page = store_.list(last, kPage);
      if (!page) return std::unexpected(page.error());
      if (page->empty()) return {};
      std::vector<Multihash> hashes;
      for (const auto& block : *page) hashes.push_back(block.hash);
      if (auto checked = check(hashes, bar); !checked) return checked;
      last = page->back().hash;
    }
  }

  /// Hashes every block below the root that is here.
  Result<void> check_below(const ContentId& root) {
    ProgressBar bar("verify", 0, !common_.json);
    std::vector<Multihash> hashes;
    const auto walked = touch_all(store_, root, [&](const ContentId& cid) -> Result<void> {
      hashes.push_back(cid.multihash());
      return hashes.size() < kPage ? Result<void>() : check(std::exchange(hashes, {}), bar);
    });
    if (!walked) return std::unexpected(walked.error());
    return check(hashes, bar);
  }

  /// Looks for what the root needs and is not here, or bad. Whether there is anything.
  Result<bool> check_root(const store::Root& root) {
    bool is_whole = true;
    const auto here = [&](const ContentId& cid) -> Result<void> {
      if (const auto found = bad_.find(block_key(cid)); found != bad_.end()) {
        is_whole = false;
        found->second = true;
      }
      return check_interrupt();
    };
    const auto missing = [&](const ContentId& cid) -> Result<void> {
      is_whole = false;
      // An inner node that is bad cannot be read.
      if (bad_.contains(block_key(cid))) return here(cid);
      if (missing_.insert(block_key(cid)).second) report("missing", cid, "needed by " + describe(root));
      return check_interrupt();
    };
    const auto reach = touch_all(store_, root.cid, here, missing);
    if (!reach) return std::unexpected(reach.error());
    if (!is_whole) report("damaged", root.cid, "pinned, and not whole: " + describe(root));
    return !is_whole;
  }

  /// Takes away the bad blocks whose bytes the store takes for good: they would be found, and nothing be fetched.
  Result<void> remove_false() {
    for (const auto& [cid, is_needed] : bad_) {
      if (!false_.contains(cid)) continue;
      if (auto removed = store_.remove(cid); !removed) return removed;
    }
    return {};
  }

  /// Looks again at what was bad or missing. What is still bad and needed by nobody is removed.
  Result<void> check_again() {
    const std::size_t before = bad_.size() + missing_.size();
    for (const ContentId& cid : std::exchange(missing_, {})) {
      const auto here = store_.has(cid);
      if (!here) return std::unexpected(here.error());
      if (!*here) missing_.insert(cid);
    }
    for (const auto& [cid, is_needed] : std::exchange(bad_, {})) {
      const auto good = check(cid);
      if (good && *good) continue;
      if (is_needed) {
        good ? (void)missing_.insert(cid) : (void)bad_.emplace(cid, true);
      } else if (auto removed = store_.remove(cid); !removed) {
        return removed;
      }
    }
    repaired_ = before - bad_.size() - missing_.size();
    return {};
  }

  /// The summary; an error unless all is well.
  Result<void> finish(bool repairs) const {
    if (common_.json) {
      print_json({{"event", "done"},
                  {"blocks", blocks_},
                  {"bytes", bytes_},
                  {"bad", bad_.size()},
                  {"missing", missing_.size()},
                  {"repaired", repaired_}});
    } else {
      const std::string repaired = repaired_ == 0 ? "" : "; repaired or removed " + std::to_string(repaired_);
      print_line("verified " + std::to_string(blocks_) + " blocks, " + with_unit(bytes_) + repaired);
    }
    if (bad_.empty() && missing_.empty()) return {};
    return fail(ErrorCode::kMismatch,
                "bad blocks: " + std::to_string(bad_.size()) + ", missing: " + std::to_string(missing_.size()) + "; " +
                    (repairs ? "nobody who was asked has them: name peers with --rendezvous or a --gateway, or add the "
                               "files again"
                             : "`codio verify --repair` fetches them from peers and gateways"));
  }

 private:
  static std::string describe(const store::Root& root) {
    return root.cid.to_string() + (root.name.empty() ? "" : " (" + root.name + ")");
  }

  /// Whether the block is here and good; an error says why it is bad.
  Result<bool> check(const ContentId& cid) {
    const auto block = store_.get(cid);
    if (!block) return std::unexpected(block.error());
    if (!*block) return false;
    const auto good = gateway::verify(cid, ***block);
    const std::lock_guard lock(mutex_);
    ++blocks_;
    bytes_ += (**block)->size();
    if (good) return true;
    false_.insert(cid);
    return std::unexpected(good.error());
  }

  Result<void> check(const std::vector<Multihash>& hashes, ProgressBar& bar) {
    std::atomic<std::size_t> next = 0;
    std::map<ContentId, std::string> found;
    const auto work = [&] {
      for (std::size_t i = next++; i < hashes.size() && !interrupted(); i = next++) {
        const ContentId cid = ContentId::v1(Codec::kRaw, hashes[i]);
        const auto good = check(cid);
        if (good) continue;
        const std::lock_guard lock(mutex_);
        found.emplace(cid, good.error().message);
      }
    };
    std::vector<std::jthread> threads;
    for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i) threads.emplace_back(work);
    work();
    threads.clear();
    bar.update(bytes_);
    if (!found.empty()) bar.hide();
    for (const auto& [cid, why] : found) {
      if (bad_.emplace(cid, false).second) report("bad", cid, why);
    }
    return check_interrupt();
  }

  void report(const char* what, const ContentId& cid, const std::string& why) const {
    if (common_.json) {
      print_json({{"event", what}, {"cid", cid.to_string()}, {"reason", why}});
    } else {
      print_line(std::string(what) + "  " + cid.to_string() + "  " + printable(why));
    }
  }

  const CommonOptions& common_;
  store::BlockStore& store_;
  std::map<ContentId, bool> bad_;  ///< By block_key(); whether a root needs it.
  Blocks missing_;
  std::size_t repaired_ = 0;
  std::mutex mutex_;  ///< Guards what follows while blocks are hashed.
  Blocks false_;      ///< Of bad_: the store does not know.
  std::uint64_t blocks_ = 0;
  std::uint64_t bytes_ = 0;
};

/// What is to be whole: what the user named, or every pin.
Result<std::vector<store::Root>> roots_of(const store::BlockStore& store, const std::vector<std::string>& texts) {
  if (texts.empty()) return store.roots();
  std::vector<store::Root> roots;
  for (const std::string& text : texts) {
    const auto cid = ContentId::parse(text);
    if (!cid) return std::unexpected(cid.error());
    auto pin = find_pin(store, *cid);
    roots.push_back(pin ? *std::move(pin) : store::Root{.cid = *cid, .name = {}});
  }
  return roots;
}

Result<void> repair(Session& session, Verification& verification, const std::vector<store::Root>& broken,
                    bool show_progress) {
  const auto hold = session.store().hold();
  if (!hold) return std::unexpected(hold.error());
  if (auto removed = verification.remove_false(); !removed) return removed;
  for (const store::Root& root : broken) {
    ProgressBar bar("repair", root.size, show_progress);
    const auto fetched = session.fetch({root.cid, {}}, [&](std::uint64_t bytes) { bar.update(bytes); });
    if (auto go_on = check_interrupt(); !go_on) return go_on;
    if (!fetched) spdlog::warn("{} is still not whole: {}", root.cid.to_string(), fetched.error().message);
  }
  if (auto stored = session.leave_network(); !stored) spdlog::warn("{}", stored.error().message);
  return verification.check_again();
}

}  // namespace

Result<void> verify(const CommonOptions& common, const VerifyOptions& options) {
  const InterruptWatch watch;
  std::unique_ptr<Session> session;
  std::shared_ptr<store::BlockStore> opened;
  if (options.repair) {
    auto made = Session::open(common);
    if (!made) return std::unexpected(made.error());
    session = *std::move(made);
  } else {
    auto store = open_store(common);
    if (!store) return std::unexpected(store.error());
    opened = *std::move(store);
  }
  store::BlockStore& store = session ? session->store() : *opened;
  const auto roots = roots_of(store, options.cids);
  if (!roots) return std::unexpected(roots.error());
  Verification verification(common, store);
  if (options.cids.empty()) {
    if (auto checked = verification.check_store(); !checked) return checked;
  }
  std::vector<store::Root> broken;
  for (const store::Root& root : *roots) {
    if (!options.cids.empty()) {
      if (auto checked = verification.check_below(root.cid); !checked) return checked;
    }
    const auto is_broken = verification.check_root(root);
    if (!is_broken) return std::unexpected(is_broken.error());
    if (*is_broken) broken.push_back(root);
  }
  if (options.repair) {
    if (auto repaired = repair(*session, verification, broken, !common.json); !repaired) return repaired;
  }
  return verification.finish(options.repair);
}

}  // namespace codio::cli
