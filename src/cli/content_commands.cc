// add, cat, ls, stat, rm: what a command prints of content, or does to it in the store.
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/content.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/pins.h"
#include "cli/session.h"
#include "cli/terminal.h"

namespace codio::cli {

namespace unixfs = content_id::unixfs;
using content_id::ContentId;
using nlohmann::json;

namespace {

std::string_view name_of(unixfs::EntityType type) {
  switch (type) {
    case unixfs::EntityType::kFile: return "file";
    case unixfs::EntityType::kDirectory: return "directory";
    case unixfs::EntityType::kSymlink: return "symlink";
  }
  return {};
}

void print_stat(const unixfs::Entity& entity, const Survey& stored) {
  print_line("CID     " + entity.cid.to_string());
  print_line("type    " + std::string(name_of(entity.type)));
  if (entity.type == unixfs::EntityType::kFile) print_line("size    " + with_unit(entity.size));
  if (entity.type == unixfs::EntityType::kSymlink) print_line("target  " + printable(entity.symlink_target));
  print_line(std::string("stored  ") + (stored.is_whole ? "whole" : "in part"));
  print_line("blocks  " + std::to_string(stored.blocks.size()) + ", " + with_unit(stored.bytes));
  if (stored.error) print_line("fault   " + stored.error->message);
}

json stat_json(const unixfs::Entity& entity, const Survey& stored) {
  json object{{"cid", entity.cid.to_string()}, {"type", name_of(entity.type)},   {"size", entity.size},
              {"whole", stored.is_whole},      {"blocks", stored.blocks.size()}, {"blockBytes", stored.bytes}};
  if (entity.type == unixfs::EntityType::kSymlink) object["target"] = entity.symlink_target;
  if (stored.error) object["fault"] = stored.error->message;
  return object;
}

}  // namespace

Result<void> add(const CommonOptions& common, const AddOptions& options) {
  std::shared_ptr<store::BlockStore> store;
  if (!options.only_hash) {
    auto opened = open_store(common);
    if (!opened) return std::unexpected(opened.error());
    store = *std::move(opened);
  }
  for (const auto& path : options.paths) {
    const auto root = add_path(path, store.get(), options, !common.json && !options.quiet);
    if (!root) return std::unexpected(root.error());
    const std::string cid = root->cid.to_string();
    if (common.json) {
      print_json({{"cid", cid}, {"path", path.string()}, {"size", root->size}});
    } else {
      print_line(options.quiet ? cid : cid + "  " + printable(path.string()));
    }
  }
  return {};
}

Result<void> cat(const CommonOptions& common, const CatOptions& options) {
  const auto path = node::parse_content_path(options.path);
  if (!path) return std::unexpected(path.error());
  const auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  unixfs::ByteRange bytes;
  if (!options.range.empty()) {
    const auto range = RangeText::parse(options.range);
    if (!range) return std::unexpected(range.error());
    const auto entity = (*session)->find(*path);
    if (!entity) return std::unexpected(entity.error());
    if (entity->type == unixfs::EntityType::kFile) {
      const auto resolved = range->of(entity->size);
      if (!resolved) return std::unexpected(resolved.error());
      bytes = *resolved;
    }
  }
  OutputFile out = OutputFile::standard_output();
  return (*session)->read(*path, bytes, [&](BytesView run) { return out.write(run); });
}

Result<void> ls(const CommonOptions& common, const std::string& text) {
  if (text.empty()) return pin_ls(common);
  const auto path = node::parse_content_path(text);
  if (!path) return std::unexpected(path.error());
  const auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  const auto entries = (*session)->list(*path);
  if (!entries) return std::unexpected(entries.error());
  std::vector<Row> rows;
  json list = json::array();
  for (const unixfs::DirectoryEntry& entry : *entries) {
    rows.push_back({entry.cid.to_string(), entry.name, entry.cumulative_size});
    list.push_back({{"cid", entry.cid.to_string()}, {"name", entry.name}, {"size", entry.cumulative_size}});
  }
  common.json ? print_json(list) : print_rows(rows);
  return {};
}

Result<void> stat(const CommonOptions& common, const std::string& text) {
  const auto path = node::parse_content_path(text);
  if (!path) return std::unexpected(path.error());
  const auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  const auto entity = (*session)->find(*path);
  if (!entity) return std::unexpected(entity.error());
  (void)(*session)->leave_network();  // What was not stored shows below.
  const auto stored = survey((*session)->store(), entity->cid);
  if (!stored) return std::unexpected(stored.error());
  common.json ? print_json(stat_json(*entity, *stored)) : print_stat(*entity, *stored);
  return {};
}

Result<void> rm(const CommonOptions& common, const std::string& text) {
  const auto cid = ContentId::parse(text);
  if (!cid) return std::unexpected(cid.error());
  const auto store = open_store(common);
  if (!store) return std::unexpected(store.error());
  const auto root = find_pin(**store, *cid);
  if (!root) return std::unexpected(root.error());
  // In this order: a kill in between leaves blocks that nobody needs, never a root without its blocks.
  if (auto forgotten = (*store)->remove_root(root->cid); !forgotten) return forgotten;
  const auto done = (*store)->collect({.below = root->cid});
  if (!done) {
    return fail(done.error().code,
                root->cid.to_string() + " was forgotten, but its blocks are still here: " + done.error().message);
  }
  if (common.json) {
    print_json({{"cid", root->cid.to_string()}, {"blocks", done->removed}, {"blockBytes", done->removed_bytes}});
  } else {
    print_line("removed " + root->cid.to_string() + ": " + std::to_string(done->removed) + " blocks, " +
               with_unit(done->removed_bytes));
  }
  return {};
}

}  // namespace codio::cli
