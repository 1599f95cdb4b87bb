#pragma once

#include <memory>
#include <string>

#include "base/byte_range.h"
#include "base/result.h"
#include "store/http/http.h"
#include "store/meta/stream_window.h"

namespace ckpt {

/// One GET of a range, whose body is taken when it is asked for. While nobody asks, the bytes stay
/// in the system's socket and the server waits: back-pressure without a thread. The engine has no
/// such answers: its bodies go whole into memory that is given before. Holds one connection and
/// libcurl's buffer (512 KiB). Not thread-safe.
class LongGet {
 public:
  /// What came of a Pull().
  struct Pulled {
    enum class Kind {
      kBytes,    ///< some were appended to the window
      kEnd,      ///< the range is complete
      kRefused,  ///< `status` is no 206
      kBroken,   ///< no connection, a broken or stalled one: `words`
    };
    Kind kind = Kind::kBroken;
    int status = 0;
    std::string words;
  };

  /// Sends nothing yet. CA bundle, time-outs and stop are the engine's. `window`, which must have
  /// been left at range.begin, must outlive it. `total_bytes` and `etag` ("": not compared) are the
  /// object's.
  static Result<std::unique_ptr<LongGet>> Start(const http::Engine& engine, const http::Url& url,
                                                ByteRange range, uint64_t total_bytes,
                                                const std::string& etag, StreamWindow& window);
  virtual ~LongGet() = default;

  /// Waits for more of the body, at most 512 KiB. Errors: kInterrupted; kBadInput for an answer of
  /// another range, size or ETag.
  virtual Result<Pulled> Pull() = 0;
};

}  // namespace ckpt
