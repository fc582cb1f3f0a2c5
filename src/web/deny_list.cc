#include "web/deny_list.h"

#include <algorithm>
#include <utility>

#include "content_id/multibase.h"
#include "web/uri.h"

namespace codio::web {
namespace {

using content_id::ContentId;

std::string key_of(const ContentId& cid) { return std::string(as_text(cid.multihash().bytes())); }

std::string hex(BytesView bytes) {
  return content_id::multibase_encode(content_id::Multibase::kBase16, bytes).substr(1);
}

std::string join(const std::vector<std::string>& names) {
  std::string path;
  for (const std::string& name : names) path += (path.empty() ? "" : "/") + name;
  return path;
}

/// 410 unless a hint says 451.
int status_of(std::string_view hints) { return hints.find("gateway_status=451") != std::string_view::npos ? 451 : 410; }

std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  return line;
}

}  // namespace

Result<DenyList> DenyList::parse(std::string_view text) {
  DenyList list;
  int usual_status = 410;
  // A header is what precedes a line of three dashes.
  std::size_t number = 0;
  if (const std::size_t end = text.find("\n---"); end != std::string_view::npos) {
    usual_status = status_of(text.substr(0, end));
    number = static_cast<std::size_t>(std::ranges::count(text.substr(0, end), '\n')) + 1;
    text.remove_prefix(end + 1);
    take_line(text);
    ++number;
  }
  while (!text.empty()) {
    std::string_view line = take_line(text);
    ++number;
    if (line.empty() || line.starts_with('#')) continue;
    const auto bad = [&](const std::string& why) {
      return fail(ErrorCode::kMalformed, "line " + std::to_string(number) + ": " + why);
    };
    const bool is_allowed = line.starts_with('!');
    if (is_allowed) line.remove_prefix(1);
    const std::size_t space = std::min(line.find(' '), line.size());
    const std::string_view hints = line.substr(space);
    const std::string_view rule = line.substr(0, space);
    const int status = is_allowed ? 0 : hints.empty() ? usual_status : status_of(hints);
    if (rule.starts_with("//")) {
      std::string hash(rule.substr(2));
      const bool is_hex =
          hash.size() == 64 && hash.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
      if (!is_hex) {
        ++list.skipped_;
        continue;
      }
      std::ranges::transform(hash, hash.begin(),
                             [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c; });
      list.hashed_[std::move(hash)] = status;
      continue;
    }
    if (!rule.starts_with('/'))
      return bad("a rule begins with /, ! or #, not '" + std::string(rule.substr(0, 40)) + "'");
    if (!rule.starts_with("/ipfs/")) {
      ++list.skipped_;
      continue;
    }
    const std::string_view rest = rule.substr(std::string_view("/ipfs/").size());
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const auto cid = ContentId::parse(rest.substr(0, slash));
    if (!cid) return bad(cid.error().message);
    std::string_view path = rest.substr(std::min(slash + 1, rest.size()));
    const bool is_prefix = path.ends_with('*');
    if (is_prefix) path.remove_suffix(1);
    if (path.empty()) {
      list.blocks_[key_of(*cid)] = status;
      continue;
    }
    auto decoded = percent_decode(path);
    if (!decoded) return bad(decoded.error().message);
    list.paths_.emplace(key_of(*cid), PathRule{*std::move(decoded), is_prefix, status});
  }
  return list;
}

void DenyList::merge(DenyList other) {
  for (auto& [key, status] : other.blocks_) blocks_[key] = status;
  for (auto& [key, rule] : other.paths_) paths_.emplace(key, std::move(rule));
  for (auto& [key, status] : other.hashed_) hashed_[key] = status;
  skipped_ += other.skipped_;
}

std::optional<int> DenyList::denied_block(const ContentId& cid, Sha256 sha256) const {
  if (!blocks_.empty()) {
    const auto found = blocks_.find(key_of(cid));
    if (found != blocks_.end() && found->second != 0) return found->second;
  }
  return hashed_.empty() ? std::nullopt : denied_path(cid, {}, sha256);
}

std::optional<int> DenyList::denied_path(const ContentId& root, const std::vector<std::string>& names,
                                         Sha256 sha256) const {
  const std::string path = join(names);
  if (!paths_.empty()) {
    std::optional<int> status;
    const auto [begin, end] = paths_.equal_range(key_of(root));
    for (auto rule = begin; rule != end; ++rule) {
      const PathRule& one = rule->second;
      if (one.is_prefix ? path.starts_with(one.path) : path == one.path) status = one.status;
    }
    if (status && *status != 0) return status;
  }
  if (hashed_.empty()) return std::nullopt;
  const std::string anchor = root.to_v1().to_string() + "/" + path;
  const content_id::Digest256 digest = sha256(as_bytes(anchor));
  const auto found = hashed_.find(hex(digest));
  if (found == hashed_.end() || found->second == 0) return std::nullopt;
  return found->second;
}

}  // namespace codio::web
