#include "identity/identity.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "common/check.h"
#include "content_id/multibase.h"

namespace codio::identity {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMaxKeyFile = 4096;

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Pkey = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;

/// Closes on destruction.
class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int get() const { return descriptor_; }
  explicit operator bool() const { return descriptor_ >= 0; }

 private:
  int descriptor_;
};

std::unexpected<Error> io_failure(std::string_view what, const fs::path& file, int number) {
  return fail(ErrorCode::kIo, "cannot " + std::string(what) + " the key file " + file.string() + ": " +
                                  std::generic_category().message(number));
}

/// What is signed: the purpose, and then the message. No prefix begins another one.
Bytes with_prefix(Purpose purpose, BytesView message) {
  std::string_view prefix;
  switch (purpose) {
    case Purpose::kDescriptor: prefix = "codio-descriptor.1\n"; break;
    case Purpose::kJoin: prefix = "codio-rendezvous.1 join\n"; break;
    case Purpose::kHello: prefix = "codio-exchange.1 hello\n"; break;
  }
  Bytes bytes(prefix.begin(), prefix.end());
  append(bytes, message);
  return bytes;
}

std::string to_pem(EVP_PKEY* pair) {
  const Bio memory(BIO_new(BIO_s_mem()));
  check(memory && PEM_write_bio_PKCS8PrivateKey(memory.get(), pair, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

/// A file of ours that holds `text`, safely on the disk. Whoever made `file` first wins.
Result<void> make_file(const fs::path& file, const std::string& text) {
  const fs::path draft = file.string() + "." + random_token();
  {
    const File out(::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (!out) return io_failure("make", file, errno);
    errno = ENOSPC;  // What a short write does not set.
    if (::write(out.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::fsync(out.get()) != 0) {
      const int error = errno;
      ::unlink(draft.c_str());
      return io_failure("write", file, error);
    }
  }
  const bool linked = ::link(draft.c_str(), file.c_str()) == 0;
  const int error = errno;
  ::unlink(draft.c_str());
  if (!linked && error != EEXIST) return io_failure("make", file, error);
  const File folder(::open(file.has_parent_path() ? file.parent_path().c_str() : ".", O_RDONLY | O_CLOEXEC));
  if (folder) ::fsync(folder.get());
  return {};
}

/// Nothing: there is no such file.
Result<std::optional<std::string>> read_file(const fs::path& file) {
  const File in(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in && errno == ENOENT) return std::nullopt;
  if (!in) return io_failure("read", file, errno);
  struct stat status{};
  if (::fstat(in.get(), &status) != 0) return io_failure("read", file, errno);
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return fail(ErrorCode::kIo,
                "the key file " + file.string() + " is open to others; run: chmod 600 " + file.string());
  }
  std::string text(kMaxKeyFile, '\0');
  const ssize_t size = ::read(in.get(), text.data(), text.size());
  if (size < 0) return io_failure("read", file, errno);
  text.resize(static_cast<std::size_t>(size));
  return text;
}

}  // namespace

struct Key::Pair {
  Pkey pkey;
};

std::string peer_id(const PublicKey& key) { return to_base64url(key); }

std::optional<PublicKey> key_of(std::string_view peer_id) {
  if (peer_id.size() != kPeerIdSize) return std::nullopt;
  const auto bytes = from_base64url(peer_id);
  if (!bytes) return std::nullopt;
  PublicKey key;
  check(bytes->size() == key.size());
  std::ranges::copy(*bytes, key.begin());
  return key;
}

bool verify(BytesView key, Purpose purpose, BytesView message, BytesView signature) {
  if (key.size() != PublicKey().size() || signature.size() != Signature().size()) return false;
  const Pkey pkey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()));
  const DigestContext context(EVP_MD_CTX_new());
  check(context != nullptr);
  if (!pkey || EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) != 1) return false;
  const Bytes bytes = with_prefix(purpose, message);
  return EVP_DigestVerify(context.get(), signature.data(), signature.size(), bytes.data(), bytes.size()) == 1;
}

Key::Key(std::shared_ptr<const Pair> pair) : pair_(std::move(pair)) {
  std::size_t size = public_key_.size();
  check(EVP_PKEY_get_raw_public_key(pair_->pkey.get(), public_key_.data(), &size) == 1);
  peer_id_ = identity::peer_id(public_key_);
}

Key Key::generate() {
  Pkey pkey(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  check(pkey != nullptr);
  return Key(std::make_shared<Pair>(std::move(pkey)));
}

Result<Key> Key::load_or_make(const fs::path& file) {
  auto text = read_file(file);
  if (text && !*text) {
    const Key fresh = generate();
    if (auto made = make_file(file, to_pem(fresh.pair_->pkey.get())); !made) return std::unexpected(made.error());
    text = read_file(file);
  }
  if (!text) return std::unexpected(text.error());
  Pkey pkey;
  if (*text) {
    const Bio memory(BIO_new_mem_buf((*text)->data(), static_cast<int>((*text)->size())));
    const auto no_password = [](char*, int, int, void*) { return -1; };
    pkey.reset(PEM_read_bio_PrivateKey(memory.get(), nullptr, no_password, nullptr));
  }
  if (!pkey || EVP_PKEY_get_id(pkey.get()) != EVP_PKEY_ED25519) {
    return fail(ErrorCode::kMalformed, "the key file " + file.string() +
                                           " holds no Ed25519 key in PEM; move it away, and a new one is made: "
                                           "this peer then has another id");
  }
  return Key(std::make_shared<Pair>(std::move(pkey)));
}

Signature Key::sign(Purpose purpose, BytesView message) const {
  const DigestContext context(EVP_MD_CTX_new());
  check(context && EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, pair_->pkey.get()) == 1);
  const Bytes bytes = with_prefix(purpose, message);
  Signature signature;
  std::size_t size = signature.size();
  check(EVP_DigestSign(context.get(), signature.data(), &size, bytes.data(), bytes.size()) == 1);
  return signature;
}

std::string random_token() {
  std::array<std::uint8_t, 16> bytes;
  check(RAND_bytes(bytes.data(), bytes.size()) == 1);
  return to_base64url(bytes);
}

std::string to_base64url(BytesView bytes) {
  return content_id::multibase_encode(content_id::Multibase::kBase64Url, bytes).substr(1);
}

std::optional<Bytes> from_base64url(std::string_view text) {
  auto bytes = content_id::multibase_decode("u" + std::string(text));
  return bytes ? std::optional(*std::move(bytes)) : std::nullopt;
}

}  // namespace codio::identity
