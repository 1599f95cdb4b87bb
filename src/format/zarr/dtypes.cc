#include "format/zarr/dtypes.h"

#include <array>
#include <string>

namespace ckpt {
namespace {

struct Row {
  DType dtype;
  std::string_view v2;
  std::string_view v3;
};
constexpr auto kRows = std::to_array<Row>({
    {DType::kBool, "|b1", "bool"},
    {DType::kI8, "|i1", "int8"},
    {DType::kU8, "|u1", "uint8"},
    {DType::kI16, "<i2", "int16"},
    {DType::kU16, "<u2", "uint16"},
    {DType::kI32, "<i4", "int32"},
    {DType::kU32, "<u4", "uint32"},
    {DType::kI64, "<i8", "int64"},
    {DType::kU64, "<u8", "uint64"},
    {DType::kF16, "<f2", "float16"},
    {DType::kF32, "<f4", "float32"},
    {DType::kF64, "<f8", "float64"},
    {DType::kBF16, "bfloat16", "bfloat16"},
    {DType::kC64, "<c8", "complex64"},
    {DType::kI2, "int2", "int2"},
    {DType::kI4, "int4", "int4"},
    {DType::kF8E4M3, "float8_e4m3fn", "float8_e4m3fn"},
    {DType::kF8E5M2, "float8_e5m2", "float8_e5m2"},
    {DType::kF8E4M3FNUZ, "float8_e4m3fnuz", "float8_e4m3fnuz"},
    {DType::kF8E4M3B11FNUZ, "float8_e4m3b11fnuz", "float8_e4m3b11fnuz"},
    {DType::kF8E5M2FNUZ, "float8_e5m2fnuz", "float8_e5m2fnuz"},
});

}  // namespace

std::optional<std::string_view> ZarrDTypeName(ZarrForm form, DType dtype) {
  for (const Row& row : kRows) {
    if (row.dtype == dtype) return form == ZarrForm::kV2 ? row.v2 : row.v3;
  }
  return std::nullopt;
}

namespace zarr {

std::optional<ParsedDType> ParseDType(ZarrForm form, std::string_view name) {
  std::string little(name);
  bool is_big_endian = false;
  if (form == ZarrForm::kV2 && !name.empty() && (name[0] == '<' || name[0] == '>')) {
    // One byte has no order, but numpy's names may say one.
    little[0] = name.ends_with('1') && name.size() == 3 ? '|' : '<';
    is_big_endian = name[0] == '>' && little[0] == '<';
  }
  for (const Row& row : kRows) {
    if ((form == ZarrForm::kV2 ? row.v2 : row.v3) == little)
      return ParsedDType{row.dtype, is_big_endian};
  }
  return std::nullopt;
}

uint32_t SwapBytes(DType dtype) {
  return dtype == DType::kC64 ? ElementBytes(dtype) / 2 : ElementBytes(dtype);
}

}  // namespace zarr
}  // namespace ckpt
