// One search for all who look for the same content at a time.
#pragma once

#include <chrono>
#include <memory>
#include <boost/asio/any_io_executor.hpp>

#include "node/provider.h"

namespace codio::node {

/// One answer of the gateway is several downloads of one root, and many clients may wait for that root: who provides it
/// is asked once for all of them. Those who come while a search runs get what it found and what it finds; for a while
/// after its end they get what it found, unless that is nothing. Everything happens on the executor.
class SharedFinder : public ProviderFinder {
 public:
  struct Options {
    /// Of a search, whatever those who wait for it give it: each of them hears of its end when its own time is over.
    Duration deadline = std::chrono::seconds(15);
    /// Longer than a download waits for blocks that its providers lack (ExchangeOptions::missing_timeout): it does not
    /// search again meanwhile, and a provider that comes back is known.
    Duration remembered = std::chrono::seconds(15);
  };

  SharedFinder(boost::asio::any_io_executor executor, std::shared_ptr<ProviderFinder> finder, Options options);
  ~SharedFinder() override;

  FindId find(const content_id::ContentId& root, Duration deadline, OnFound on_found, OnEnd on_end) override;
  void cancel(FindId find) override;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace codio::node
