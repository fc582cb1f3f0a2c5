// Providers from a Delegated Routing V1 server, which searches networks that we are not in.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <boost/asio/any_io_executor.hpp>

#include "common/result.h"
#include "node/provider.h"

namespace codio::node {

/// `http[s]://host[:port][/path]`, without the last slash.
Result<std::string> parse_router_url(std::string_view text);

/// Asks for gateways, and for peers of a Codio node's rendezvous. The router learns what is looked for.
class RouterFinder : public ProviderFinder {
 public:
  /// `url` as parse_router_url() gives it.
  RouterFinder(boost::asio::any_io_executor executor, std::string url);
  ~RouterFinder() override;

  FindId find(const content_id::ContentId& root, Duration deadline, OnFound on_found, OnEnd on_end) override;
  void cancel(FindId find) override;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace codio::node
