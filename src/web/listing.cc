#include "web/listing.h"

#include <array>

#include "web/uri.h"

namespace codio::web {
namespace {

constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark;--line:#8883;--dim:#7a7a7a;--hover:#8881}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2.5rem auto;padding:0 1.25rem}
h1{font-size:1.15rem;font-weight:600;overflow-wrap:anywhere;margin:0 0 .25rem}
p{color:var(--dim);margin:0 0 1.25rem;overflow-wrap:anywhere}table+p{margin-top:1rem}
table{border-collapse:collapse;width:100%;table-layout:fixed}
td,th{padding:.4rem .6rem;border-bottom:1px solid var(--line);text-align:left;overflow:hidden;text-overflow:ellipsis}
th{font-weight:500;color:var(--dim);font-size:.85rem}
td:first-child{overflow-wrap:anywhere}
td:nth-child(2),th:nth-child(2){width:11rem;white-space:nowrap;font:.85rem ui-monospace,monospace}
td:nth-child(3),th:nth-child(3){width:6rem;text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
tr:hover td{background:var(--hover)}
a{text-decoration:none}a:hover{text-decoration:underline}
@media(max-width:36rem){td:nth-child(2),th:nth-child(2){display:none}}
)";

/// Where the content's own paths begin: "" of an origin of its own.
std::string base_of(const ContentRequest& content) { return content.place.prefix; }

/// Where a CID by itself is found: on a subdomain, at the gateway that the subdomain belongs to.
std::string gateway_of(const ContentRequest& content) {
  return content.place.kind == Place::Kind::kSubdomain ? "//" + content.place.gateway : "";
}

std::string link(const std::string& url, std::string_view text) {
  return "<a href=\"" + html_escape(url) + "\">" + html_escape(text) + "</a>";
}

std::string path_of(const ContentRequest& content) {
  std::string path = base_of(content);
  for (const std::string& name : content.names) path += "/" + percent_encode(name);
  return path;
}

std::string shortened(const std::string& cid) {
  return cid.size() < 20 ? cid : cid.substr(0, 10) + "…" + cid.substr(cid.size() - 8);
}

}  // namespace

std::string readable_size(std::uint64_t bytes) {
  constexpr std::array kUnits{"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 1000) return std::to_string(bytes) + " B";
  std::size_t unit = 0;
  std::uint64_t tenths = bytes;
  // Kept in tenths from the first division on; rounded once it fits.
  for (; tenths >= 1000 * 1000; ++unit) tenths /= 1000;
  tenths = (tenths + 50) / 100;
  ++unit;
  if (tenths >= 10'000) {
    tenths = 10;
    ++unit;
  }
  std::string text = std::to_string(tenths / 10);
  if (tenths < 100) text += "." + std::to_string(tenths % 10);
  return text + " " + kUnits[unit];
}

std::string listing_begin(const ContentRequest& content, const content_id::ContentId& directory) {
  const std::string root = content.root.to_string();
  std::string url = gateway_of(content) + "/ipfs/" + root;
  std::string crumbs = "/ipfs/" + link(url, root);
  for (const std::string& name : content.names) {
    url += "/" + percent_encode(name);
    crumbs += "/" + link(url, name);
  }
  std::string page =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width\"><title>";
  page += html_escape(content.names.empty() ? root : content.names.back());
  page += "</title><style>";
  page += kStyle;
  page += "</style></head><body><h1>Index of " + crumbs + "</h1><p>" + directory.to_string() + "</p>\n<table>";
  page += "<thead><tr><th>Name</th><th>CID</th><th>Size</th></tr></thead><tbody>\n";
  if (!content.names.empty()) {
    page += "<tr><td><a href=\"" + html_escape(path_of(content)) + "/..\">..</a></td><td></td><td></td></tr>\n";
  }
  return page;
}

std::string listing_entry(const ContentRequest& content, const content_id::unixfs::DirectoryEntry& entry) {
  const std::string cid = entry.cid.to_string();
  const std::string name = percent_encode(entry.name);
  std::string row = "<tr><td>" + link(path_of(content) + "/" + name, entry.name) + "</td><td>";
  row += R"(<a class="ipfs-hash" translate="no" title=")" + cid + R"(" href=")" +
         html_escape(gateway_of(content) + "/ipfs/" + cid + "?filename=" + name) + "\">" + shortened(cid) + "</a></td>";
  row += "<td title=\"" + std::to_string(entry.cumulative_size) + " bytes in all blocks below\">" +
         readable_size(entry.cumulative_size) + "</td></tr>\n";
  return row;
}

std::string listing_end(std::uint64_t entries) {
  return "</tbody></table><p>" + std::to_string(entries) + (entries == 1 ? " entry" : " entries") +
         ". Sizes are of all blocks below, as the directory claims them.</p></body></html>\n";
}

}  // namespace codio::web
