#include "web/http.h"

#include <algorithm>

namespace codio::web {
namespace {

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

std::string_view Head::get(std::string_view name) const {
  for (const Header& header : headers) {
    if (equals_ignoring_case(header.name, name)) return header.value;
  }
  return {};
}

Refusal try_again(int status, std::string message, int seconds) {
  return {status, std::move(message), {{"Retry-After", std::to_string(seconds)}}};
}

std::string_view reason_of(int status) {
  switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 410: return "Gone";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 416: return "Range Not Satisfiable";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "";
  }
}

std::string write_head(const Head& head, unsigned version) {
  std::string text = version == 10 ? "HTTP/1.0 " : "HTTP/1.1 ";
  text.reserve(1024);
  text += std::to_string(head.status);
  text += ' ';
  text += reason_of(head.status);
  text += "\r\n";
  for (const Header& header : head.headers) {
    text += header.name;
    text += ": ";
    for (const char c : header.value) text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    text += "\r\n";
  }
  text += "\r\n";
  return text;
}

void allow_other_origins(Head& head) {
  head.add("Access-Control-Allow-Origin", "*");
  head.add("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS");
  head.add("Access-Control-Allow-Headers", "Content-Type, Range, User-Agent, X-Requested-With");
  head.add("Access-Control-Expose-Headers",
           "Content-Length, Content-Range, X-Chunked-Output, X-Codio-CID, X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output");
}

bool accepts(std::string_view accept, std::string_view media_type) {
  while (!accept.empty()) {
    const std::size_t end = std::min(accept.find(','), accept.size());
    std::string_view one = accept.substr(0, std::min(accept.find(';'), end));
    accept.remove_prefix(std::min(end + 1, accept.size()));
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    if (equals_ignoring_case(one, media_type)) return true;
  }
  return false;
}

}  // namespace codio::web
