#pragma once

#include <cstdint>

#include "base/result.h"
#include "format/gguf/header.h"

namespace ckpt::gguf {

/// Checks the tensors against each other (names, overlap) and against the file's end, and makes
/// their ranges, which count from header.data_begin, count from the file's beginning. For header.cc
/// only. Errors: kBadInput with the tensor.
Result<void> PlaceTensors(Header& header, uint64_t file_bytes);

}  // namespace ckpt::gguf
