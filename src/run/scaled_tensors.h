#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/byte_range.h"
#include "base/result.h"
#include "source/catalog.h"

namespace ckpt {

/// A weight that a source stores in a few bits with scales beside it, as the bf16 tensor that it
/// stands for.
struct ScaledTensor {
  enum class Kind : uint8_t {
    kE4M3,   ///< one byte an element; scales by row, block or tensor
    kMxfp4,  ///< 16 bytes for each 32 elements, in order; an E8M0 scale for each
  };
  Kind kind = Kind::kE4M3;
  std::string name;         ///< "model.layers.0.mlp.up_proj.weight"
  std::string stored_name;  ///< of the tensor that is read: the same, or "..._blocks"
  uint64_t rows = 0;        ///< of row_elements each, C order
  uint64_t row_elements = 0;
  uint64_t block_rows = 1;  ///< kE4M3: rows and columns of a scale's block
  uint64_t block_columns = 0;
  ByteRange stored;    ///< of its object: the elements
  TensorEntry scales;  ///< as it was in the catalog
  uint64_t begin = 0;  ///< of its bf16 bytes in the object that is made of them
  ByteRange range() const { return {begin, begin + rows * row_elements * 2}; }
};

/// What of an object can be read as one of bf16 tensors, in which `range` lies: ascending, apart.
using ScaledTensors = std::vector<ScaledTensor>;

/// Takes weights with scales out of a catalog and puts the bf16 tensors in their place that they
/// stand for: they lie in objects of their own, one for each that holds such weights, by the same
/// name and with kScaledMark behind the generation. Returns what those objects are made of, by
/// name. Forms: E4M3 with `weight_scale_inv` or `weight_scale` (DeepSeek's and Qwen's blocks,
/// compressed-tensors by channel, tensor or block); MXFP4 as `weight_packed` with `weight_scale` of
/// U8, and as `*_blocks` with `*_scales` (gpt-oss; the tensor is then [.., 32 * groups]). Scales of
/// activations and caches go, with a warning. Errors: kBadInput for scales that do not fit.
Result<std::map<std::string, ScaledTensors>> TakeScaledTensors(Catalog& catalog);

inline constexpr std::string_view kScaledMark = " as bf16";

}  // namespace ckpt
