// Signed descriptors: whatever is in them, also what their signer made up, is bounded and absolute, or refused. After a
// first `S` the input is a statement, which is signed here as that of the peer `PEER`; otherwise it is a descriptor.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "common/check.h"
#include "node/descriptor.h"

using namespace codio;
using namespace codio::node;

namespace {

constexpr std::chrono::sys_seconds kNow{std::chrono::seconds(1'700'000'000)};
constexpr DescriptorRequest kRequest{.url = "https://node.example/.well-known/codio", .challenge = {}, .now = kNow};

std::string descriptor_of(const SignedStatement& given) {
  const nlohmann::json object{{"version", 1},
                              {"signed", {{"statement", given.statement}, {"signature", given.signature}}}};
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto key = identity::Key::generate();
  std::string text(as_text({data, size}));
  const bool is_statement = text.starts_with('S');
  if (is_statement) {
    text.erase(0, 1);
    if (const auto at = text.find("PEER"); at != text.npos) text.replace(at, 4, key.peer_id());
    const auto signature = key.sign(identity::Purpose::kDescriptor, as_bytes(text));
    text = descriptor_of({text, identity::to_base64url(signature)});
  }
  const auto statement = verify_descriptor(text, kRequest);
  if (!statement) return 0;
  check(is_statement && statement->peer == key.peer_id());
  check(statement->expires > kNow && statement->expires <= kNow + kMaxStatementLifetime);
  check(statement->rendezvous.size() <= 8 && statement->gateways.size() <= 8 && statement->versions.size() <= 16);
  for (const std::string& url : statement->rendezvous) check(url.starts_with("ws://") || url.starts_with("wss://"));
  for (const std::string& url : statement->gateways) check(url.starts_with("http://") || url.starts_with("https://"));
  // Absolute as it is now, it says the same again.
  const auto again = verify_descriptor(descriptor_of(sign_statement(key, *statement)), kRequest);
  check(again && *again == *statement);
  return 0;
}
