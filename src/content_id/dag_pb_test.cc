#include "content_id/dag_pb.h"

#include <gtest/gtest.h>

#include "content_id/multibase.h"

namespace codio::content_id {
namespace {

Bytes hex(std::string_view text) { return *multibase_decode("f" + std::string(text)); }

const ContentId kCid = ContentId::v1(Codec::kRaw, Digest256{1, 2, 3});

/// A link's message with the fields in the order of `fields`: h(ash), n(ame), t(size), x (unknown).
Bytes link_with_fields(std::string_view fields) {
  Bytes out;
  for (const char field : fields) {
    if (field == 'h') {
      append(out, Bytes{0x0a, 36});
      append(out, kCid.bytes());
    }
    if (field == 'n') append(out, Bytes{0x12, 1, 'a'});
    if (field == 't') append(out, Bytes{0x18, 5});
    if (field == 'x') append(out, Bytes{0x20, 5});
  }
  return out;
}

Bytes node_with_link(const Bytes& link) {
  Bytes out{0x12, static_cast<std::uint8_t>(link.size())};
  append(out, link);
  return out;
}

TEST(DagPb, ReadsAndWritesABlockOfIpfs) {
  // The root of 1,048,577 zero bytes in profile unixfs-v1-2025:
  // 12 2c [0a 24 <cid> 12 00 18 808040]  a link: CID, empty name, 1 MiB
  // 12 2a [0a 24 <cid> 12 00 18 01]      a link: CID, empty name, 1 byte
  // 0a 0c [08 02 18 818040 20 808040 20 01]
  const Bytes block =
      hex("122c0a240155122030e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb581200188080401"
          "22a0a24015512206e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d12001801"
          "0a0c080218818040208080402001");
  const auto node = decode_dag_pb(block);
  ASSERT_TRUE(node) << node.error().message;
  ASSERT_EQ(node->links.size(), 2U);
  EXPECT_EQ(node->links[0].size, 1'048'576U);
  EXPECT_EQ(node->links[1].size, 1U);
  EXPECT_EQ(node->links[1].name, "");
  EXPECT_EQ(node->data->size(), 12U);
  EXPECT_EQ(encode_dag_pb(node->links, node->data), block);
}

TEST(DagPb, SortsLinksByNameBytesAndKeepsTheOrderOfEqualNames) {
  const ContentId other = ContentId::v1(Codec::kRaw, Digest256{9});
  const DagPbLink links[] = {{kCid, "b", 1}, {kCid, "\xff", 2}, {kCid, "a", 3}, {other, "b", 4}, {kCid, "B", 5}};
  const Bytes block = encode_dag_pb(links, {});
  const auto node = decode_dag_pb(block);
  ASSERT_TRUE(node);
  std::vector<std::uint64_t> sizes;
  for (const DagPbLink& link : node->links) sizes.push_back(link.size);
  EXPECT_EQ(sizes, (std::vector<std::uint64_t>{5, 3, 1, 4, 2}));
}

TEST(DagPb, KeepsTheBlocksOrderOfLinksWhenReading) {
  Bytes block = node_with_link(link_with_fields("hnt"));
  append(block, node_with_link(link_with_fields("h")));
  const auto node = decode_dag_pb(block);
  ASSERT_TRUE(node);
  EXPECT_EQ(node->links[0].name, "a");
  EXPECT_EQ(node->links[1].name, "");
}

TEST(DagPb, TellsMissingDataFromEmptyData) {
  EXPECT_FALSE(decode_dag_pb({})->data);
  EXPECT_TRUE(decode_dag_pb(Bytes{0x0a, 0x00})->data);
  EXPECT_EQ(encode_dag_pb({}, {}), Bytes{});
  EXPECT_EQ(encode_dag_pb({}, BytesView{}), (Bytes{0x0a, 0x00}));
}

TEST(DagPb, ReadsDataBeforeOrAfterTheLinks) {
  const Bytes data{0x0a, 0x01, 0x07};
  Bytes first = data;
  append(first, node_with_link(link_with_fields("ht")));
  EXPECT_TRUE(decode_dag_pb(first));
  Bytes last = node_with_link(link_with_fields("ht"));
  append(last, data);
  EXPECT_TRUE(decode_dag_pb(last));
  append(last, node_with_link(link_with_fields("ht")));
  EXPECT_FALSE(decode_dag_pb(last)) << "links on both sides";
}

TEST(DagPb, RefusesLinksThatBreakTheSpecification) {
  for (const std::string_view fields : {"h", "hn", "ht", "hnt"}) {
    EXPECT_TRUE(decode_dag_pb(node_with_link(link_with_fields(fields)))) << fields;
  }
  for (const std::string_view fields :
       {"", "n", "t", "nt", "nh", "th", "htn", "hh", "hnn", "htt", "hx", "xh", "hntx"}) {
    EXPECT_FALSE(decode_dag_pb(node_with_link(link_with_fields(fields)))) << fields;
  }
  EXPECT_FALSE(decode_dag_pb(hex("12040a02ffff"))) << "not a CID";
  EXPECT_FALSE(decode_dag_pb(hex("12020801"))) << "a number where the CID belongs";
}

TEST(DagPb, RefusesBlocksThatBreakTheSpecification) {
  EXPECT_FALSE(decode_dag_pb(hex("0a000a00"))) << "data twice";
  EXPECT_FALSE(decode_dag_pb(hex("1a00"))) << "unknown field";
  EXPECT_FALSE(decode_dag_pb(hex("0801"))) << "a number where the data belongs";
  EXPECT_FALSE(decode_dag_pb(hex("0a0501"))) << "ends within the data";
  EXPECT_FALSE(decode_dag_pb(hex("ff")));
}

}  // namespace
}  // namespace codio::content_id
