#include "web/redirects.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <utility>

#include "web/uri.h"

namespace codio::web {
namespace {

constexpr std::array kStatuses{200, 301, 302, 303, 307, 308, 404, 410, 451};

using Values = std::map<std::string, std::string, std::less<>>;

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t begin = text.find_first_not_of(separators);
    if (begin == std::string_view::npos) break;
    const std::size_t end = std::min(text.find_first_of(separators, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    text.remove_prefix(end);
  }
  return parts;
}

bool is_allowed(int status) { return std::ranges::find(kStatuses, status) != kStatuses.end(); }

/// Puts the values where `to` has `:name`; a name that the rule's path does not have stays as it is.
std::string substitute(std::string_view to, const Values& values) {
  std::string result;
  while (!to.empty()) {
    const std::size_t colon = std::min(to.find(':'), to.size());
    result += to.substr(0, colon);
    to.remove_prefix(colon);
    if (to.empty()) break;
    const std::size_t end =
        std::min(to.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", 1), to.size());
    const auto value = values.find(to.substr(1, end - 1));
    result += value == values.end() ? std::string(to.substr(0, end)) : value->second;
    to.remove_prefix(end);
  }
  return result;
}

}  // namespace

Result<Redirects> Redirects::parse(std::string_view text) {
  if (text.size() > kMaxRedirects) {
    return fail(ErrorCode::kTooLarge, "could not parse _redirects: redirects file size cannot exceed " +
                                          std::to_string(kMaxRedirects) + " bytes");
  }
  Redirects redirects;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto words = split(text.substr(0, end), " \t\r");
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    const auto bad = [&](const std::string& why) {
      return fail(ErrorCode::kMalformed, "could not parse _redirects: line " + std::to_string(number) + ": " + why);
    };
    if (words.empty() || words[0].starts_with('#')) continue;
    if (words.size() < 2 || words.size() > 3) return bad("a rule is FROM TO [STATUS]");
    if (!words[0].starts_with('/')) return bad("FROM must begin with /");
    Rule rule{.from = {}, .to = std::string(words[1]), .status = 301};
    if (words.size() == 3) {
      const std::string_view status = words[2];
      if (status.ends_with('!')) return bad("forced redirects (or \"shadowing\") are not supported");
      const auto read = std::from_chars(status.data(), status.data() + status.size(), rule.status);
      if (read.ec != std::errc() || read.ptr != status.data() + status.size()) {
        return bad("'" + std::string(status) + "' is not a status");
      }
    }
    if (!is_allowed(rule.status)) {
      return bad("unsupported redirect status " + std::to_string(rule.status) +
                 "; there are 200, 301, 302, 303, 307, 308, 404, 410 and 451");
    }
    const bool is_url = rule.to.starts_with("http://") || rule.to.starts_with("https://");
    if (!rule.to.starts_with('/') && !is_url) return bad("TO must begin with / or be a URL");
    if (is_url && (rule.status < 300 || rule.status >= 400)) return bad("a URL can only be redirected to");
    for (const std::string_view segment : split(words[0], "/")) {
      auto decoded = percent_decode(segment);
      if (!decoded) return bad(decoded.error().message);
      if (!rule.from.empty() && rule.from.back() == "*") return bad("* may only be the last segment");
      rule.from.push_back(*std::move(decoded));
    }
    redirects.rules_.push_back(std::move(rule));
  }
  return redirects;
}

std::optional<Redirects::Rewrite> Redirects::find(const std::vector<std::string>& names) const {
  for (const Rule& rule : rules_) {
    Values values;
    bool matches = true;
    bool has_splat = false;
    for (std::size_t i = 0; i < rule.from.size() && matches && !has_splat; ++i) {
      const std::string& segment = rule.from[i];
      if (segment == "*") {
        has_splat = true;
        std::string& rest = values["splat"];
        for (std::size_t j = i; j < names.size(); ++j) rest += (j > i ? "/" : "") + percent_encode(names[j]);
      } else if (i >= names.size()) {
        matches = false;
      } else if (segment.size() > 1 && segment.starts_with(':')) {
        const auto [value, is_new] = values.emplace(segment.substr(1), percent_encode(names[i]));
        matches = is_new || value->second == percent_encode(names[i]);
      } else {
        matches = segment == names[i];
      }
    }
    if (!matches || (!has_splat && rule.from.size() != names.size())) continue;
    const std::string to = rule.to.starts_with('/') ? "" : rule.to.substr(0, rule.to.find("//") + 2);
    return Rewrite{rule.status, to + substitute(std::string_view(rule.to).substr(to.size()), values)};
  }
  return std::nullopt;
}

}  // namespace codio::web
