// Who serves content, and the ways to find that out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/strong.h"
#include "common/time.h"
#include "content_id/cid.h"
#include "node/reach.h"

namespace codio::node {

/// A node that said that it serves some content, and proved who it is.
struct Provider {
  std::string peer;                     ///< The id of its key.
  std::string address;                  ///< `ADDRESS:PORT`, where it was found.
  std::vector<std::string> rendezvous;  ///< `ws:` or `wss:` URLs where it answers offers.
  std::vector<std::string> gateways;    ///< `http:` or `https:` URLs, as gateway::parse_gateway_url() reads them.
  Duration latency{};                   ///< Of one question to it and its answer.
  /// Of the address that told the URLs: where they lead must be reached from as far at least, as may_name() has it.
  Reach teller = Reach::kInternet;
};

/// How a search ended.
struct FindSummary {
  std::size_t candidates = 0;  ///< Addresses that were said to serve it.
  std::size_t dead = 0;        ///< Of them, those that did not answer …
  std::size_t liars = 0;       ///< … or answered something else than a node does …
  std::size_t unasked = 0;     ///< … or were too many, or not asked in time.
  /// Why it may have found too little, and what to do; empty: it could do its work.
  std::string trouble;
};

struct FindTag;
using FindId = Id<FindTag, std::uint64_t>;

/// Finds providers. Everything happens on one executor, callbacks never from within a call.
class ProviderFinder {
 public:
  using OnFound = std::function<void(const Provider&)>;
  using OnEnd = std::function<void(const FindSummary&)>;

  virtual ~ProviderFinder() = default;

  /// Gives each provider once, and the end within about `deadline`.
  virtual FindId find(const content_id::ContentId& root, Duration deadline, OnFound on_found, OnEnd on_end) = 0;
  /// Neither callback is called any more. One that is over is ignored.
  virtual void cancel(FindId find) = 0;
};

}  // namespace codio::node
