#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "store/http/http.h"
#include "store/store.h"

namespace ckpt {

/// Thread-safe. What the long GETs of a link did; small requests are in the engine's counts.
struct LongGetCounts {
  std::atomic<uint64_t> gets = 0;     ///< all
  std::atomic<uint64_t> jumps = 0;    ///< of these: because a read was elsewhere
  std::atomic<uint64_t> repeats = 0;  ///< of these: after an error
  std::atomic<uint64_t> received_bytes = 0;
};

struct SequentialOptions {
  /// Kept of what has passed, for reads that are a little out of order; at least 1 MiB.
  size_t window_bytes = 16 << 20;
  /// A read that begins this far ahead is waited for; farther ahead is a jump.
  uint64_t most_gap_bytes = 8 << 20;
  uint64_t most_get_bytes = 27'000'000'000;  ///< as Meta's own client asks for
};

/// Where an object's bytes come from.
struct SequentialObject {
  http::Url url;
  std::string etag;  ///< "": not compared
  std::string md5;   ///< 32 digits; "": not known
};

/// Reads an object whose downloads are counted, front to back: bulk reads are served, in the order
/// in which they are asked for, from one long GET of at most `most_get_bytes` after another. A new
/// one is opened where one ends, at a jump, and at the byte reached after an error. Between reads
/// the server waits.
///  * Holds, from the first bulk read on, window_bytes, one connection and libcurl's 512 KiB.
///  * Bulk reads are done when ReadWindow() returns, by the caller's thread; others wait for it:
///    there is one stream.
///  * Small reads that the stream does not pass soon are a GET of their own, through the engine;
///  one
///    of the whole object compares its md5.
/// Thread-safe. Errors: kInterrupted, kUnavailable after EngineOptions::deadline without progress,
/// kBadInput for another size or ETag; ExplainMeta for refusals.
std::unique_ptr<ObjectReader> OpenSequentialObject(std::shared_ptr<http::Engine> engine,
                                                   ObjectInfo info, SequentialObject object,
                                                   Uri place, SequentialOptions options,
                                                   std::shared_ptr<LongGetCounts> counts);

}  // namespace ckpt
