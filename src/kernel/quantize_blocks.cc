#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/quantize_blocks.cc"
#include "hwy/foreach_target.h"
// Must come after foreach_target.h.
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernel/quantize-inl.h"
#include "kernel/transpose-inl.h"
#include "kernel/transpose_job.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {
namespace {

#if CKPT_HAVE_SIMD

// A group of rows, as many as make one line of the output, by up to four blocks: wide enough (1 KiB
// of a row) for sequential reads, small enough (64 KiB) that the second pass over it hits L2. First
// the maxima of all its blocks, then their scales as vectors (a division costs as much for 16 rows
// as for one), then the values, packed as int8, and last the transpose into whole lines.
constexpr size_t kGroupRows = kLine;
constexpr size_t kGroupBlocks = 4;
constexpr size_t kGroupColumns = kGroupBlocks * kQuantBlock;
constexpr size_t kPackedRowBytes =
    kGroupColumns + kLine;  // not a power of two: a tile's rows in different sets of L1
constexpr size_t kGroupRowBytes = kGroupColumns * sizeof(BF16);

struct BlockJob {
  const BF16* const* rows;
  size_t n_rows, n_blocks;
  int8_t* q;
  size_t q_stride;
  BF16* scales;
  size_t scale_stride;
};

HWY_INLINE uint16_t BlockMax(const std::byte* w) {
  const DU16 d;
  const size_t lanes = hn::Lanes(d);
  VI16 largest = Magnitude(LoadBytes(d, w));
  for (size_t i = lanes; i < kQuantBlock; i += lanes)
    largest = hn::Max(largest, Magnitude(LoadBytes(d, w + i * sizeof(BF16))));
  return LargestLane(DI16(), largest);
}

/// ScaleOf for a vector of maxima.
HWY_INLINE VU32 ScaleVector(VF32 max, float highest) {
  return RoundUpperHalf(DU32(), hn::BitCast(DU32(), hn::Div(max, hn::Set(DF32(), highest))));
}
HWY_INLINE VU16 JoinUpperHalves(VU32 even, VU32 odd) {
  const DU16 d;
  return hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<16>(even)));
}

template <int kBits>
class BlockQuantizer {
 public:
  explicit BlockQuantizer(const BlockJob& job)
      : job_(job),
        has_lines_(job.q_stride % kLine == 0),
        is_streamed_(has_lines_ && job.q_stride * job.n_blocks * kQuantBlock >= kStreamedBytes) {}

  // The first group ends at the border of a line, so that all others write whole ones.
  uint16_t Run() {
    const size_t lead = has_lines_ ? (0 - reinterpret_cast<uintptr_t>(job_.q)) % kLine : 0;
    uint16_t largest = 0;
    for (size_t r = 0, end = lead > 0 ? lead : kGroupRows; r < job_.n_rows; end += kGroupRows) {
      const size_t n_rows = std::min(end, job_.n_rows) - r;
      for (size_t s = 0; s < job_.n_blocks; s += kGroupBlocks)
        largest = std::max(largest, RunGroup(r, n_rows, s));
      r += n_rows;
    }
    if (is_streamed_) hwy::FlushStream();
    return largest;
  }

 private:
  static constexpr float kHighest = kBits == 8 ? 127.0F : 7.0F;

  uint16_t RunGroup(size_t first_row, size_t n_rows, size_t first_block) {
    const size_t n_blocks = std::min(kGroupBlocks, job_.n_blocks - first_block);
    const size_t offset = first_block * kQuantBlock * sizeof(BF16);
    for (size_t r = 0; r < n_rows; ++r) {
      const std::byte* w = reinterpret_cast<const std::byte*>(job_.rows[first_row + r]) + offset;
      for (size_t b = 0; b < n_blocks; ++b)
        maxima_[b][r] = BlockMax(w + b * kQuantBlock * sizeof(BF16));
    }
    uint16_t largest = 0;
    for (size_t b = 0; b < n_blocks; ++b) {
      largest = std::max(largest, *std::max_element(maxima_[b], maxima_[b] + n_rows));
      ComputeScales(b);
      std::memcpy(job_.scales + (first_block + b) * job_.scale_stride + first_row, scales_[b],
                  n_rows * sizeof(BF16));
    }
    const bool is_last = first_block + kGroupBlocks >= job_.n_blocks;
    for (size_t r = 0; r < n_rows; ++r) {
      const std::byte* w = reinterpret_cast<const std::byte*>(job_.rows[first_row + r]) + offset;
      const std::byte* next = w + kGroupRowBytes;  // of the row, or of the next group's
      if (is_last)
        next = reinterpret_cast<const std::byte*>(
            job_.rows[std::min(first_row + n_rows + r, job_.n_rows - 1)]);
      for (size_t b = 0; b < n_blocks; ++b) {
        PrefetchBlock(next + b * kQuantBlock * sizeof(BF16));
        QuantizeRow<kBits>(w + b * kQuantBlock * sizeof(BF16), kQuantBlock,
                           BF16{reciprocals_[b][r]},
                           reinterpret_cast<int8_t*>(packed_[r] + b * kQuantBlock));
      }
    }
    Write(first_row, n_rows, first_block, n_blocks);
    return largest;
  }

  void ComputeScales(size_t b) {
    const DU16 d;
    for (size_t i = 0; i < kGroupRows; i += hn::Lanes(d)) {
      const VU16 floor = hn::Set(d, uint16_t{0x3728});  // R(1e-5)
      const EvenOdd max = Widen(hn::Max(hn::Load(d, maxima_[b] + i), floor));
      const VU16 scale =
          JoinUpperHalves(ScaleVector(max.even, kHighest), ScaleVector(max.odd, kHighest));
      hn::Store(scale, d, scales_[b] + i);
      const EvenOdd s = Widen(scale);
      hn::Store(JoinUpperHalves(ReciprocalVector(s.even), ReciprocalVector(s.odd)), d,
                reciprocals_[b] + i);
    }
  }
  static HWY_INLINE VU32 ReciprocalVector(VF32 scale) {
    const VF32 r = hn::Div(hn::Set(DF32(), 1.0F), scale);
    return RoundUpperHalf(DU32(), hn::BitCast(DU32(), r));
  }

  static HWY_INLINE void PrefetchBlock(const std::byte* block) {
    for (size_t i = 0; i < kQuantBlock * sizeof(BF16); i += kLine)
      __builtin_prefetch(block + i, /*write=*/0, /*L2=*/2);
  }

  void Write(size_t first_row, size_t n_rows, size_t first_block, size_t n_blocks) {
    const size_t n_columns = n_blocks * kQuantBlock;
    for (size_t r = n_rows; r < kGroupRows; ++r) std::memset(packed_[r], 0, n_columns);
    const PackedBlock block{packed_[0], kPackedRowBytes, n_rows, n_columns};
    std::byte* dst = reinterpret_cast<std::byte*>(job_.q) +
                     first_block * kQuantBlock * job_.q_stride + first_row;
    TransposePacked<1>(block, dst, job_.q_stride, is_streamed_, [] {});
  }

  const BlockJob& job_;
  bool has_lines_;    // the columns of the output begin at the same place in a line
  bool is_streamed_;  // and go past the caches
  alignas(kLine) uint16_t maxima_[kGroupBlocks][kGroupRows] = {};
  alignas(kLine) uint16_t scales_[kGroupBlocks][kGroupRows];
  alignas(kLine) uint16_t reciprocals_[kGroupBlocks][kGroupRows];
  alignas(kLine) std::byte packed_[kGroupRows][kPackedRowBytes];
};

uint16_t QuantizeBlocks(const BF16* const* rows, size_t n_rows, size_t n_blocks, int bits,
                        int8_t* q, size_t q_stride, BF16* scales, size_t scale_stride) {
  const BlockJob job{rows, n_rows, n_blocks, q, q_stride, scales, scale_stride};
  return bits == 8 ? BlockQuantizer<8>(job).Run() : BlockQuantizer<4>(job).Run();
}

#else

uint16_t QuantizeBlocks(const BF16* const* rows, size_t n_rows, size_t n_blocks, int bits,
                        int8_t* q, size_t q_stride, BF16* scales, size_t scale_stride) {
  return reference::QuantizeBlocksBF16(rows, n_rows, n_blocks, bits, q, q_stride, scales,
                                       scale_stride);
}

#endif  // CKPT_HAVE_SIMD

}  // namespace
}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ckpt {

HWY_EXPORT(QuantizeBlocks);

uint16_t QuantizeBlocksBF16(const BF16* const* rows, size_t n_rows, size_t n_blocks, int bits,
                            int8_t* q, size_t q_stride, BF16* scales, size_t scale_stride) {
  return HWY_DYNAMIC_DISPATCH(QuantizeBlocks)(rows, n_rows, n_blocks, bits, q, q_stride, scales,
                                              scale_stride);
}

}  // namespace ckpt
#endif  // HWY_ONCE
