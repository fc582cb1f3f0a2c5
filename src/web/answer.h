// The heads of the gateway's answers: what each says about caching, names and types.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "content_id/cid.h"
#include "content_id/unixfs/traversal.h"
#include "web/conditions.h"
#include "web/content_request.h"
#include "web/http.h"

namespace codio::web {

/// A head, and the bytes of the representation that follow it: none of a 304 or 416, nor in answer to HEAD.
struct Answer {
  Head head;
  content_id::unixfs::ByteRange bytes;
};

/// Of kFile: of a file, or of the directory whose URL shows its index.html.
std::string file_etag(const content_id::ContentId& cid);
/// Of the other formats.
std::string format_etag(const ContentRequest& content, const content_id::ContentId& target);

struct FileAnswer {
  std::string etag;
  std::string content_type;
  std::uint64_t size = 0;
  /// The CID of the bytes, if another than the last of the lineage: an index.html's.
  const content_id::ContentId* cid = nullptr;
  /// Whether who accepts that gets it compressed: then the answer depends on the request.
  bool is_compressible = false;
  /// It is compressed now: `size` is what goes out, and the tag a weak one of its own.
  bool is_compressed = false;
  /// Something was put into it: it is not the bytes of any CID.
  bool is_changed = false;
};

/// A file, a symlink's target, or an index.html. Who asks for a range is not to get one compressed.
Answer answer_file(const Request& request, const ContentRequest& content,
                   const std::vector<content_id::ContentId>& lineage, const FileAnswer& file);

/// A block: kRaw or one of the codecs.
Answer answer_block(const Request& request, const ContentRequest& content,
                    const std::vector<content_id::ContentId>& lineage, std::uint64_t size);

/// kCar or kTar: of unknown size, without ranges. The status is 304 if the client has it.
Head answer_stream(const Request& request, const ContentRequest& content,
                   const std::vector<content_id::ContentId>& lineage);

/// A directory's listing, compressed or not. 304 if the client has it.
Head answer_listing(const Request& request, const ContentRequest& content,
                    const std::vector<content_id::ContentId>& lineage, bool is_compressed);

/// The refusal of a format that the content's codec does not have, or nothing.
std::optional<Refusal> check_codec(const ContentRequest& content, const content_id::ContentId& target);

/// The directory's URL, with the slash it lacks.
Refusal add_slash(const ContentRequest& content);

/// A refusal's answer: a page for who prefers HTML, otherwise a line. `body` is empty for a status that has none.
struct Page {
  Head head;
  std::string body;
};
Page explain(const Request& request, const Refusal& refusal);

}  // namespace codio::web
