#include "node/descriptor.h"

#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>

namespace codio::node {
namespace {

using identity::Key;
using nlohmann::json;
using std::chrono::seconds;
using std::chrono::sys_seconds;
using testing::ElementsAre;

constexpr sys_seconds kNow{seconds(1'800'000'000)};
constexpr std::string_view kUrl = "https://node.example:8443/.well-known/codio?challenge=abc";

class Descriptor : public testing::Test {
 protected:
  Statement statement_{.peer = {},
                       .rendezvous = {"/rendezvous"},
                       .gateways = {"/ipfs/"},
                       .versions = {1},
                       .expires = kNow + kStatementLifetime,
                       .challenge = "abc"};

  static std::string text(const SignedStatement& signed_statement) {
    return json{{"version", 1},
                {"rendezvous", {"/rendezvous"}},
                {"signed", {{"statement", signed_statement.statement}, {"signature", signed_statement.signature}}}}
        .dump();
  }
  std::string text() const { return text(sign_statement(key_, statement_)); }

  static Result<Statement> verify(std::string_view text, std::string_view challenge = "abc", sys_seconds now = kNow,
                                  std::string_view url = kUrl) {
    return verify_descriptor(text, {.url = url, .challenge = challenge, .now = now});
  }

  /// A descriptor whose statement was altered and then signed by its own key.
  Result<Statement> verify_signed(const std::function<void(json&)>& alter) const {
    json object = json::parse(sign_statement(key_, statement_).statement);
    alter(object);
    SignedStatement altered{object.dump(), {}};
    altered.signature = identity::to_base64url(key_.sign(identity::Purpose::kDescriptor, as_bytes(altered.statement)));
    return verify(text(altered));
  }

  ErrorCode refusal(const std::function<void(json&)>& alter) const {
    const auto result = verify_signed(alter);
    EXPECT_FALSE(result);
    return result ? ErrorCode::kIo : result.error().code;
  }

  const Key key_ = Key::generate();
};

TEST_F(Descriptor, TellsWhoTheNodeIsAndWhere) {
  const auto statement = verify(text());
  ASSERT_TRUE(statement) << statement.error().message;
  EXPECT_EQ(statement->peer, key_.peer_id());
  EXPECT_THAT(statement->rendezvous, ElementsAre("wss://node.example:8443/rendezvous"));
  EXPECT_THAT(statement->gateways, ElementsAre("https://node.example:8443/ipfs/"));
  EXPECT_THAT(statement->versions, ElementsAre(1));
  EXPECT_EQ(statement->expires, statement_.expires);
  EXPECT_EQ(statement->challenge, "abc");
}

TEST_F(Descriptor, OfPlainHttpLeadsToPlainWebSockets) {
  const auto statement = verify(text(), "abc", kNow, "http://[::1]:8080/.well-known/codio");
  ASSERT_TRUE(statement) << statement.error().message;
  EXPECT_THAT(statement->rendezvous, ElementsAre("ws://[::1]:8080/rendezvous"));
  EXPECT_THAT(statement->gateways, ElementsAre("http://[::1]:8080/ipfs/"));
}

TEST_F(Descriptor, MayNameOtherHosts) {
  statement_.rendezvous = {"wss://other.example/r?a=b", "ws://127.0.0.1:99/"};
  statement_.gateways = {"https://gateway.example/ipfs/"};
  const auto statement = verify(text());
  ASSERT_TRUE(statement) << statement.error().message;
  EXPECT_EQ(statement->rendezvous, statement_.rendezvous);
  EXPECT_EQ(statement->gateways, statement_.gateways);
}

TEST_F(Descriptor, IsReadWithoutAChallenge) {
  statement_.challenge.clear();
  EXPECT_TRUE(verify(text(), ""));
  statement_.challenge = "of another asker, through a cache";
  EXPECT_TRUE(verify(text(), ""));
}

TEST_F(Descriptor, ThatWasReplayedIsRefused) {
  for (const std::string& challenge : {std::string("abd"), std::string("ab"), std::string("abcd"), std::string()}) {
    statement_.challenge = challenge;
    const auto statement = verify(text());
    ASSERT_FALSE(statement);
    EXPECT_EQ(statement.error().code, ErrorCode::kForged);
  }
}

TEST_F(Descriptor, ThatHasExpiredIsRefused) {
  EXPECT_TRUE(verify(text(), "abc", statement_.expires - seconds(1)));
  for (const sys_seconds now : {statement_.expires, statement_.expires + std::chrono::hours(10'000)}) {
    const auto statement = verify(text(), "abc", now);
    ASSERT_FALSE(statement);
    EXPECT_EQ(statement.error().code, ErrorCode::kTimeout);
  }
}

TEST_F(Descriptor, ThatWouldNotExpireWithinADayIsRefused) {
  statement_.expires = kNow + kMaxStatementLifetime;
  EXPECT_TRUE(verify(text()));
  statement_.expires += seconds(1);
  const auto statement = verify(text());
  ASSERT_FALSE(statement);
  EXPECT_EQ(statement.error().code, ErrorCode::kMalformed);
  EXPECT_EQ(refusal([](json& object) { object["expires"] = UINT64_MAX; }), ErrorCode::kMalformed);
  EXPECT_EQ(refusal([](json& object) { object["expires"] = -1; }), ErrorCode::kMalformed);
  EXPECT_EQ(refusal([](json& object) { object["expires"] = 1.8e9; }), ErrorCode::kMalformed);
}

TEST_F(Descriptor, ThatWasForgedIsRefused) {
  const SignedStatement good = sign_statement(key_, statement_);
  const SignedStatement of_another = sign_statement(Key::generate(), statement_);
  SignedStatement changed = good;
  changed.statement.replace(changed.statement.find("/ipfs/"), 6, "/evil/");
  SignedStatement respaced = good;
  respaced.statement += ' ';
  SignedStatement for_another_purpose = good;
  for_another_purpose.signature =
      identity::to_base64url(key_.sign(identity::Purpose::kHello, as_bytes(good.statement)));
  for (const SignedStatement& forged :
       {SignedStatement{good.statement, of_another.signature}, SignedStatement{of_another.statement, good.signature},
        SignedStatement{good.statement, ""}, SignedStatement{good.statement, good.signature.substr(1)},
        SignedStatement{good.statement, good.signature + "AAAA"}, SignedStatement{good.statement, "?"}, changed,
        respaced, for_another_purpose}) {
    const auto statement = verify(text(forged));
    ASSERT_FALSE(statement);
    EXPECT_EQ(statement.error().code, ErrorCode::kForged);
  }
}

TEST_F(Descriptor, WithoutASignatureIsNotFound) {
  const auto statement = verify(R"({"version": 1, "rendezvous": ["/rendezvous"]})");
  ASSERT_FALSE(statement);
  EXPECT_EQ(statement.error().code, ErrorCode::kNotFound);
}

TEST_F(Descriptor, OfAnotherVersionIsRefused) {
  json object = json::parse(text());
  object["version"] = 2;
  const auto statement = verify(object.dump());
  ASSERT_FALSE(statement);
  EXPECT_EQ(statement.error().code, ErrorCode::kUnsupported);
}

TEST_F(Descriptor, ThatIsMalformedIsRefused) {
  const std::string good = text();
  for (const std::string& bad :
       {std::string(), std::string("[]"), std::string("{}"), good.substr(1), good + "}", std::string("\"") + good,
        std::string(R"({"version": "1"})"), std::string(R"({"version": 1, "signed": 1})"),
        std::string(R"({"version": 1, "signed": {"statement": 1, "signature": ""}})"),
        std::string(R"({"version": 1, "signed": {"statement": "{}"}})"),
        std::string(R"({"version": 1, "signed": {"statement": "{}", "signature": ""}})"),
        std::string(R"({"version": 1, "signed": {"statement": "{\"peer\": \"me\"}", "signature": ""}})"),
        std::string(R"({"version": 1, "signed": {"statement": "\u00ff", "signature": ""}})"),
        std::string(30'000, '[') + std::string(30'000, ']')}) {
    const auto statement = verify(bad);
    ASSERT_FALSE(statement) << bad;
    EXPECT_EQ(statement.error().code, ErrorCode::kMalformed) << bad;
  }
}

TEST_F(Descriptor, ThatIsTooLargeIsNotRead) {
  const auto statement = verify(text() + std::string(kMaxDescriptor, ' '));
  ASSERT_FALSE(statement);
  EXPECT_EQ(statement.error().code, ErrorCode::kTooLarge);
}

TEST_F(Descriptor, WhoseStatementBreaksTheRulesIsRefusedThoughSigned) {
  ASSERT_TRUE(verify_signed([](json&) {}));
  ASSERT_TRUE(verify_signed([](json& object) { object["later"] = {{"deep", {{"a", 1}}}}; }));
  for (const char* name : {"rendezvous", "gateways", "versions", "expires"}) {
    EXPECT_EQ(refusal([&](json& object) { object.erase(name); }), ErrorCode::kMalformed) << name;
    EXPECT_EQ(refusal([&](json& object) { object[name] = "text"; }), ErrorCode::kMalformed) << name;
  }
  EXPECT_EQ(refusal([](json& object) { object["rendezvous"] = json::array_t(9, "/"); }), ErrorCode::kMalformed);
  EXPECT_EQ(refusal([](json& object) { object["gateways"] = json::array_t(9, "/"); }), ErrorCode::kMalformed);
  EXPECT_EQ(refusal([](json& object) { object["versions"] = json::array_t(17, 1); }), ErrorCode::kMalformed);
  EXPECT_EQ(refusal([](json& object) { object["versions"] = {1U << 31, std::uint64_t{1} << 32}; }),
            ErrorCode::kMalformed);
}

TEST_F(Descriptor, MayOnlyNameUrlsOfItsKind) {
  for (const std::string& url :
       {std::string(""), std::string("rendezvous"), std::string("//other.example/"), std::string("http://a/"),
        std::string("file:///etc/passwd"), std::string("ws://"), std::string("ws:///path"), std::string("WS://a/"),
        std::string("ws://user:secret@a/"), std::string("ws://a/ b"), std::string("/\r\nX: y"), std::string("/a\\b"),
        std::string("/\u00e9"), std::string("/a#b"), "/" + std::string(2048, 'a'), "/" + std::string(2040, 'a')}) {
    EXPECT_EQ(refusal([&](json& object) { object["rendezvous"] = {url}; }), ErrorCode::kMalformed) << url;
  }
  EXPECT_EQ(refusal([](json& object) { object["rendezvous"] = {7}; }), ErrorCode::kMalformed);
  EXPECT_EQ(refusal([](json& object) { object["gateways"] = {"ws://a/"}; }), ErrorCode::kMalformed);
  EXPECT_EQ(refusal([](json& object) { object["gateways"] = {"javascript:alert(1)"}; }), ErrorCode::kMalformed);
}

TEST_F(Descriptor, MustComeFromAnHttpUrl) {
  for (const std::string_view url : {"", "/.well-known/codio", "ftp://a/", "https://", "https://u@a/", "http://a b/"}) {
    EXPECT_FALSE(verify(text(), "abc", kNow, url)) << url;
  }
}

TEST(Challenge, IsShortAndPlain) {
  EXPECT_TRUE(is_challenge("a"));
  EXPECT_TRUE(is_challenge(identity::random_token()));
  EXPECT_TRUE(is_challenge(std::string(64, '-')));
  EXPECT_FALSE(is_challenge(""));
  EXPECT_FALSE(is_challenge(std::string(65, 'a')));
  EXPECT_FALSE(is_challenge("a b"));
  EXPECT_FALSE(is_challenge("a\""));
}

}  // namespace
}  // namespace codio::node
