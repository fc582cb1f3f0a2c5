#include "rendezvous/turn.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/stat.h>
#include <utility>

#include "common/check.h"

namespace codio::rendezvous {
namespace {

constexpr std::size_t kMaxSecret = 1024;

std::string base64(const unsigned char* bytes, std::size_t size) {
  std::string text((size + 2) / 3 * 4 + 1, '\0');  // And the zero that OpenSSL writes.
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes, static_cast<int>(size));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

std::string hmac_sha1(std::string_view key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  const auto* done = HMAC(EVP_sha1(), key.data(), static_cast<int>(key.size()),
                          reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  check(done != nullptr);
  return base64(digest.data(), size);
}

bool is_turn(const std::string& url) { return url.starts_with("turn:") || url.starts_with("turns:"); }

}  // namespace

Result<TurnSecret> TurnSecret::make(std::string secret, std::chrono::seconds lifetime) {
  if (secret.empty() || secret.size() > kMaxSecret) {
    return fail(ErrorCode::kMalformed, "a TURN secret has 1 to 1024 characters");
  }
  return TurnSecret(std::move(secret), lifetime);
}

Result<TurnSecret> TurnSecret::read(const std::string& file, std::chrono::seconds lifetime) {
  const auto failed = [&](std::string_view why) {
    return fail(ErrorCode::kIo, "the TURN secret in " + file + " " + std::string(why));
  };
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0) return failed(std::string("cannot be read: ") + std::strerror(errno));
  if ((status.st_mode & S_IRWXO) != 0) return failed("can be read by everybody; make it private: chmod o-rwx " + file);
  std::ifstream stream(file);
  std::string secret;
  if (!std::getline(stream, secret) || secret.empty()) return failed("is not on its first line");
  return make(std::move(secret), lifetime);
}

std::vector<IceServer> TurnSecret::issue(std::vector<IceServer> servers, std::chrono::seconds now) const {
  for (IceServer& server : servers) {
    if (!server.username.empty() || std::ranges::none_of(server.urls, is_turn)) continue;
    server.username = std::to_string((now + lifetime_).count()) + ":codio";
    server.credential = hmac_sha1(secret_, server.username);
  }
  return servers;
}

}  // namespace codio::rendezvous
