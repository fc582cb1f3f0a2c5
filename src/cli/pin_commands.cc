// pin add, pin rm, pin ls, gc, repo stat: what stays here, and what goes.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/content.h"
#include "cli/options.h"
#include "cli/pins.h"
#include "cli/session.h"
#include "cli/terminal.h"

namespace codio::cli {

using content_id::ContentId;
using nlohmann::json;

namespace {

Result<std::vector<ContentId>> parse_all(const std::vector<std::string>& texts) {
  std::vector<ContentId> cids;
  for (const std::string& text : texts) {
    const auto cid = ContentId::parse(text);
    if (!cid) return std::unexpected(cid.error());
    cids.push_back(*cid);
  }
  return cids;
}

/// Touches what is here and fetches the rest.
Result<void> bring(Session& session, const ContentId& cid, bool show_progress) {
  const auto here = touch_all(session.store(), cid);
  if (!here) return std::unexpected(here.error());
  if (here->missing == 0) return {};
  ProgressBar bar("pin", 0, show_progress);
  return session.fetch({cid, {}}, [&](std::uint64_t bytes) { bar.update(bytes); });
}

/// Of all blocks below, which are to be here.
Result<std::uint64_t> size_of(const store::BlockStore& store, const ContentId& cid) {
  std::uint64_t total = 0;
  const auto reach = touch_all(store, cid, [&](const ContentId& block) -> Result<void> {
    const auto size = store.size(block);
    if (!size) return std::unexpected(size.error());
    total += size->value_or(0);
    return check_interrupt();
  });
  if (!reach) return std::unexpected(reach.error());
  if (reach->missing == 0) return total;
  return fail(ErrorCode::kNotFound, cid.to_string() + " is not whole here any more: something removed a part of it");
}

std::string describe(const store::Collection& done) {
  return std::to_string(done.removed) + " blocks, " + with_unit(done.removed_bytes);
}

}  // namespace

Result<store::Root> find_pin(const store::BlockStore& store, const ContentId& cid) {
  const auto pins = store.roots();
  if (!pins) return std::unexpected(pins.error());
  const auto found = std::ranges::find_if(*pins, [&](const auto& pin) { return pin.cid.to_v1() == cid.to_v1(); });
  if (found != pins->end()) return *found;
  return fail(ErrorCode::kNotFound, cid.to_string() + " is not pinned here; `codio pin ls` lists what is");
}

Result<void> pin_add(const CommonOptions& common, const PinOptions& options) {
  const auto cids = parse_all(options.cids);
  if (!cids) return std::unexpected(cids.error());
  const InterruptWatch watch;
  const auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  store::BlockStore& store = (*session)->store();
  const auto hold = store.hold();
  if (!hold) return std::unexpected(hold.error());
  for (const ContentId& cid : *cids) {
    if (auto brought = bring(**session, cid, !common.json); !brought) return brought;
  }
  if (auto stored = (*session)->leave_network(); !stored) return stored;
  for (const ContentId& cid : *cids) {
    const auto size = size_of(store, cid);
    if (!size) return std::unexpected(size.error());
    const auto known = find_pin(store, cid);
    store::Root root{.cid = cid, .name = options.name, .added = seconds_since_1970(), .size = *size};
    if (known) root.cid = known->cid;
    if (known && root.name.empty()) root.name = known->name;
    if (auto pinned = store.add_root(root); !pinned) return pinned;
    if (common.json) {
      print_json({{"cid", root.cid.to_string()}, {"name", root.name}, {"size", root.size}});
    } else {
      print_line("pinned " + root.cid.to_string() + ": " + with_unit(root.size));
    }
  }
  return {};
}

Result<void> pin_rm(const CommonOptions& common, const PinOptions& options) {
  const auto cids = parse_all(options.cids);
  if (!cids) return std::unexpected(cids.error());
  const auto store = open_store(common);
  if (!store) return std::unexpected(store.error());
  std::vector<store::Root> pins;
  for (const ContentId& cid : *cids) {
    auto pin = find_pin(**store, cid);
    if (!pin) return std::unexpected(pin.error());
    pins.push_back(*std::move(pin));
  }
  for (const store::Root& pin : pins) {
    if (auto removed = (*store)->remove_root(pin.cid); !removed) return removed;
    if (common.json) {
      print_json({{"cid", pin.cid.to_string()}});
    } else {
      print_line("unpinned " + pin.cid.to_string() + "; `codio gc` removes its blocks");
    }
  }
  return {};
}

Result<void> pin_ls(const CommonOptions& common) {
  const auto store = open_store(common);
  if (!store) return std::unexpected(store.error());
  const auto pins = (*store)->roots();
  if (!pins) return std::unexpected(pins.error());
  std::vector<Row> rows;
  json list = json::array();
  for (const store::Root& pin : *pins) {
    rows.push_back({pin.cid.to_string(), pin.name, pin.size});
    list.push_back({{"cid", pin.cid.to_string()}, {"name", pin.name}, {"size", pin.size}, {"added", pin.added}});
  }
  common.json ? print_json(list) : print_rows(rows);
  return {};
}

Result<void> gc(const CommonOptions& common, bool dry_run) {
  const InterruptWatch watch;
  const auto store = open_store(common);
  if (!store) return std::unexpected(store.error());
  Result<store::Collection> done;
  {
    StatusLine line(!common.json);
    done = (*store)->collect({.dry_run = dry_run, .below = {}, .on_progress = [&](const store::Collection& so_far) {
                                line.update("gc: " + std::to_string(so_far.kept) + " blocks are pinned, " +
                                            std::to_string(so_far.removed) + (dry_run ? " would go, " : " removed, ") +
                                            human_size(so_far.removed_bytes));
                                return !interrupted();
                              }});
  }
  if (!done) return std::unexpected(done.error());
  if (common.json) {
    print_json({{"dryRun", dry_run},
                {"removed", done->removed},
                {"removedBytes", done->removed_bytes},
                {"kept", done->kept},
                {"inUse", done->in_use}});
    return {};
  }
  print_line((dry_run ? "would remove " : "removed ") + describe(*done) + "; " + std::to_string(done->kept) +
             " blocks are pinned");
  if (done->in_use > 0) {
    print_line(std::to_string(done->in_use) +
               " blocks are in use by what runs now; they go with the next gc unless "
               "they are pinned by then");
  }
  return {};
}

Result<void> repo_stat(const CommonOptions& common) {
  const auto store = open_store(common);
  if (!store) return std::unexpected(store.error());
  const auto usage = (*store)->usage();
  if (!usage) return std::unexpected(usage.error());
  const std::string path = std::filesystem::absolute(repo_folder(common)).lexically_normal().string();
  if (common.json) {
    print_json({{"path", path},
                {"pins", usage->pins},
                {"blocks", usage->blocks},
                {"bytes", usage->bytes},
                {"references", usage->references},
                {"referenceBytes", usage->reference_bytes},
                {"diskBytes", usage->disk_bytes},
                {"limit", usage->limit ? json(*usage->limit) : json()}});
    return {};
  }
  print_line("path        " + path);
  print_line("pins        " + std::to_string(usage->pins));
  print_line("blocks      " + std::to_string(usage->blocks - usage->references) + ", " + with_unit(usage->bytes));
  print_line("references  " + std::to_string(usage->references) + ", " + with_unit(usage->reference_bytes) +
             " in your files");
  print_line("on disk     " + with_unit(usage->disk_bytes));
  print_line("limit       " + (usage->limit ? with_unit(*usage->limit) : std::string("none")));
  return {};
}

}  // namespace codio::cli
