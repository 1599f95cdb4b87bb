#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/memory_budget.h"
#include "base/result.h"
#include "format/pickle/state_dict.h"
#include "source/torch/file.h"
#include "store/store.h"

/// What the two kinds of PyTorch files share. For source/torch/ only.
namespace ckpt {

/// What values of one pickle may take of the budget.
uint64_t PickleMemoryBytes(const MemoryBudget& budget);

/// Small ranges of one object, in ascending order: those close together are one read. Calls `visit`
/// with each one's number and bytes, in order.
Result<void> ReadSmallRanges(
    ObjectReader& reader, std::span<const ByteRange> ranges,
    const std::function<Result<void>(size_t number, std::string_view bytes)>& visit);

/// `tensor`, whose storage begins at `storage_begin` of the object.
TensorEntry ToEntry(pickle::Tensor tensor, uint32_t object, uint64_t storage_begin,
                    bool is_big_endian);

Result<TorchFile> ReadTorchZip(ObjectReader& reader, uint32_t object, MemoryBudget& budget);
Result<TorchFile> ReadTorchLegacy(ObjectReader& reader, uint32_t object, MemoryBudget& budget);

}  // namespace ckpt
