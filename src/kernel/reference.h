#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel/compressed.h"
#include "kernel/convert.h"
#include "kernel/quantize.h"
#include "kernel/scaled_float.h"

/// The plain scalar form of every kernel, written to be checked against the formula by a reader. It
/// is what CPUs without a vector unit run, what vector kernels call for their last few elements,
/// and what the tests compare all targets with. Contracts as in compressed.h, convert.h,
/// quantize.h, scaled_float.h and transpose.h.
namespace ckpt::reference {

/// As ckpt::FindConvert, without the copies (from == to).
ConvertFn FindConvert(DType from, DType to);

uint16_t AbsMaxBF16(const BF16* w, size_t n);
void ColumnAbsMaxBF16(const BF16* w, size_t n, uint16_t* column_max);
size_t FindNonFiniteBF16(const BF16* w, size_t n);
void QuantizeRowBF16(const BF16* w, size_t n, BF16 reciprocal, int bits, int8_t* q);
void QuantizeColumnsBF16(const BF16* w, const BF16* reciprocals, size_t n, int8_t* q);
uint16_t QuantizeBlocksBF16(const BF16* const* rows, size_t n_rows, size_t n_blocks, int bits,
                            std::byte* q, size_t q_stride, BF16* scales, size_t scale_stride);
void UnpackHalfBytes(const std::byte* packed, size_t n, bool is_upper, int8_t* q);

GroupRange RangeBF16(const BF16* w, size_t n);
void QuantizeRowBF16(const BF16* w, size_t n, GroupScale scale, CodeForm form, uint8_t* codes);
size_t QuantizeGroupsBF16(const BF16* const* rows, size_t n_rows, size_t n_columns,
                          size_t group_columns, CodeForm form, BF16* scales, int8_t* zeros,
                          uint8_t* codes, size_t code_stride);
void PackCodes(const uint8_t* codes, size_t n, int bits, uint8_t* packed);

void DequantizeE4M3(const uint8_t* q, size_t n, const float* scales, size_t block_columns,
                    BF16* out);
void DequantizeE4M3(const uint8_t* q, size_t n, const float* scales, size_t block_columns,
                    float* out);
size_t FindNanE4M3(const uint8_t* q, size_t n);
void DequantizeMxfp4(const uint8_t* blocks, const uint8_t* scales, size_t n_blocks, BF16* out);
void DequantizeMxfp4(const uint8_t* blocks, const uint8_t* scales, size_t n_blocks, float* out);

void TransposeRows(const std::byte* const* rows, size_t n_rows, size_t n_columns,
                   uint32_t element_bytes, std::byte* dst, size_t dst_stride_bytes);

}  // namespace ckpt::reference
