#include "web/host.h"

#include <algorithm>

namespace codio::web {
namespace {

bool ends_with_domain(std::string_view host, std::string_view domain) {
  return host.size() > domain.size() + 1 && host.ends_with(domain) && host[host.size() - domain.size() - 1] == '.';
}

/// The first of a list that several proxies wrote.
std::string_view first_of(std::string_view list) {
  std::string_view first = list.substr(0, list.find(','));
  while (first.ends_with(' ')) first.remove_suffix(1);
  return first;
}

}  // namespace

std::string host_name(std::string_view host) {
  if (host.starts_with('[')) {
    host = host.substr(1, std::min(host.find(']'), host.size()) - 1);
  } else {
    host = host.substr(0, host.rfind(':'));
  }
  if (host.ends_with('.')) host.remove_suffix(1);
  std::string name(host);
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return name;
}

bool is_own_host(std::string_view host) {
  if (host.empty() || host.starts_with('[')) return true;
  const std::string name = host_name(host);
  if (name == "localhost" || ends_with_domain(name, "localhost")) return true;
  return std::ranges::all_of(name, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

Refusal too_long_for_dns(const content_id::ContentId& cid) {
  return {400, "CID incompatible with DNS label length limit of 63: " + cid.to_string() +
                   " has a hash that is too long for a host name; ask a gateway by path, /ipfs/CID"};
}

std::expected<HostMeaning, Refusal> understand_host(const Request& request, const std::vector<std::string>& gateways) {
  HostMeaning meaning;
  const std::string_view proto = first_of(request.forwarded_proto);
  meaning.scheme = proto == "https" || (proto != "http" && request.is_encrypted) ? "https" : "http";
  const std::string_view host = request.forwarded_host.empty() ? request.host : first_of(request.forwarded_host);
  const std::string name = host_name(host);
  // The port goes with the gateway's name.
  const std::string_view port =
      host.size() > name.size() && host.find(':') != std::string_view::npos && !host.starts_with('[')
          ? host.substr(host.rfind(':'))
          : std::string_view();
  const auto below = [&](std::string_view gateway) -> std::expected<bool, Refusal> {
    for (const std::string_view space : {".ipfs.", ".ipns."}) {
      const std::string suffix = std::string(space) + std::string(gateway);
      if (!name.ends_with(suffix) || name.size() == suffix.size()) continue;
      const std::string label = name.substr(0, name.size() - suffix.size());
      if (space == ".ipns.") {
        return std::unexpected(Refusal{501, "this gateway does not resolve IPNS names and DNSLink; ask for a CID"});
      }
      const auto cid = content_id::ContentId::parse(label);
      if (!cid) {
        return std::unexpected(
            Refusal{400, cid.error().message + "; host names lose their case, so only CIDs in base32 or base36 work"});
      }
      if (label.size() > kMaxLabel) return std::unexpected(too_long_for_dns(*cid));
      meaning.kind = HostMeaning::Kind::kSubdomain;
      meaning.root = *cid;
      return true;
    }
    return false;
  };
  for (const std::string& gateway : gateways) {
    meaning.gateway = gateway + std::string(port);
    if (name == gateway) {
      meaning.kind = HostMeaning::Kind::kGateway;
      return meaning;
    }
    const auto found = below(gateway);
    if (!found) return std::unexpected(found.error());
    if (*found) return meaning;
  }
  meaning.gateway = "localhost" + std::string(port);
  const auto found = below("localhost");
  if (!found) return std::unexpected(found.error());
  if (!*found) meaning.gateway.clear();
  return meaning;
}

}  // namespace codio::web
