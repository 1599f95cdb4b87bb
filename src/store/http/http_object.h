#pragma once

#include <functional>
#include <memory>

#include "store/http/http.h"
#include "store/store.h"

namespace ckpt::http {

/// How an object's bytes are asked for.
struct ObjectRequest {
  Request request;  ///< without range; what is added stays a GET
  /// Turns a final status that is no success into the store's error.
  std::function<Error(const Response&)> explain;
  /// Where the address expires (signed URLs): makes a new one. Called on a thread that may wait,
  /// when a request ended with 400 or 403 after it had worked. Null: never.
  std::function<Result<Request>()> renew;
};

/// Reads ranges of one object through the engine, each window by one or more requests of at most
/// `most_bytes`, side by side. Thread-safe.
std::unique_ptr<ObjectReader> OpenHttpObject(std::shared_ptr<Engine> engine, ObjectInfo info,
                                             ObjectRequest request, Uri place,
                                             uint64_t most_bytes = 16 << 20);

}  // namespace ckpt::http
