#include "kernel/transpose.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "kernel/transpose_job.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/transpose.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernel/reference.h"
#include "kernel/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {
namespace {

#if CKPT_HAVE_SIMD

// A block of rows is copied (and converted) into L2 before it is transposed: rows of the source
// tend to lie a multiple of 4 KiB apart, so a tile's rows would fight for one set of L1. The packed
// rows are one line longer than a power of two. 128 rows were the optimum; 136 KiB in all.
constexpr size_t kBlockRows = 128;
constexpr size_t kBlockRowBytes = 1024;
constexpr size_t kPackedRowBytes = kBlockRowBytes + kLine;

/// Brings the next block into L2, a few lines before each tile of this one. The CPU's own
/// prefetcher starts anew at each row, too late. In bursts (a row at a time) it gains nothing, and
/// into L1 the lines evict one another.
class PrefetchSequence {
 public:
  PrefetchSequence(const std::byte* const* rows, size_t n_rows, size_t offset, size_t row_bytes,
                   size_t n_steps)
      : row_(rows),
        end_(rows + n_rows),
        offset_(offset),
        row_bytes_(row_bytes),
        lines_per_step_(hwy::DivCeil(n_rows * hwy::DivCeil(row_bytes, kLine), n_steps)) {}

  HWY_INLINE void Step() {
    for (size_t i = 0; i < lines_per_step_ && row_ != end_; ++i) {
      __builtin_prefetch(*row_ + offset_ + done_, /*write=*/0, /*L2=*/2);
      done_ += kLine;
      if (done_ >= row_bytes_) {
        done_ = 0;
        ++row_;
      }
    }
  }

 private:
  const std::byte* const* row_;
  const std::byte* const* end_;
  size_t offset_, row_bytes_, lines_per_step_;
  size_t done_ = 0;
};

template <size_t kElementBytes>
class Transposer {
 public:
  explicit Transposer(const TransposeJob& job)
      : job_(job),
        is_large_(job.n_rows * job.n_columns * kElementBytes >= kStreamedBytes),
        is_streamed_(is_large_ && job.dst_stride % kLine == 0 &&
                     Address(job.dst) % kElementBytes == 0) {}

  void Run() {
    // A first block up to a line's border, then whole lines, so that all but the ends can be
    // streamed. The first one has less than a line and is not.
    size_t end = is_streamed_ ? (kLine - Address(job_.dst) % kLine) % kLine / kElementBytes : 0;
    if (end == 0) end = kBlockRows;
    for (size_t r = 0; r < job_.n_rows; r = end, end += kBlockRows) {
      for (size_t c = 0; c < job_.n_columns; c += kColumns)
        RunBlock(r, std::min(end, job_.n_rows), c);
    }
    if (is_streamed_) hwy::FlushStream();
  }

 private:
  static constexpr size_t kColumns = kBlockRowBytes / kElementBytes;

  static uintptr_t Address(const std::byte* p) { return reinterpret_cast<uintptr_t>(p); }

  void RunBlock(size_t first_row, size_t end_row, size_t c) {
    const size_t n_rows = end_row - first_row;
    const size_t n_columns = std::min(kColumns, job_.n_columns - c);
    Pack(first_row, n_rows, c, n_columns);
    const PackedBlock block{packed_, kPackedRowBytes, n_rows, n_columns};
    std::byte* dst = job_.dst + c * job_.dst_stride + first_row * kElementBytes;
    const size_t n_tiles = hwy::DivCeil(n_rows, kTileRows<kElementBytes>) *
                           hwy::DivCeil(n_columns, kTileColumns<kElementBytes>);
    const size_t next_c = c + kColumns < job_.n_columns ? c + kColumns : 0;
    PrefetchSequence prefetch = PrefetchBlock(next_c != 0 ? first_row : end_row, next_c, n_tiles);
    TransposePacked<kElementBytes>(block, dst, job_.dst_stride, is_streamed_,
                                   [&]() HWY_ATTR { prefetch.Step(); });
  }

  PrefetchSequence PrefetchBlock(size_t row, size_t c, size_t n_steps) const {
    if (!is_large_) return PrefetchSequence(nullptr, 0, 0, 0, 1);
    const size_t n_columns = std::min(kColumns, job_.n_columns - c);
    return PrefetchSequence(job_.rows + row, std::min(kBlockRows, job_.n_rows - row),
                            job_.SourceBytes(c), job_.SourceBytes(n_columns), n_steps);
  }

  void Pack(size_t first_row, size_t n_rows, size_t c, size_t n_columns) {
    const size_t offset = job_.SourceBytes(c);
    const size_t valid_bytes = n_columns * kElementBytes;
    // Tiles read whole 16 bytes of whole groups of rows; what lies beyond the valid part must be
    // initialized, no more.
    const size_t padding = (16 - valid_bytes % 16) % 16;
    const size_t padded_rows = hwy::RoundUpTo(n_rows, kTileRows<kElementBytes>);
    for (size_t r = 0; r < n_rows; ++r) {
      std::byte* packed = packed_ + r * kPackedRowBytes;
      const std::byte* src = job_.rows[first_row + r] + offset;
      if (job_.convert != nullptr) {
        job_.convert(src, packed, n_columns);
      } else {
        std::memcpy(packed, src, valid_bytes);
      }
      std::memset(packed + valid_bytes, 0, padding);
    }
    for (size_t r = n_rows; r < padded_rows; ++r)
      std::memset(packed_ + r * kPackedRowBytes, 0, valid_bytes + padding);
  }

  const TransposeJob& job_;
  bool is_large_;     ///< more than the caches hold
  bool is_streamed_;  ///< whole lines are possible
  alignas(kLine) std::byte packed_[kBlockRows * kPackedRowBytes];
};

void Transpose(const TransposeJob& job) {
  switch (job.element_bytes) {
    case 1:
      return Transposer<1>(job).Run();
    case 2:
      return Transposer<2>(job).Run();
    default:
      return Transposer<4>(job).Run();
  }
}

#else

// A stretch of one row at a time through a small buffer.
constexpr size_t kStretch = 256;  // whole blocks of every type

void Transpose(const TransposeJob& job) {
  if (job.convert == nullptr) {
    reference::TransposeRows(job.rows, job.n_rows, job.n_columns, job.element_bytes, job.dst,
                             job.dst_stride);
    return;
  }
  std::array<std::byte, kStretch * sizeof(float)> converted{};
  for (size_t r = 0; r < job.n_rows; ++r) {
    for (size_t c = 0; c < job.n_columns; c += kStretch) {
      const size_t n = std::min(kStretch, job.n_columns - c);
      job.convert(job.rows[r] + job.SourceBytes(c), converted.data(), n);
      const std::byte* const row = converted.data();
      reference::TransposeRows(&row, 1, n, job.element_bytes,
                               job.dst + c * job.dst_stride + r * job.element_bytes,
                               job.dst_stride);
    }
  }
}

#endif  // CKPT_HAVE_SIMD

}  // namespace
}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ckpt {

HWY_EXPORT(Transpose);

void TransposeRows(const std::byte* const* rows, size_t n_rows, size_t n_columns,
                   uint32_t element_bytes, std::byte* dst, size_t dst_stride_bytes) {
  CKPT_CHECK(element_bytes == 1 || element_bytes == 2 || element_bytes == 4);
  if (n_rows == 0 || n_columns == 0) return;
  const TransposeJob job{.rows = rows,
                         .n_rows = n_rows,
                         .n_columns = n_columns,
                         .element_bytes = element_bytes,
                         .convert = nullptr,
                         .source_block_elements = 1,
                         .source_block_bytes = element_bytes,
                         .dst = dst,
                         .dst_stride = dst_stride_bytes};
  HWY_DYNAMIC_DISPATCH(Transpose)(job);
}

bool TransposeRowsConvert(const std::byte* const* rows, size_t n_rows, size_t n_columns, DType from,
                          DType to, std::byte* dst, size_t dst_stride_bytes) {
  const ConvertFn convert = FindConvert(from, to);
  if (convert == nullptr || ElementBytes(to) > 4) return false;
  if (n_rows == 0 || n_columns == 0) return true;
  const TransposeJob job{.rows = rows,
                         .n_rows = n_rows,
                         .n_columns = n_columns,
                         .element_bytes = ElementBytes(to),
                         .convert = from == to ? nullptr : convert,
                         .source_block_elements = Info(from).block_elements,
                         .source_block_bytes = Info(from).block_bytes,
                         .dst = dst,
                         .dst_stride = dst_stride_bytes};
  HWY_DYNAMIC_DISPATCH(Transpose)(job);
  return true;
}

}  // namespace ckpt
#endif  // HWY_ONCE
