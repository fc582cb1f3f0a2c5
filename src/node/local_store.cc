#include "node/local_store.h"

#include <charconv>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "content_id/car.h"
#include "content_id/multibase.h"

namespace codio::node {

namespace http = boost::beast::http;
using content_id::ContentId;
using nlohmann::json;

namespace {

LocalReply put_blocks(store::BlockStore& store, const Bytes& archive) {
  content_id::CarReader reader;
  reader.append(archive);
  std::vector<content_id::CarBlock> blocks;
  for (;;) {
    auto block = reader.poll_block();
    if (!block) return refuse(block.error());
    if (!*block) break;
    blocks.push_back(**std::move(block));
  }
  if (!reader.at_boundary()) return refuse({ErrorCode::kMalformed, "the blocks end early"});
  std::vector<store::BlockStore::Entry> entries;
  entries.reserve(blocks.size());
  for (const auto& block : blocks) entries.push_back({block.cid, *block.bytes});
  return reply_done(store.put_many(entries));
}

LocalReply put_references(store::BlockStore& store, const Bytes& body) {
  const auto value = parse_cbor(body);
  if (!value) return refuse(value.error());
  const auto entries = decode_list<store::BlockStore::ReferenceEntry>(*value);
  return entries ? reply_done(store.put_references(*entries)) : refuse(entries.error());
}

LocalReply list_blocks(const store::BlockStore& store, const LocalTarget& target) {
  std::optional<content_id::Multihash> after;
  if (const std::string text = target.parameter("after"); !text.empty()) {
    const auto bytes = content_id::multibase_decode(text);
    if (!bytes) return refuse(bytes.error());
    BytesView view(*bytes);
    auto hash = content_id::Multihash::take(view);
    if (!hash) return refuse(hash.error());
    after = *std::move(hash);
  }
  std::size_t max = 0;
  const std::string text = target.parameter("max");
  std::from_chars(text.data(), text.data() + text.size(), max);
  const auto page = store.list(after, std::min(max, kMaxLocalPage));
  return page ? reply(encode_list(std::span(*page))) : refuse(page.error());
}

LocalReply describe_block(const store::BlockStore& store, const ContentId& cid) {
  const auto size = store.size(cid);
  if (!size) return refuse(size.error());
  const auto reference = store.reference(cid);
  if (!reference) return refuse(reference.error());
  return reply({{"size", *size ? json(**size) : json()}, {"reference", *reference ? encode(**reference) : json()}});
}

LocalReply get_block(const store::BlockStore& store, const ContentId& cid) {
  auto block = store.get(cid);
  if (!block) return refuse(block.error());
  if (!*block) return refuse({ErrorCode::kNotFound, "block " + cid.to_string() + " is not in the store"});
  return {http::status::ok, kBlockType, **std::move(block)};
}

LocalReply pin(store::BlockStore& store, const Bytes& body) {
  const auto value = parse_cbor(body);
  if (!value) return refuse(value.error());
  const auto root = decode<store::Root>(*value);
  return root ? reply_done(store.add_root(*root)) : refuse(root.error());
}

}  // namespace

LocalReply answer_store(store::BlockStore& store, const LocalRequest& request) {
  const LocalTarget target(target_of(request));
  const auto is = [&](http::verb verb, std::string_view name) {
    return request.method() == verb && target.name == name;
  };
  if (target.rest.empty()) {
    if (is(http::verb::get, "blocks")) return list_blocks(store, target);
    if (is(http::verb::post, "blocks")) return put_blocks(store, request.body());
    if (is(http::verb::post, "references")) return put_references(store, request.body());
    if (is(http::verb::post, "sync")) return reply_done(store.sync());
    if (is(http::verb::put, "pins")) return pin(store, request.body());
    if (is(http::verb::get, "usage")) return reply_encoded(store.usage());
    if (is(http::verb::get, "pins")) {
      const auto roots = store.roots();
      return roots ? reply(encode_list(std::span(*roots))) : refuse(roots.error());
    }
    return refuse(unknown(target_of(request)));
  }
  const auto cid = ContentId::parse(target.rest);
  if (!cid) return refuse(cid.error());
  if (is(http::verb::get, "blocks")) return get_block(store, *cid);
  if (is(http::verb::put, "blocks")) return reply_done(store.put(*cid, request.body()));
  if (is(http::verb::delete_, "blocks")) return reply_done(store.remove(*cid));
  if (is(http::verb::get, "info")) return describe_block(store, *cid);
  if (is(http::verb::delete_, "pins")) return reply_done(store.remove_root(*cid));
  if (is(http::verb::post, "touch")) {
    const auto here = store.touch(*cid);
    return here ? reply(*here) : refuse(here.error());
  }
  return refuse(unknown(target_of(request)));
}

}  // namespace codio::node
