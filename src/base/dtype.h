#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/shape.h"

namespace ckpt {

/// Element types: all of safetensors' (in the reference writer's sort order, ascending), GGUF's
/// block types, and those that only zarr arrays have. Origin: huggingface/safetensors,
/// safetensors/src/tensor.rs `Dtype`; ggml-org/ggml, ggml.h `ggml_type`; google/tensorstore,
/// tensorstore/data_type.h.
enum class DType : uint8_t {
  // safetensors, ascending in the order by which its writer sorts
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E4M3FNUZ,
  kF8E5M2FNUZ,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
  // GGUF block types
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ8_1,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kQ8_K,
  kIQ2_XXS,
  kIQ2_XS,
  kIQ3_XXS,
  kIQ1_S,
  kIQ4_NL,
  kIQ3_S,
  kIQ2_S,
  kIQ4_XS,
  kIQ1_M,
  kTQ1_0,
  kTQ2_0,
  kMXFP4,
  kNVFP4,
  kQ1_0,
  // of zarr arrays alone; the integers are stored one to a byte, sign-extended
  kI2,
  kI4,
  kF8E4M3B11FNUZ,
};
inline constexpr int kDTypeCount = static_cast<int>(DType::kF8E4M3B11FNUZ) + 1;

/// How elements lie in memory: blocks of `block_elements` values in `block_bytes` bytes. Plain
/// types have blocks of one element, except the sub-byte ones (F4: 2 elements in 1 byte, F6: 4
/// elements in 3).
struct DTypeInfo {
  std::string_view name;  ///< as safetensors or ggml spells it, or would
  uint32_t block_elements;
  uint32_t block_bytes;
  bool is_gguf_block;  ///< quantized; needs a dequantizer to become numbers
  bool is_float;       ///< F8 to F64 and the block types: values that a cast to bf16 makes sense of
};
const DTypeInfo& Info(DType dtype);
inline std::string_view Name(DType dtype) { return Info(dtype).name; }

/// Bits per element, exact for every type (Q4_1: 5 is 160 bits / 32 elements).
double BitsPerElement(DType dtype);

/// Bytes of one element of a plain type of whole bytes. CKPT_CHECKs that it is one.
uint32_t ElementBytes(DType dtype);

/// By safetensors name, case-sensitive.
std::optional<DType> SafetensorsDType(std::string_view name);
/// By ggml type number; nothing for unknown and removed ones.
std::optional<DType> GgmlDType(uint32_t ggml_type);
/// All safetensors names, for messages.
std::span<const DType> SafetensorsDTypes();

/// Bytes of a C-order tensor. For block types the innermost axis must be whole blocks; for sub-byte
/// types the whole must end on a byte. kBadInput on overflow or a fraction.
Result<uint64_t> TensorBytes(DType dtype, const Shape& shape);

}  // namespace ckpt
