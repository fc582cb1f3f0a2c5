// A directory as a page.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "content_id/unixfs/traversal.h"
#include "web/content_request.h"

namespace codio::web {

/// Up to the first entry. The page is streamed: begin, an entry at a time, end.
std::string listing_begin(const ContentRequest& content, const content_id::ContentId& directory);
std::string listing_entry(const ContentRequest& content, const content_id::unixfs::DirectoryEntry& entry);
std::string listing_end(std::uint64_t entries);

/// "1.4 MB". Powers of 1000.
std::string readable_size(std::uint64_t bytes);

}  // namespace codio::web
