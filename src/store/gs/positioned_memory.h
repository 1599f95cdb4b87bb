#pragma once

#include <cstddef>

#include "store/gs/gs_options.h"
#include "store/gs/part_layout.h"

namespace ckpt::gs {

/// How many part buffers a positioned object has, and how many of them may be filled at one time.
struct PoolSize {
  size_t buffers = 0;
  size_t filling = 0;
};
PoolSize PoolSizeOf(const GsOptions& options, const PartLayout& layout);

}  // namespace ckpt::gs
