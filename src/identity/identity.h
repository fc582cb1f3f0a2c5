// Who a peer is: an Ed25519 key pair (RFC 8032), whose public half is the peer's id. docs/protocol.md §5.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/bytes.h"
#include "common/result.h"

namespace codio::identity {

using PublicKey = std::array<std::uint8_t, 32>;
using Signature = std::array<std::uint8_t, 64>;

/// The id of whoever holds the key: its unpadded base64url.
inline constexpr std::size_t kPeerIdSize = 43;
std::string peer_id(const PublicKey& key);
/// Nothing: not the id of a key, but a name that a rendezvous gave, or no id at all.
std::optional<PublicKey> key_of(std::string_view peer_id);

/// What a signature is for: the same key never signs the same bytes for two purposes.
enum class Purpose : std::uint8_t {
  kDescriptor,  ///< docs/protocol.md §1
  kJoin,        ///< docs/protocol.md §2
  kHello,       ///< docs/protocol.md §4
};

/// Whether the holder of the key signed the message. Any lengths.
bool verify(BytesView key, Purpose purpose, BytesView message, BytesView signature);

/// A key pair. Copies share it; safe to use from several threads.
class Key {
 public:
  static Key generate();
  /// Reads the key from a PEM file (PKCS #8, as `openssl pkey` reads it), or makes it there if there is none, readable
  /// by its owner only. Two programs that make it at once get the same one. kIo if the file cannot be made or read, or
  /// others may read it; kMalformed if it is no Ed25519 key.
  static Result<Key> load_or_make(const std::filesystem::path& file);

  const PublicKey& public_key() const { return public_key_; }
  const std::string& peer_id() const { return peer_id_; }
  Signature sign(Purpose purpose, BytesView message) const;

 private:
  struct Pair;
  explicit Key(std::shared_ptr<const Pair> pair);

  std::shared_ptr<const Pair> pair_;
  PublicKey public_key_;
  std::string peer_id_;
};

/// 128 random bits as 22 characters of base64url, which nobody can guess: a challenge, a name.
std::string random_token();

std::string to_base64url(BytesView bytes);
/// Nothing: it is over 768 bytes, or not the one unpadded text of some bytes.
std::optional<Bytes> from_base64url(std::string_view text);

}  // namespace codio::identity
