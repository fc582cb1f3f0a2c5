#include <gtest/gtest.h>

#include "web/content_type.h"
#include "web/redirects.h"
#include "web/tar.h"
#include "web/uri.h"

namespace codio::web {
namespace {

std::string rewritten(std::string_view file, const std::vector<std::string>& names) {
  const auto redirects = Redirects::parse(file);
  if (!redirects) return redirects.error().message;
  const auto rewrite = redirects->find(names);
  return rewrite ? std::to_string(rewrite->status) + " " + rewrite->to : "";
}

TEST(Redirects, TheFirstRuleThatMatchesCounts) {
  const std::string_view file =
      "# moved\r\n/one /one.html\r\n/two  /two.html 302\n/posts/:year/:title /articles/:year/:title\n"
      "/splat/* /to/:splat\n/out https://example.net/:x 307\n/* /index.html 200\n";
  EXPECT_EQ(rewritten(file, {"one"}), "301 /one.html");
  EXPECT_EQ(rewritten(file, {"two"}), "302 /two.html");
  EXPECT_EQ(rewritten(file, {"posts", "2022", "a b"}), "301 /articles/2022/a%20b");
  EXPECT_EQ(rewritten(file, {"splat", "a", "b"}), "301 /to/a/b");
  EXPECT_EQ(rewritten(file, {"out"}), "307 https://example.net/:x");
  EXPECT_EQ(rewritten(file, {"any", "thing"}), "200 /index.html");
  EXPECT_EQ(rewritten("/one /two", {"one", "more"}), "");
}

TEST(Redirects, SaysWhatIsWrong) {
  const auto error = [](std::string_view file) { return Redirects::parse(file).error().message; };
  EXPECT_NE(error("/a /b 301!").find("forced redirects (or \"shadowing\") are not supported"), std::string::npos);
  EXPECT_NE(error("/a /b 418").find("unsupported redirect status 418"), std::string::npos);
  EXPECT_NE(error("\n/a").find("line 2"), std::string::npos);
  EXPECT_FALSE(Redirects::parse("a /b"));
  EXPECT_FALSE(Redirects::parse("/*/a /b"));
  EXPECT_FALSE(Redirects::parse("/a //b 99999999999999"));
  EXPECT_FALSE(Redirects::parse("/a https://example.net 200"));
  EXPECT_NE(error(std::string(kMaxRedirects + 1, '#')).find("redirects file size cannot exceed"), std::string::npos);
  EXPECT_TRUE(Redirects::parse(std::string(kMaxRedirects, '#')));
}

TEST(Tar, HeadersHaveTheirSum) {
  const std::string header = tar_header(TarType::kFile, "cid/a.txt", 11);
  ASSERT_EQ(header.size(), 512u);
  EXPECT_EQ(header.substr(0, 9), "cid/a.txt");
  EXPECT_EQ(header.substr(124, 11), "00000000013");
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < header.size(); ++i)
    sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(header[i]);
  EXPECT_EQ(std::stoull(header.substr(148, 6), nullptr, 8), sum);
  EXPECT_EQ(tar_padding(11), 501u);
  EXPECT_EQ(tar_padding(1024), 0u);
}

TEST(Tar, WhatDoesNotFitIsInAPaxHeader) {
  const std::string name(150, 'n');
  const std::string header = tar_header(TarType::kFile, name, std::uint64_t{1} << 40);
  ASSERT_EQ(header.size(), 3u * 512);
  EXPECT_EQ(header[156], 'x');
  EXPECT_EQ(header.substr(512, 10), "160 path=n");
  EXPECT_NE(header.find("size=1099511627776\n"), std::string::npos);
}

TEST(Tar, NoNameLeadsOutside) {
  EXPECT_EQ(tar_path("cid", "cid", "a"), "cid/a");
  EXPECT_EQ(tar_path("cid", "cid/foobar", "../foobar/file"), "cid/foobar/file");
  for (const char* name : {"..", "../x", "../../x", "a/../../x", "", ".", "/.."}) {
    EXPECT_FALSE(tar_path("cid", "cid", name)) << name;
  }
  EXPECT_EQ(tar_path("cid", "cid", "/etc/passwd"), "cid/etc/passwd");
  EXPECT_FALSE(tar_path("cid", "cid", std::string("a\0b", 3)));
}

TEST(ContentType, ByNameThenByBytes) {
  EXPECT_EQ(content_type_of("A.HTML"), "text/html; charset=utf-8");
  EXPECT_EQ(content_type_of("movie.mp4"), "video/mp4");
  EXPECT_EQ(content_type_of("README"), "");
  const auto sniff = [](std::string_view text) { return sniff_content_type(as_bytes(text)); };
  EXPECT_EQ(sniff("  <!DOCTYPE html><p>"), "text/html; charset=utf-8");
  EXPECT_EQ(sniff("\x89PNG\r\n\x1a\n...."), "image/png");
  EXPECT_EQ(sniff("hello"), "text/plain; charset=utf-8");
  EXPECT_EQ(sniff(""), "text/plain; charset=utf-8");
  EXPECT_EQ(sniff(std::string_view("a\0b", 3)), "application/octet-stream");
  EXPECT_EQ(sniff(std::string_view("\0\0\0\x18"
                                   "ftypisom",
                                   12)),
            "video/mp4");
}

TEST(ContentType, TextIsCompressed) {
  for (const char* type : {"text/html; charset=utf-8", "image/svg+xml", "application/json", "application/wasm"}) {
    EXPECT_TRUE(is_compressible(type)) << type;
  }
  for (const char* type : {"image/png", "video/mp4", "application/octet-stream", "application/vnd.ipld.car", ""}) {
    EXPECT_FALSE(is_compressible(type)) << type;
  }
}

TEST(Uri, ParametersAreDecoded) {
  const Target target("http://example.com/a%20b?x=1&name=a%26b+c&bad=%zz#part");
  EXPECT_EQ(target.path, "/a%20b");
  EXPECT_EQ(target.parameter("x"), "1");
  EXPECT_EQ(target.parameter("name"), "a&b c");
  EXPECT_EQ(target.parameter("bad"), std::nullopt);
  EXPECT_EQ(target.parameter("am"), std::nullopt);
  EXPECT_EQ(Target("https://example.com").path, "/");
  EXPECT_FALSE(percent_decode("%"));
  EXPECT_FALSE(percent_decode("%1"));
  EXPECT_FALSE(percent_decode("%00"));
  EXPECT_EQ(*percent_decode(percent_encode("ą /%?#")), "ą /%?#");
}

}  // namespace
}  // namespace codio::web
