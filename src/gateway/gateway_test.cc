#include "gateway/gateway.h"

#include <arpa/inet.h>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <list>
#include <map>
#include <mutex>
#include <numeric>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <openssl/x509v3.h>

#include "content_id/car.h"

namespace codio::gateway {
namespace {

using content_id::Codec;
using content_id::ContentId;
using content_id::HashCode;
using content_id::Multihash;
using std::chrono::milliseconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

constexpr std::chrono::seconds kLong(20);  // For what happens at once; a test that waits so long has failed.

ContentId cid_of(BytesView block, HashCode code = HashCode::kSha2_256) {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  EVP_Digest(block.data(), block.size(), digest.data(), &size,
             code == HashCode::kSha2_512 ? EVP_sha512() : EVP_sha256(), nullptr);
  return ContentId::v1(Codec::kRaw, *Multihash::make(code, BytesView(digest).first(size)));
}

Bytes block_of(std::size_t size, std::uint8_t first = 0) {
  Bytes block(size);
  std::iota(block.begin(), block.end(), first);
  return block;
}

/// What a client said, and the means to answer it.
class Exchange {
 public:
  Exchange(int socket, SSL* tls, std::string head) : socket_(socket), tls_(tls), head_(std::move(head)) {}

  const std::string& head() const { return head_; }
  std::string target() const {
    const auto begin = head_.find(' ') + 1;
    return head_.substr(begin, head_.find(' ', begin) - begin);
  }

  /// False when the client has gone.
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const auto sent = tls_ ? SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size()))
                             : ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  void answer(int status, std::string_view type, BytesView body, std::string_view more = {}) const {
    send("HTTP/1.1 " + std::to_string(status) + " Said\r\nContent-Type: " + std::string(type) +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + std::string(more) + "\r\n");
    send(as_text(body));
  }
  void answer_block(BytesView block) const { answer(200, "application/vnd.ipld.raw", block); }
  void close() const { ::shutdown(socket_, SHUT_RDWR); }
  /// Returns when the client gives up.
  void hang() const {
    char byte = 0;
    while (::recv(socket_, &byte, 1, 0) > 0) {
    }
  }

 private:
  const int socket_;
  SSL* const tls_;
  const std::string head_;
};

/// A key and its self-signed certificate for 127.0.0.1.
class Identity {
 public:
  Identity() {
    X509_set_version(certificate_.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate_.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate_.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate_.get()), 3600);
    X509_set_pubkey(certificate_.get(), key_.get());
    X509_NAME* name = X509_get_subject_name(certificate_.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
    X509_set_issuer_name(certificate_.get(), name);
    X509_EXTENSION* address = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(certificate_.get(), address, -1);
    X509_EXTENSION_free(address);
    X509_sign(certificate_.get(), key_.get(), EVP_sha256());
    SSL_CTX_use_certificate(context_.get(), certificate_.get());
    SSL_CTX_use_PrivateKey(context_.get(), key_.get());
  }

  SSL_CTX* context() const { return context_.get(); }
  void write_certificate(const std::string& path) const {
    std::FILE* file = std::fopen(path.c_str(), "w");
    PEM_write_X509(file, certificate_.get());
    std::fclose(file);
  }

 private:
  template <auto free>
  using Free = decltype([](auto* object) { free(object); });

  const std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>> key_{EVP_EC_gen("P-256")};
  const std::unique_ptr<X509, Free<X509_free>> certificate_{X509_new()};
  const std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>> context_{SSL_CTX_new(TLS_server_method())};
};

/// Listens on a port of its own; a thread a connection, which ends before the socket is closed.
class Listener {
 public:
  explicit Listener(std::function<void(int socket)> serve)
      : serve_(std::move(serve)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ::ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept(); });
  }
  ~Listener() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
    }
    connections_.clear();
    for (const int socket : sockets_) ::close(socket);
    ::close(listener_);
  }

  int port() const { return port_; }
  std::size_t connections() {
    const std::lock_guard lock(mutex_);
    return sockets_.size();
  }

 private:
  void accept() {
    while (true) {
      const int socket = ::accept(listener_, nullptr, nullptr);
      if (socket < 0) return;
      const std::lock_guard lock(mutex_);
      sockets_.push_back(socket);
      connections_.emplace_back([this, socket] { serve_(socket); });
    }
  }

  const std::function<void(int)> serve_;
  const int listener_;
  int port_ = 0;
  std::mutex mutex_;
  std::vector<int> sockets_;
  std::list<std::jthread> connections_;
  std::thread acceptor_;
};

using Tls = std::unique_ptr<SSL, decltype([](SSL* tls) { SSL_free(tls); })>;

/// The server's end of a handshake; null if it failed.
Tls accept_tls(const Identity& identity, int socket) {
  Tls tls(SSL_new(identity.context()));
  SSL_set_fd(tls.get(), socket);
  return SSL_accept(tls.get()) == 1 ? std::move(tls) : nullptr;
}

/// An HTTP/1.1 server that says what the test wants.
class Server {
 public:
  using Script = std::function<void(const Exchange&)>;

  explicit Server(Script script, const Identity* identity = nullptr)
      : script_(std::move(script)), identity_(identity), listener_([this](int socket) { serve(socket); }) {}

  std::string url() const {
    return (identity_ ? "https" : "http") + ("://127.0.0.1:" + std::to_string(listener_.port())) + "/ipfs/";
  }

  /// The requests so far, whole heads; waits for `count` of them.
  std::vector<std::string> requests(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kLong, [&] { return requests_.size() >= count; }));
    return requests_;
  }
  std::size_t connections() { return listener_.connections(); }

 private:
  void serve(int socket) {
    Tls tls;
    if (identity_ && !(tls = accept_tls(*identity_, socket))) return;
    std::string input;
    std::array<char, 4096> buffer;
    while (true) {
      const auto end = input.find("\r\n\r\n");
      if (end == input.npos) {
        const auto size =
            tls ? SSL_read(tls.get(), buffer.data(), buffer.size()) : ::recv(socket, buffer.data(), buffer.size(), 0);
        if (size <= 0) return;
        input.append(buffer.data(), static_cast<std::size_t>(size));
        continue;
      }
      const Exchange exchange(socket, tls.get(), input.substr(0, end + 2));
      input.erase(0, end + 4);
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(exchange.head());
      }
      changed_.notify_all();
      script_(exchange);
    }
  }

  const Script script_;
  const Identity* const identity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> requests_;
  Listener listener_;
};

/// An HTTP/2 server with one block, of at most 16 KiB. It answers when a connection has `together` requests waiting.
class Http2Server {
 public:
  Http2Server(const Identity& identity, Bytes block, std::size_t together)
      : identity_(identity),
        block_(std::move(block)),
        together_(together),
        listener_([this](int socket) { serve(socket); }) {
    SSL_CTX_set_alpn_select_cb(identity.context(), &Http2Server::select_protocol, nullptr);
  }

  std::string url() const { return "https://127.0.0.1:" + std::to_string(listener_.port()) + "/ipfs/"; }
  std::size_t connections() { return listener_.connections(); }

 private:
  enum Type : std::uint8_t { kData = 0, kHeaders = 1, kSettings = 4, kPing = 6 };
  static constexpr std::uint8_t kAck = 1, kEndStream = 1, kEndHeaders = 4;

  static int select_protocol(SSL*, const unsigned char** out, unsigned char* size, const unsigned char*, unsigned,
                             void*) {
    *out = reinterpret_cast<const unsigned char*>("h2");
    *size = 2;
    return SSL_TLSEXT_ERR_OK;
  }

  static bool read(SSL* tls, std::string& into, std::size_t size) {
    into.resize(size);
    for (std::size_t at = 0; at < size;) {
      const int got = SSL_read(tls, into.data() + at, static_cast<int>(size - at));
      if (got <= 0) return false;
      at += static_cast<std::size_t>(got);
    }
    return true;
  }

  static void write(SSL* tls, Type type, std::uint8_t flags, const std::string& stream, std::string_view payload) {
    std::string frame;
    for (const int shift : {16, 8, 0}) frame += static_cast<char>(payload.size() >> shift & 0xff);
    frame += static_cast<char>(type);
    frame += static_cast<char>(flags);
    frame += stream;
    frame += payload;
    SSL_write(tls, frame.data(), static_cast<int>(frame.size()));
  }

  void serve(int socket) const {
    const std::string connection(4, '\0');
    const Tls tls = accept_tls(identity_, socket);
    std::string head, payload;
    if (!tls || !read(tls.get(), head, 24)) return;  // The preface.
    write(tls.get(), kSettings, 0, connection, {});
    std::vector<std::string> waiting;
    while (read(tls.get(), head, 9)) {
      const auto byte = [&](int i) { return static_cast<std::size_t>(static_cast<std::uint8_t>(head[i])); };
      if (!read(tls.get(), payload, byte(0) << 16 | byte(1) << 8 | byte(2))) return;
      const bool is_answer = (byte(4) & kAck) != 0;
      if (byte(3) == kSettings && !is_answer) write(tls.get(), kSettings, kAck, connection, {});
      if (byte(3) == kPing && !is_answer) write(tls.get(), kPing, kAck, connection, payload);
      if (byte(3) == kHeaders) waiting.push_back(head.substr(5, 4));
      if (waiting.size() < together_) continue;
      for (const std::string& stream : waiting) {
        // HPACK: `:status: 200`, then `content-type` by its index, both of the static table.
        const std::string type = "application/vnd.ipld.raw";
        write(tls.get(), kHeaders, kEndHeaders, stream,
              "\x88\x0f\x10" + std::string(1, static_cast<char>(type.size())) + type);
        write(tls.get(), kData, kEndStream, stream, as_text(block_));
      }
      waiting.clear();
    }
  }

  const Identity& identity_;
  const Bytes block_;
  const std::size_t together_;
  Listener listener_;
};

/// A port on which nobody listens.
std::string refusing_url() {
  const Server gone([](const Exchange&) {});
  return gone.url();
}

std::future<Result<SharedBytes>> start(Gateway& gateway, const ContentId& cid, FetchId* id = nullptr) {
  const auto promise = std::make_shared<std::promise<Result<SharedBytes>>>();
  auto future = promise->get_future();
  const FetchId started =
      gateway.fetch_cid(cid, [promise](Result<SharedBytes> result) { promise->set_value(std::move(result)); });
  if (id) *id = started;
  return future;
}

/// What comes at once, or a failure of the test.
Result<SharedBytes> get(std::future<Result<SharedBytes>>& future) {
  if (future.wait_for(kLong) != std::future_status::ready) {
    ADD_FAILURE() << "nothing came";
    std::abort();
  }
  return future.get();
}

/// Hedges soon: what these tests wait for.
GatewayConfig impatient() { return {.timeout = std::chrono::minutes(1), .health = {.first_hedge = milliseconds(100)}}; }
/// Hedges never.
GatewayConfig patient() {
  constexpr auto kNever = std::chrono::hours(1);
  return {.health = {.first_hedge = kNever, .least_hedge = kNever, .most_hedge = kNever}};
}

struct Failure {
  std::string gateway;
  ErrorCode code;
  bool operator==(const Failure&) const = default;
};

class GatewayTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"http_proxy", "https_proxy", "all_proxy", "ALL_PROXY", "HTTPS_PROXY"}) ::unsetenv(name);
  }

  /// A client of these gateways, in this order.
  std::unique_ptr<Gateway> client(const std::vector<std::string>& urls, GatewayConfig config = {}) {
    config.primary = urls.at(0);
    config.fallbacks.assign(urls.begin() + 1, urls.end());
    config.on_failure = [this](std::string_view gateway, const Error& error) {
      const std::lock_guard lock(mutex_);
      failures_.push_back({std::string(gateway), error.code});
    };
    auto made = Gateway::make(std::move(config));
    EXPECT_TRUE(made) << made.error().message;
    return *std::move(made);
  }

  std::vector<Failure> failures() {
    const std::lock_guard lock(mutex_);
    return failures_;
  }

  const Bytes block_ = block_of(300'000);
  const ContentId cid_ = cid_of(block_);

  /// Declared before every client of a test: outlives it.
  Server good_{[this](const Exchange& exchange) { exchange.answer_block(block_); }};

 private:
  std::mutex mutex_;
  std::vector<Failure> failures_;
};

TEST_F(GatewayTest, AsksForTheRawBlock) {
  const auto gateway = client({good_.url()}, {.user_agent = "codio/1.2.3"});
  EXPECT_EQ(**gateway->fetch_cid(cid_), block_);
  const auto requests = good_.requests(1);
  ASSERT_THAT(requests, SizeIs(1));
  EXPECT_THAT(requests[0], StartsWith("GET /ipfs/" + cid_.to_string() + "?format=raw HTTP/1.1\r\n"));
  EXPECT_THAT(requests[0], HasSubstr("\r\nAccept: application/vnd.ipld.raw\r\n"));
  EXPECT_THAT(requests[0], HasSubstr("\r\nUser-Agent: codio/1.2.3\r\n"));
  EXPECT_THAT(failures(), ElementsAre());
}

TEST_F(GatewayTest, UsesAConnectionAgain) {
  const auto gateway = client({good_.url()});
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(gateway->fetch_cid(cid_));
  EXPECT_EQ(good_.connections(), 1U);
}

TEST_F(GatewayTest, FetchesTheEmptyBlock) {
  const Server server([](const Exchange& exchange) { exchange.answer_block({}); });
  EXPECT_EQ(**client({server.url()})->fetch_cid(cid_of({})), Bytes());
}

TEST_F(GatewayTest, FetchesTheLargestBlock) {
  const Bytes large = block_of(content_id::kMaxBlockSize);
  const Server server([&](const Exchange& exchange) { exchange.answer_block(large); });
  EXPECT_EQ(**client({server.url()})->fetch_cid(cid_of(large)), large);
}

TEST_F(GatewayTest, VerifiesSha512) {
  const auto cid = cid_of(block_, HashCode::kSha2_512);
  EXPECT_EQ(**client({good_.url()})->fetch_cid(cid), block_);
  const auto other = client({good_.url()})->fetch_cid(cid_of(block_of(10), HashCode::kSha2_512));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kMismatch);
}

TEST_F(GatewayTest, ReadsAnIdentityBlockFromItsCid) {
  const auto cid = ContentId::v1(Codec::kRaw, *Multihash::make(HashCode::kIdentity, as_bytes("hello")));
  EXPECT_EQ(as_text(**client({refusing_url()})->fetch_cid(cid)), "hello");
}

TEST_F(GatewayTest, AsksNobodyForABlockThatItCannotVerify) {
  const auto cid = ContentId::v1(Codec::kRaw, *Multihash::make(HashCode::kBlake3, Bytes(32)));
  const auto result = client({good_.url()})->fetch_cid(cid);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(good_.requests(0), ElementsAre());
}

struct BadAnswer {
  std::string name;
  Server::Script script;
  ErrorCode code;
  std::string cause;
};

std::vector<BadAnswer> bad_answers() {
  static const std::string kRaw = "application/vnd.ipld.raw";
  return {
      {"Missing", [](const Exchange& e) { e.answer(404, "text/plain", as_bytes("no link")); }, ErrorCode::kNotFound,
       "HTTP 404"},
      {"MissingWithoutABody", [](const Exchange& e) { e.answer(404, "text/plain", {}); }, ErrorCode::kNotFound,
       "HTTP 404"},
      {"MissingAtLength", [](const Exchange& e) { e.answer(404, "text/html", block_of(500'000)); },
       ErrorCode::kNotFound, "HTTP 404"},
      {"ServerError", [](const Exchange& e) { e.answer(504, kRaw, as_bytes("timeout")); }, ErrorCode::kUnavailable,
       "HTTP 504"},
      {"Html", [](const Exchange& e) { e.answer(200, "text/html; charset=utf-8", as_bytes("<html>log in</html>")); },
       ErrorCode::kUnavailable, "answered with text/html; charset=utf-8"},
      {"NastyType", [](const Exchange& e) { e.answer(200, "a/\x1b[31m" + std::string(1000, 'b'), {}); },
       ErrorCode::kUnavailable, "answered with a/?[31mbbb"},
      {"NoType", [](const Exchange& e) { e.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"); },
       ErrorCode::kUnavailable, "no content type"},
      {"WrongBytes", [](const Exchange& e) { e.answer_block(block_of(300'000, 1)); }, ErrorCode::kMismatch,
       "not those of"},
      {"Nothing", [](const Exchange& e) { e.answer_block({}); }, ErrorCode::kMismatch, "not those of"},
      {"EndlessBody",
       [](const Exchange& e) {
         e.send("HTTP/1.1 200 OK\r\nContent-Type: " + kRaw + "\r\nConnection: close\r\n\r\n");
         while (e.send(std::string(65536, 'x'))) {
         }
       },
       ErrorCode::kTooLarge, "more than the 2 MiB"},
      {"EndlessHeaders",
       [](const Exchange& e) {
         e.send("HTTP/1.1 200 OK\r\n");
         while (e.send("X-More: " + std::string(8000, 'x') + "\r\n")) {
         }
       },
       ErrorCode::kUnavailable, ""},
      {"Silence", [](const Exchange& e) { e.hang(); }, ErrorCode::kTimeout, "no byte came for 300 ms"},
      {"SilenceWithinTheBody",
       [](const Exchange& e) {
         e.send("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\nContent-Type: " + kRaw + "\r\n\r\nsome");
         e.hang();
       },
       ErrorCode::kTimeout, "no byte came for 300 ms"},
      {"RedirectLoop", [](const Exchange& e) { e.answer(302, "text/plain", {}, "Location: " + e.target() + "\r\n"); },
       ErrorCode::kUnavailable, "redirects"},
      {"RedirectToAFile",
       [](const Exchange& e) { e.answer(302, "text/plain", {}, "Location: file:///etc/passwd\r\n"); },
       ErrorCode::kUnavailable, "rotocol"},
      {"RedirectToNowhere", [](const Exchange& e) { e.answer(302, "text/plain", as_bytes("gone")); },
       ErrorCode::kUnavailable, "HTTP 302"},
      {"EndWithinTheBody",
       [](const Exchange& e) {
         e.send("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\nContent-Type: " + kRaw + "\r\n\r\nsome");
         e.close();
       },
       ErrorCode::kUnavailable, "closed"},
      {"EndBeforeTheHead", [](const Exchange& e) { e.close(); }, ErrorCode::kUnavailable, "Empty reply"},
      {"NotHttp",
       [](const Exchange& e) {
         e.send("220 mail.example.com ESMTP\r\n");
         e.close();
       },
       ErrorCode::kUnavailable, "HTTP/0.9"},
  };
}

class GatewayWithBadAnswer : public GatewayTest, public testing::WithParamInterface<BadAnswer> {};
INSTANTIATE_TEST_SUITE_P(Bad, GatewayWithBadAnswer, testing::ValuesIn(bad_answers()),
                         [](const auto& answer) { return answer.param.name; });

TEST_P(GatewayWithBadAnswer, GoesOnToTheNextGateway) {
  Server bad(GetParam().script);
  GatewayConfig config = patient();
  config.timeout = milliseconds(300);
  const auto gateway = client({bad.url(), good_.url()}, config);
  const auto result = gateway->fetch_cid(cid_);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(**result, block_);
  EXPECT_THAT(failures(), ElementsAre(Failure{bad.url(), GetParam().code}));
}

TEST_P(GatewayWithBadAnswer, NamesTheCause) {
  Server bad(GetParam().script);
  const auto gateway = client({bad.url()}, {.timeout = milliseconds(300)});
  const auto result = gateway->fetch_cid(cid_);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, GetParam().code);
  EXPECT_THAT(result.error().message, StartsWith("all gateways failed for " + cid_.to_string() + ": " + bad.url()));
  EXPECT_THAT(result.error().message, HasSubstr(GetParam().cause));
}

TEST_F(GatewayTest, NamesEachGatewayAndItsCauseWhenAllFail) {
  const std::string refusing = refusing_url();
  Server missing([](const Exchange& e) { e.answer(404, "text/plain", {}); });
  Server liar([](const Exchange& e) { e.answer_block(as_bytes("a lie")); });
  const auto result = client({refusing, missing.url(), liar.url()})->fetch_cid(cid_);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(result.error().message, AllOf(StartsWith("all gateways failed"), HasSubstr(refusing + ": "),
                                            HasSubstr("onnect"), HasSubstr("; " + missing.url() + ": HTTP 404"),
                                            HasSubstr("; " + liar.url() + ": the bytes are not")));
  EXPECT_THAT(failures(),
              ElementsAre(Failure{refusing, ErrorCode::kUnavailable}, Failure{missing.url(), ErrorCode::kNotFound},
                          Failure{liar.url(), ErrorCode::kMismatch}));
}

TEST_F(GatewayTest, SaysNotFoundWhenAllSaySo) {
  Server missing([](const Exchange& e) { e.answer(404, "text/plain", {}); });
  Server gone([](const Exchange& e) { e.answer(410, "text/plain", {}); });
  EXPECT_EQ(client({missing.url(), gone.url()})->fetch_cid(cid_).error().code, ErrorCode::kNotFound);
}

TEST_F(GatewayTest, FollowsARedirect) {
  Server moved([this](const Exchange& e) {
    e.answer(301, "text/html", as_bytes("moved"), "Location: " + good_.url() + cid_.to_string() + "?format=raw\r\n");
  });
  EXPECT_TRUE(client({moved.url()})->fetch_cid(cid_));
}

TEST_F(GatewayTest, RefusesACertificateThatNobodyTrusts) {
  const Identity identity;
  Server server([this](const Exchange& e) { e.answer_block(block_); }, &identity);
  const auto result = client({server.url()})->fetch_cid(cid_);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(result.error().message, HasSubstr("certificate"));
  EXPECT_TRUE(client({server.url(), good_.url()})->fetch_cid(cid_));
  EXPECT_THAT(server.requests(0), SizeIs(0));
}

TEST_F(GatewayTest, FetchesOverTlsWithACertificateOfOnesOwn) {
  const Identity identity;
  Server server([this](const Exchange& e) { e.answer_block(block_); }, &identity);
  const std::string file = testing::TempDir() + "codio-gateway-" + std::to_string(::getpid()) + ".pem";
  identity.write_certificate(file);
  const auto gateway = client({server.url()}, {.ca_file = file});
  for (int i = 0; i < 3; ++i) {
    const auto result = gateway->fetch_cid(cid_);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(**result, block_);
  }
  EXPECT_EQ(server.connections(), 1U);
  ::unlink(file.c_str());
}

TEST_F(GatewayTest, RefusesARedirectFromHttpsToHttp) {
  const Identity identity;
  Server server(
      [this](const Exchange& e) {
        e.answer(301, "text/html", {}, "Location: " + good_.url() + cid_.to_string() + "?format=raw\r\n");
      },
      &identity);
  const std::string file = testing::TempDir() + "codio-gateway-" + std::to_string(::getpid()) + ".pem";
  identity.write_certificate(file);
  const auto result = client({server.url()}, {.ca_file = file})->fetch_cid(cid_);
  ::unlink(file.c_str());
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("rotocol"));
  EXPECT_THAT(good_.requests(0), SizeIs(0));
}

TEST_F(GatewayTest, AsksAgainWhenAnIdleConnectionWasClosed) {
  std::atomic<int> asked = 0;
  Server cutting([&](const Exchange& e) {
    e.answer_block(block_);
    if (++asked == 1) e.close();  // As a server does that is tired of an idle connection.
  });
  const auto gateway = client({cutting.url()});
  EXPECT_TRUE(gateway->fetch_cid(cid_));
  EXPECT_TRUE(gateway->fetch_cid(cid_));
}

/// A server that answers `/ipfs/<cid of stuck_>` never and everything else with the block of its CID.
class GatewayWithAStall : public GatewayTest {
 protected:
  const Bytes stuck_block_ = block_of(100);
  const ContentId stuck_ = cid_of(stuck_block_);
  Server server_{[this](const Exchange& e) {
    if (e.target().find(stuck_.to_string()) != std::string::npos) return e.hang();
    e.answer_block(block_);
  }};
};

TEST_F(GatewayWithAStall, DoesNotWaitBehindIt) {
  const auto gateway = client({server_.url()});
  const auto stalled = start(*gateway, stuck_);
  server_.requests(1);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(gateway->fetch_cid(cid_));
}

TEST_F(GatewayWithAStall, CancelEndsIt) {
  const auto gateway = client({server_.url()});
  FetchId id;
  auto stalled = start(*gateway, stuck_, &id);
  server_.requests(1);
  gateway->cancel(id);
  EXPECT_EQ(get(stalled).error().code, ErrorCode::kCancelled);
  EXPECT_THAT(failures(), ElementsAre());
  gateway->cancel(id);  // Has no effect.
  EXPECT_TRUE(gateway->fetch_cid(cid_));
}

TEST_F(GatewayWithAStall, QueuesWhatIsOverTheLimitAndCancelFreesAPlace) {
  const auto gateway = client({server_.url()}, {.health = {.max_per_gateway = 2}});
  std::array<FetchId, 3> ids;
  std::vector<std::future<Result<SharedBytes>>> stalled;
  for (FetchId& id : ids) stalled.push_back(start(*gateway, stuck_, &id));
  auto queued = start(*gateway, cid_);
  EXPECT_THAT(server_.requests(2), SizeIs(2));

  gateway->cancel(ids[2]);  // From the queue: frees no place.
  EXPECT_EQ(get(stalled[2]).error().code, ErrorCode::kCancelled);
  EXPECT_THAT(server_.requests(2), SizeIs(2));

  gateway->cancel(ids[0]);
  EXPECT_EQ(get(stalled[0]).error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(get(queued));
  EXPECT_THAT(server_.requests(3), SizeIs(3));
}

TEST_F(GatewayWithAStall, DestructionCancelsEverything) {
  std::vector<std::future<Result<SharedBytes>>> stalled;
  {
    const auto gateway = client({server_.url()}, {.health = {.max_per_gateway = 2}});
    for (int i = 0; i < 5; ++i) stalled.push_back(start(*gateway, stuck_));
    server_.requests(2);
  }
  for (auto& fetch : stalled) EXPECT_EQ(get(fetch).error().code, ErrorCode::kCancelled);
}

TEST_F(GatewayTest, ACallbackMayFetchMore) {
  std::promise<std::future<Result<SharedBytes>>> promise;
  auto second = promise.get_future();
  const auto gateway = client({good_.url()});
  gateway->fetch_cid(cid_, [&](const Result<SharedBytes>&) { promise.set_value(start(*gateway, cid_)); });
  auto future = second.get();
  EXPECT_TRUE(get(future));
}

TEST_F(GatewayTest, ServesManyThreads) {
  const auto gateway = client({good_.url()}, {.health = {.max_per_gateway = 4}});
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) EXPECT_TRUE(gateway->fetch_cid(cid_));
    });
  }
  threads.clear();
  EXPECT_LE(good_.connections(), 4U);
}

TEST_F(GatewayTest, LetsADeadGatewayRest) {
  Server broken([](const Exchange& e) { e.answer(500, "text/plain", {}); });
  const auto gateway = client({broken.url(), good_.url()}, {.health = {.rest = std::chrono::hours(1)}});
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(gateway->fetch_cid(cid_));
  EXPECT_THAT(broken.requests(3), SizeIs(3));
  EXPECT_THAT(good_.requests(5), SizeIs(5));
}

TEST_F(GatewayTest, AsksARestingGatewayWhenNoOtherHasTheBlock) {
  std::atomic<bool> broken = true;
  Server resting([&](const Exchange& e) { broken ? e.answer(500, "text/plain", {}) : e.answer_block(block_); });
  Server missing([](const Exchange& e) { e.answer(404, "text/plain", {}); });
  const auto gateway =
      client({resting.url(), missing.url()}, {.health = {.most_failures = 0.2, .rest = std::chrono::hours(1)}});
  EXPECT_FALSE(gateway->fetch_cid(cid_));
  broken = false;
  EXPECT_TRUE(gateway->fetch_cid(cid_));
  EXPECT_THAT(missing.requests(2), SizeIs(2));
  // It works again, so it is the first again.
  EXPECT_TRUE(gateway->fetch_cid(cid_));
  EXPECT_THAT(missing.requests(2), SizeIs(2));
}

TEST_F(GatewayTest, TriesAGatewayAgainAfterItsRest) {
  std::atomic<int> asked = 0;
  Server broken([&](const Exchange& e) {
    ++asked;
    e.answer(500, "text/plain", {});
  });
  const auto gateway = client({broken.url(), good_.url()}, {.health = {.most_failures = 0.2, .rest = milliseconds(1)}});
  while (asked < 3) ASSERT_TRUE(gateway->fetch_cid(cid_));
}

TEST_F(GatewayTest, AsksAnotherGatewayTooWhenOneIsSilentAndEndsThatRequest) {
  std::promise<void> promise;
  auto ended = promise.get_future();
  Server silent([&](const Exchange& e) {
    e.hang();
    promise.set_value();
  });
  const auto gateway = client({silent.url(), good_.url()}, impatient());
  EXPECT_EQ(**gateway->fetch_cid(cid_), block_);
  EXPECT_EQ(ended.wait_for(kLong), std::future_status::ready);
  EXPECT_THAT(failures(), ElementsAre());
  // The other one has shown that it is faster.
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(gateway->fetch_cid(cid_));
  EXPECT_THAT(silent.requests(1), SizeIs(1));
}

TEST_F(GatewayTest, AsksAnotherGatewayTooWhenOneTrickles) {
  Server trickling([](const Exchange& e) {
    e.send("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\nContent-Type: application/vnd.ipld.raw\r\n\r\n");
    while (e.send("x")) std::this_thread::sleep_for(milliseconds(5));
  });
  const auto gateway = client({trickling.url(), good_.url()}, impatient());
  EXPECT_EQ(**gateway->fetch_cid(cid_), block_);
}

TEST_F(GatewayTest, AsksNobodyElseWhenOneAnswersInTime) {
  Server other([](const Exchange& e) { e.answer(500, "text/plain", {}); });
  const auto gateway = client({good_.url(), other.url()}, patient());
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(gateway->fetch_cid(cid_));
  EXPECT_THAT(other.requests(0), SizeIs(0));
}

TEST_F(GatewayTest, WaitsForALateAnswerWhenTheOtherGatewayHasNone) {
  Server missing([](const Exchange& e) { e.answer(404, "text/plain", {}); });
  Server late([&](const Exchange& e) {
    missing.requests(1);
    e.answer_block(block_);
  });
  const auto gateway = client({late.url(), missing.url()}, impatient());
  EXPECT_EQ(**gateway->fetch_cid(cid_), block_);
  EXPECT_THAT(late.requests(1), SizeIs(1));
}

TEST_F(GatewayTest, AsksAThirdGatewayWhenTwoAreSilent) {
  Server first([](const Exchange& e) { e.hang(); });
  Server second([](const Exchange& e) { e.hang(); });
  const auto gateway = client({first.url(), second.url(), good_.url()}, impatient());
  EXPECT_EQ(**gateway->fetch_cid(cid_), block_);
}

TEST_F(GatewayTest, AsksAThirdGatewayWhenOneIsSilentAndTheNextHasNot) {
  Server silent([](const Exchange& e) { e.hang(); });
  Server missing([](const Exchange& e) { e.answer(404, "text/plain", {}); });
  const auto gateway = client({silent.url(), missing.url(), good_.url()}, impatient());
  EXPECT_EQ(**gateway->fetch_cid(cid_), block_);
}

TEST_F(GatewayTest, WaitsForNoPlaceAtAGatewayThatIsSilent) {
  Server silent([](const Exchange& e) { e.hang(); });
  GatewayConfig config = impatient();
  config.health.max_per_gateway = 1;
  const auto gateway = client({silent.url(), good_.url()}, config);
  auto first = start(*gateway, cid_);
  auto second = start(*gateway, cid_);
  EXPECT_TRUE(get(first));
  EXPECT_TRUE(get(second));
  EXPECT_THAT(silent.requests(1), SizeIs(1));
}

TEST_F(GatewayTest, NeverAsksAGatewayAgainThatLied) {
  Server liar([](const Exchange& e) { e.answer_block(as_bytes("a lie")); });
  {
    const auto gateway = client({liar.url(), good_.url()});
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(gateway->fetch_cid(cid_));
    EXPECT_THAT(liar.requests(1), SizeIs(1));
  }
  const auto gateway = client({liar.url()});
  EXPECT_FALSE(gateway->fetch_cid(cid_));
  const auto again = gateway->fetch_cid(cid_);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kMismatch);
  EXPECT_THAT(again.error().message, HasSubstr(liar.url() + ": it lied before"));
  EXPECT_THAT(liar.requests(2), SizeIs(2));
}

TEST_F(GatewayTest, WaitsAsLongAsItIsTold) {
  std::atomic<int> asked = 0;
  Server busy([&](const Exchange& e) {
    ++asked == 1 ? e.answer(429, "text/plain", {}, "Retry-After: 1\r\n") : e.answer_block(block_);
  });
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(**client({busy.url()})->fetch_cid(cid_), block_);
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::seconds(1));
}

TEST_F(GatewayTest, AsksOthersWhileOneWantsToBeLeftAlone) {
  Server busy([](const Exchange& e) { e.answer(503, "text/plain", {}, "Retry-After: 3600\r\n"); });
  const auto gateway = client({busy.url(), good_.url()});
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(gateway->fetch_cid(cid_));
  EXPECT_THAT(busy.requests(1), SizeIs(1));
}

TEST_F(GatewayTest, GivesUpWhenToldToWaitLongerThanItsTimeout) {
  // Ten minutes on the server's clock, which is far behind.
  Server busy([](const Exchange& e) {
    e.answer(429, "text/plain", {},
             "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\nRetry-After: Sat, 01 Jan 2000 00:10:00 GMT\r\n");
  });
  const auto gateway = client({busy.url()});
  const auto told = gateway->fetch_cid(cid_);
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(told.error().message, HasSubstr(busy.url() + ": HTTP 429, and it wants to be left alone for 600 s"));
  const auto other = gateway->fetch_cid(cid_);
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr(busy.url() + ": it wants to be left alone"));
  EXPECT_THAT(busy.requests(1), SizeIs(1));
}

TEST_F(GatewayTest, KeepsWhatCameBeforeAGatewayBrokeOff) {
  std::vector<Bytes> blocks;
  std::map<std::string, BytesView> by_target;
  for (std::uint8_t i = 0; i < 8; ++i) blocks.push_back(block_of(50'000, i));
  for (const Bytes& block : blocks) by_target["/ipfs/" + cid_of(block).to_string() + "?format=raw"] = block;
  std::atomic<int> asked = 0;
  Server dying([&](const Exchange& e) {
    if (++asked <= 3) return e.answer_block(by_target.at(e.target()));
    e.send("HTTP/1.1 200 OK\r\nContent-Length: 50000\r\nContent-Type: application/vnd.ipld.raw\r\n\r\nsome");
    e.close();
  });
  Server other([&](const Exchange& e) { e.answer_block(by_target.at(e.target())); });
  const auto gateway = client({dying.url(), other.url()}, patient());
  std::vector<std::future<Result<SharedBytes>>> fetches;
  for (const Bytes& block : blocks) fetches.push_back(start(*gateway, cid_of(block)));
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const auto result = get(fetches[i]);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(**result, blocks[i]);
  }
  EXPECT_THAT(other.requests(5), SizeIs(5));
}

TEST_F(GatewayTest, AsksForManyBlocksAtOnceOverOneHttp2Connection) {
  constexpr std::size_t kTogether = 8;
  const Identity identity;
  const Bytes block = block_of(10'000);
  Http2Server server(identity, block, kTogether);
  const std::string file = testing::TempDir() + "codio-gateway-" + std::to_string(::getpid()) + ".pem";
  identity.write_certificate(file);
  const auto gateway = client({server.url()}, {.ca_file = file});
  for (int round = 0; round < 2; ++round) {
    std::vector<std::future<Result<SharedBytes>>> fetches;
    for (std::size_t i = 0; i < kTogether; ++i) fetches.push_back(start(*gateway, cid_of(block)));
    for (auto& fetch : fetches) {
      const auto result = get(fetch);
      ASSERT_TRUE(result) << result.error().message;
      EXPECT_EQ(**result, block);
    }
  }
  EXPECT_EQ(server.connections(), 1U);
  ::unlink(file.c_str());
}

TEST_F(GatewayTest, DoesNotLetAGatewayRestThatLacksABlock) {
  Server missing([](const Exchange& e) { e.answer(404, "text/plain", {}); });
  const auto gateway =
      client({missing.url(), good_.url()}, {.health = {.most_failures = 0.2, .rest = std::chrono::hours(1)}});
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(gateway->fetch_cid(cid_));
  EXPECT_THAT(missing.requests(5), SizeIs(5));
}

TEST_F(GatewayTest, FetchesADirectoryOfThePublicNetwork) {
  std::ifstream file(CODIO_FIXTURES_DIR "/QmYwAPJz.car", std::ios::binary);
  if (!file) GTEST_SKIP() << "no file " CODIO_FIXTURES_DIR "/QmYwAPJz.car";
  const std::string archive(std::istreambuf_iterator<char>(file), {});
  content_id::CarReader reader;
  reader.append(as_bytes(archive));
  std::map<std::string, SharedBytes> blocks;
  for (auto block = reader.poll_block(); block && *block; block = reader.poll_block()) {
    blocks["/ipfs/" + (*block)->cid.to_string() + "?format=raw"] = (*block)->bytes;
  }
  Server server([&](const Exchange& e) {
    const auto block = blocks.find(e.target());
    block == blocks.end() ? e.answer(404, "text/plain", {}) : e.answer_block(*block->second);
  });
  const auto root = *ContentId::parse("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG");
  const auto readme = *ContentId::parse("QmPZ9gcCEpqKTo6aq61g2nXGUhM4iCL3ewB6LDXZCtioEB");
  const auto gateway = client({server.url()});
  for (const ContentId& cid : {root, readme}) {
    const auto result = gateway->fetch_cid(cid);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(**result, *blocks.at("/ipfs/" + cid.to_string() + "?format=raw"));
  }
  EXPECT_EQ((*gateway->fetch_cid(root))->size(), 309U);
}

TEST_F(GatewayTest, RefusesABadUrl) {
  const auto made = Gateway::make({.fallbacks = {"ftp://example.com"}});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(made.error().message, HasSubstr("ftp://example.com"));
}

TEST_F(GatewayTest, AsksAGatewayOnceThatWasNamedTwice) {
  Server missing([](const Exchange& e) { e.answer(404, "text/plain", {}); });
  EXPECT_FALSE(client({missing.url(), missing.url()})->fetch_cid(cid_));
  EXPECT_THAT(missing.requests(1), SizeIs(1));
}

TEST_F(GatewayTest, AsksIpfsIoByDefault) { EXPECT_EQ(GatewayConfig().primary, "https://ipfs.io/ipfs/"); }

}  // namespace
}  // namespace codio::gateway
