// A request to the gateway, up to the head of its answer: lines of the input are target, host, Accept, Range,
// If-None-Match, and the name and content of what is found. What is answered is always well-formed HTTP.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/check.h"
#include "web/answer.h"
#include "web/content_type.h"
#include "web/deny_list.h"
#include "web/listing.h"
#include "web/redirects.h"
#include "web/tar.h"
#include "web/uri.h"

using namespace codio;
using namespace codio::web;
using content_id::ContentId;
namespace unixfs = content_id::unixfs;

namespace {

void check_head(Head head) {
  head.is_for_all_origins = false;  // Adds what is always the same.
  std::string text;
  write_head(head, 11, text);
  check(text.ends_with("\r\n\r\n"));
  // Each header is one line: nothing of the request ended it.
  std::size_t lines = 0;
  for (std::size_t at = text.find("\r\n"); at != text.npos; at = text.find("\r\n", at + 2)) ++lines;
  check(lines == head.size() + 2);
  check(text.find('\0') == text.npos);
}

/// Whatever things are called, a page has the same elements and attributes.
void check_same_html(std::string_view page, std::string_view with_plain_names) {
  for (const char c : {'<', '>', '"'}) check(std::ranges::count(page, c) == std::ranges::count(with_plain_names, c));
}

void check_answers(const Request& request, const ContentRequest& content, std::string_view name, BytesView bytes) {
  const std::vector<ContentId> lineage(content.names.size() + 1, content.root);
  const std::string type(sniff_content_type(bytes));
  const Answer file = answer_file(request, content, lineage,
                                  {.etag = file_etag(content.root), .content_type = type, .size = bytes.size()});
  check_head(file.head);
  check(file.bytes.begin <= file.bytes.end && file.bytes.end <= bytes.size());
  check_head(answer_block(request, content, lineage, bytes.size()).head);
  check_head(answer_stream(request, content, lineage));
  for (const bool is_compressed : {false, true}) check_head(answer_listing(request, content, lineage, is_compressed));
  check_head(explain(request, add_slash(content)).head);
  ContentRequest plain = content;
  for (std::string& one : plain.names) one = "x";
  plain.place.prefix = content.place.prefix.empty() ? "" : "x";
  const auto entry = [&](std::string_view called) {
    return unixfs::DirectoryEntry{.name = std::string(called), .cid = content.root, .cumulative_size = 1};
  };
  check_same_html(listing_entry(content, entry(name)), listing_entry(plain, entry("x")));
  check_same_html(listing_begin(content, content.root), listing_begin(plain, content.root));
  if (const auto redirects = Redirects::parse(as_text(bytes))) {
    if (const auto rewrite = redirects->find(content.names)) {
      const Refusal refusal{rewrite->status, rewrite->to, {{"Location", rewrite->to}}};
      check_head(explain(request, refusal).head);
    }
  }
  if (const auto path = tar_path("root", "root/folder", name)) {
    check(path->starts_with("root/") && path->find("/../") == path->npos && !path->ends_with("/.."));
    check(tar_header(TarType::kFile, *path, bytes.size()).size() % 512 == 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = as_text(BytesView(data, size));
  const auto line = [&rest] {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view text = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return text;
  };
  Request request;
  request.target = line();
  request.host = line();
  request.accept = line();
  request.range = line();
  request.if_none_match = line();
  request.is_head = size % 2 == 1;
  const std::string_view name = line();
  const BytesView bytes = as_bytes(rest);
  (void)DenyList::parse(rest);
  const std::vector<std::string> gateways{"example.com"};
  const auto host = understand_host(request, gateways);
  if (!host) {
    check_head(explain(request, host.error()).head);
    return 0;
  }
  const Place place{.kind = Place::Kind::kSubdomain, .prefix = "", .gateway = host->gateway};
  const auto content =
      host->root ? read_origin_request(request, *host->root, place) : read_path_request(request, *host);
  if (!content) {
    check_head(explain(request, content.error()).head);
    return 0;
  }
  check_answers(request, *content, name, bytes);
  return 0;
}
