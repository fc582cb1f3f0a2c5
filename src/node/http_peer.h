// A gateway as a peer of the exchange: it answers the engine's wants with blocks that it gets over HTTP, so that the
// scheduler weighs it against peers as one more of them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <boost/asio/any_io_executor.hpp>

#include "common/bytes.h"
#include "common/result.h"
#include "gateway/http_client.h"
#include "node/reach.h"

namespace codio::node {

struct HttpPeerEvents {
  /// A frame of docs/protocol.md §4 for the engine.
  std::function<void(Bytes)> on_message;
  /// It can give no more; the last that is heard of it.
  std::function<void(Error)> on_closed;
};

/// Everything happens on the executor, the events never from within a call, nor after the destructor.
///
/// Memory: within the engine's credit for the block that is being handed over, and one block for each request.
class HttpPeer {
 public:
  /// Says HELLO. `gateway` as gateway::parse_gateway_url() gives it; `teller` is the reach
  /// of who named it: may_name(). `http` must outlive it.
  HttpPeer(boost::asio::any_io_executor executor, gateway::HttpClient& http, std::string gateway, Reach teller,
           HttpPeerEvents events);
  ~HttpPeer();
  HttpPeer(const HttpPeer&) = delete;
  HttpPeer& operator=(const HttpPeer&) = delete;

  const std::string& gateway() const;
  /// A frame of the engine.
  void send(BytesView message);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace codio::node
