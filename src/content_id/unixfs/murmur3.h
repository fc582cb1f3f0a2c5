// The hash that places names in sharded directories. Not cryptography: it protects nothing.
#pragma once

#include <cstdint>
#include <string_view>

namespace codio::content_id::unixfs {

/// The first 64 bits of murmur3-x64-128 with seed 0. A shard's bucket is its most significant bits not yet used.
std::uint64_t murmur3(std::string_view text);

}  // namespace codio::content_id::unixfs
