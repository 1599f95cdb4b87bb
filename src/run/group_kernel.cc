#include "run/group_kernel.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernel/compressed.h"
#include "kernel/quantize.h"
#include "plan/box_rows.h"
#include "run/bf16_rows.h"

namespace ckpt {
namespace {

CodeForm FormOf(const GroupForm& group) {
  return {group.is_float, group.bits, group.is_symmetric, group.is_quotient_rounded};
}

// A group without a finite scale: for a value that is not finite, or for a span that no bf16 holds.
tl::unexpected<Error> NoScale(const Plan& plan, size_t array, uint64_t begin, uint64_t rows,
                              const BF16* values, uint64_t group) {
  const uint64_t n = plan.arrays[array].rows.row_elements;
  const GroupForm& form = plan.output.arrays[array].group;
  const uint64_t column = form.columns * group;
  const uint64_t columns = form.columns == 0 ? n : std::min(form.columns, n - column);
  for (uint64_t row = 0; row < rows; ++row) {
    if (FindNonFiniteBF16(values + row * n + column, columns) < columns)
      return NonFinite(plan, array, begin + row, values + row * n);
  }
  const SourcePlaceOfElement place = FindSourceElement(plan, array, begin, column);
  const TensorEntry& tensor = plan.catalog.tensors[place.tensor];
  Error error{Code::kBadInput,
              fmt::format("the group at index [{}] cannot be quantized with a zero point: its "
                          "values lie further apart than bf16 reaches",
                          fmt::join(place.index, ", ")),
              {},
              {},
              "choose a symmetric scheme"};
  error.where.push_back({"tensor", tensor.name});
  return Fail(std::move(error));
}

// One stripe: rows of one group each, or the rows of groups of several.
Result<void> MakeStripe(const Plan& plan, size_t array, uint64_t begin, uint64_t rows,
                        const BF16* values, uint8_t* codes, GroupSides& sides) {
  const uint64_t n = plan.arrays[array].rows.row_elements;
  const GroupForm& group = plan.output.arrays[array].group;
  const uint64_t groups = group.GroupsOf(n);
  std::vector<const BF16*> pointers(rows);
  for (uint64_t row = 0; row < rows; ++row) pointers[row] = values + row * n;
  const size_t at = sides.scales.size();
  sides.scales.resize(at + groups);
  if (!group.is_symmetric) sides.zeros.resize(sides.zeros.size() + groups);
  int8_t* zeros = group.is_symmetric ? nullptr : &sides.zeros[sides.zeros.size() - groups];
  const size_t good =
      QuantizeGroupsBF16(pointers.data(), rows, n, group.columns == 0 ? n : group.columns,
                         FormOf(group), &sides.scales[at], zeros, codes, n);
  if (good < groups) return NoScale(plan, array, begin, rows, values, good);
  return {};
}

}  // namespace

Result<void> MakeGroupRows(const RunContext& context, const Tile& tile, const std::byte* input,
                           const KernelScratch& scratch, std::span<std::byte> out,
                           GroupSides& sides, Crc32c& crc) {
  const Plan& plan = context.plan;
  const size_t index = tile.rows.array;
  const ArrayPlan& array = plan.arrays[index];
  const GroupForm& group = plan.output.arrays[index].group;
  const BF16Rows rows(plan, tile, input, scratch);
  StripeCrc made(out, crc);
  for (uint64_t row = 0; row < rows.count(); ++row) {
    auto* to = reinterpret_cast<uint8_t*>(out.data() + row * array.row_bytes);
    auto* codes = group.is_packed ? reinterpret_cast<uint8_t*>(scratch.group_row) : to;
    CKPT_TRY_VOID(
        MakeStripe(plan, index, tile.rows.row_begin + row, 1, rows.Row(row), codes, sides));
    if (group.is_packed) PackCodes(codes, array.rows.row_elements, group.bits, to);
    made.Made(array.row_bytes);
  }
  return {};
}

void CopyRows(const RunContext& context, const Tile& tile, const std::byte* input,
              const KernelScratch& scratch, uint64_t first, uint64_t count, BF16* into) {
  const BF16Rows rows(context.plan, tile, input, scratch);
  const uint64_t n = context.plan.arrays[tile.rows.array].rows.row_elements;
  for (uint64_t row = 0; row < count; ++row)
    std::memcpy(into + row * n, rows.Row(first + row), n * sizeof(BF16));
}

Result<void> MakeRowsOfGroups(const RunContext& context, size_t array, uint64_t begin,
                              uint64_t rows, const BF16* values, std::span<std::byte> out,
                              GroupSides& sides, Crc32c& crc) {
  CKPT_CHECK(!context.plan.output.arrays[array].group.is_packed);
  CKPT_TRY_VOID(MakeStripe(context.plan, array, begin, rows, values,
                           reinterpret_cast<uint8_t*>(out.data()), sides));
  crc.Append(out);
  return {};
}

}  // namespace ckpt
