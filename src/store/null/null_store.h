#pragma once

#include <memory>

#include "store/store.h"

namespace ckpt {

/// The sink for benchmarks: takes every write, computes its CRC-32C and drops the bytes.
/// Stat() and List() know size and CRC-32C of what was committed; nothing can be read: Open() is
/// kNotFound. The CRC is computed by the caller, before WriteAt() returns a ready future: the bytes
/// are in that CPU's cache, and handing them to another thread would cost more than the CRC. A
/// positioned writer checks its promises: overlapping writes, writes beyond the size and, at
/// Commit(), gaps are kInternal. Holds one entry per stretch between gaps.
std::unique_ptr<Store> OpenNullStore();

}  // namespace ckpt
