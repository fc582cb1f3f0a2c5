#include "dht/key.h"

#include <openssl/sha.h>

namespace codio::dht {

Key key_of(const content_id::ContentId& cid) {
  const BytesView bytes = cid.multihash().bytes();
  Key key;
  SHA1(bytes.data(), bytes.size(), key.data());
  return key;
}

}  // namespace codio::dht
