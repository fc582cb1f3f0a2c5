#include "node/routing_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "identity/identity.h"

namespace codio::node {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const RoutingRecord kGateway{"12D3KooWA", {"/dns/example.net/tcp/443/https"}, {"transport-ipfs-gateway-http"}};
const RoutingRecord kBitswap{
    "12D3KooWB", {"/ip4/1.2.3.4/tcp/4001", "/ip4/1.2.3.4/udp/4001/quic-v1"}, {"transport-bitswap"}};
const RoutingRecord kUnknown{"12D3KooWC", {}, {}};
const RoutingRecord kWebRtc{"12D3KooWD", {}, {"transport-codio-webrtc"}, "wss://example.net/rendezvous"};

TEST(RoutingRecords, ReadWhatTheyWrote) {
  const std::vector records{kGateway, kBitswap, kUnknown, kWebRtc};
  EXPECT_EQ(parse_routing_answer("application/json", write_routing_answer(records, false)), records);
  EXPECT_EQ(parse_routing_answer("application/x-ndjson; charset=utf-8", write_routing_answer(records, true)), records);
  EXPECT_EQ(write_routing_answer({}, false), R"({"Providers":[]})");
  EXPECT_EQ(write_routing_answer({}, true), "");
}

TEST(RoutingRecords, LeaveOutWhatTheyDoNotKnow) {
  const auto records = parse_routing_answer(
      "application/json",
      R"({"Providers":[{"Schema":"bitswap","ID":"x"},{"Schema":"peer"},7,{"Schema":"peer","ID":"y","Addrs":[1,"/a"],)"
      R"("Extra":{}}],"More":1})");
  ASSERT_TRUE(records);
  EXPECT_THAT(*records, ElementsAre(RoutingRecord{"y", {"/a"}, {}}));
  EXPECT_THAT(*parse_routing_answer("application/json", R"({"Providers":null})"), IsEmpty());
  EXPECT_THAT(*parse_routing_answer("application/x-ndjson", ""), IsEmpty());
}

TEST(RoutingRecords, RefuseWhatIsNoAnswer) {
  for (const char* text : {"", "[]", "7", "{\"Providers\":7}", "{\"Providers\":[}", "<html>"}) {
    EXPECT_FALSE(parse_routing_answer("application/json", text)) << text;
  }
  EXPECT_FALSE(parse_routing_answer("application/x-ndjson", "{}\n<html>"));
  EXPECT_EQ(parse_routing_answer("application/json", std::string(kMaxRoutingAnswer + 1, ' ')).error().code,
            ErrorCode::kTooLarge);
}

TEST(RoutingRecords, TakeOnlySoMany) {
  const std::vector many(500, kGateway);
  EXPECT_THAT(*parse_routing_answer("application/json", write_routing_answer(many, false)), SizeIs(kMaxRoutingRecords));
  const RoutingRecord long_one{"x", std::vector<std::string>(500, "/a"), {}};
  EXPECT_THAT(parse_routing_answer("application/json", write_routing_answer({long_one}, false))->front().addrs,
              SizeIs(kMaxRoutingAddresses));
}

TEST(RoutingRecords, AreFilteredByProtocol) {
  const std::vector records{kGateway, kBitswap, kUnknown};
  EXPECT_THAT(filter_records(records, "", ""), SizeIs(3));
  EXPECT_THAT(filter_records(records, "", "transport-ipfs-gateway-http"), ElementsAre(kGateway));
  EXPECT_THAT(filter_records(records, "", "Transport-IPFS-Gateway-HTTP"), ElementsAre(kGateway));
  EXPECT_THAT(filter_records(records, "", "transport-bitswap,unknown"), ElementsAre(kBitswap, kUnknown));
}

TEST(RoutingRecords, AreFilteredByAddress) {
  const std::vector records{kGateway, kBitswap, kUnknown};
  EXPECT_THAT(filter_records(records, "https", ""), ElementsAre(kGateway));
  EXPECT_THAT(filter_records(records, "ip4,!udp", "")[0].addrs, ElementsAre("/ip4/1.2.3.4/tcp/4001"));
  EXPECT_THAT(filter_records(records, "unknown", ""), ElementsAre(kUnknown));
  EXPECT_THAT(filter_records(records, "HTTPS,Unknown", ""), ElementsAre(kGateway, kUnknown));
}

TEST(RoutingRecords, LeadToGateways) {
  EXPECT_EQ(gateway_of("/dns/example.net/tcp/443/https"), "https://example.net:443/ipfs/");
  EXPECT_EQ(gateway_of("/dns4/example.net/tcp/8443/tls/http"), "https://example.net:8443/ipfs/");
  EXPECT_EQ(gateway_of("/ip4/127.0.0.1/tcp/8080/http"), "http://127.0.0.1:8080/ipfs/");
  EXPECT_EQ(gateway_of("/ip6/::1/tcp/8080/http"), "http://[::1]:8080/ipfs/");
  for (const char* other :
       {"", "/", "dns/example.net/tcp/443/https", "/ip4/1.2.3.4/tcp/4001", "/ip4/1.2.3.4/udp/443/https",
        "/ip4/host/tcp/80/http", "/ip6/1.2.3.4/tcp/80/http", "/dns/a b/tcp/80/http", "/dns/a@b/tcp/80/http",
        "/dns/example.net/tcp/0/https", "/dns/example.net/tcp/70000/https", "/dns/example.net/tcp/443/https/p2p/x"}) {
    EXPECT_FALSE(gateway_of(other)) << other;
  }
}

TEST(RoutingRecords, NameGateways) {
  EXPECT_EQ(multiaddr_of("https://example.net/ipfs/"), "/dns/example.net/tcp/443/https");
  EXPECT_EQ(multiaddr_of("http://127.0.0.1:8080/ipfs/"), "/ip4/127.0.0.1/tcp/8080/http");
  EXPECT_EQ(multiaddr_of("http://[::1]:8080/ipfs/"), "/ip6/::1/tcp/8080/http");
  EXPECT_FALSE(multiaddr_of("https://example.net/path/ipfs/"));
  EXPECT_FALSE(multiaddr_of("ftp://example.net/ipfs/"));
}

TEST(RoutingRecords, CallPeersAsLibp2pDoes) {
  // Of the key 32 times zero: base58 of 0024080112200000….
  EXPECT_EQ(libp2p_id(identity::peer_id({})), "12D3KooW9pNAk8aiBuGVQtWRdbkLmo5qVL3e2h5UxbN2Nz9ttwiw");
  EXPECT_EQ(libp2p_id("nobody"), "");
  const std::string peer = identity::Key::generate().peer_id();
  EXPECT_EQ(peer_of_libp2p_id(libp2p_id(peer)), peer);
  for (const char* text : {"", "nobody", "12D3KooW9pNAk8aiBuGVQtWRdbkLmo5qVL3e2h5UxbN2Nz9ttwi", "0OIl",
                           "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"}) {
    EXPECT_EQ(peer_of_libp2p_id(text), "") << text;
  }
}

}  // namespace
}  // namespace codio::node
