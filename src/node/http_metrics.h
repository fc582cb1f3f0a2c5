// What the HTTP server did, for /metrics and the access log.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <boost/asio/ip/address.hpp>

#include "common/time.h"

namespace codio::node {

/// One answered request.
struct AccessRecord {
  boost::asio::ip::address client;
  std::string_view method;
  std::string_view host;
  std::string_view target;
  int status;
  std::uint64_t bytes;  ///< Of the body.
  Duration took;
};

/// Thread-safe.
class HttpMetrics {
 public:
  HttpMetrics();
  ~HttpMetrics();

  void count(const AccessRecord& record);
  void connected();
  void disconnected();
  /// A connection or request was turned away by a limit.
  void turned_away();
  /// In Prometheus's text format; `pulls`: that run now.
  std::string text(std::size_t pulls) const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace codio::node
