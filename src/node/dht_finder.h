// Providers from the DHT: what it finds are addresses, which are asked who they are.
#pragma once

#include <cstddef>
#include <memory>
#include <boost/asio/any_io_executor.hpp>

#include "dht/dht_node.h"
#include "gateway/http_client.h"
#include "node/ask_queue.h"
#include "node/endpoint_book.h"
#include "node/provider.h"

namespace codio::node {

struct DhtFinderOptions {
  AskQueueOptions queue;
  /// For a connection: the longest way on earth, and a packet that is lost and sent again.
  Duration connect_timeout = std::chrono::seconds(2);
  /// Without a byte.
  Duration timeout = std::chrono::seconds(3);
  /// For an answer, however it trickles.
  Duration answer_timeout = std::chrono::seconds(6);
  /// Given to one search, which ends then: no download has use for more.
  std::size_t max_providers = 64;
  /// As the DHT's network: only public addresses are asked, and few of one network. Else max_of_network does not count.
  bool public_only = true;
  EndpointBookOptions book;
};

/// An address counts when it answers /.well-known/codio with a descriptor that is signed for this very question.
class DhtFinder : public ProviderFinder {
 public:
  /// `dht` must outlive it.
  DhtFinder(boost::asio::any_io_executor executor, dht::DhtNode& dht, DhtFinderOptions options = {});
  ~DhtFinder() override;

  FindId find(const content_id::ContentId& root, Duration deadline, OnFound on_found, OnEnd on_end) override;
  void cancel(FindId find) override;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace codio::node
