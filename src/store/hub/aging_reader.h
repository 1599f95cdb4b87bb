#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "store/store.h"

namespace ckpt {

using Clock = std::function<std::chrono::steady_clock::time_point()>;

/// Reads an object whose address lasts for a while (signed URLs): `open` makes a reader with an
/// address that is good now; the next read after `most_age` makes another one. Without `first`
/// (which was made just now) the first read makes it, so that opening many files costs nothing.
/// Thread-safe; while one thread opens, the others wait for it. Readers that were replaced live
/// until the end, for reads still under way: one an hour.
std::unique_ptr<ObjectReader> OpenAgingReader(
    ObjectInfo info, std::function<Result<std::unique_ptr<ObjectReader>>()> open,
    std::chrono::milliseconds most_age, std::unique_ptr<ObjectReader> first = nullptr,
    Clock clock = std::chrono::steady_clock::now);

}  // namespace ckpt
