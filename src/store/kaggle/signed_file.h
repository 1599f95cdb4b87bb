#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "store/http/http.h"
#include "store/kaggle/api.h"
#include "store/store.h"

namespace ckpt {

/// The sums that Google's storage prints in x-goog-hash ("crc32c=AAAA==,md5=..."; one header or
/// several). Empty where there is none.
struct GoogHash {
  std::optional<uint32_t> crc32c;
  std::string md5;  ///< base64
  bool operator==(const GoogHash&) const = default;
};
GoogHash ParseGoogHash(const http::Headers& headers);

/// A file of the version, read by ranges through its signed address. Opening asks for the address
/// and its first byte, and compares the size with the listing's; info().crc32c is what the storage
/// says. When the address expires (by its age, or a 400 or 403), another is asked for, and its size
/// and sums must be the same: kBadInput if they are not. Thread-safe. Shares `api` with the store,
/// which may end first.
Result<std::unique_ptr<ObjectReader>> OpenKaggleFile(std::shared_ptr<const KaggleApi> api,
                                                     ObjectInfo info, const Uri& place);

/// The whole version as one archive, read by ranges in the same way.
struct KaggleArchive {
  std::unique_ptr<ObjectReader> reader;  ///< info() has size and CRC-32C; its name is for messages
  std::string md5;                       ///< 16 bytes; "" where the storage does not tell
};
Result<KaggleArchive> OpenKaggleArchive(std::shared_ptr<const KaggleApi> api, const Uri& place);

}  // namespace ckpt
