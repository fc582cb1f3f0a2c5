// get: content becomes files. Names and symlinks come from strangers: nothing is made outside of the place asked for.
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "node/store_walk.h"

namespace codio::cli {

namespace fs = std::filesystem;
namespace unixfs = content_id::unixfs;
using content_id::ContentId;

namespace {

bool is_safe_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == name.npos && name.find('\0') == name.npos;
}

Result<void> make_symlink(const std::string& target, const fs::path& path) {
  if (target.empty() || target.find('\0') != target.npos) {
    return fail(ErrorCode::kMalformed, "the symlink for " + path.string() + " has no target that a file system allows");
  }
  std::error_code error;
  fs::create_symlink(target, path, error);
  return error ? io_failure("make", path, error.value()) : Result<void>();
}

/// Makes files and folders of a DAG that is whole in the store. Symlinks come last, when nothing is left to be written
/// through them.
class Extraction {
 public:
  explicit Extraction(const store::BlockStore& store) : store_(store) {}

  Result<void> extract(const ContentId& cid, const fs::path& path) {
    if (auto extracted = extract_entity(cid, path); !extracted) return extracted;
    for (const auto& [link, target] : symlinks_) {
      if (auto made = make_symlink(target, link); !made) return made;
    }
    return {};
  }

  std::uint64_t size() const { return size_; }  ///< Of the files.

 private:
  Result<void> extract_entity(const ContentId& cid, const fs::path& path) {
    if (auto go_on = check_interrupt(); !go_on) return go_on;
    const auto entity = node::StoreWalk(store_, cid, {.path = {}, .scope = unixfs::Scope::kEntity}).entity();
    if (!entity) return std::unexpected(entity.error());
    switch (entity->type) {
      case unixfs::EntityType::kFile: return extract_file(cid, path);
      case unixfs::EntityType::kDirectory: return extract_directory(cid, path);
      case unixfs::EntityType::kSymlink: symlinks_.emplace_back(path, entity->symlink_target); return {};
    }
    return {};
  }

  Result<void> extract_file(const ContentId& cid, const fs::path& path) {
    auto file = OutputFile::create(path);
    if (!file) return std::unexpected(file.error());
    node::StoreWalk walk(store_, cid, {});
    for (;;) {
      if (auto go_on = check_interrupt(); !go_on) return go_on;
      const auto segment = walk.next_segment();
      if (!segment) return std::unexpected(segment.error());
      if (!*segment) return file->close();
      if (auto written = file->write((*segment)->view()); !written) return written;
      size_ += (*segment)->size;
    }
  }

  Result<void> extract_directory(const ContentId& cid, const fs::path& path) {
    std::error_code error;
    if (!fs::create_directory(path, error)) return io_failure("make", path, error ? error.value() : EEXIST);
    const auto entries = list(cid);
    if (!entries) return std::unexpected(entries.error());
    for (const unixfs::DirectoryEntry& entry : *entries) {
      if (!is_safe_name(entry.name)) {
        return fail(ErrorCode::kUnsupported, "the directory " + cid.to_string() + " has an entry \"" +
                                                 printable(entry.name) + "\", which no file may be called");
      }
      if (auto extracted = extract_entity(entry.cid, path / entry.name); !extracted) return extracted;
    }
    return {};
  }

  Result<std::vector<unixfs::DirectoryEntry>> list(const ContentId& cid) {
    std::vector<unixfs::DirectoryEntry> entries;
    node::StoreWalk walk(store_, cid, {.path = {}, .scope = unixfs::Scope::kEntity});
    for (;;) {
      auto entry = walk.next_entry();
      if (!entry) return std::unexpected(entry.error());
      if (!*entry) return entries;
      entries.push_back(**std::move(entry));
    }
  }

  const store::BlockStore& store_;
  std::vector<std::pair<fs::path, std::string>> symlinks_;
  std::uint64_t size_ = 0;
};

/// As the file comes in, without a second way through the store.
Result<std::uint64_t> get_file(Session& session, const node::ContentPath& path, const fs::path& into,
                               ProgressBar& bar) {
  auto file = OutputFile::create(into);
  if (!file) return std::unexpected(file.error());
  std::uint64_t size = 0;
  const auto read = session.read(path, {}, [&](BytesView bytes) {
    bar.update(size += bytes.size());
    return file->write(bytes);
  });
  if (!read) return std::unexpected(read.error());
  if (auto closed = file->close(); !closed) return std::unexpected(closed.error());
  return size;
}

/// First all blocks into the store, from everywhere at once, then the files from there.
Result<std::uint64_t> get_directory(Session& session, const node::ContentPath& path, const ContentId& cid,
                                    const fs::path& into, ProgressBar& bar) {
  const auto hold = session.store().hold();
  if (!hold) return std::unexpected(hold.error());
  const auto entries = session.list(path);
  if (!entries) return std::unexpected(entries.error());
  bar.set_total(std::accumulate(entries->begin(), entries->end(), std::uint64_t{0},
                                [](std::uint64_t sum, const auto& entry) { return sum + entry.cumulative_size; }));
  if (auto fetched = session.fetch(path, [&](std::uint64_t bytes) { bar.update(bytes); }); !fetched) {
    return std::unexpected(fetched.error());
  }
  if (auto stored = session.leave_network(); !stored) return std::unexpected(stored.error());
  Extraction extraction(session.store());
  if (auto extracted = extraction.extract(cid, into); !extracted) return std::unexpected(extracted.error());
  return extraction.size();
}

Result<std::uint64_t> get_entity(Session& session, const node::ContentPath& path, const unixfs::Entity& entity,
                                 const fs::path& into, bool show_progress) {
  ProgressBar bar(path.names.empty() ? "get" : printable(path.names.back()), entity.size, show_progress);
  switch (entity.type) {
    case unixfs::EntityType::kFile: return get_file(session, path, into, bar);
    case unixfs::EntityType::kDirectory: return get_directory(session, path, entity.cid, into, bar);
    case unixfs::EntityType::kSymlink: break;
  }
  if (auto made = make_symlink(entity.symlink_target, into); !made) return std::unexpected(made.error());
  return 0;
}

void print_summary(const CommonOptions& common, const ContentId& cid, const fs::path& path, std::uint64_t size,
                   const Sources& sources) {
  if (common.json) {
    return print_json({{"cid", cid.to_string()},
                       {"path", path.string()},
                       {"size", size},
                       {"fromStore", sources.store},
                       {"fromPeers", sources.peers},
                       {"fromHttp", sources.http},
                       {"fromGateways", sources.gateways}});
  }
  if (!is_watched()) return;
  std::fprintf(stderr, "%s: %s; %s from the store, %s from peers, %s from nodes over HTTP, %s from gateways\n",
               printable(path.string()).c_str(), human_size(size).c_str(), human_size(sources.store).c_str(),
               human_size(sources.peers).c_str(), human_size(sources.http).c_str(),
               human_size(sources.gateways).c_str());
}

}  // namespace

Result<void> get(const CommonOptions& common, const GetOptions& options) {
  const auto path = node::parse_content_path(options.path);
  if (!path) return std::unexpected(path.error());
  const std::string name = path->names.empty() ? path->root.to_string() : path->names.back();
  if (options.output.empty() && !is_safe_name(name)) {
    return fail(ErrorCode::kUnsupported, "no file may be called \"" + printable(name) + "\"; choose a name with -o");
  }
  const fs::path output = options.output.empty() ? fs::path(name) : options.output;
  // Before anything is fetched for nothing.
  auto place = NewPath::make(output);
  if (!place) return std::unexpected(place.error());
  const InterruptWatch watch;
  const auto session = Session::open(common);
  if (!session) return std::unexpected(session.error());
  const auto entity = (*session)->find(*path);
  if (!entity) return std::unexpected(entity.error());
  const auto size = get_entity(**session, *path, *entity, place->part(), !common.json);
  if (!size) return std::unexpected(size.error());
  if (auto committed = place->commit(); !committed) return committed;
  print_summary(common, entity->cid, output, *size, (*session)->sources());
  return {};
}

}  // namespace codio::cli
