// What a node says of itself at /.well-known/codio, and signs: docs/protocol.md §1. Pure functions over text.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "identity/identity.h"

namespace codio::node {

/// Bytes of a descriptor: what a reader takes before it gives up.
inline constexpr std::size_t kMaxDescriptor = 64 * 1024;
/// Long enough for a clock that is half an hour wrong; a node signs anew for whoever asks.
inline constexpr std::chrono::seconds kStatementLifetime{std::chrono::hours(1)};
/// The furthest expiry that is believed.
inline constexpr std::chrono::seconds kMaxStatementLifetime{std::chrono::hours(24)};

/// What a node vouches for.
struct Statement {
  /// Who it is; its key signed the rest.
  std::string peer;
  /// Its own rendezvous and gateways: as signed, absolute URLs or paths that begin with `/`; when verified, absolute
  /// `ws:` or `wss:`, and `http:` or `https:`. At most 8 each.
  std::vector<std::string> rendezvous;
  std::vector<std::string> gateways;
  /// Of the exchange, docs/protocol.md §4. At most 16.
  std::vector<std::uint32_t> versions;
  std::chrono::sys_seconds expires;
  /// What the asker wanted repeated, so that it knows the answer to be fresh; empty: nothing.
  std::string challenge;

  bool operator==(const Statement&) const = default;
};

/// The descriptor's member `signed`.
struct SignedStatement {
  std::string statement;  ///< JSON.
  std::string signature;  ///< base64url, over `statement`.
};

/// 1 to 64 characters `A-Z a-z 0-9 _ -`, such as identity::random_token().
bool is_challenge(std::string_view text);

/// Signs; `statement.peer` is taken from the key.
SignedStatement sign_statement(const identity::Key& key, Statement statement);

/// What a descriptor is checked against.
struct DescriptorRequest {
  /// The `http:` or `https:` URL that it was fetched from, after redirects. What is relative is so to this.
  std::string_view url;
  /// The query's `challenge`; empty: none was given, and the answer may be a copy of an earlier one.
  std::string_view challenge;
  std::chrono::sys_seconds now;
};

/// Reads a descriptor that anybody may have sent, and believes what is signed in it.
///
/// kTooLarge, kMalformed; kUnsupported: of another version; kNotFound: it is not signed; kForged: the signature is not
/// that of the peer that it names, or another challenge was answered; kTimeout: it has expired.
///
/// It proves who answered, not that its URLs lead there: whoever is reached by them has to prove it again (HELLO).
Result<Statement> verify_descriptor(std::string_view text, const DescriptorRequest& request);

}  // namespace codio::node
