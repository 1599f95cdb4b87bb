#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/float.h"
#include "plan/chunk_box.h"
#include "plan/chunked_plan.h"
#include "plan/tile.h"
#include "run/record.h"

namespace ckpt {

/// Whether every role of the plan has a kernel for its source dtype. All that is missing at once.
/// Errors: kBadInput naming the types ("Q4_K") and tensors.
Result<void> CheckKernels(const ChunkedPlan& plan);

/// A band in memory: its rows in canonical order.
struct BandInput {
  uint64_t band = 0;
  const Tile* tile = nullptr;  ///< rows and where their parts lie
  const std::byte* bytes = nullptr;
};

/// What one product of a band came to.
struct MadeProduct {
  std::vector<BandChunk> chunks;  ///< in the order of `crcs`
  std::vector<Crc32c> crcs;       ///< of each chunk as stored (uncompressed)
  std::vector<std::byte> scales;  ///< kQuantize: bf16, one for each row of the band
  uint64_t first_scale = 0;       ///< their place in the array of scales, in elements
};

/// Makes the stored bytes of one product of a band: chunk i at out[i * stride_bytes], with its
/// checksum where the codec has one, then zeros up to the next. `staging`: the lane's
/// staging_bytes, 64-aligned. Errors: kBadInput for a NaN or infinity that would be quantized, with
/// tensor and index.
Result<MadeProduct> MakeProduct(const ChunkedPlan& plan, const RoleWork& work,
                                const Product& product, const BandInput& input,
                                std::span<std::byte> staging, std::span<std::byte> out);

}  // namespace ckpt
