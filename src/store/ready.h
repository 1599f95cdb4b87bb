#pragma once

#include <utility>

#include "store/store.h"

namespace ckpt {

/// An operation that ended before anybody could wait for it.
inline IoFuture Ready(Result<void> result = {}) {
  std::promise<Result<void>> done;
  done.set_value(std::move(result));
  return done.get_future();
}

}  // namespace ckpt
