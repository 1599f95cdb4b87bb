#include "plan/box_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/dtype.h"
#include "base/index.h"
#include "plan/grid.h"
#include "source/box_runs.h"

namespace ckpt {
namespace {

// Rows from one index of a digit to the next.
uint64_t RowsPerIndex(const BoxRows& boxed, size_t digit) {
  uint64_t rows = 1;
  for (size_t i = digit + 1; i < boxed.digits; ++i) rows *= boxed.extents[i];
  return rows;
}

// The place in the order of the axis along which the source has a tensor each.
std::optional<size_t> PartsPlace(const BoxRows& boxed, const BoundRole& bound) {
  if (!bound.parts_axis) return std::nullopt;
  const auto place = std::find(boxed.order.begin(), boxed.order.end(), *bound.parts_axis);
  return static_cast<size_t>(place - boxed.order.begin());
}

// `count` indexes of a digit from row `row` on; the digits before it are fixed, the rest is whole.
BoxTile MakeBox(const Plan& plan, size_t array, uint64_t row, size_t digit, uint64_t count) {
  const ArrayPlan& planned = plan.arrays[array];
  const BoxRows& boxed = *planned.boxed;
  const BoundRole& bound = plan.BoundOf(array);
  const uint64_t rows = boxed.digits == 0 ? 1 : count * RowsPerIndex(boxed, digit);
  BoxTile tile{{array, row, row + rows}, bound.tensor, {}, {}};
  tile.role.begin.resize(boxed.order.size());
  tile.role.end.resize(boxed.order.size());
  for (size_t i = 0; i < boxed.order.size(); ++i) {
    const size_t axis = boxed.order[i];
    tile.role.end[axis] = boxed.extents[i];
    if (i >= boxed.digits || i > digit) continue;
    const uint64_t index = row / RowsPerIndex(boxed, i) % boxed.extents[i];
    tile.role.begin[axis] = index;
    tile.role.end[axis] = index + (i == digit ? count : 1);
    if (bound.parts_axis == axis) tile.tensor = bound.parts[index];
  }
  tile.box = TensorBox(bound, boxed.source_axes, tile.role);
  return tile;
}

// The larger of its box, as it is stored, and its rows, as they are fed.
uint64_t BytesOf(const Plan& plan, const BoxTile& tile) {
  const ArrayPlan& planned = plan.arrays[tile.rows.array];
  const uint64_t fed = (tile.rows.row_end - tile.rows.row_begin) * planned.rows.row_elements *
                       ElementBytes(planned.row_dtype);
  return std::max(fed, BoxBytes(plan.catalog.tensors[tile.tensor].dtype, tile.box));
}

}  // namespace

Result<void> MapBoxRows(const ArraySpec& spec, const BoundRole& bound, const TensorEntry& tensor,
                        ArrayPlan& array) {
  const auto refuse = [&](std::string_view why) {
    return Fail(Code::kBadInput,
                fmt::format(R"("{}" cannot be laid out as "{}": {})", tensor.name, spec.name, why),
                "convert from the Hugging Face, Meta or GGUF form of this model, or mend the "
                "family table's layout");
  };
  if (Info(tensor.dtype).block_elements != 1)
    return refuse(fmt::format("its rows lie in another order, and {} packs elements in blocks",
                              Name(tensor.dtype)));
  const View& view = spec.view;
  BoxRows boxed;
  boxed.order.resize(view.extents.size());
  std::iota(boxed.order.begin(), boxed.order.end(), size_t{0});
  std::stable_sort(boxed.order.begin(), boxed.order.end(),
                   [&](size_t a, size_t b) { return view.strides[a] > view.strides[b]; });
  uint64_t elements = 1;
  for (const size_t axis : boxed.order) {
    const bool is_part = bound.parts_axis == axis;
    if (view.extents[axis] != (is_part ? bound.parts.size() : bound.view.extents[axis]))
      return refuse("an axis has another length there");
    boxed.extents.push_back(view.extents[axis]);
    elements *= view.extents[axis];
  }
  // A vector is one row. Elsewhere the last axis of the values is, which may be several of a role.
  const Shape& values = view.tensor;
  const uint64_t row_elements = values.rank() >= 2 ? values.extents.back() : elements;
  boxed.digits = boxed.order.size();
  uint64_t inside = 1;
  while (boxed.digits > 0 && inside < row_elements) inside *= boxed.extents[--boxed.digits];
  if (inside != row_elements && elements > 0) return refuse("its rows are no whole axes");
  if (const auto place = PartsPlace(boxed, bound); place && *place >= boxed.digits)
    return refuse("its rows lie across several tensors");

  boxed.source_axes = SourceAxes(bound.view);
  array.rows = {};
  array.rows.row_elements = std::max<uint64_t>(1, row_elements);
  array.rows.n_rows = elements / array.rows.row_elements;
  for (size_t i = 0; i < boxed.digits; ++i) array.rows.axes.push_back({boxed.extents[i], 0});
  array.rows.rows_per_band = std::max<uint64_t>(1, array.rows.n_rows);
  // Bundles end where the outermost axis goes on; inside it the source is read over and over.
  if (boxed.digits > 0 && elements > 0) {
    const bool is_first = boxed.order.front() == 0;
    array.rows.rows_per_band =
        RowsPerIndex(boxed, 0) * (is_first ? BandExtent(bound.instance.axes) : 1);
  }
  array.boxed = std::move(boxed);
  return {};
}

BoxTile BoxTileAt(const Plan& plan, size_t array, uint64_t row, uint64_t end, uint64_t most_bytes,
                  uint64_t most_output_bytes) {
  const ArrayPlan& planned = plan.arrays[array];
  const BoxRows& boxed = *planned.boxed;
  const std::optional<size_t> parts = PartsPlace(boxed, plan.BoundOf(array));
  const auto fits = [&](const BoxTile& tile) {
    const uint64_t rows = tile.rows.row_end - tile.rows.row_begin;
    return BytesOf(plan, tile) <= most_bytes && rows * planned.row_bytes <= most_output_bytes;
  };
  for (size_t digit = 0; digit < boxed.digits; ++digit) {
    const uint64_t step = RowsPerIndex(boxed, digit);
    if (row % step != 0 || (parts && *parts > digit)) continue;
    const uint64_t index = row / step % boxed.extents[digit];
    uint64_t most = std::min(boxed.extents[digit] - index, (end - row) / step);
    if (parts == digit) most = std::min<uint64_t>(most, 1);
    if (most == 0 || !fits(MakeBox(plan, array, row, digit, 1))) continue;
    uint64_t count = 1;  // fits
    while (count < most) {
      const uint64_t middle = count + (most - count + 1) / 2;
      if (fits(MakeBox(plan, array, row, digit, middle))) {
        count = middle;
      } else {
        most = middle - 1;
      }
    }
    return MakeBox(plan, array, row, digit, count);
  }
  return MakeBox(plan, array, row, boxed.digits == 0 ? 0 : boxed.digits - 1, 1);
}

BoxTile NextBoxTile(const Plan& plan, size_t array, uint64_t row, uint64_t end) {
  return BoxTileAt(plan, array, row, end, plan.memory.staged_bytes,
                   plan.memory.tile_out_bytes - 2 * kIoAlignment);
}

uint64_t BoxRowBytes(const Plan& plan, size_t array) {
  const BoxRows& boxed = *plan.arrays[array].boxed;
  return BytesOf(plan, MakeBox(plan, array, 0, boxed.digits == 0 ? 0 : boxed.digits - 1, 1));
}

SourcePlaceOfElement FindSourceElement(const Plan& plan, size_t array, uint64_t row,
                                       uint64_t column) {
  const ArrayPlan& planned = plan.arrays[array];
  SourcePlaceOfElement place{planned.tensor, {}};
  uint64_t element = 0;
  if (!planned.boxed) {
    element = planned.rows.SourceElement(row) + column;
  } else {
    const BoundRole& bound = plan.BoundOf(array);
    const std::vector<uint64_t> index =
        IndexOf(row * planned.rows.row_elements + column, planned.boxed->extents);
    element = bound.view.offset;
    for (size_t i = 0; i < index.size(); ++i) {
      const size_t axis = planned.boxed->order[i];
      element += index[i] * bound.view.strides[axis];
      if (bound.parts_axis == axis) place.tensor = bound.parts[index[i]];
    }
  }
  place.index = IndexOf(element, plan.catalog.tensors[place.tensor].shape.extents);
  return place;
}

}  // namespace ckpt
