#include "plan/role_work.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/checked.h"
#include "base/index.h"
#include "store/store.h"

namespace ckpt {
namespace {

// The trailing axes over which a quantizer reduces, else the last one.
size_t FirstColumnAxis(const RoleWork& work, std::span<const uint64_t> reduce) {
  const size_t rank = work.axes.size();
  if (rank <= 1) return 0;
  if (reduce.empty()) return rank - 1;
  const uint64_t first = *std::min_element(reduce.begin(), reduce.end());
  const bool is_trailing = first + reduce.size() == rank && first > 0;
  return is_trailing ? first : rank - 1;
}

// Whether the columns follow one another in the source, so that rows can be read as they lie.
bool HasRows(const View& source, size_t first_column_axis) {
  uint64_t stride = 1;
  for (size_t k = source.extents.size(); k-- > first_column_axis;) {
    if (source.extents[k] > 1 && source.strides[k] != stride) return false;
    stride *= source.extents[k];
  }
  return true;
}

RowMap MakeRows(const View& source, std::span<const Axis> axes, size_t first_column_axis) {
  RowMap rows;
  rows.source_offset = source.offset;
  for (size_t k = first_column_axis; k < axes.size(); ++k) rows.row_elements *= source.extents[k];
  for (size_t k = 0; k < first_column_axis; ++k) {
    rows.n_rows *= source.extents[k];
    rows.axes.push_back({source.extents[k], source.strides[k]});
  }
  return rows;
}

// The view of a role laid into canonical order.
View Canonical(std::span<const Axis> axes) {
  View view;
  uint64_t elements = 1;
  for (const Axis& axis : axes) {
    view.extents.push_back(axis.extent);
    elements *= axis.extent;
  }
  view.strides = RowMajor(view.extents);
  view.tensor.extents = {elements};
  return view;
}

bool MakesSameElements(const ChunkedPlan& plan, const SliceRef& a, const SliceRef& b) {
  const ChunkedOutput& output_a = plan.outputs[a.output];
  const ChunkedOutput& output_b = plan.outputs[b.output];
  const ChunkedSlice& slice_a = output_a.slices[a.slice];
  const ChunkedSlice& slice_b = output_b.slices[b.slice];
  const ChunkedArray& array_a = output_a.arrays[slice_a.array];
  const ChunkedArray& array_b = output_b.arrays[slice_b.array];
  return array_a.dtype == array_b.dtype && array_a.making == array_b.making &&
         array_a.quant == array_b.quant && slice_a.value == slice_b.value &&
         slice_a.view.extents == slice_b.view.extents &&
         ChunkStrides(slice_a, array_a) == ChunkStrides(slice_b, array_b) &&
         Shape{array_a.chunk}.Elements() == Shape{array_b.chunk}.Elements();
}

// What of a role goes wrong, by the array it goes to.
tl::unexpected<Error> Refuse(const ChunkedArray& array, std::string_view why) {
  return Fail(Code::kBadInput, fmt::format("\"{}\" {}", array.name, why),
              "mend the family table's layout of this role");
}

// The expert axis is taken one index at a time where two others remain.
void FindExperts(const ChunkedSlice& slice, RoleWork& work) {
  const auto others =
      std::count_if(slice.tensor_axes.begin(), slice.tensor_axes.end(),
                    [](const Axis& axis) { return axis.name != "l" && axis.name != "x"; });
  for (size_t k = 0; others >= 2 && k < work.axes.size(); ++k) {
    if (work.axes[k].name != "x") continue;
    work.expert_axis = k;
    work.experts = work.axes[k].extent;
  }
}

// Which axis is cut into bands, and how many there are.
Result<void> FindBands(const ChunkedSlice& slice, const ChunkedArray& array, RoleWork& work) {
  if (work.expert_axis && *work.expert_axis != 0)
    return Refuse(array, "has its experts inside; they must come first");
  work.band_axis = work.expert_axis ? 1 : 0;
  CKPT_CHECK(work.band_axis < work.axes.size());
  const size_t place = slice.array_axis[work.band_axis];
  work.units = slice.view.extents[work.band_axis];
  work.band_extent = array.chunk[place];
  work.bands = work.band_extent == 0 ? 0 : CeilDiv(array.shape[place], work.band_extent);
  if (std::count(slice.array_axis.begin(), slice.array_axis.end(), place) > 1) {
    if (work.bands > 1) return Refuse(array, "joins its band axis with another");
    work.band_extent = work.units;
  }
  for (size_t k = 0; k < work.axes.size(); ++k) {
    if (k != work.band_axis && slice.view.extents[k] != work.axes[k].extent)
      return Refuse(array, "cuts an axis that is not its band axis");
  }
  return {};
}

Product ProductOf(const ChunkedPlan& plan, const RoleWork& work, const SliceRef& ref) {
  const ChunkedOutput& output = plan.outputs[ref.output];
  const ChunkedSlice& slice = output.slices[ref.slice];
  const ChunkedArray& array = output.arrays[slice.array];
  Product product;
  product.slices = {ref};
  product.chunk_bytes = Shape{array.chunk}.Elements().value_or(0) * ElementBytes(array.dtype);
  for (size_t a = 0; a < array.shape.rank(); ++a) {
    const bool is_fixed = (slice.layer_axis && a == *slice.layer_axis) ||
                          a == slice.array_axis[work.band_axis] ||
                          (work.expert_axis && a == slice.array_axis[*work.expert_axis]);
    if (!is_fixed) product.chunks *= CeilDiv(array.shape[a], array.chunk[a]);
  }
  product.stride_bytes =
      RoundUp(StoredChunkBytes(output.codec, product.chunk_bytes), kChunkAlignment);
  return product;
}

// Slices of the same elements are one product.
void FindProducts(const ChunkedPlan& plan, std::span<const SliceRef> slices, RoleWork& work) {
  for (const SliceRef& ref : slices) {
    const auto same = std::find_if(
        work.products.begin(), work.products.end(),
        [&](const Product& product) { return MakesSameElements(plan, product.slices[0], ref); });
    if (same != work.products.end()) {
      same->slices.push_back(ref);
    } else {
      work.products.push_back(ProductOf(plan, work, ref));
    }
  }
}

bool IsQuantized(const ChunkedPlan& plan, std::span<const SliceRef> slices) {
  return std::any_of(slices.begin(), slices.end(), [&](const SliceRef& ref) {
    const ChunkedOutput& output = plan.outputs[ref.output];
    return output.arrays[output.slices[ref.slice].array].making == ChunkMaking::kQuantize;
  });
}

// Whether all tensors of a role are files' bytes in C order, as the kernels want them.
bool AreRowsStored(const ChunkedPlan& plan, const BoundRole& bound) {
  const auto is_stored = [&](size_t number) {
    const TensorEntry& tensor = plan.catalog.tensors[number];
    return HasDensePieces(tensor) && tensor.form.IsPlain();
  };
  return bound.parts.empty() ? is_stored(bound.tensor)
                             : std::all_of(bound.parts.begin(), bound.parts.end(), is_stored);
}

}  // namespace

Result<RoleWork> MakeRoleWork(const ChunkedPlan& plan, size_t role,
                              std::span<const SliceRef> slices) {
  const BoundRole& bound = plan.model.roles[role];
  const ChunkedOutput& output = plan.outputs[slices.front().output];
  const ChunkedSlice& slice = output.slices[slices.front().slice];
  const ChunkedArray& array = output.arrays[slice.array];
  RoleWork work;
  work.role = role;
  work.axes = bound.instance.axes;
  work.source_axis = SourceAxes(bound.view);
  FindExperts(slice, work);
  if (!bound.parts.empty() && !work.expert_axis)
    return Refuse(array, "has a tensor for each expert that is no matrix");
  CKPT_TRY_VOID(FindBands(slice, array, work));
  FindProducts(plan, slices, work);

  work.first_column_axis = FirstColumnAxis(work, slice.reduce);
  if (IsQuantized(plan, slices) && slice.reduce.size() != work.axes.size() - work.first_column_axis)
    return Refuse(array, "is quantized over axes that are not the last of its role");
  const bool is_band_row = work.band_axis < work.first_column_axis || work.bands <= 1;
  work.is_boxed =
      !AreRowsStored(plan, bound) || !HasRows(bound.view, work.first_column_axis) || !is_band_row;
  View source = bound.view;
  if (work.is_boxed) {
    // The buffer of a band holds one expert.
    std::vector<Axis> axes = work.axes;
    if (work.expert_axis) axes[*work.expert_axis].extent = 1;
    source = Canonical(axes);
  }
  work.rows = MakeRows(source, work.axes, work.first_column_axis);
  for (size_t k = work.band_axis + 1; k < work.first_column_axis; ++k)
    work.rows_per_unit *= work.axes[k].extent;
  return work;
}

size_t TensorOf(const RoleWork& work, const BoundRole& bound, uint64_t band) {
  if (bound.parts.empty()) return bound.tensor;
  return bound.parts[work.bands == 0 ? 0 : band / work.bands];
}

RowSpan BandRows(const RoleWork& work, const BoundRole& bound, uint64_t band) {
  const RoleBox box = BandBox(work, band);
  // Where each expert has a tensor of its own, each begins with row 0.
  const bool is_one_tensor = bound.parts.empty() && work.expert_axis.has_value();
  const uint64_t expert = is_one_tensor ? box.begin[*work.expert_axis] : 0;
  if (work.IsVector()) return {0, expert, expert + 1};
  const uint64_t first = expert * work.axes[work.band_axis].extent * work.rows_per_unit;
  return {0, first + box.begin[work.band_axis] * work.rows_per_unit,
          first + box.end[work.band_axis] * work.rows_per_unit};
}

uint64_t BandCapacity(const RoleWork& work, const TensorEntry& tensor) {
  const DTypeInfo& info = Info(tensor.dtype);
  const uint64_t row_bytes = work.rows.row_elements / info.block_elements * info.block_bytes;
  const uint64_t units = std::min(work.band_extent, work.units);
  const uint64_t rows = work.IsVector() ? 1 : units * work.rows_per_unit;
  // Axes that continue one another in the source are one range.
  std::vector<RowAxis> axes(work.rows.axes.begin(), work.rows.axes.end());
  std::sort(axes.begin(), axes.end(),
            [](const RowAxis& a, const RowAxis& b) { return a.source_stride < b.source_stride; });
  uint64_t run = work.rows.row_elements;
  uint64_t joined = 1;
  for (const RowAxis& axis : axes) {
    if (axis.extent > 1 && axis.source_stride != run) break;
    run *= axis.extent;
    joined *= axis.extent;
  }
  const uint64_t ranges = CeilDiv(rows, std::max<uint64_t>(1, std::min(joined, rows)));
  const uint64_t ragged = 2 * kIoAlignment * std::max<uint64_t>(1, tensor.pieces.size());
  return rows * row_bytes + std::max<uint64_t>(1, ranges) * ragged;
}

}  // namespace ckpt
