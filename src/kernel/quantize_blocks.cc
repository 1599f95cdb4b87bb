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

// A group of rows, as many as make one line of the output, by as many blocks as are packed into 512
// bytes: wide enough (1 or 2 KiB of a row) for sequential reads. Its rows are quantized eight at a
// time, which the first level of the cache holds: the maxima of their blocks, then their scales as
// vectors (a division costs as much for 16 of them as for one), then the values, packed into bytes.
// Last the transpose into whole lines.
constexpr size_t kGroupRows = kLine;
constexpr size_t kGroupBytes = 512;  // packed, of a row
constexpr size_t kFoldedRows = 8;    // maxima that fill 128 bits
static_assert(kGroupRows % kFoldedRows == 0);
// Not a power of two: a tile's rows in different sets of L1.
constexpr size_t kPackedRowBytes = kGroupBytes + kLine;
// Rows quantized between two tiles that are written.
constexpr size_t kRowsPerTile = kGroupRows * kTileColumns<1> / kGroupBytes;

struct BlockJob {
  const BF16* const* rows;
  size_t n_rows, n_blocks;
  std::byte* q;
  size_t q_stride;
  BF16* scales;
  size_t scale_stride;
};

/// The lanes of one block folded onto one vector.
HWY_INLINE VI16 FoldBlock(const std::byte* w) {
  const DU16 d;
  const size_t lanes = hn::Lanes(d);
  VI16 largest = Magnitude(LoadBytes(d, w));
  for (size_t i = lanes; i < kQuantBlock; i += lanes)
    largest = hn::Max(largest, Magnitude(LoadBytes(d, w + i * sizeof(BF16))));
  return largest;
}

/// Lanes of T in turn from a and from b, each the larger of two: half as many are left of either.
template <typename T>
HWY_INLINE VI16 FoldPair(VI16 a, VI16 b) {
  const DI16 d;
  const hn::Repartition<T, DI16> dt;
  const auto at = hn::BitCast(dt, a);
  const auto bt = hn::BitCast(dt, b);
  return hn::Max(hn::BitCast(d, hn::InterleaveLower(dt, at, bt)),
                 hn::BitCast(d, hn::InterleaveUpper(dt, at, bt)));
}

/// The maxima of one block of eight rows, reduced together: 3 operations a row, where reducing each
/// by itself takes 10. `row(i)` is where that block of row i begins.
template <class Row>
HWY_INLINE void BlockMaxima(const Row& row, uint16_t* maxima) {
  const auto fold2 = [&](size_t i) HWY_ATTR {
    return FoldPair<uint16_t>(FoldBlock(row(i)), FoldBlock(row(i + 1)));
  };
  const auto fold4 = [&](size_t i) HWY_ATTR { return FoldPair<uint32_t>(fold2(i), fold2(i + 2)); };
  const VI16 largest = FoldPair<uint64_t>(fold4(0), fold4(4));
  const hn::Full128<uint16_t> d;
  hn::StoreU(hn::BitCast(d, FoldHalves(DI16(), largest)), d, maxima);
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
        is_streamed_(has_lines_ && job.q_stride * job.n_blocks * kBlockBytes >= kStreamedBytes) {}

  // The first group ends at the border of a line, so that all others write whole ones. While a
  // group is written the next one is quantized: stores that go past the caches wait for memory, and
  // there is work to do meanwhile.
  uint16_t Run() {
    const size_t lead = has_lines_ ? (0 - reinterpret_cast<uintptr_t>(job_.q)) % kLine : 0;
    Group written;
    for (size_t r = 0, end = lead > 0 ? lead : kGroupRows; r < job_.n_rows; end += kGroupRows) {
      const size_t n_rows = std::min(end, job_.n_rows) - r;
      for (size_t s = 0; s < job_.n_blocks; s += kGroupBlocks) {
        const Group group{r, n_rows, s, std::min(kGroupBlocks, job_.n_blocks - s)};
        turn_ = 1 - turn_;
        size_t row = 0;
        Write(written, packed_[1 - turn_], [&]() HWY_ATTR {
          for (size_t i = 0; i < kRowsPerTile && row < n_rows; ++i) Quantize(group, row++);
        });
        while (row < n_rows) Quantize(group, row++);
        written = group;
      }
      r += n_rows;
    }
    Write(written, packed_[turn_], [] {});
    if (is_streamed_) hwy::FlushStream();
    return *std::max_element(largest_, largest_ + kScales);
  }

 private:
  static constexpr float kHighest = kBits == 8 ? 127.0F : 7.0F;
  static constexpr size_t kBlockBytes = CollectedBlockBytes(kBits);
  static constexpr size_t kGroupBlocks = kGroupBytes / kBlockBytes;
  static constexpr size_t kGroupRowBytes = kGroupBlocks * kQuantBlock * sizeof(BF16);
  static constexpr size_t kScales = kGroupBlocks * kFoldedRows;

  struct Group {
    size_t first_row = 0, n_rows = 0, first_block = 0, n_blocks = 0;
  };
  using Packed = std::byte[kGroupRows][kPackedRowBytes];

  const std::byte* Source(const Group& group, size_t row) const {
    return reinterpret_cast<const std::byte*>(job_.rows[group.first_row + row] +
                                              group.first_block * kQuantBlock);
  }

  // One row of the group, packed; what the next group has there is on its way into the cache.
  HWY_NOINLINE void Quantize(const Group& group, size_t r) {
    if (r % kFoldedRows == 0) MakeScales(group, r);
    const std::byte* w = Source(group, r);
    const std::byte* next = w + kGroupRowBytes;  // of the row, or of the next group's
    if (group.first_block + kGroupBlocks >= job_.n_blocks)
      next = reinterpret_cast<const std::byte*>(
          job_.rows[std::min(group.first_row + group.n_rows + r, job_.n_rows - 1)]);
    for (size_t b = 0; b < group.n_blocks; ++b) {
      PrefetchBlock(next + b * kQuantBlock * sizeof(BF16));
      const std::byte* block = w + b * kQuantBlock * sizeof(BF16);
      const BF16 reciprocal{reciprocals_[b * kFoldedRows + r % kFoldedRows]};
      std::byte* packed = packed_[turn_][r] + b * kBlockBytes;
      if constexpr (kBits == 8) {
        QuantizeRow<8>(block, kQuantBlock, reciprocal, reinterpret_cast<int8_t*>(packed));
      } else {
        QuantizeHalfBytes(block, reciprocal, packed);
      }
    }
  }

  // One block, its second half in the upper halves of the bytes. Nothing is to be clamped: three
  // roundings to 8 bits make of a maximum at most 7 * (1 + 2^-9)^3.
  static HWY_INLINE void QuantizeHalfBytes(const std::byte* w, BF16 reciprocal, std::byte* packed) {
    const DU16 d;
    const size_t lanes = hn::Lanes(d);
    static_assert(hn::MaxLanes(DU16()) <= kBlockBytes);
    const EvenOddFactor r = Broadcast(reciprocal);
    for (size_t i = 0; i < kBlockBytes; i += lanes) {
      const VI16 lower = QuantizeVector(LoadBytes(d, w + i * sizeof(BF16)), r);
      const VI16 upper = QuantizeVector(LoadBytes(d, w + (kBlockBytes + i) * sizeof(BF16)), r);
      const VI16 both = hn::Or(hn::And(lower, hn::Set(DI16(), int16_t{0x0f})),
                               hn::And(hn::ShiftLeft<4>(upper), hn::Set(DI16(), int16_t{0xf0})));
      const hn::Rebind<uint8_t, DI16> d8;
      hn::StoreU(hn::DemoteTo(d8, both), d8, reinterpret_cast<uint8_t*>(packed + i));
    }
  }

  // Scales and reciprocals of eight rows; of those beyond the group, as of its last.
  HWY_NOINLINE void MakeScales(const Group& group, size_t row) {
    for (size_t b = 0; b < group.n_blocks; ++b) {
      BlockMaxima(
          [&](size_t i) HWY_ATTR {
            return Source(group, std::min(row + i, group.n_rows - 1)) +
                   b * kQuantBlock * sizeof(BF16);
          },
          maxima_ + b * kFoldedRows);
    }
    const DU16 d;
    const DI16 di;
    for (size_t i = 0; i < kScales; i += hn::Lanes(d)) {
      const VU16 maxima = hn::Load(d, maxima_ + i);
      const VI16 largest = hn::BitCast(di, hn::Load(d, largest_ + i));
      hn::Store(hn::BitCast(d, hn::Max(largest, hn::BitCast(di, maxima))), d, largest_ + i);
      const VU16 floor = hn::Set(d, uint16_t{0x3728});  // R(1e-5)
      const EvenOdd max = Widen(hn::Max(maxima, floor));
      const VU16 scale =
          JoinUpperHalves(ScaleVector(max.even, kHighest), ScaleVector(max.odd, kHighest));
      hn::Store(scale, d, scales_ + i);
      const EvenOdd s = Widen(scale);
      hn::Store(JoinUpperHalves(ReciprocalVector(s.even), ReciprocalVector(s.odd)), d,
                reciprocals_ + i);
    }
    const size_t count = std::min(kFoldedRows, group.n_rows - row);
    for (size_t b = 0; b < group.n_blocks; ++b) {
      BF16* const to =
          job_.scales + (group.first_block + b) * job_.scale_stride + group.first_row + row;
      const uint16_t* from = scales_ + b * kFoldedRows;
      if (count < kFoldedRows) {
        std::memcpy(to, from, count * sizeof(BF16));
        continue;
      }
      std::memcpy(to, from, kFoldedRows * sizeof(BF16));
      // The line after this one: a store that misses holds up those behind it.
      if (group.first_row + row + kLine / sizeof(BF16) < job_.n_rows)
        __builtin_prefetch(to + kLine / sizeof(BF16), /*write=*/1);
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

  // Calls `between` before each tile of the group.
  template <class Between>
  HWY_INLINE void Write(const Group& group, Packed& packed, Between&& between) {
    const size_t n_columns = group.n_blocks * kBlockBytes;
    for (size_t r = group.n_rows; r < kGroupRows; ++r) std::memset(packed[r], 0, n_columns);
    const PackedBlock block{packed[0], kPackedRowBytes, group.n_rows, n_columns};
    std::byte* dst = job_.q + group.first_block * kBlockBytes * job_.q_stride + group.first_row;
    TransposePacked<1>(block, dst, job_.q_stride, is_streamed_, between);
  }

  const BlockJob& job_;
  bool has_lines_;    // the columns of the output begin at the same place in a line
  bool is_streamed_;  // and go past the caches
  // By block and row.
  alignas(kLine) uint16_t maxima_[kScales] = {};
  alignas(kLine) uint16_t scales_[kScales];
  alignas(kLine) uint16_t reciprocals_[kScales];
  alignas(kLine) uint16_t largest_[kScales] = {};
  alignas(kLine) Packed packed_[2];  // a group being made, and the one before it
  size_t turn_ = 0;
};

uint16_t QuantizeBlocks(const BF16* const* rows, size_t n_rows, size_t n_blocks, int bits,
                        std::byte* q, size_t q_stride, BF16* scales, size_t scale_stride) {
  const BlockJob job{rows, n_rows, n_blocks, q, q_stride, scales, scale_stride};
  return bits == 8 ? BlockQuantizer<8>(job).Run() : BlockQuantizer<4>(job).Run();
}

template <bool kIsUpper>
size_t UnpackVectors(const std::byte* packed, size_t n, int8_t* q) {
  const hn::ScalableTag<int8_t> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const size_t lanes = hn::Lanes(d);
  const auto sign = hn::Set(d, int8_t{8});
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto bytes = LoadBytes(du, packed + i);
    const auto half =
        kIsUpper ? hn::ShiftRight<4>(bytes) : hn::And(bytes, hn::Set(du, uint8_t{15}));
    hn::StoreU(hn::Sub(hn::Xor(hn::BitCast(d, half), sign), sign), d, q + i);
  }
  return i;
}

void Unpack(const std::byte* packed, size_t n, bool is_upper, int8_t* q) {
  const size_t done =
      is_upper ? UnpackVectors<true>(packed, n, q) : UnpackVectors<false>(packed, n, q);
  reference::UnpackHalfBytes(packed + done, n - done, is_upper, q + done);
}

#else

uint16_t QuantizeBlocks(const BF16* const* rows, size_t n_rows, size_t n_blocks, int bits,
                        std::byte* q, size_t q_stride, BF16* scales, size_t scale_stride) {
  return reference::QuantizeBlocksBF16(rows, n_rows, n_blocks, bits, q, q_stride, scales,
                                       scale_stride);
}
void Unpack(const std::byte* packed, size_t n, bool is_upper, int8_t* q) {
  reference::UnpackHalfBytes(packed, n, is_upper, q);
}

#endif  // CKPT_HAVE_SIMD

}  // namespace
}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ckpt {

HWY_EXPORT(QuantizeBlocks);
HWY_EXPORT(Unpack);

uint16_t QuantizeBlocksBF16(const BF16* const* rows, size_t n_rows, size_t n_blocks, int bits,
                            std::byte* q, size_t q_stride, BF16* scales, size_t scale_stride) {
  return HWY_DYNAMIC_DISPATCH(QuantizeBlocks)(rows, n_rows, n_blocks, bits, q, q_stride, scales,
                                              scale_stride);
}

void UnpackHalfBytes(const std::byte* packed, size_t n, bool is_upper, int8_t* q) {
  HWY_DYNAMIC_DISPATCH(Unpack)(packed, n, is_upper, q);
}

}  // namespace ckpt
#endif  // HWY_ONCE
