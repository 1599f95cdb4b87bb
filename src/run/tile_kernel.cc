#include "run/tile_kernel.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/check.h"
#include "kernel/convert.h"
#include "kernel/quantize.h"
#include "run/bf16_rows.h"
#include "run/kernel_faults.h"

namespace ckpt {
namespace {

constexpr uint16_t kInfinityBits = 0x7f80;

void CastRows(const Plan& plan, const Tile& tile, const std::byte* input,
              const KernelScratch& scratch, std::span<std::byte> out, Crc32c& crc) {
  const ArrayPlan& array = plan.arrays[tile.rows.array];
  const ConvertFn convert = FindConvert(array.row_dtype, plan.output.arrays[tile.rows.array].dtype);
  CKPT_CHECK(convert != nullptr);
  const TileRows rows(tile, input, scratch.gathered_row);
  const uint64_t stripe_rows = std::max<uint64_t>(1, kStripeBytes / array.row_bytes);
  StripeCrc made(out, crc);
  for (uint64_t row = 0; row < rows.count();) {
    const uint64_t run = rows.RunLength(row, stripe_rows);
    const std::span<std::byte> stripe = out.subspan(row * array.row_bytes, run * array.row_bytes);
    convert(rows.Row(row), stripe.data(), run * array.rows.row_elements);
    made.Made(stripe.size());
    row += run;
  }
}

Result<void> QuantizeRows(const Plan& plan, const Tile& tile, const BF16Rows& rows,
                          std::span<std::byte> out, std::vector<BF16>& scales, Crc32c& crc) {
  const ArrayPlan& array = plan.arrays[tile.rows.array];
  const uint64_t n = array.rows.row_elements;
  const int bits = plan.output.arrays[tile.rows.array].bits;
  StripeCrc made(out, crc);
  for (uint64_t row = 0; row < rows.count(); ++row) {
    const BF16* w = rows.Row(row);
    const uint16_t abs_max = AbsMaxBF16(w, n);
    if (abs_max >= kInfinityBits)
      return NonFinite(plan, tile.rows.array, tile.rows.row_begin + row, w);
    const QuantScale scale = ScaleOf(abs_max, bits);
    QuantizeRowBF16(w, n, scale.reciprocal, bits, reinterpret_cast<int8_t*>(out.data() + row * n));
    scales.push_back(scale.scale);
    made.Made(n);
  }
  return {};
}

void QuantizeColumns(const RunContext& context, const Tile& tile, const BF16Rows& rows,
                     std::span<std::byte> out, Crc32c& crc) {
  const uint64_t n = context.plan.arrays[tile.rows.array].rows.row_elements;
  const std::span<const BF16> reciprocals = context.statistics.Reciprocals(tile.rows.array);
  StripeCrc made(out, crc);
  for (uint64_t row = 0; row < rows.count(); ++row) {
    QuantizeColumnsBF16(rows.Row(row), reciprocals.data(), n,
                        reinterpret_cast<int8_t*>(out.data() + row * n));
    made.Made(n);
  }
}

}  // namespace

Result<void> CheckKernels(const Plan& plan) {
  std::map<DType, std::vector<std::string>> missing;
  for (size_t i = 0; i < plan.arrays.size(); ++i) {
    const ArraySpec& spec = plan.output.arrays[i];
    if (!HasRows(spec.encoding)) continue;
    const DType to = spec.encoding == Encoding::kCast ? spec.dtype : DType::kBF16;
    const TensorEntry& tensor = plan.catalog.tensors[plan.arrays[i].tensor];
    const DType fed = plan.arrays[i].row_dtype;
    if ((tensor.dtype != fed && FindConvert(tensor.dtype, fed) == nullptr) ||
        FindConvert(fed, to) == nullptr)
      missing[tensor.dtype].push_back(tensor.name);
  }
  return RefuseUnreadable(missing);
}

Result<void> MakeRows(const RunContext& context, const Tile& tile, const std::byte* input,
                      const KernelScratch& scratch, std::span<std::byte> out,
                      std::vector<BF16>& scales, Crc32c& crc) {
  const Encoding encoding = context.plan.output.arrays[tile.rows.array].encoding;
  if (encoding == Encoding::kCast) {
    CastRows(context.plan, tile, input, scratch, out, crc);
    return {};
  }
  const BF16Rows rows(context.plan, tile, input, scratch);
  if (encoding == Encoding::kQuantColumns) {
    QuantizeColumns(context, tile, rows, out, crc);
    return {};
  }
  CKPT_CHECK(encoding == Encoding::kQuantRows);
  return QuantizeRows(context.plan, tile, rows, out, scales, crc);
}

Result<void> AddColumnMax(const RunContext& context, const Tile& tile, const std::byte* input,
                          const KernelScratch& scratch, std::span<uint16_t> column_max) {
  const BF16Rows rows(context.plan, tile, input, scratch);
  for (uint64_t row = 0; row < rows.count(); ++row)
    ColumnAbsMaxBF16(rows.Row(row), column_max.size(), column_max.data());
  if (std::none_of(column_max.begin(), column_max.end(),
                   [](uint16_t bits) { return bits >= kInfinityBits; }))
    return {};
  for (uint64_t row = 0; row < rows.count(); ++row) {
    const BF16* w = rows.Row(row);
    if (AbsMaxBF16(w, column_max.size()) >= kInfinityBits)
      return NonFinite(context.plan, tile.rows.array, tile.rows.row_begin + row, w);
  }
  CKPT_UNREACHABLE("a maximum without its value");
}

Result<void> MakeBlocks(const RunContext& context, const Tile& tile, const std::byte* input,
                        const KernelScratch& scratch, std::span<std::byte> staging,
                        uint64_t block_begin, uint64_t blocks, std::byte* q, BF16* scales) {
  const Plan& plan = context.plan;
  const ArrayPlan& array = plan.arrays[tile.rows.array];
  const uint64_t out_rows = array.rows.n_rows;
  const TileRows rows(tile, input, scratch.gathered_row);
  const ConvertFn convert = FindConvert(array.row_dtype, DType::kBF16);
  std::vector<const BF16*> pointers(rows.count());
  for (uint64_t row = 0; row < rows.count(); ++row) {
    const std::byte* bytes = rows.Row(row);
    // Gathered rows share one scratch row, so they are staged as well.
    const bool is_staged = array.row_dtype != DType::kBF16 || bytes == scratch.gathered_row;
    if (is_staged) {
      std::byte* staged = staging.data() + row * array.row_bytes;
      convert(bytes, staged, array.rows.row_elements);
      bytes = staged;
    }
    pointers[row] = AsBF16(bytes + block_begin * kQuantBlock * sizeof(BF16));
  }
  const uint64_t first = tile.rows.row_begin;
  const uint16_t abs_max = QuantizeBlocksBF16(pointers.data(), rows.count(), blocks,
                                              plan.output.arrays[tile.rows.array].bits, q + first,
                                              out_rows, scales + first, out_rows);
  if (abs_max < kInfinityBits) return {};
  const BF16Rows values(plan, tile, input, scratch);
  for (uint64_t row = 0; row < values.count(); ++row) {
    const BF16* w = values.Row(row);
    if (AbsMaxBF16(w, array.rows.row_elements) >= kInfinityBits)
      return NonFinite(plan, tile.rows.array, first + row, w);
  }
  CKPT_UNREACHABLE("a maximum without its value");
}

void UnpackBlocks(std::span<const std::byte> packed, uint64_t n_rows, uint64_t begin,
                  std::span<std::byte> out, Crc32c& crc) {
  constexpr uint64_t lines = CollectedBlockBytes(4);
  for (uint64_t at = begin; !out.empty();) {
    const uint64_t row = at / n_rows;
    const uint64_t column = at % n_rows;
    const std::span<std::byte> made = out.first(std::min(n_rows - column, out.size()));
    const uint64_t line = row / kQuantBlock * lines + row % lines;
    UnpackHalfBytes(packed.subspan(line * n_rows + column, made.size()).data(), made.size(),
                    row % kQuantBlock >= lines, reinterpret_cast<int8_t*>(made.data()));
    crc.Append(made);
    at += made.size();
    out = out.subspan(made.size());
  }
}

}  // namespace ckpt
