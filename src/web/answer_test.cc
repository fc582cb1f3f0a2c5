#include "web/answer.h"

#include <gtest/gtest.h>

#include "web/listing.h"

namespace codio::web {
namespace {

using content_id::ContentId;

const ContentId kCid = *ContentId::parse("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e");

ContentRequest read(const std::string& rest, std::string_view accept = "") {
  const std::string target = "/ipfs/" + kCid.to_string() + rest;
  return *read_path_request(Request{.target = target, .accept = accept}, {});
}

std::string written(const Head& head, unsigned version = 11) {
  std::string text;
  write_head(head, version, text);
  return text;
}

TEST(Answer, AFileSaysAllThatCachesNeed) {
  const ContentRequest content = read("/a.txt");
  const Answer answer = answer_file(Request{}, content, {kCid, kCid},
                                    {.etag = file_etag(kCid), .content_type = "text/plain", .size = 11});
  EXPECT_EQ(answer.head.status, 200);
  EXPECT_EQ(answer.head.get("etag"), "\"" + kCid.to_string() + "\"");
  EXPECT_EQ(answer.head.get("Cache-Control"), "public, max-age=29030400, immutable");
  EXPECT_EQ(answer.head.get("X-Ipfs-Path"), "/ipfs/" + kCid.to_string() + "/a.txt");
  EXPECT_EQ(answer.head.get("X-Ipfs-Roots"), kCid.to_string() + "," + kCid.to_string());
  EXPECT_EQ(answer.head.get("X-Codio-CID"), kCid.to_string());
  EXPECT_EQ(answer.head.get("Content-Length"), "11");
  EXPECT_TRUE(answer.head.is_for_all_origins);
  const std::string text = written(answer.head);
  EXPECT_TRUE(text.contains("\r\nAccess-Control-Allow-Origin: *\r\n"));
  EXPECT_TRUE(text.contains("Retry-After"));
  EXPECT_TRUE(text.ends_with("\r\n\r\n"));
  EXPECT_EQ(answer.bytes.end, 11u);
}

TEST(Answer, HeadHasTheLengthAndNoBytes) {
  const Answer answer = answer_file(Request{.is_head = true, .range = "bytes=0-1"}, read(""), {kCid},
                                    {.etag = file_etag(kCid), .content_type = "text/plain", .size = 11});
  EXPECT_EQ(answer.head.status, 200);
  EXPECT_EQ(answer.head.get("Content-Length"), "11");
  EXPECT_EQ(answer.bytes.begin, answer.bytes.end);
}

TEST(Answer, ACompressedFileIsAnotherRepresentation) {
  const FileAnswer plain{.etag = file_etag(kCid), .content_type = "text/plain", .size = 1000, .is_compressible = true};
  FileAnswer file = plain;
  file.size = 300;
  file.is_compressed = true;
  const Answer answer = answer_file(Request{}, read(""), {kCid}, file);
  EXPECT_EQ(answer.head.get("Content-Encoding"), "gzip");
  const std::string tag = "W/\"" + kCid.to_string() + ".gz\"";
  EXPECT_EQ(answer.head.get("Etag"), tag);
  EXPECT_EQ(answer.head.get("Content-Length"), "300");
  EXPECT_EQ(answer.head.get("Accept-Ranges"), "none");
  EXPECT_EQ(answer.head.get("Vary"), "Accept, Accept-Encoding");
  EXPECT_EQ(answer_file(Request{}, read(""), {kCid}, plain).head.get("Vary"), "Accept, Accept-Encoding");
  EXPECT_EQ(answer_file(Request{.if_none_match = tag}, read(""), {kCid}, file).head.status, 304);
  // What has the beginning of one does not go on with the other, nor is a part of the one cut from the other.
  EXPECT_EQ(answer_file(Request{.range = "bytes=5-", .if_range = tag}, read(""), {kCid}, plain).head.status, 200);
  EXPECT_EQ(answer_file(Request{.range = "bytes=5-", .if_none_match = tag}, read(""), {kCid}, plain).head.status, 206);
}

TEST(Http, GzipIsForWhoAcceptsIt) {
  for (const char* text : {"gzip", "deflate, gzip;q=0.5", "br;q=1.0, GZIP", "*", "identity;q=0, *;q=0.1"}) {
    EXPECT_TRUE(accepts_gzip(text)) << text;
  }
  for (const char* text : {"", "br", "gzip;q=0", "gzip; Q=0.000", "*, gzip;q=0", "identity", "*;q=0", "gzipped"}) {
    EXPECT_FALSE(accepts_gzip(text)) << text;
  }
}

TEST(Http, CodingsAreWeighed) {
  const char* text = "gzip;q=0.5, BR ; q=0.125, zstd;q=0, deflate;q=1.0, compress;q=x, *;q=0.07";
  EXPECT_EQ(weight_of_coding(text, "gzip"), 500u);
  EXPECT_EQ(weight_of_coding(text, "br"), 125u);
  EXPECT_EQ(weight_of_coding(text, "zstd"), 0u);
  EXPECT_EQ(weight_of_coding(text, "deflate"), 1000u);
  EXPECT_EQ(weight_of_coding(text, "compress"), 1000u);
  EXPECT_EQ(weight_of_coding(text, "dcb"), 70u);
  EXPECT_EQ(weight_of_coding("br;q=0.00012345678901234567890", "br"), 0u);
  EXPECT_EQ(weight_of_coding("br;q=0x5", "br"), 0u);
}

TEST(Http, AHeadGivesWhatWasAdded) {
  Head head;
  head.add("X-Long", "1");
  head.add("X", "2");
  head.add("x-long", "3");
  head.add("X-Empty", "");
  EXPECT_EQ(head.get("X"), "2");
  EXPECT_EQ(head.get("x-LONG"), "1");
  EXPECT_EQ(head.get("X-Empty"), "");
  EXPECT_EQ(head.get("X-L"), "");
  EXPECT_EQ(head.size(), 4u);
  EXPECT_EQ(head.lines(), "X-Long: 1\r\nX: 2\r\nx-long: 3\r\nX-Empty: \r\n");
}

TEST(Http, NothingInAValueEndsItsLine) {
  Head head;
  head.add("X-A", "b\r\nX-B: c\x7f");
  EXPECT_EQ(written(head, 10), "HTTP/1.0 200 OK\r\nX-A: b  X-B: c \r\n\r\n");
}

TEST(Answer, BlocksAreDownloadsOfTheirOwn) {
  const Answer answer = answer_block(Request{}, read("", "application/vnd.ipld.raw"), {kCid}, 5);
  EXPECT_EQ(answer.head.get("Etag"), "\"" + kCid.to_string() + ".raw\"");
  EXPECT_EQ(answer.head.get("Content-Type"), "application/vnd.ipld.raw");
  EXPECT_EQ(answer.head.get("Content-Disposition"), "attachment; filename=\"" + kCid.to_string() + ".bin\"");
  EXPECT_EQ(answer.head.get("Content-Location"), "/ipfs/" + kCid.to_string() + "?format=raw");
  EXPECT_EQ(answer_block(Request{}, read("?format=raw"), {kCid}, 5).head.get("Content-Location"), "");
}

TEST(Answer, CarsOfDifferentParametersHaveDifferentTags) {
  const auto tag = [](const std::string& parameters) {
    return std::string(answer_stream(Request{}, read("?format=car" + parameters), {kCid}).get("Etag"));
  };
  EXPECT_TRUE(tag("").starts_with("W/\"" + kCid.to_string() + ".car."));
  EXPECT_NE(tag(""), tag("&car-dups=y"));
  EXPECT_NE(tag(""), tag("&dag-scope=block"));
  EXPECT_NE(tag("&entity-bytes=0:1"), tag("&entity-bytes=0:2"));
  EXPECT_EQ(tag(""), tag("&dag-scope=all"));
  const Head head = answer_stream(Request{}, read("?format=car&car-dups=y"), {kCid});
  EXPECT_EQ(head.get("Content-Type"), "application/vnd.ipld.car; version=1; order=dfs; dups=y");
  EXPECT_EQ(head.get("Accept-Ranges"), "none");
}

TEST(Answer, NamesAreAsciiAndExact) {
  const Answer answer = answer_file(Request{}, read("?filename=test%D1%82%D0%B5%D1%81%D1%82.txt&download=true"), {kCid},
                                    {.etag = "\"x\"", .content_type = "text/plain", .size = 1});
  EXPECT_EQ(answer.head.get("Content-Disposition"),
            "attachment; filename=\"test____.txt\"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.txt");
}

TEST(Answer, NothingThatAStrangerWroteEndsAHeader) {
  Head head;
  head.add("Location", "/a\r\nSet-Cookie: x=1");
  EXPECT_EQ(written(head), "HTTP/1.1 200 OK\r\nLocation: /a  Set-Cookie: x=1\r\n\r\n");
  const Answer answer = answer_file(Request{}, read("?filename=a%0D%0AX%3A%20%22b"), {kCid},
                                    {.etag = "\"x\"", .content_type = "text/plain", .size = 1});
  EXPECT_TRUE(answer.head.get("Content-Disposition").starts_with("inline; filename=\"a__X: _b\""));
}

TEST(Answer, ADirectorysUrlGetsItsSlashAndNoOtherHost) {
  EXPECT_EQ(add_slash(read("/a?x=1")).headers.front().value, "/ipfs/" + kCid.to_string() + "/a/?x=1");
  const auto origin = read_origin_request(Request{.target = "//evil.example"}, kCid,
                                          {.kind = Place::Kind::kSite, .prefix = "", .gateway = ""});
  ASSERT_TRUE(origin);
  EXPECT_EQ(add_slash(*origin).headers.front().value, "/evil.example/");
}

TEST(Answer, ConvertsNoCodec) {
  EXPECT_EQ(check_codec(read("?format=dag-json"), kCid)->status, 406);
  EXPECT_FALSE(check_codec(read("?format=dag-json"), ContentId::v1(content_id::Codec::kDagJson, kCid.multihash())));
  EXPECT_FALSE(check_codec(read("?format=raw"), kCid));
}

TEST(Answer, ExplainsItselfToPeopleAndPrograms) {
  const Refusal refusal{404, "there is no \"<script>\" here"};
  EXPECT_EQ(explain(Request{}, refusal).body, "there is no \"<script>\" here\n");
  const Page page = explain(Request{.accept = "text/html"}, refusal);
  EXPECT_NE(page.body.find("404 Not Found"), std::string::npos);
  EXPECT_NE(page.body.find("&lt;script&gt;"), std::string::npos);
  EXPECT_EQ(page.body.find("<script>"), std::string::npos);
}

TEST(Listing, EscapesWhatStrangersCallTheirFiles) {
  const ContentRequest content = read("/\"><img>/");
  const std::string row = listing_entry(content, {.name = "<b>\"&'.txt", .cid = kCid, .cumulative_size = 1500});
  EXPECT_EQ(row.find("<b>"), std::string::npos);
  EXPECT_NE(row.find("&lt;b&gt;&quot;&amp;&#39;.txt</a>"), std::string::npos);
  EXPECT_NE(row.find("%3Cb%3E%22&amp;&#39;.txt\""), std::string::npos);
  EXPECT_NE(row.find("1.5 kB"), std::string::npos);
  EXPECT_EQ(listing_begin(content, kCid).find("<img>"), std::string::npos);
}

TEST(Listing, SizesReadWell) {
  EXPECT_EQ(readable_size(0), "0 B");
  EXPECT_EQ(readable_size(999), "999 B");
  EXPECT_EQ(readable_size(1000), "1.0 kB");
  EXPECT_EQ(readable_size(15'360), "15 kB");
  EXPECT_EQ(readable_size(999'999), "1.0 MB");
  EXPECT_EQ(readable_size(1'048'576), "1.0 MB");
  EXPECT_EQ(readable_size(123'456'789'012), "123 GB");
  EXPECT_EQ(readable_size(~std::uint64_t{0}), "18 EB");
}

}  // namespace
}  // namespace codio::web
