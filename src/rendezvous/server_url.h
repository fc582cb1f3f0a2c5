#pragma once

#include <string>
#include <string_view>

#include "common/result.h"

namespace codio::rendezvous {

/// Where a rendezvous is: `ws://host[:port]/path` or `wss://…`.
struct ServerUrl {
  bool tls = false;
  std::string host;  ///< IPv6 addresses without brackets.
  std::string port;
  std::string target;
  std::string text;  ///< As it was given, for messages.

  static Result<ServerUrl> parse(std::string_view text);
};

}  // namespace codio::rendezvous
