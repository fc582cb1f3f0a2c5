#include "identity/identity.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

#include "common/check.h"

namespace codio::identity {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

Bytes unhex(std::string_view text) {
  Bytes bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

class KeyFile : public testing::Test {
 protected:
  KeyFile() { fs::create_directories(folder_); }
  ~KeyFile() override { fs::remove_all(folder_); }

  void write(std::string_view text, fs::perms mode = fs::perms::owner_read) const {
    std::ofstream(file_) << text;
    fs::permissions(file_, mode);
  }

  const fs::path folder_ = fs::temp_directory_path() / ("codio-identity-" + random_token());
  const fs::path file_ = folder_ / "identity.pem";
};

TEST_F(KeyFile, IsMadeOnceAndForItsOwnerOnly) {
  const auto first = Key::load_or_make(file_);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(fs::status(file_).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  const auto second = Key::load_or_make(file_);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(first->peer_id(), second->peer_id());
  const Signature signature = first->sign(Purpose::kJoin, as_bytes("x"));
  EXPECT_TRUE(verify(second->public_key(), Purpose::kJoin, as_bytes("x"), signature));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1) << "no draft is left";
}

TEST_F(KeyFile, IsTheSameForAllWhoMakeItAtOnce) {
  std::vector<std::string> ids(8);
  {
    std::vector<std::jthread> threads;
    for (std::string& id : ids) {
      threads.emplace_back([this, &id] { id = Key::load_or_make(file_).value().peer_id(); });
    }
  }
  EXPECT_THAT(ids, testing::Each(ids.front()));
}

TEST_F(KeyFile, OfPkcs8IsRead) {
  // RFC 8410 §10.3.
  write(
      "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
      "-----END PRIVATE KEY-----\n");
  const auto key = Key::load_or_make(file_);
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(key->peer_id(), "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE");
}

TEST_F(KeyFile, ThatOthersMayReadIsRefused) {
  write("", fs::perms::owner_read | fs::perms::group_read);
  const auto key = Key::load_or_make(file_);
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().code, ErrorCode::kIo);
  EXPECT_THAT(key.error().message, HasSubstr("chmod 600 " + file_.string()));
}

TEST_F(KeyFile, WithoutAnEd25519KeyIsRefused) {
  for (const std::string& text : {std::string("not a key"), std::string(), std::string(100'000, 'A')}) {
    fs::remove(file_);
    write(text);
    const auto key = Key::load_or_make(file_);
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error().code, ErrorCode::kMalformed);
    EXPECT_THAT(key.error().message, HasSubstr(file_.string()));
  }
}

TEST_F(KeyFile, InAFolderThatDoesNotExistCannotBeMade) {
  const auto key = Key::load_or_make(folder_ / "missing" / "identity.pem");
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().code, ErrorCode::kIo);
  EXPECT_THAT(key.error().message, HasSubstr("missing/identity.pem: No such file"));
}

TEST(PeerId, IsTheKey) {
  const Key key = Key::generate();
  EXPECT_EQ(key.peer_id().size(), kPeerIdSize);
  EXPECT_EQ(key_of(key.peer_id()), key.public_key());
  EXPECT_NE(Key::generate().peer_id(), key.peer_id());
}

TEST(PeerId, ThatIsNoKeyIsTold) {
  const std::string id = Key::generate().peer_id();
  EXPECT_FALSE(key_of(""));
  EXPECT_FALSE(key_of(random_token()));
  EXPECT_FALSE(key_of(id + "A"));
  EXPECT_FALSE(key_of(id.substr(1)));
  EXPECT_FALSE(key_of(id.substr(1) + "=")) << "not of the alphabet";
  EXPECT_FALSE(key_of(id.substr(1) + "B")) << "its last bits are not zero: a second name of the same key";
}

TEST(Signature, IsOfItsKeyPurposeAndMessage) {
  const Key key = Key::generate();
  Signature signature = key.sign(Purpose::kHello, as_bytes("message"));
  EXPECT_TRUE(verify(key.public_key(), Purpose::kHello, as_bytes("message"), signature));
  EXPECT_FALSE(verify(Key::generate().public_key(), Purpose::kHello, as_bytes("message"), signature));
  EXPECT_FALSE(verify(key.public_key(), Purpose::kJoin, as_bytes("message"), signature));
  EXPECT_FALSE(verify(key.public_key(), Purpose::kHello, as_bytes("messages"), signature));
  signature[5] ^= 1;
  EXPECT_FALSE(verify(key.public_key(), Purpose::kHello, as_bytes("message"), signature));
}

TEST(Signature, OfWrongLengthsIsRefused) {
  const Key key = Key::generate();
  const Signature signature = key.sign(Purpose::kHello, {});
  const BytesView whole(signature);
  EXPECT_FALSE(verify(key.public_key(), Purpose::kHello, {}, whole.first(63)));
  EXPECT_FALSE(verify(key.public_key(), Purpose::kHello, {}, {}));
  EXPECT_FALSE(verify(BytesView(key.public_key()).first(31), Purpose::kHello, {}, whole));
  EXPECT_FALSE(verify({}, Purpose::kHello, {}, whole));
}

TEST(Signature, IsOverTheDocumentedText) {
  // Made by Node.js (crypto.sign) with the key of RFC 8032 §7.1, TEST 1: "codio-rendezvous.1 join\n" and 32 bytes 7.
  const Bytes key = unhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  const Bytes signature = unhex(
      "f8964a9cb8377b13c4cb40a0f55883cbde30b512bdb11562ddace252d2877e6d"
      "88af045d74e32abbc2a47e422e23f6921235eb24181f9d6760ff38dc7a59e703");
  EXPECT_TRUE(verify(key, Purpose::kJoin, Bytes(32, 7), signature));
}

TEST(Base64Url, HasOneTextForBytes) {
  EXPECT_EQ(to_base64url(unhex("fbff00")), "-_8A");
  EXPECT_EQ(from_base64url("-_8A"), unhex("fbff00"));
  EXPECT_EQ(from_base64url(""), Bytes());
  EXPECT_FALSE(from_base64url("-_8A="));
  EXPECT_FALSE(from_base64url("+/8A"));
  EXPECT_FALSE(from_base64url("-_9"));
  EXPECT_FALSE(from_base64url(std::string(2000, 'A')));
}

}  // namespace
}  // namespace codio::identity
