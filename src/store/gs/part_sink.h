#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/crc32c.h"
#include "base/result.h"
#include "store/gs/client.h"
#include "store/gs/upload_buffer.h"

namespace ckpt::gs {

/// Where the parts of one positioned object go, and how they become one.
class PartSink {
 public:
  virtual ~PartSink() = default;
  /// Of part `part` (from 0), which lies in `buffer`: it must live until the answer.
  virtual http::Request PartRequest(size_t part, UploadBuffer& buffer, const Crc32c& crc32c) = 0;
  /// Takes the answer; called on the engine's threads, side by side for different parts: must not
  /// wait.
  virtual Result<void> TakeAnswer(size_t part, const http::Response& response) = 0;
  /// All parts are there. Beyond this call the object is visible. `crc32c` is of the whole.
  virtual Result<ObjectMeta> Complete(const Crc32c& crc32c, bool is_create_only) = 0;
  /// Removes what was sent; after Complete() too, where something is left.
  virtual void Abandon() = 0;
};

}  // namespace ckpt::gs
