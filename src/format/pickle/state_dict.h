#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/result.h"
#include "base/shape.h"

/// PyTorch's pickled state dicts (docs/formats/torch.md). No I/O; nothing of a pickle is ever run.
namespace ckpt::pickle {

/// The longest pickle that is read; that of a model with 405 billion parameters has under 1 MB.
inline constexpr uint64_t kMaxPickleBytes = 64ULL << 20U;

/// A run of elements that tensors are views of. Several may share one.
struct Storage {
  std::string key;  ///< zip: the record R/data/KEY. Data, never a path
  uint64_t elements = 0;
  uint32_t element_bytes = 0;  ///< as its type says; 1 for untyped ones
  uint64_t size_bytes = 0;
};

/// One tensor of a state dict. Element (i0, i1, ...) lies at offset_bytes + sum of i_k *
/// byte_strides[k] of its storage; all of them lie inside (checked). Strides may be 0 (expanded) or
/// permute the axes. A tensor in C order has the strides that its shape gives, also on axes of
/// extent 1; one without elements has offset 0.
struct Tensor {
  std::string name;  ///< dict keys joined with '.', list items by index: "model.layers.0.w"; "" for
                     ///< a bare tensor
  uint32_t storage = 0;  ///< index into StateDict::storages
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t offset_bytes = 0;
  std::vector<uint64_t> byte_strides;
  /// A lazy view: its values are the stored ones conjugated or negated. Only for float and complex
  /// types.
  bool is_conjugated = false;
  bool is_negated = false;
};

struct StateDict {
  std::vector<Storage> storages;  ///< each key once, in order of appearance
  std::vector<Tensor> tensors;    ///< in the order of the pickle; names are unique
};

/// How a pickle is called in messages, and what it may take.
struct DecodeOptions {
  std::string_view name = "data.pkl";
  uint64_t first_byte = 0;               ///< where it begins in what `name` says
  uint64_t memory_bytes = 64ULL << 20U;  ///< for values and result, beside the pickle itself
};

/// The tensors of a pickled object: of a state dict, or of dicts and lists around some (a training
/// checkpoint). All else in it is left out. `pickle` is one whole pickle. Errors: kBadInput with
/// opcode and byte, or with the tensor: a global outside the table, a damaged pickle, a tensor that
/// reaches beyond its storage or has no data, a name twice, a container inside itself; kResources
/// beyond memory_bytes.
Result<StateDict> DecodeStateDict(std::string_view pickle, const DecodeOptions& options);

}  // namespace ckpt::pickle
