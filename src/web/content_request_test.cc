#include "web/content_request.h"

#include <gtest/gtest.h>

namespace codio::web {
namespace {

using content_id::ContentId;
using content_id::unixfs::Scope;

const std::string kV0 = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG";
const std::string kV1 = "bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf6d2ho34";

std::expected<ContentRequest, Refusal> read(const std::string& target, std::string_view accept = "",
                                            const HostMeaning& host = {}) {
  return read_path_request(Request{.target = target, .accept = accept}, host);
}

int refused(const std::string& target, std::string_view accept = "") {
  const auto content = read(target, accept);
  return content ? 0 : content.error().status;
}

TEST(ContentRequest, ReadsEscapedPaths) {
  const auto content = read("/ipfs/" + kV0 + "/%C4%85//a%2Fb/c+d%20e/?x=1");
  ASSERT_TRUE(content) << content.error().message;
  EXPECT_EQ(content->root.to_string(), kV0);
  EXPECT_EQ(content->names, (std::vector<std::string>{"ą", "a/b", "c+d e"}));
  EXPECT_TRUE(content->is_directory_url());
  EXPECT_EQ(content->content_path, "/ipfs/" + kV0 + "/%C4%85/a%2Fb/c+d%20e/");
  EXPECT_EQ(content->query, "?x=1");
}

TEST(ContentRequest, FormatGoesBeforeAccept) {
  EXPECT_EQ(read("/ipfs/" + kV1, "application/vnd.ipld.car")->format, Format::kCar);
  EXPECT_TRUE(read("/ipfs/" + kV1, "application/vnd.ipld.car")->format_by_accept);
  EXPECT_EQ(read("/ipfs/" + kV1 + "?format=raw", "application/vnd.ipld.car")->format, Format::kRaw);
  EXPECT_EQ(read("/ipfs/" + kV1, "text/html, */*;q=0.8")->format, Format::kFile);
  EXPECT_EQ(read("/ipfs/" + kV1, "application/json")->format, Format::kFile);
}

TEST(ContentRequest, ReadsTheParametersOfACar) {
  const auto content = read("/ipfs/" + kV1 + "?format=car&car-dups=y&dag-scope=block");
  ASSERT_TRUE(content);
  EXPECT_TRUE(content->car.duplicates);
  EXPECT_EQ(content->car.scope, Scope::kBlock);
  const auto bytes = read("/ipfs/" + kV1 + "?format=car&entity-bytes=-10:*");
  ASSERT_TRUE(bytes);
  EXPECT_EQ(bytes->car.scope, Scope::kEntity);
  EXPECT_EQ(bytes->car.bytes->from, -10);
  EXPECT_FALSE(bytes->car.bytes->to);
  EXPECT_TRUE(read("/ipfs/" + kV1, "application/vnd.ipld.car; version=1; order=dfs; dups=y")->car.duplicates);
}

TEST(ContentRequest, RefusesParametersThatMeanNothing) {
  const std::string car = "/ipfs/" + kV1 + "?format=car&";
  for (const char* parameter :
       {"dag-scope=some", "car-dups=maybe", "car-order=random", "car-version=2", "entity-bytes=1", "entity-bytes=:5",
        "entity-bytes=9:3", "entity-bytes=99999999999999999999:*"}) {
    EXPECT_EQ(refused(car + parameter), 400) << parameter;
  }
  EXPECT_EQ(refused("/ipfs/" + kV1 + "?format=zip"), 400);
  EXPECT_EQ(refused("/ipfs/" + kV1, "application/vnd.ipld.car; version=2"), 400);
}

TEST(ContentRequest, SaysWhatIsWrongWithAPath) {
  const auto content = read("/ipfs/QmInvalidCID");
  ASSERT_FALSE(content);
  EXPECT_EQ(content.error().status, 400);
  EXPECT_NE(content.error().message.find("invalid path \"/ipfs/QmInvalidCID\""), std::string::npos);
  EXPECT_EQ(refused("/ipfs/" + kV1 + "/%zz"), 400);
  EXPECT_EQ(refused("/ipfs/" + kV1 + "/%00"), 400);
  EXPECT_EQ(refused("/ipfs/"), 400);
  EXPECT_EQ(refused("/ipns/example.net"), 501);
}

TEST(ContentRequest, FollowsAPathOfSoManyNames) {
  std::string path = "/ipfs/" + kV1;
  for (int i = 0; i < 128; ++i) path += "//a";
  const auto content = read(path);
  ASSERT_TRUE(content);
  EXPECT_EQ(content->names.size(), 128u);
  EXPECT_TRUE(read(path + "/"));
  EXPECT_EQ(refused(path + "/a"), 400);
}

TEST(ContentRequest, LeadsIpfsUrlsToTheirPath) {
  const auto content = read("/ipfs/?uri=ipfs%3A%2F%2F" + kV0 + "%2Fwiki%2FDiego%20M.html");
  ASSERT_FALSE(content);
  EXPECT_EQ(content.error().status, 301);
  EXPECT_EQ(content.error().headers.front().value, "/ipfs/" + kV0 + "/wiki/Diego%20M.html");
}

TEST(ContentRequest, NoServiceWorkerHasAWholeGateway) {
  const std::string target = "/ipfs/" + kV1;
  EXPECT_EQ(read_path_request(Request{.target = target, .service_worker = "script"}, {}).error().status, 400);
  EXPECT_TRUE(read_path_request(Request{.target = target + "/sw.js", .service_worker = "script"}, {}));
}

TEST(ContentRequest, ASubdomainGatewaySendsFilesToTheirOrigin) {
  const HostMeaning host{
      .kind = HostMeaning::Kind::kGateway, .gateway = "example.com:81", .root = {}, .scheme = "https"};
  const auto content = read("/ipfs/" + kV0 + "/Portugal%252C+España=x%20y.txt?a=b", "", host);
  ASSERT_FALSE(content);
  EXPECT_EQ(content.error().status, 301);
  EXPECT_EQ(content.error().headers.front().value,
            "https://" + kV1 + ".ipfs.example.com:81/Portugal%252C+Espa%C3%B1a=x%20y.txt?a=b");
  EXPECT_TRUE(read("/ipfs/" + kV0 + "?format=raw", "", host));
}

TEST(ContentRequest, AnOriginsPathsAreItsContents) {
  const auto content = read_origin_request(Request{.target = "/ipfs/a.txt"}, *ContentId::parse(kV1),
                                           Place{.kind = Place::Kind::kSubdomain, .prefix = "", .gateway = "x"});
  ASSERT_TRUE(content);
  EXPECT_EQ(content->names, (std::vector<std::string>{"ipfs", "a.txt"}));
}

}  // namespace
}  // namespace codio::web
