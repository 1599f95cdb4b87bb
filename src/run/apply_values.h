#pragma once

#include <cstddef>

#include "model/value.h"

namespace ckpt {

/// The program on `count` float32 values in place, by the kernels.
void ApplyValues(const ValueProgram& program, float* x, size_t count);

}  // namespace ckpt
