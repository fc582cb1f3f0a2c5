// Time-limited credentials for a TURN server that shares a secret with us, as coturn's `use-auth-secret` and
// draft-uberti-behave-turn-rest-00 have it.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "rendezvous/messages.h"

namespace codio::rendezvous {

class TurnSecret {
 public:
  /// `secret` is coturn's `static-auth-secret`; credentials are valid for `lifetime`. kMalformed for an empty secret.
  static Result<TurnSecret> make(std::string secret, std::chrono::seconds lifetime);
  /// The same; the secret is the file's first line. kIo if it cannot be read, or others may read it.
  static Result<TurnSecret> read(const std::string& file, std::chrono::seconds lifetime);

  /// The servers, where those with a turn: or turns: URL and no username get one; `now` is Unix time.
  std::vector<IceServer> issue(std::vector<IceServer> servers, std::chrono::seconds now) const;

  std::chrono::seconds lifetime() const { return lifetime_; }

 private:
  TurnSecret(std::string secret, std::chrono::seconds lifetime) : secret_(std::move(secret)), lifetime_(lifetime) {}

  std::string secret_;
  std::chrono::seconds lifetime_;
};

}  // namespace codio::rendezvous
