#include "base/dtype.h"

#include <fmt/format.h>

#include <array>

#include "base/check.h"
#include "base/checked.h"

namespace ckpt {
namespace {

// Row order is the enum's. {name, block elements, block bytes, GGUF block type, float}
constexpr std::array<DTypeInfo, kDTypeCount> kInfo = {{
    {"BOOL", 1, 1, false, false},
    {"F4", 2, 1, false, true},
    {"F6_E2M3", 4, 3, false, true},
    {"F6_E3M2", 4, 3, false, true},
    {"U8", 1, 1, false, false},
    {"I8", 1, 1, false, false},
    {"F8_E5M2", 1, 1, false, true},
    {"F8_E4M3", 1, 1, false, true},
    {"F8_E8M0", 1, 1, false, true},
    {"F8_E4M3FNUZ", 1, 1, false, true},
    {"F8_E5M2FNUZ", 1, 1, false, true},
    {"I16", 1, 2, false, false},
    {"U16", 1, 2, false, false},
    {"F16", 1, 2, false, true},
    {"BF16", 1, 2, false, true},
    {"I32", 1, 4, false, false},
    {"U32", 1, 4, false, false},
    {"F32", 1, 4, false, true},
    {"C64", 1, 8, false, false},
    {"F64", 1, 8, false, true},
    {"I64", 1, 8, false, false},
    {"U64", 1, 8, false, false},
    {"Q4_0", 32, 18, true, true},
    {"Q4_1", 32, 20, true, true},
    {"Q5_0", 32, 22, true, true},
    {"Q5_1", 32, 24, true, true},
    {"Q8_0", 32, 34, true, true},
    {"Q8_1", 32, 40, true, true},
    {"Q2_K", 256, 84, true, true},
    {"Q3_K", 256, 110, true, true},
    {"Q4_K", 256, 144, true, true},
    {"Q5_K", 256, 176, true, true},
    {"Q6_K", 256, 210, true, true},
    {"Q8_K", 256, 292, true, true},
    {"IQ2_XXS", 256, 66, true, true},
    {"IQ2_XS", 256, 74, true, true},
    {"IQ3_XXS", 256, 98, true, true},
    {"IQ1_S", 256, 50, true, true},
    {"IQ4_NL", 32, 18, true, true},
    {"IQ3_S", 256, 110, true, true},
    {"IQ2_S", 256, 82, true, true},
    {"IQ4_XS", 256, 136, true, true},
    {"IQ1_M", 256, 56, true, true},
    {"TQ1_0", 256, 54, true, true},
    {"TQ2_0", 256, 66, true, true},
    {"MXFP4", 32, 17, true, true},
    {"NVFP4", 64, 36, true, true},
    {"Q1_0", 128, 18, true, true},
    {"I2", 1, 1, false, false},
    {"I4", 1, 1, false, false},
    {"F8_E4M3B11FNUZ", 1, 1, false, true},
}};

struct GgmlId {
  uint32_t id;
  DType dtype;
};
constexpr auto kGgml = std::to_array<GgmlId>({
    {0, DType::kF32},      {1, DType::kF16},     {2, DType::kQ4_0},     {3, DType::kQ4_1},
    {6, DType::kQ5_0},     {7, DType::kQ5_1},    {8, DType::kQ8_0},     {9, DType::kQ8_1},
    {10, DType::kQ2_K},    {11, DType::kQ3_K},   {12, DType::kQ4_K},    {13, DType::kQ5_K},
    {14, DType::kQ6_K},    {15, DType::kQ8_K},   {16, DType::kIQ2_XXS}, {17, DType::kIQ2_XS},
    {18, DType::kIQ3_XXS}, {19, DType::kIQ1_S},  {20, DType::kIQ4_NL},  {21, DType::kIQ3_S},
    {22, DType::kIQ2_S},   {23, DType::kIQ4_XS}, {24, DType::kI8},      {25, DType::kI16},
    {26, DType::kI32},     {27, DType::kI64},    {28, DType::kF64},     {29, DType::kIQ1_M},
    {30, DType::kBF16},    {34, DType::kTQ1_0},  {35, DType::kTQ2_0},   {39, DType::kMXFP4},
    {40, DType::kNVFP4},   {41, DType::kQ1_0},
});

constexpr int kSafetensorsCount = static_cast<int>(DType::kU64) + 1;
constexpr auto kSafetensors = [] {
  std::array<DType, kSafetensorsCount> all{};
  for (int i = 0; i < kSafetensorsCount; ++i) all[static_cast<size_t>(i)] = static_cast<DType>(i);
  return all;
}();

}  // namespace

const DTypeInfo& Info(DType dtype) { return kInfo[static_cast<size_t>(dtype)]; }

double BitsPerElement(DType dtype) {
  return 8.0 * Info(dtype).block_bytes / Info(dtype).block_elements;
}

uint32_t ElementBytes(DType dtype) {
  CKPT_CHECK(Info(dtype).block_elements == 1);
  return Info(dtype).block_bytes;
}

std::optional<DType> SafetensorsDType(std::string_view name) {
  for (const DType dtype : kSafetensors) {
    if (Name(dtype) == name) return dtype;
  }
  return std::nullopt;
}

std::optional<DType> GgmlDType(uint32_t ggml_type) {
  for (const GgmlId& row : kGgml) {
    if (row.id == ggml_type) return row.dtype;
  }
  return std::nullopt;
}

std::span<const DType> SafetensorsDTypes() { return kSafetensors; }

Result<uint64_t> TensorBytes(DType dtype, const Shape& shape) {
  const DTypeInfo& info = Info(dtype);
  const auto elements = shape.Elements();
  if (!elements)
    return Fail(Code::kBadInput, fmt::format("shape {} overflows 64 bits", ToString(shape)),
                "the header is damaged: fetch the file again");
  if (info.is_gguf_block && (shape.rank() == 0 || shape.extents.back() % info.block_elements != 0))
    return Fail(Code::kBadInput,
                fmt::format("rows of {} with shape {} are no whole blocks of {} elements",
                            info.name, ToString(shape), info.block_elements),
                "the header is damaged: fetch the file again");
  if (*elements % info.block_elements != 0)
    return Fail(
        Code::kBadInput,
        fmt::format("{} elements of {} bits end inside a byte", *elements, BitsPerElement(dtype)),
        "the header is damaged: fetch the file again");
  const auto bytes = CheckedMul(*elements / info.block_elements, info.block_bytes);
  // The reference counts bits, so the eighth of the 64-bit range is the limit.
  if (!bytes || *bytes > UINT64_MAX / 8)
    return Fail(Code::kBadInput,
                fmt::format("shape {} of {} overflows 64 bits", ToString(shape), info.name),
                "the header is damaged: fetch the file again");
  return *bytes;
}

}  // namespace ckpt
