#include "web/http.h"

#include <algorithm>

namespace codio::web {
namespace {

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, [&](char x, char y) { return lower(x) == lower(y); });
}

constexpr std::string_view kEndOfLine = "\r\n";
/// Room for the headers of a file.
constexpr std::size_t kUsualHead = 1024;

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

/// Without branches, so that the compiler looks at many at a time.
bool has_control(std::string_view text) {
  unsigned char found = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    found = static_cast<unsigned char>(found | (byte < 0x20) | (byte == 0x7f));
  }
  return found != 0;
}

/// What the path gateway's specification names, the CID, and when to come back: Retry-After may be a date.
constexpr std::string_view kAllOrigins =
    "Access-Control-Allow-Origin: *\r\n"
    "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n"
    "Access-Control-Allow-Headers: Content-Type, Range, User-Agent, X-Requested-With\r\n"
    "Access-Control-Expose-Headers: Content-Length, Content-Range, Date, Retry-After, X-Chunked-Output, X-Codio-CID, "
    "X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output\r\n";

std::string_view trim(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

/// Of "q=0.25", in thousandths; what is none, or malformed, counts as 1.
unsigned read_weight(std::string_view text) {
  constexpr std::string_view kZero = "q=0";
  if (!equals_ignoring_case(text.substr(0, kZero.size()), kZero)) return 1000;
  text.remove_prefix(kZero.size());
  if (!text.starts_with('.')) return 0;
  unsigned weight = 0;
  unsigned unit = 1000;
  for (const char digit : text.substr(1)) {
    unit /= 10;
    if (digit >= '0' && digit <= '9') weight += static_cast<unsigned>(digit - '0') * unit;
  }
  return weight;
}

}  // namespace

void Head::add(std::string_view name, std::string_view value) {
  if (lines_.empty()) lines_.reserve(kUsualHead);
  lines_.append(name).append(": ");
  const std::size_t begin = lines_.size();
  lines_.append(value).append(kEndOfLine);
  ++size_;
  if (!has_control(value)) return;
  const auto at = lines_.begin() + static_cast<std::ptrdiff_t>(begin);
  std::replace_if(at, at + static_cast<std::ptrdiff_t>(value.size()), is_control, ' ');
}

std::string_view Head::get(std::string_view name) const {
  for (std::string_view rest = lines_; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find(kEndOfLine));
    rest.remove_prefix(line.size() + kEndOfLine.size());
    if (line.size() > name.size() && line[name.size()] == ':' &&
        equals_ignoring_case(line.substr(0, name.size()), name))
      return line.substr(name.size() + 2);
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

void write_head(const Head& head, unsigned version, std::string& text) {
  text += version == 10 ? "HTTP/1.0 " : "HTTP/1.1 ";
  text += std::to_string(head.status);
  text += ' ';
  text += reason_of(head.status);
  text += kEndOfLine;
  text += head.lines();
  if (head.is_for_all_origins) text += kAllOrigins;
  text += kEndOfLine;
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

unsigned weight_of_coding(std::string_view accept_encoding, std::string_view coding) {
  unsigned of_others = 0;
  while (!accept_encoding.empty()) {
    const std::size_t end = std::min(accept_encoding.find(','), accept_encoding.size());
    const std::string_view one = accept_encoding.substr(0, end);
    accept_encoding.remove_prefix(std::min(end + 1, accept_encoding.size()));
    const std::size_t parameter = std::min(one.find(';'), one.size());
    const std::string_view name = trim(one.substr(0, parameter));
    const unsigned weight = read_weight(trim(one.substr(std::min(parameter + 1, one.size()))));
    if (equals_ignoring_case(name, coding)) return weight;
    if (name == "*") of_others = weight;
  }
  return of_others;
}

}  // namespace codio::web
