#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "kernel/transpose.h"

namespace ckpt {
namespace {

// A permutation of axes is brought into a normal form (axes that move as one are one axis, sorted
// as the output lies), then one of three loops copies it: whole runs, transposes of rows, or
// element by element.

constexpr size_t kMaxAxes = 16;       // of extent above 1
constexpr int64_t kMinRunBytes = 16;  // of an output row, for a transpose to pay
constexpr size_t kBatch = 256;        // rows for one transpose: whole lines of every type

/// At most kMaxAxes axes, outermost of the output first.
class Axes {
 public:
  size_t size() const { return size_; }
  StridedAxis* begin() { return axes_.data(); }
  StridedAxis* end() { return axes_.data() + size_; }
  const StridedAxis& operator[](size_t i) const { return axes_[i]; }
  const StridedAxis& back() const { return axes_[size_ - 1]; }
  void Add(const StridedAxis& axis) {
    CKPT_CHECK(size_ < kMaxAxes);
    axes_[size_++] = axis;
  }
  StridedAxis Take(size_t i) {
    const StridedAxis axis = axes_[i];
    std::copy(begin() + i + 1, end(), begin() + i);
    --size_;
    return axis;
  }

 private:
  std::array<StridedAxis, kMaxAxes> axes_{};
  size_t size_ = 0;
};

/// Walks over all indices of some axes, the last one fastest.
class Walk {
 public:
  explicit Walk(const Axes& axes) : axes_(axes) {}
  int64_t src() const { return src_; }
  int64_t dst() const { return dst_; }
  /// False when it has come round.
  bool Next() {
    for (size_t k = axes_.size(); k-- > 0;) {
      const StridedAxis& axis = axes_[k];
      src_ += axis.src_stride;
      dst_ += axis.dst_stride;
      if (++index_[k] < axis.extent) return true;
      index_[k] = 0;
      src_ -= axis.src_stride * static_cast<int64_t>(axis.extent);
      dst_ -= axis.dst_stride * static_cast<int64_t>(axis.extent);
    }
    return false;
  }

 private:
  const Axes& axes_;
  std::array<uint64_t, kMaxAxes> index_{};
  int64_t src_ = 0;
  int64_t dst_ = 0;
};

bool MovesAsOne(const StridedAxis& outer, const StridedAxis& inner) {
  const auto extent = static_cast<int64_t>(inner.extent);
  return outer.src_stride == inner.src_stride * extent &&
         outer.dst_stride == inner.dst_stride * extent;
}

Axes Normalize(std::span<const StridedAxis> axes) {
  Axes sorted;
  for (const StridedAxis& axis : axes) {
    if (axis.extent != 1) sorted.Add(axis);
  }
  std::sort(sorted.begin(), sorted.end(), [](const StridedAxis& a, const StridedAxis& b) {
    return std::abs(a.dst_stride) > std::abs(b.dst_stride);
  });
  Axes merged;
  for (const StridedAxis& axis : sorted) {
    if (merged.size() != 0 && MovesAsOne(merged.back(), axis)) {
      const StridedAxis outer = merged.Take(merged.size() - 1);
      merged.Add({outer.extent * axis.extent, axis.src_stride, axis.dst_stride});
    } else {
      merged.Add(axis);
    }
  }
  return merged;
}

/// The innermost axis by a tight loop, its elements of a size known to the compiler (0: only at run
/// time).
template <size_t kBytes>
void CopyElements(const std::byte* src, std::byte* dst, Axes axes, size_t bytes) {
  const StridedAxis inner = axes.size() == 0 ? StridedAxis{1, 0, 0} : axes.Take(axes.size() - 1);
  Walk walk(axes);
  do {
    const std::byte* from = src + walk.src();
    std::byte* to = dst + walk.dst();
    for (uint64_t i = 0; i < inner.extent; ++i) {
      const auto step = static_cast<int64_t>(i);
      std::memcpy(to + step * inner.dst_stride, from + step * inner.src_stride,
                  kBytes == 0 ? bytes : kBytes);
    }
  } while (walk.Next());
}

void CopyElements(const std::byte* src, std::byte* dst, const Axes& axes, size_t bytes) {
  switch (bytes) {
    case 1:
      return CopyElements<1>(src, dst, axes, bytes);
    case 2:
      return CopyElements<2>(src, dst, axes, bytes);
    case 4:
      return CopyElements<4>(src, dst, axes, bytes);
    case 8:
      return CopyElements<8>(src, dst, axes, bytes);
    default:
      return CopyElements<0>(src, dst, axes, bytes);
  }
}

/// A permutation with a transpose at its heart: the source is contiguous along `columns`, the
/// output along all of `rows` together (rotary pairs and heads, say), and `outer` repeats that.
struct TransposePlan {
  Axes outer;
  Axes rows;
  StridedAxis columns{};
  size_t n_rows = 1;
};

/// False where there is no such structure, or too little of it to gain anything: a tile makes 64
/// bytes of an output row.
bool PlanTranspose(const Axes& axes, size_t bytes, TransposePlan& plan) {
  if (bytes != 1 && bytes != 2 && bytes != 4) return false;
  const auto element = static_cast<int64_t>(bytes);
  plan.outer = axes;
  const auto* const columns = std::find_if(
      plan.outer.begin(), plan.outer.end(),
      [&](const StridedAxis& axis) { return axis.src_stride == element && axis.dst_stride > 0; });
  if (columns == plan.outer.end()) return false;
  plan.columns = plan.outer.Take(static_cast<size_t>(columns - plan.outer.begin()));

  size_t first = plan.outer.size();
  int64_t run = element;  // bytes of the output that the rows so far fill without a gap
  while (first > 0 && plan.outer[first - 1].dst_stride == run) {
    --first;
    run *= static_cast<int64_t>(plan.outer[first].extent);
  }
  while (plan.outer.size() > first) plan.rows.Add(plan.outer.Take(first));
  plan.n_rows = static_cast<size_t>(run) / bytes;
  return run >= kMinRunBytes;
}

void CopyTransposed(const std::byte* src, std::byte* dst, const TransposePlan& plan,
                    uint32_t bytes) {
  std::array<const std::byte*, kBatch> rows{};
  Walk outer(plan.outer);
  do {
    Walk row(plan.rows);
    for (size_t done = 0; done < plan.n_rows; done += kBatch) {
      const size_t n = std::min(kBatch, plan.n_rows - done);
      for (size_t i = 0; i < n; ++i) {
        rows[i] = src + outer.src() + row.src();
        row.Next();
      }
      TransposeRows(rows.data(), n, plan.columns.extent, bytes, dst + outer.dst() + done * bytes,
                    static_cast<size_t>(plan.columns.dst_stride));
    }
  } while (outer.Next());
}

}  // namespace

void PermuteCopy(const std::byte* src, std::byte* dst, std::span<const StridedAxis> axes,
                 uint32_t element_bytes) {
  CKPT_CHECK(element_bytes == 1 || element_bytes == 2 || element_bytes == 4 || element_bytes == 8);
  for (const StridedAxis& axis : axes) {
    if (axis.extent == 0) return;
  }
  Axes merged = Normalize(axes);
  // A run that is contiguous on both sides is one wider element: of 4 bytes, it can still be
  // transposed.
  size_t bytes = element_bytes;
  if (merged.size() != 0 && merged.back().src_stride == element_bytes &&
      merged.back().dst_stride == element_bytes) {
    bytes *= merged.Take(merged.size() - 1).extent;
  }
  TransposePlan plan;
  if (PlanTranspose(merged, bytes, plan)) {
    CopyTransposed(src, dst, plan, static_cast<uint32_t>(bytes));
  } else {
    CopyElements(src, dst, merged, bytes);
  }
}

}  // namespace ckpt
