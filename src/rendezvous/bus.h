// The bus that joins the rendezvous of several nodes: a thin shell over NATS, docs/protocol.md §2.5.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <boost/asio/any_io_executor.hpp>

#include "common/result.h"

namespace codio::rendezvous {

/// What a bus tells its owner, on its executor; not after its destructor began.
struct BusEvents {
  std::function<void()> on_connected;  ///< Again, too.
  std::function<void(const Error&)> on_disconnected;
  std::function<void(std::string_view text)> on_message;
};

/// Keeps a connection to a NATS server and reconnects by itself, with a growing delay; what is published meanwhile is
/// dropped, as signals do not keep.
///
/// Threads: everything happens on `executor`, which must not run handlers concurrently; the NATS library has its own.
class Bus {
 public:
  /// `nats://[USER:PASSWORD@|TOKEN@]HOST[:PORT]`, or `tls://…` to require TLS; the certificate is verified against the
  /// system's roots (OpenSSL's SSL_CERT_FILE and SSL_CERT_DIR count) and the host. Several servers of one cluster are
  /// separated by commas. kMalformed if it is no such URL; a server that is not there is no error. `node` is this
  /// node's name on the bus.
  static Result<std::unique_ptr<Bus>> make(boost::asio::any_io_executor executor, const std::string& urls,
                                           const std::string& node, BusEvents events);
  ~Bus();

  /// To one node, or with an empty name to all others.
  void publish(const std::string& node, std::string_view text);

 private:
  class Impl;
  explicit Bus(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

/// Whether it is what Bus::make() takes.
Result<void> check_bus_urls(const std::string& urls);

}  // namespace codio::rendezvous
