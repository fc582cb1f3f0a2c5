#include "content_id/unixfs/builder.h"

#include "content_id/dag_pb.h"
#include "content_id/unixfs/data.h"

namespace codio::content_id::unixfs {

std::optional<Profile> find_profile(std::string_view name) {
  for (const Profile& profile : {kUnixfsV1_2025, kUnixfsV0_2015}) {
    if (profile.name == name) return profile;
  }
  return std::nullopt;
}

Bytes encode_symlink(std::string_view target) {
  return encode_dag_pb({}, encode_data({.type = DataType::kSymlink, .data = as_bytes(target)}));
}

}  // namespace codio::content_id::unixfs
