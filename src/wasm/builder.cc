// codio_builder: what makes the DAG of a file.
#include "content_id/unixfs/builder.h"

#include <cstring>
#include <optional>

#include "wasm/abi.h"
#include "wasm/record.h"

namespace codio::wasm {

struct Builder {
  content_id::unixfs::FileBuilder files{content_id::unixfs::kUnixfsV1_2025};
  std::optional<content_id::unixfs::PendingBlock> current;
};

extern "C" {

Builder* builder_new() { return new Builder; }

void builder_append(Builder* builder, const std::uint8_t* bytes, std::uint32_t size) {
  builder->files.append({bytes, size});
}

void builder_finish(Builder* builder) { builder->files.finish(); }

std::uint32_t builder_poll(Builder* builder) {
  builder->current = builder->files.poll_block();
  set(OutputKind::kNone);
  if (!builder->current) return 0;
  the_record.id = builder->current->id.value;
  set_bytes(*builder->current->bytes);
  return 1;
}

void builder_hashed(Builder* builder, std::uint32_t id, const std::uint8_t* digest) {
  content_id::Digest256 sha256;
  std::memcpy(sha256.data(), digest, sha256.size());
  set(OutputKind::kNone);
  set_text(builder->files.handle_digest(content_id::unixfs::PendingBlockId{id}, sha256).to_string());
}

std::uint32_t builder_root(Builder* builder) {
  set(OutputKind::kNone);
  const auto root = builder->files.root();
  if (!root) return 0;
  set_text(root->cid.to_string());
  return 1;
}
}

}  // namespace codio::wasm
