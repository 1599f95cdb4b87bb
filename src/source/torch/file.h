#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "source/catalog.h"
#include "store/store.h"

namespace ckpt {

/// One PyTorch file understood: which tensors it holds and where their bytes lie.
struct TorchFile {
  std::vector<TensorEntry> tensors;  ///< in the order of the pickle; each has one piece
  std::vector<StoredCheck> checks;   ///< by range; of the storages that tensors are views of
  std::vector<std::string> warnings;
  uint64_t header_bytes = 0;  ///< read of the file
  bool is_legacy = false;
};

/// Reads `file`, which is Catalog::objects[object], by its content: a zip archive, or pickles and
/// storages one after the other. Memory: the zip directory, the pickle and what they decode to;
/// never data. Errors: kBadInput with file, record, byte and tensor; kResources; those of the
/// store.
Result<TorchFile> ReadTorchFile(Store& store, const ObjectInfo& file, uint32_t object,
                                MemoryBudget& budget);

}  // namespace ckpt
