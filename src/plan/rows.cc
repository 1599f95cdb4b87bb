#include "plan/rows.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/dtype.h"
#include "plan/grid.h"

namespace ckpt {
namespace {

// A vector has no rows of its own; pieces of this many elements keep tiles small whatever its
// length.
constexpr uint64_t kMostVectorRow = 32768;

struct Digit {
  uint64_t extent;
  uint64_t source_stride;
  uint64_t output_stride;
};

// The role's axes, outermost in the output first; axes of extent 1 say nothing about order.
std::vector<Digit> OutputOrder(const View& source, const View& output) {
  std::vector<Digit> digits;
  for (size_t k = 0; k < output.extents.size(); ++k) {
    if (output.extents[k] > 1)
      digits.push_back({output.extents[k], source.strides[k], output.strides[k]});
  }
  std::stable_sort(digits.begin(), digits.end(), [](const Digit& a, const Digit& b) {
    return a.output_stride > b.output_stride;
  });
  return digits;
}

// Joins neighbours that follow one another in both orders, so that a plain copy is one digit.
void MergeNeighbours(std::vector<Digit>& digits) {
  for (size_t i = digits.size(); i-- > 1;) {
    Digit& outer = digits[i - 1];
    const Digit& inner = digits[i];
    if (outer.source_stride == inner.source_stride * inner.extent &&
        outer.output_stride == inner.output_stride * inner.extent) {
      outer = {outer.extent * inner.extent, inner.source_stride, inner.output_stride};
      digits.erase(digits.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

uint64_t LargestDivisor(uint64_t n, uint64_t most, uint64_t multiple_of) {
  for (uint64_t d = std::min(n, most) / multiple_of * multiple_of; d > multiple_of;
       d -= multiple_of) {
    if (n % d == 0) return d;
  }
  return multiple_of;
}

}  // namespace

uint64_t RowMap::SourceElement(uint64_t row) const {
  uint64_t element = source_offset;
  for (size_t k = axes.size(); k-- > 0;) {
    element += row % axes[k].extent * axes[k].source_stride;
    row /= axes[k].extent;
  }
  return element;
}

std::optional<RowMap> MapRows(const ArraySpec& array, const BoundRole& bound,
                              const TensorEntry& tensor) {
  CKPT_CHECK(array.view.extents == bound.view.extents);
  const uint64_t block = Info(tensor.dtype).block_elements;
  const Shape& values = array.view.tensor;
  RowMap rows;
  rows.source_offset = bound.view.offset;

  std::vector<Digit> digits = OutputOrder(bound.view, array.view);
  MergeNeighbours(digits);
  const uint64_t elements =
      std::accumulate(digits.begin(), digits.end(), uint64_t{1},
                      [](uint64_t n, const Digit& d) { return n * d.extent; });
  rows.row_elements = values.rank() >= 2 ? values.extents.back() : elements;
  if (values.rank() < 2 && array.encoding == Encoding::kCast)
    rows.row_elements = LargestDivisor(elements, kMostVectorRow, block);
  if (rows.row_elements == 0) rows.row_elements = 1;  // an empty array

  // Cut the innermost digit at the row's length: inside a row both sides must run element by
  // element.
  if (rows.row_elements > 1) {
    if (digits.empty() || digits.back().source_stride != 1 || digits.back().output_stride != 1 ||
        digits.back().extent % rows.row_elements != 0) {
      return std::nullopt;
    }
    const uint64_t outer = digits.back().extent / rows.row_elements;
    if (outer > 1) {
      digits.back() = {outer, rows.row_elements, rows.row_elements};
    } else {
      digits.pop_back();
    }
  }
  for (const Digit& digit : digits) {
    rows.axes.push_back({digit.extent, digit.source_stride});
    rows.n_rows *= digit.extent;
  }
  if (elements == 0) rows.n_rows = 0;

  // A band is some units of the role's first axis; in an untransposed array that is a run of whole
  // rows.
  const std::vector<Axis>& axes = bound.instance.axes;
  rows.rows_per_band = rows.n_rows;
  if (!axes.empty() && axes.front().extent > 0 && rows.n_rows > 0) {
    const uint64_t unit_elements = elements / axes.front().extent;
    const bool is_outermost = array.view.strides.front() == unit_elements;
    if (is_outermost && unit_elements % rows.row_elements == 0)
      rows.rows_per_band =
          std::max<uint64_t>(1, BandExtent(axes) * (unit_elements / rows.row_elements));
  }
  return rows;
}

}  // namespace ckpt
