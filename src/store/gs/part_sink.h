#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/crc32c.h"
#include "base/result.h"
#include "store/gs/client.h"
#include "store/gs/session.h"
#include "store/gs/upload_buffer.h"

namespace ckpt::gs {

/// Where the parts of one positioned object go, and how they become one. Parts may have been sent
/// by other processes that know its session.
class PartSink {
 public:
  virtual ~PartSink() = default;
  virtual Session session() const = 0;
  /// Of part `part` (from 0), which lies in `buffer`: it must live until the answer.
  virtual http::Request PartRequest(size_t part, UploadBuffer& buffer, const Crc32c& crc32c) = 0;
  /// The part's tag, which Complete() wants; called on the engine's threads, side by side for
  /// different parts: must not wait.
  virtual Result<std::string> TakeAnswer(const http::Response& response) = 0;
  /// Whether the answer to a part means that all of it is gone: completed or removed by another.
  virtual bool IsGone(const http::Response& response) const = 0;
  /// All parts are there, with these tags. Beyond this call the object is visible. `crc32c` is of
  /// the whole. Where another process was faster, its object is compared with ours.
  virtual Result<ObjectMeta> Complete(std::span<const std::string> tags, const Crc32c& crc32c,
                                      bool is_create_only) = 0;
  /// Removes what was sent; after Complete() too, where something is left.
  virtual void Abandon() = 0;
};

/// A new one of `parts` parts, or the one that `session` names (kNotFound if it is gone; kIo for
/// what is no session). A multipart upload; where the caller may not make one, it says so and
/// composes the parts below the folder `temporary` (a whole name).
Result<std::unique_ptr<PartSink>> OpenPartSink(Client& client, const std::string& object,
                                               const std::string& temporary,
                                               std::string_view session, size_t parts);

}  // namespace ckpt::gs
