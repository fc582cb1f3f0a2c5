#include "node/content_server.h"

#include <algorithm>
#include <cctype>
#include <limits>
#include <optional>
#include <utility>
#include <vector>
#include <boost/asio/this_coro.hpp>

#include "content_id/car.h"
#include "node/content_reader.h"
#include "web/answer.h"
#include "web/content_type.h"
#include "web/listing.h"
#include "web/redirects.h"
#include "web/tar.h"

namespace codio::node {

namespace asio = boost::asio;
namespace unixfs = content_id::unixfs;
using content_id::ContentId;
using unixfs::EntityType;
using unixfs::Scope;
using web::Format;
using web::Refusal;

namespace {

/// Entries of a listing that are sorted; what a larger directory has beyond them comes as it stands.
constexpr std::size_t kMaxSorted = 4096;
/// A page that something is put into is held whole.
constexpr std::uint64_t kMaxInjected = 4 * 1024 * 1024;
constexpr std::size_t kMaxTarDepth = 64;
constexpr std::uint64_t kMaxTarEntries = 1'000'000;

/// The sentence for a failed read, without the names of the node's own files.
Refusal refusal_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::kNotFound: return {404, error.message};
    case ErrorCode::kUnsupported: return {501, error.message};
    case ErrorCode::kMalformed:
    case ErrorCode::kTooLarge: return {400, error.message};
    case ErrorCode::kTimeout: return {504, error.message};
    case ErrorCode::kUnavailable: return {502, error.message};
    default: return {500, "this node cannot read that"};
  }
}

/// Where a script can be put into a page: in its head, and never before its doctype, without which browsers show it
/// otherwise.
std::size_t place_of_script(std::string_view page) {
  constexpr std::string_view kHead = "<head>";
  constexpr std::string_view kDoctype = "<!doctype";
  if (const std::size_t head = page.find(kHead); head != page.npos) return head + kHead.size();
  const auto equals = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  const bool has_doctype =
      page.size() > kDoctype.size() && std::ranges::equal(page.substr(0, kDoctype.size()), kDoctype, equals);
  return has_doctype ? page.find('>') + 1 : 0;  // 0 as well if the doctype has no end.
}

}  // namespace

/// One answer under way.
class ContentServer::Answer {
 public:
  Answer(const ContentServer& server, HttpCall& call, const web::ContentRequest& content,
         const asio::any_io_executor& executor)
      : server_(server),
        call_(call),
        content_(content),
        reader_(server.cache_, content.only_if_cached ? nullptr : server.options_.puller, executor) {}

  using Outcome = std::optional<Refusal>;

  asio::awaitable<Outcome> try_answer() {
    if (auto refusal = denied_path(content_.root, content_.names)) return refuse(*std::move(refusal));
    if (auto refusal = denied(content_.root)) return refuse(*std::move(refusal));
    switch (content_.format) {
      case Format::kFile: return answer_entity();
      case Format::kCar: return answer_car();
      case Format::kTar: return answer_tar();
      default: return answer_block();
    }
  }

  /// Whether it was a block that could not be had, and not a path that does not exist.
  bool is_missing() const { return reader_.is_missing(); }

 private:
  static asio::awaitable<Outcome> refuse(Refusal refusal) { co_return refusal; }

  Outcome denied(const ContentId& cid) const {
    const auto status = server_.options_.deny_lists ? server_.options_.deny_lists->denied_block(cid) : std::nullopt;
    return status ? refuse_denied(*status) : Outcome();
  }

  Outcome denied_path(const ContentId& cid, const std::vector<std::string>& names) const {
    if (!server_.options_.deny_lists) return std::nullopt;
    const auto status = server_.options_.deny_lists->denied_path(cid, names);
    return status ? refuse_denied(*status) : Outcome();
  }

  Outcome denied(const std::vector<ContentId>& lineage) const {
    for (const ContentId& cid : lineage) {
      if (const auto refusal = denied(cid)) return refusal;
    }
    return std::nullopt;
  }

  static Outcome refuse_denied(int status) {
    return Refusal{status, status == 451 ? "this content is not served here, for legal reasons"
                                         : "this content was denied by the operator of this gateway"};
  }

  asio::awaitable<Outcome> answer_block() {
    std::vector<ContentId> lineage(1, content_.root);
    if (!content_.names.empty()) {
      const auto entity = co_await reader_.entity(content_.root, content_.names);
      if (!entity) co_return refusal_of(entity.error());
      lineage = entity->lineage;
      if (const auto refusal = denied(lineage)) co_return refusal;
    }
    if (const auto refusal = web::check_codec(content_, lineage.back())) co_return refusal;
    reader_.plan(content_.root, {.path = content_.names, .scope = Scope::kBlock});
    const auto block = co_await reader_.block(lineage.back());
    if (!block) co_return refusal_of(block.error());
    web::Answer answer = web::answer_block(call_.request(), content_, lineage, (*block)->size());
    call_.begin(std::move(answer.head));
    co_await call_.write(BytesView(**block).subspan(answer.bytes.begin, answer.bytes.end - answer.bytes.begin));
    co_await call_.end();
    co_return std::nullopt;
  }

  asio::awaitable<Outcome> answer_car() {
    std::vector<ContentId> lineage(1, content_.root);
    if (content_.names.empty()) {
      reader_.plan(content_.root, {.scope = Scope::kBlock});
      const auto block = co_await reader_.block(content_.root);
      if (!block) co_return refusal_of(block.error());
    } else {
      const auto entity = co_await reader_.entity(content_.root, content_.names);
      if (!entity) co_return refusal_of(entity.error());
      lineage = entity->lineage;
    }
    if (const auto refusal = denied(lineage)) co_return refusal;
    web::Head head = web::answer_stream(call_.request(), content_, lineage);
    const bool has_body = head.status == 200 && !call_.request().is_head;
    call_.begin(std::move(head));
    if (has_body) {
      const std::vector<ContentId> roots(1, content_.root);
      co_await call_.write(content_id::car_header(roots));
      unixfs::CarWalkOptions options = content_.car;
      options.path = content_.names;
      reader_.plan(content_.root, car_scope());
      unixfs::CarWalk walk(content_.root, options);
      while (walk.wanted()) {
        const ContentId cid = *walk.wanted();
        if (const auto refusal = denied(cid)) co_return refusal;
        const auto block = co_await reader_.block(cid);
        if (!block) co_return refusal_of(block.error());
        const auto is_new = walk.handle_block(*block);
        if (!is_new) co_return refusal_of(is_new.error());
        if (!*is_new) continue;
        co_await call_.write(content_id::car_section_prefix(cid, (*block)->size()));
        co_await call_.write(**block);
      }
      if (walk.error()) co_return refusal_of(*walk.error());
    }
    co_await call_.end();
    co_return std::nullopt;
  }

  /// What is fetched ahead for the CAR, as far as the engine knows such a walk.
  unixfs::TraversalOptions car_scope() const {
    unixfs::TraversalOptions options{.path = content_.names, .scope = content_.car.scope};
    const auto& bytes = content_.car.bytes;
    if (bytes && bytes->from >= 0 && bytes->to && *bytes->to >= 0) {
      options.scope = Scope::kBytes;
      options.range = bytes->of(std::numeric_limits<std::uint64_t>::max());
    }
    return options;
  }

  asio::awaitable<Outcome> answer_entity() {
    const auto entity = co_await reader_.entity(content_.root, content_.names);
    if (!entity) {
      const bool is_origin = content_.place.kind != web::Place::Kind::kPath;
      if (entity.error().code == ErrorCode::kNotFound && !reader_.is_missing() && is_origin) {
        co_return co_await answer_redirect(entity.error());
      }
      co_return refusal_of(entity.error());
    }
    if (const auto refusal = denied(entity->lineage)) co_return refusal;
    if (entity->type != EntityType::kDirectory) {
      co_return co_await answer_file(*entity, entity->lineage, content_.names);
    }
    if (!content_.is_directory_url()) co_return web::add_slash(content_);
    std::vector<std::string> index_path = content_.names;
    index_path.emplace_back("index.html");
    const auto index = co_await reader_.entity(content_.root, index_path);
    if (index && index->type == EntityType::kFile) {
      if (const auto refusal = denied(index->cid)) co_return refusal;
      co_return co_await answer_file(*index, entity->lineage, index_path);
    }
    if (!index && (index.error().code != ErrorCode::kNotFound || reader_.is_missing())) {
      co_return refusal_of(index.error());
    }
    co_return co_await answer_listing(*entity);
  }

  static Outcome redirect(const web::Redirects::Rewrite& rewrite) {
    return Refusal{rewrite.status, "see " + rewrite.to, {{"Location", rewrite.to}}};
  }

  /// The site says in `_redirects` what is to be answered for what does not exist.
  asio::awaitable<Outcome> answer_redirect(const Error& not_found) {
    const std::vector<std::string> path(1, std::string(web::kRedirectsFile));
    const auto file = co_await reader_.entity(content_.root, path);
    if (!file && reader_.is_missing()) co_return refusal_of(file.error());
    if (!file || file->type != EntityType::kFile) co_return refusal_of(not_found);
    // One byte too many tells that it is too large.
    const auto text = co_await reader_.bytes(content_.root, path, web::kMaxRedirects + 1);
    if (!text) co_return refusal_of(text.error());
    const auto redirects = web::Redirects::parse(as_text(*text));
    if (!redirects) co_return Refusal{500, redirects.error().message};
    const auto rewrite = redirects->find(content_.names);
    if (!rewrite) co_return refusal_of(not_found);
    if (rewrite->status >= 300 && rewrite->status < 400) {
      co_return redirect(*rewrite);
    }
    const auto target = web::read_origin_request(web::Request{.target = rewrite->to}, content_.root, content_.place);
    if (!target) co_return Refusal{500, "_redirects leads to a malformed path: " + rewrite->to};
    std::vector<std::string> names = target->names;
    auto entity = co_await reader_.entity(content_.root, names);
    if (entity && entity->type == EntityType::kDirectory) {
      names.emplace_back("index.html");
      entity = co_await reader_.entity(content_.root, names);
    }
    if (!entity || entity->type != EntityType::kFile) {
      co_return Refusal{500, "_redirects leads to " + rewrite->to + ", which is no file"};
    }
    if (const auto refusal = denied(entity->lineage)) co_return refusal;
    co_return co_await answer_file(*entity, entity->lineage, names, rewrite->status);
  }

  /// `lineage` is of the URL, `path` leads from the root to the file.
  asio::awaitable<Outcome> answer_file(const unixfs::Entity& entity, const std::vector<ContentId>& lineage,
                                       const std::vector<std::string>& path, int status = 200) {
    const bool is_symlink = entity.type == EntityType::kSymlink;
    web::FileAnswer file{
        .etag = web::file_etag(lineage.back()), .content_type = {}, .size = entity.size, .cid = &entity.cid};
    if (is_symlink) {
      file.content_type = "inode/symlink";
      file.size = entity.symlink_target.size();
    } else {
      const auto type = co_await content_type_of(entity, path);
      if (!type) co_return refusal_of(type.error());
      file.content_type = *type;
    }
    const bool is_html = file.content_type.starts_with("text/html");
    if (!server_.options_.injected.empty() && content_.place.kind == web::Place::Kind::kSite && is_html &&
        entity.size <= kMaxInjected) {
      co_return co_await answer_injected(entity, lineage, path, std::move(file), status);
    }
    file.is_compressible = is_compressible(file);
    // A page of a status of its own is whole, whatever was asked of the URL.
    web::Request request = call_.request();
    if (status != 200) request.range = request.if_none_match = {};
    if (file.is_compressible && request.range.empty() && web::accepts_gzip(request.accept_encoding)) {
      const auto compressed = co_await compress(entity.cid, path);
      if (!compressed) co_return refusal_of(compressed.error());
      if ((*compressed)->size() < file.size) {
        co_return co_await answer_compressed(request, lineage, std::move(file), *compressed, status);
      }
    }
    web::Answer answer = web::answer_file(request, content_, lineage, file);
    if (status != 200) answer.head.status = status;
    call_.begin(std::move(answer.head));
    if (is_symlink) {
      const BytesView target = as_bytes(entity.symlink_target);
      co_await call_.write(target.subspan(answer.bytes.begin, answer.bytes.end - answer.bytes.begin));
    } else if (answer.bytes.begin < answer.bytes.end) {
      reader_.plan_file(content_.root, path, answer.bytes);
      if (const auto failed = co_await stream(entity.cid, answer.bytes)) co_return failed;
    }
    co_await call_.end();
    co_return std::nullopt;
  }

  static bool is_compressible(const web::FileAnswer& file) {
    return file.size >= kMinCompressed && file.size <= kMaxCompressed && web::is_compressible(file.content_type);
  }

  asio::awaitable<Result<SharedBytes>> compress(ContentId file, const std::vector<std::string>& path) {
    const std::string key = file.to_string();
    if (SharedBytes found = server_.compressed_.find(key)) co_return found;
    const auto bytes = co_await reader_.bytes(content_.root, path, kMaxCompressed);
    if (!bytes) co_return std::unexpected(bytes.error());
    co_return server_.compressed_.compress(key, *bytes);
  }

  asio::awaitable<Outcome> answer_compressed(const web::Request& request, const std::vector<ContentId>& lineage,
                                             web::FileAnswer file, SharedBytes compressed, int status) {
    file.is_compressed = true;
    file.size = compressed->size();
    web::Answer answer = web::answer_file(request, content_, lineage, file);
    if (status != 200) answer.head.status = status;
    call_.begin(std::move(answer.head));
    co_await call_.write(BytesView(*compressed).subspan(answer.bytes.begin, answer.bytes.end - answer.bytes.begin));
    co_await call_.end();
    co_return std::nullopt;
  }

  asio::awaitable<Result<std::string>> content_type_of(const unixfs::Entity& entity,
                                                       const std::vector<std::string>& path) {
    std::string_view type = web::content_type_of(content_.filename.value_or(""));
    if (type.empty() && !path.empty()) type = web::content_type_of(path.back());
    if (!type.empty()) co_return std::string(type);
    if (entity.cid.codec() == content_id::Codec::kDagJson) co_return "application/vnd.ipld.dag-json";
    if (entity.cid.codec() == content_id::Codec::kDagCbor) co_return "application/vnd.ipld.dag-cbor";
    const auto beginning = co_await reader_.bytes(content_.root, path, web::kSniffed);
    if (!beginning) co_return std::unexpected(beginning.error());
    co_return std::string(web::sniff_content_type(*beginning));
  }

  asio::awaitable<Outcome> answer_injected(const unixfs::Entity& entity, const std::vector<ContentId>& lineage,
                                           const std::vector<std::string>& path, web::FileAnswer file, int status) {
    const auto page = co_await reader_.bytes(content_.root, path, kMaxInjected);
    if (!page) co_return refusal_of(page.error());
    std::string text(as_text(*page));
    text.insert(place_of_script(text), server_.options_.injected);
    file.etag.insert(file.etag.size() - 1, "-i");
    file.size = text.size();
    file.is_changed = true;
    web::Request request = call_.request();
    request.range = {};
    file.is_compressible = is_compressible(file);
    if (file.is_compressible && web::accepts_gzip(request.accept_encoding)) {
      const std::string key = entity.cid.to_string() + "-i";
      SharedBytes compressed = server_.compressed_.find(key);
      if (!compressed) compressed = server_.compressed_.compress(key, as_bytes(text));
      if (compressed->size() < text.size()) {
        co_return co_await answer_compressed(request, lineage, std::move(file), compressed, status);
      }
    }
    web::Answer answer = web::answer_file(request, content_, lineage, file);
    if (status != 200) answer.head.status = status;
    call_.begin(std::move(answer.head));
    co_await call_.write(as_bytes(text).subspan(answer.bytes.begin, answer.bytes.end - answer.bytes.begin));
    co_await call_.end();
    co_return std::nullopt;
  }

  /// A file's bytes, by the plan that there is.
  asio::awaitable<Outcome> stream(const ContentId& cid, unixfs::ByteRange range) {
    unixfs::Traversal traversal(cid,
                                {.path = {}, .scope = Scope::kBytes, .range = range, .window = ContentReader::kWindow});
    while (!traversal.finished()) {
      const auto segment = co_await reader_.next_segment(traversal);
      if (!segment) co_return refusal_of(segment.error());
      if (!*segment) break;
      co_await call_.write((*segment)->view());
    }
    co_return std::nullopt;
  }

  asio::awaitable<Outcome> answer_listing(const unixfs::Entity& directory) {
    const bool is_compressed = web::accepts_gzip(call_.request().accept_encoding);
    web::Head head = web::answer_listing(call_.request(), content_, directory.lineage, is_compressed);
    const bool has_body = head.status == 200 && !call_.request().is_head;
    call_.begin(std::move(head));
    if (has_body) {
      if (is_compressed) gzip_.emplace();
      co_await write_page(web::listing_begin(content_, directory.cid));
      reader_.plan(content_.root, {.path = content_.names, .scope = Scope::kEntity});
      unixfs::Traversal traversal(directory.cid, {.path = {}, .scope = Scope::kEntity});
      std::vector<unixfs::DirectoryEntry> first;
      std::uint64_t count = 0;
      bool is_sorted = false;
      for (;;) {
        auto entry = co_await reader_.next_entry(traversal);
        if (!entry) co_return refusal_of(entry.error());
        if (*entry && !is_sorted) first.push_back(**std::move(entry));
        if (!is_sorted && (!*entry || first.size() == kMaxSorted)) {
          is_sorted = true;
          std::ranges::sort(first, {}, &unixfs::DirectoryEntry::name);
          for (const auto& one : first) co_await write_entry(one, count);
        } else if (is_sorted && *entry) {
          co_await write_entry(**entry, count);
        }
        if (!*entry) break;
      }
      co_await write_page(web::listing_end(count));
      if (gzip_) {
        const Bytes rest = gzip_->end();
        co_await call_.write(rest);
      }
    }
    co_await call_.end();
    co_return std::nullopt;
  }

  asio::awaitable<void> write_entry(const unixfs::DirectoryEntry& entry, std::uint64_t& count) {
    ++count;
    co_await write_page(web::listing_entry(content_, entry));
  }

  asio::awaitable<void> write_page(std::string text) {
    if (!gzip_) co_return co_await call_.write(as_bytes(text));
    const Bytes compressed = gzip_->add(as_bytes(text));
    co_await call_.write(compressed);
  }

  asio::awaitable<Outcome> answer_tar() {
    const auto entity = co_await reader_.entity(content_.root, content_.names);
    if (!entity) co_return refusal_of(entity.error());
    if (const auto refusal = denied(entity->lineage)) co_return refusal;
    web::Head head = web::answer_stream(call_.request(), content_, entity->lineage);
    const bool has_body = head.status == 200 && !call_.request().is_head;
    call_.begin(std::move(head));
    if (has_body) {
      reader_.plan(content_.root, {.path = content_.names, .scope = Scope::kAll});
      if (const auto failed = co_await write_tree(*entity)) co_return failed;
      co_await call_.write(Bytes(web::kTarEnd));
    }
    co_await call_.end();
    co_return std::nullopt;
  }

  struct Folder {
    std::string path;
    unixfs::Traversal entries;
  };

  /// Depth first, a directory's entries as they stand.
  asio::awaitable<Outcome> write_tree(const unixfs::Entity& root) {
    const std::string name = root.cid.to_string();
    if (const auto failed = co_await write_tar_entry(root, name)) co_return failed;
    if (root.type != EntityType::kDirectory) co_return std::nullopt;
    std::vector<Folder> folders;
    folders.push_back({name, unixfs::Traversal(root.cid, {.path = {}, .scope = Scope::kEntity})});
    for (std::uint64_t count = 0; !folders.empty(); ++count) {
      const auto entry = co_await reader_.next_entry(folders.back().entries);
      if (!entry) co_return refusal_of(entry.error());
      if (!*entry) {
        folders.pop_back();
        continue;
      }
      const auto path = web::tar_path(name, folders.back().path, (*entry)->name);
      if (!path) {
        co_return Refusal{400,
                          "an entry of this directory is named so that it would be extracted elsewhere: relative "
                          "UnixFS paths outside the root are not allowed"};
      }
      if (count >= kMaxTarEntries) co_return Refusal{400, "a tar of over a million entries is not made"};
      if (const auto refusal = denied((*entry)->cid)) co_return refusal;
      const auto entity = co_await reader_.entity_of((*entry)->cid);
      if (!entity) co_return refusal_of(entity.error());
      if (const auto failed = co_await write_tar_entry(*entity, *path)) co_return failed;
      if (entity->type != EntityType::kDirectory) continue;
      if (folders.size() >= kMaxTarDepth) co_return Refusal{400, "directories this deep are not put into a tar"};
      folders.push_back({*path, unixfs::Traversal(entity->cid, {.path = {}, .scope = Scope::kEntity})});
    }
    co_return std::nullopt;
  }

  asio::awaitable<Outcome> write_tar_entry(const unixfs::Entity& entity, const std::string& path) {
    switch (entity.type) {
      case EntityType::kDirectory:
        co_await write_text(web::tar_header(web::TarType::kDirectory, path, 0));
        co_return std::nullopt;
      case EntityType::kSymlink:
        co_await write_text(web::tar_header(web::TarType::kSymlink, path, 0, entity.symlink_target));
        co_return std::nullopt;
      case EntityType::kFile: break;
    }
    co_await write_text(web::tar_header(web::TarType::kFile, path, entity.size));
    unixfs::Traversal traversal(entity.cid, {.path = {}, .scope = Scope::kBytes});
    for (;;) {
      const auto segment = co_await reader_.next_segment(traversal);
      if (!segment) co_return refusal_of(segment.error());
      if (!*segment) break;
      co_await call_.write((*segment)->view());
    }
    co_await call_.write(Bytes(web::tar_padding(entity.size)));
    co_return std::nullopt;
  }

  asio::awaitable<void> write_text(std::string text) { co_await call_.write(as_bytes(text)); }

  const ContentServer& server_;
  HttpCall& call_;
  const web::ContentRequest& content_;
  ContentReader reader_;
  std::optional<Gzip> gzip_;  ///< Of a listing that is compressed.
};

ContentServer::ContentServer(std::shared_ptr<const store::BlockStore> store, ContentServerOptions options)
    : store_(std::move(store)),
      cache_(*store_, options.cache),
      compressed_(options.compressed_cache),
      options_(std::move(options)) {}
ContentServer::~ContentServer() = default;

asio::awaitable<void> ContentServer::answer(HttpCall& call, web::ContentRequest content) const {
  Answer answer(*this, call, content, co_await asio::this_coro::executor);
  const auto refusal = co_await answer.try_answer();
  if (!refusal) co_return;
  // What went out cannot be taken back: the client must see that it is not whole.
  if (!call.take_back()) call.abort();
  if (refusal->status == 404 && content.only_if_cached && answer.is_missing()) {
    co_return co_await call.refuse(412, "only-if-cached: it is not on this node");
  }
  co_await call.refuse(*refusal);
}

}  // namespace codio::node
