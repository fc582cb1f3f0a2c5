#include "node/deny_lists.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "node/hash.h"

namespace codio::node {
namespace {

content_id::Digest256 hash_name(BytesView bytes) { return sha256(bytes); }

}  // namespace

Result<std::shared_ptr<DenyLists>> DenyLists::load(std::vector<std::filesystem::path> files) {
  std::shared_ptr<DenyLists> lists(new DenyLists(std::move(files)));
  if (auto read = lists->reload(); !read) return std::unexpected(read.error());
  return lists;
}

std::string DenyLists::fingerprint() const {
  std::string text;
  for (const auto& file : files_) {
    std::error_code error;
    text += std::to_string(std::filesystem::file_size(file, error)) + " " +
            std::to_string(std::filesystem::last_write_time(file, error).time_since_epoch().count()) + "\n";
  }
  return text;
}

Result<bool> DenyLists::reload() {
  const std::string now = fingerprint();
  if (list_ && now == read_at_) return false;
  web::DenyList all;
  for (const auto& file : files_) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream)
      return fail(ErrorCode::kIo, "cannot read the deny list " + file.string() + ": " + std::strerror(errno));
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    auto list = web::DenyList::parse(text);
    if (!list) return fail(list.error().code, "the deny list " + file.string() + ", " + list.error().message);
    all.merge(*std::move(list));
  }
  const std::lock_guard lock(mutex_);
  list_ = std::make_shared<const web::DenyList>(std::move(all));
  read_at_ = now;
  return true;
}

std::shared_ptr<const web::DenyList> DenyLists::current() const {
  const std::lock_guard lock(mutex_);
  return list_;
}

std::optional<int> DenyLists::denied_block(const content_id::ContentId& cid) const {
  return current()->denied_block(cid, hash_name);
}

std::optional<int> DenyLists::denied_path(const content_id::ContentId& root,
                                          const std::vector<std::string>& names) const {
  return current()->denied_path(root, names, hash_name);
}

}  // namespace codio::node
