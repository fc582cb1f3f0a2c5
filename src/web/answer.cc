#include "web/answer.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "web/uri.h"

namespace codio::web {
namespace {

using content_id::Codec;
using content_id::ContentId;

/// What never changes, as its URL has its hash in it.
constexpr std::string_view kImmutable = "public, max-age=29030400, immutable";
/// Made by this program: a later one may make it better.
constexpr std::string_view kListing = "public, max-age=604800, stale-while-revalidate=2678400";
/// What changes whenever its author likes.
constexpr std::string_view kChanging = "no-cache";

/// Plain JSON and CBOR, which nothing else here knows.
constexpr std::uint64_t kJsonCodec = 0x0200;
constexpr std::uint64_t kCborCodec = 0x51;

std::string_view extension_of(Format format) {
  switch (format) {
    case Format::kRaw: return "bin";
    case Format::kCar: return "car";
    case Format::kTar: return "tar";
    case Format::kDagJson:
    case Format::kJson: return "json";
    case Format::kDagCbor:
    case Format::kCbor: return "cbor";
    case Format::kFile: break;
  }
  return "";
}

std::string_view tag_of(Format format) {
  switch (format) {
    case Format::kRaw: return "raw";
    case Format::kCar: return "car";
    case Format::kTar: return "x-tar";
    case Format::kDagJson: return "dag-json";
    case Format::kJson: return "json";
    case Format::kDagCbor: return "dag-cbor";
    case Format::kCbor: return "cbor";
    case Format::kFile: break;
  }
  return "";
}

std::string media_type_of(const ContentRequest& content) {
  switch (content.format) {
    case Format::kRaw: return "application/vnd.ipld.raw";
    case Format::kCar:
      return std::string("application/vnd.ipld.car; version=1; order=dfs; dups=") +
             (content.car.duplicates ? "y" : "n");
    case Format::kTar: return "application/x-tar";
    case Format::kDagJson: return "application/vnd.ipld.dag-json";
    case Format::kDagCbor: return "application/vnd.ipld.dag-cbor";
    case Format::kJson: return "application/json";
    case Format::kCbor: return "application/cbor";
    case Format::kFile: break;
  }
  return "application/octet-stream";
}

/// FNV-1a: tells apart what one server makes of one CID; nobody gains from two that are alike.
std::string short_hash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  std::string hex;
  for (int shift = 60; shift >= 0; shift -= 4) hex += "0123456789abcdef"[hash >> shift & 0xf];
  return hex;
}

std::string car_parameters(const ContentRequest& content) {
  std::string text = content.content_path + (content.car.duplicates ? " y " : " n ");
  text += std::to_string(static_cast<int>(content.car.scope));
  if (const auto& bytes = content.car.bytes) {
    text += " " + std::to_string(bytes->from) + ":" + (bytes->to ? std::to_string(*bytes->to) : "*");
  }
  return text;
}

/// RFC 6266: a name for all, and the exact one for who reads that.
std::string disposition(std::string_view type, std::string_view name) {
  std::string ascii;
  bool exact = true;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) {
      exact = false;
      if (byte >= 0xc0) ascii += '_';  // One for each character of UTF-8.
    } else if (byte < 0x20 || c == '"' || c == '\\' || c == 0x7f) {
      exact = false;
      ascii += '_';
    } else {
      ascii += c;
    }
  }
  std::string value = std::string(type) + "; filename=\"" + ascii + "\"";
  if (exact) return value;
  std::string encoded;
  for (const char c : percent_encode(name)) {
    // RFC 8187 allows fewer characters than paths do.
    if (std::string_view("'()*,;=:@").find(c) == std::string_view::npos) {
      encoded += c;
    } else {
      encoded += '%';
      encoded += "0123456789ABCDEF"[static_cast<unsigned char>(c) >> 4];
      encoded += "0123456789ABCDEF"[static_cast<unsigned char>(c) & 0xf];
    }
  }
  return value + "; filename*=UTF-8''" + encoded;
}

/// A weak one (RFC 9110, 8.8.1) of its own: Chromium asks for ranges of the file with the tag of the compressed one
/// that it has in If-None-Match, and a 304 would have it cut those bytes.
std::string compressed_tag(std::string etag) {
  etag.insert(etag.size() - 1, ".gz");
  return etag.starts_with("W/") ? std::move(etag) : "W/" + std::move(etag);
}

enum class Varies : std::uint8_t { kByAccept, kByEncodingToo };

/// The CIDs of the lineage, as X-Ipfs-Roots has them.
std::string roots_of(const std::vector<ContentId>& lineage) {
  std::string roots;
  for (const ContentId& cid : lineage) {
    if (!roots.empty()) roots += ',';
    roots += cid.to_string();
  }
  return roots;
}

void describe(Head& head, const ContentRequest& content, std::string_view roots, Varies varies = Varies::kByAccept) {
  head.add("X-Ipfs-Path", content.content_path);
  head.add("X-Ipfs-Roots", roots);
  head.add("X-Content-Type-Options", "nosniff");
  head.add("Vary", varies == Varies::kByAccept ? "Accept" : "Accept, Accept-Encoding");
  head.is_for_all_origins = true;
}

bool is_site(const ContentRequest& content) { return content.place.kind == Place::Kind::kSite; }

/// With `format` chosen by Accept only, a URL that means the same for every client.
void locate(Head& head, const ContentRequest& content) {
  if (!content.format_by_accept) return;
  const std::string_view format = content.format == Format::kTar ? "tar" : tag_of(content.format);
  std::string location = content.url_path + "?format=" + std::string(format);
  if (!content.query.empty()) location += "&" + content.query.substr(1);
  head.add("Content-Location", location);
}

void name_download(Head& head, const ContentRequest& content, const ContentId& target) {
  const bool is_shown = content.format == Format::kDagJson || content.format == Format::kJson;
  const std::string name = content.filename && !content.filename->empty()
                               ? *content.filename
                               : target.to_string() + "." + std::string(extension_of(content.format));
  head.add("Content-Disposition", disposition(is_shown && !content.download ? "inline" : "attachment", name));
}

Answer finish(const Request& request, Head head, const std::string& etag, std::uint64_t size) {
  const Selection selection = select(request, etag, size);
  head.status = selection.status;
  if (selection.status == 206 || selection.status == 416) {
    head.add("Content-Range", content_range(selection, size));
  }
  if (selection.status != 304) head.add("Content-Length", std::to_string(selection.bytes.end - selection.bytes.begin));
  const bool has_body = !request.is_head && (selection.status == 200 || selection.status == 206);
  return {std::move(head), has_body ? selection.bytes : content_id::unixfs::ByteRange{0, 0}};
}

}  // namespace

std::string file_etag(const ContentId& cid) { return "\"" + cid.to_string() + "\""; }

std::string format_etag(const ContentRequest& content, const ContentId& target) {
  if (content.format == Format::kCar) {
    return "W/\"" + content.root.to_string() + ".car." + short_hash(car_parameters(content)) + "\"";
  }
  const std::string tag = "\"" + target.to_string() + "." + std::string(tag_of(content.format)) + "\"";
  return content.format == Format::kTar ? "W/" + tag : tag;
}

Answer answer_file(const Request& request, const ContentRequest& content, const std::vector<ContentId>& lineage,
                   const FileAnswer& file) {
  Head head;
  const std::string etag = file.is_compressed ? compressed_tag(file.etag) : file.etag;
  head.add("Content-Type", file.content_type);
  head.add("Etag", etag);
  head.add("Cache-Control", is_site(content) ? kChanging : kImmutable);
  // Who has the beginning of the compressed file must not go on with the file's own bytes.
  head.add("Accept-Ranges", file.is_compressed ? "none" : "bytes");
  if (file.is_compressed) head.add("Content-Encoding", "gzip");
  const std::string roots = roots_of(lineage);
  describe(head, content, roots, file.is_compressible ? Varies::kByEncodingToo : Varies::kByAccept);
  if (!file.is_changed) {
    const bool is_other = file.cid != nullptr && *file.cid != lineage.back();
    head.add("X-Codio-CID", is_other ? file.cid->to_string() : roots.substr(roots.rfind(',') + 1));
  }
  // The files of strangers share the node's origin with its pages and their storage.
  if (content.place.kind == Place::Kind::kPath) head.add("Content-Security-Policy", "sandbox allow-scripts");
  if (content.filename && !content.filename->empty()) {
    head.add("Content-Disposition", disposition(content.download ? "attachment" : "inline", *content.filename));
  } else if (content.download) {
    head.add("Content-Disposition",
             content.names.empty() ? "attachment" : disposition("attachment", content.names.back()));
  }
  return finish(request, std::move(head), etag, file.size);
}

Answer answer_block(const Request& request, const ContentRequest& content, const std::vector<ContentId>& lineage,
                    std::uint64_t size) {
  const ContentId& target = lineage.back();
  Head head;
  const std::string etag = format_etag(content, target);
  head.add("Content-Type", media_type_of(content));
  head.add("Etag", etag);
  head.add("Cache-Control", is_site(content) ? kChanging : kImmutable);
  head.add("Accept-Ranges", "bytes");
  name_download(head, content, target);
  locate(head, content);
  describe(head, content, roots_of(lineage));
  return finish(request, std::move(head), etag, size);
}

Head answer_stream(const Request& request, const ContentRequest& content, const std::vector<ContentId>& lineage) {
  const ContentId& target = lineage.back();
  Head head;
  const std::string etag = format_etag(content, target);
  head.status = !request.if_none_match.empty() && matches_any(request.if_none_match, etag) ? 304 : 200;
  head.add("Content-Type", media_type_of(content));
  head.add("Etag", etag);
  head.add("Cache-Control", is_site(content) ? kChanging : kImmutable);
  head.add("Accept-Ranges", "none");
  name_download(head, content, target);
  locate(head, content);
  describe(head, content, roots_of(lineage));
  return head;
}

Head answer_listing(const Request& request, const ContentRequest& content, const std::vector<ContentId>& lineage,
                    bool is_compressed) {
  const std::string cid = lineage.back().to_string();
  std::string etag = "\"DirIndex-1_CID-" + cid + "\"";
  if (is_compressed) etag = compressed_tag(std::move(etag));
  Head head;
  // A client may know the directory by its own tag, from when it had an index.html elsewhere.
  const bool is_known = !request.if_none_match.empty() && (matches_any(request.if_none_match, etag) ||
                                                           matches_any(request.if_none_match, "\"" + cid + "\""));
  head.status = is_known ? 304 : 200;
  head.add("Content-Type", "text/html; charset=utf-8");
  head.add("Etag", etag);
  head.add("Cache-Control", is_site(content) ? kChanging : kListing);
  // Whatever its names are, nothing in a listing runs or is fetched.
  head.add("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
  if (is_compressed) head.add("Content-Encoding", "gzip");
  describe(head, content, roots_of(lineage), Varies::kByEncodingToo);
  return head;
}

std::optional<Refusal> check_codec(const ContentRequest& content, const ContentId& target) {
  const auto needs = [&](Codec codec, std::string_view name) -> std::optional<Refusal> {
    if (target.codec() == codec) return std::nullopt;
    return Refusal{406, target.to_string() + " is not " + std::string(name) +
                            ", and this gateway converts nothing; format=raw has the block as it is"};
  };
  switch (content.format) {
    case Format::kDagJson: return needs(Codec::kDagJson, "dag-json");
    case Format::kDagCbor: return needs(Codec::kDagCbor, "dag-cbor");
    case Format::kJson:
      if (static_cast<std::uint64_t>(target.codec()) == kJsonCodec) return std::nullopt;
      return needs(Codec::kDagJson, "json");
    case Format::kCbor:
      if (static_cast<std::uint64_t>(target.codec()) == kCborCodec) return std::nullopt;
      return needs(Codec::kDagCbor, "cbor");
    default: return std::nullopt;
  }
}

Refusal add_slash(const ContentRequest& content) {
  // Two slashes at the start would name another host.
  const std::size_t path = content.url_path.find_first_not_of('/');
  const std::string location =
      "/" + content.url_path.substr(std::min(path, content.url_path.size())) + "/" + content.query;
  return {301, "moved to " + location, {{"Location", location}}};
}

Page explain(const Request& request, const Refusal& refusal) {
  Page page;
  page.head.status = refusal.status;
  for (const Header& header : refusal.headers) page.head.add(header.name, header.value);
  const bool is_html = accepts(request.accept, "text/html");
  const std::string title = std::to_string(refusal.status) + " " + std::string(reason_of(refusal.status));
  if (refusal.status != 304 && refusal.status != 204) {
    page.head.add("Content-Type", is_html ? "text/html; charset=utf-8" : "text/plain; charset=utf-8");
    page.head.add("X-Content-Type-Options", "nosniff");
    page.body = refusal.message + "\n";
    if (is_html) {
      page.head.add("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
      page.body =
          "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
          "content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\"><title>" +
          title +
          "</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:12vh auto;padding:0 "
          "1.5rem}h1{font-size:1.4rem}p{overflow-wrap:anywhere}</style><h1>" +
          title + "</h1><p>" + html_escape(refusal.message) + "</p></html>\n";
    }
  }
  page.head.add("Vary", "Accept");
  if (refusal.status != 301) page.head.add("Cache-Control", "no-cache");
  page.head.is_for_all_origins = true;
  return page;
}

}  // namespace codio::web
