#include "run/bf16_rows.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstring>

#include "kernel/quantize.h"
#include "plan/box_rows.h"

namespace ckpt {

tl::unexpected<Error> NonFinite(const Plan& plan, size_t array, uint64_t row, const BF16* values) {
  const ArrayPlan& made = plan.arrays[array];
  const size_t column = FindNonFiniteBF16(values, made.rows.row_elements);
  CKPT_CHECK(column < made.rows.row_elements);
  uint16_t bits = 0;
  std::memcpy(&bits, values + column, sizeof(bits));
  const SourcePlaceOfElement place = FindSourceElement(plan, array, row, column);
  const TensorEntry& tensor = plan.catalog.tensors[place.tensor];
  Error error{
      Code::kBadInput,
      fmt::format("{} at index [{}] cannot be quantized",
                  std::isnan(ToF32(BF16{bits})) ? "NaN" : "infinity", fmt::join(place.index, ", ")),
      {},
      {},
      "the weights are damaged or were trained to infinity: fetch them again, or convert without "
      "--quantize"};
  error.where.push_back({"tensor", tensor.name});
  if (!tensor.pieces.empty())
    error.where.push_back({"file", plan.catalog.root.PrintBelow(
                                       plan.catalog.objects[tensor.pieces.front().object].name)});
  return Fail(std::move(error));
}

}  // namespace ckpt
