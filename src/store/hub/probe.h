#pragma once

#include "base/result.h"
#include "store/http/http.h"

namespace ckpt {

/// What a server says about an object when it is asked for its first byte: signed addresses often
/// refuse HEAD.
struct Probe {
  http::Response response;
  uint64_t size_bytes = 0;  ///< where the status is 206, or 416 of an empty object
  bool has_ranges = true;   ///< false: it would send the whole object instead
  bool is_empty = false;
  /// 200 too: of an object of one byte.
  bool is_found() const { return response.status == 206 || response.status == 200 || is_empty; }
};

/// GET with "Range: bytes=0-0". Any final status is an answer.
Result<Probe> AskFirstByte(http::Engine& engine, http::Request request);

}  // namespace ckpt
