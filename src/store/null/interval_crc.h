#pragma once

#include <cstdint>
#include <map>

#include "base/crc32c.h"
#include "base/result.h"

namespace ckpt {

/// The CRC-32C of an object whose parts come in any order. Neighbours are joined as they come, so
/// it holds one entry per stretch between gaps. Not thread-safe.
class IntervalCrc {
 public:
  /// kInternal if a byte of the part was added before.
  Result<void> Add(uint64_t offset, const Crc32c& part);
  /// kInternal, naming the first gap, unless the parts fill [0, size_bytes).
  Result<Crc32c> Finish(uint64_t size_bytes) const;

 private:
  std::map<uint64_t, Crc32c> stretches_;  // by their first byte
};

}  // namespace ckpt
