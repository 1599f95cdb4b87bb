// The transposing of packed rows in registers, compiled once per CPU target (Highway's convention:
// no #pragma once).
#if defined(CKPT_KERNEL_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CKPT_KERNEL_TRANSPOSE_INL_H_
#undef CKPT_KERNEL_TRANSPOSE_INL_H_
#else
#define CKPT_KERNEL_TRANSPOSE_INL_H_
#endif

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernel/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ckpt::HWY_NAMESPACE {

#if CKPT_HAVE_SIMD

// The unit is a *tile*: as many rows as make one 64-byte line of the output, by as many columns as
// lie in 16 bytes of a row (64 x 16 bytes, 32 x 8 bf16, 16 x 4 float32). A tile has four square
// blocks, one per 16 bytes of the output line. A vector holds one or two of them side by side, so
// one network of interleaves, which stay inside 128 bits on all targets, transposes them all and
// the outputs come in line order, without a cross-lane shuffle.
inline constexpr size_t kLine = 64;
template <size_t kElementBytes>
inline constexpr size_t kTileRows = kLine / kElementBytes;
template <size_t kElementBytes>
inline constexpr size_t kTileColumns = 16 / kElementBytes;

/// 16 bytes of row i in the lowest 128 bits, of row i + block in the next; `block_bytes` lie
/// between those rows.
template <class D>
HWY_INLINE hn::Vec<D> LoadBlocks(D d, const std::byte* p, size_t block_bytes) {
  constexpr size_t kBlocks = hn::MaxLanes(D()) * sizeof(hn::TFromD<D>) / 16;
  if constexpr (kBlocks == 1) {
    return LoadBytes(d, p);
  } else {
    const hn::Half<D> dh;
    const auto low = LoadBlocks(dh, p, block_bytes);
    return hn::Combine(d, LoadBlocks(dh, p + kBlocks / 2 * block_bytes, block_bytes), low);
  }
}

/// The vectors of one tile, as loops that are unrolled by template so that they stay in registers.
template <class D>
struct TileVectors {
  using V = hn::Vec<D>;
  static constexpr size_t kVectorBytes = hn::MaxLanes(D()) * sizeof(hn::TFromD<D>);
  static constexpr size_t kParts = kLine / kVectorBytes;
  static constexpr size_t kCount = kTileColumns<sizeof(hn::TFromD<D>)>;
  using Parts = std::make_index_sequence<kParts>;
  using Columns = std::make_index_sequence<kCount>;
  using HalfColumns = std::make_index_sequence<kCount / 2>;

  template <size_t... kPart>
  HWY_INLINE void LoadAndTranspose(const std::byte* packed, size_t row_bytes,
                                   std::index_sequence<kPart...> /*parts*/) {
    constexpr size_t kPartRows = kVectorBytes / sizeof(hn::TFromD<D>);
    (Load(v[kPart], packed + kPart * kPartRows * row_bytes, row_bytes, Columns()), ...);
    (Transpose(v[kPart]), ...);
  }
  /// Line after line, each whole: streaming stores need that, or each part costs a transfer of its
  /// own.
  template <bool kStreamed, size_t... kColumn>
  HWY_INLINE void Store(std::byte* out, size_t stride,
                        std::index_sequence<kColumn...> /*columns*/) const {
    (StoreLine<kStreamed, kColumn>(out + kColumn * stride, Parts()), ...);
  }

  V v[kParts][kCount];

 private:
  template <size_t... kRow>
  static HWY_INLINE void Load(V (&to)[kCount], const std::byte* p, size_t row_bytes,
                              std::index_sequence<kRow...> /*rows of a block*/) {
    ((to[kRow] = LoadBlocks(D(), p + kRow * row_bytes, kCount * row_bytes)), ...);
  }
  /// The perfect shuffle of the first half of the vectors with the second rotates the bits of
  /// (vector, lane) by one, so log2(kCount) of them exchange vector and lane.
  template <size_t... kIndex>
  static HWY_INLINE void Shuffle(const V (&in)[kCount], V (&out)[kCount],
                                 std::index_sequence<kIndex...> /*half of the columns*/) {
    ((out[2 * kIndex] = hn::InterleaveLower(D(), in[kIndex], in[kIndex + kCount / 2]),
      out[2 * kIndex + 1] = hn::InterleaveUpper(D(), in[kIndex], in[kIndex + kCount / 2])),
     ...);
  }
  static HWY_INLINE void Transpose(V (&x)[kCount]) {
    V y[kCount];
    Shuffle(x, y, HalfColumns());
    Shuffle(y, x, HalfColumns());
    if constexpr (kCount == 16) {
      Shuffle(x, y, HalfColumns());
      Shuffle(y, x, HalfColumns());
    } else if constexpr (kCount == 8) {
      Shuffle(x, y, HalfColumns());
      Copy(y, x, Columns());
    }
  }
  template <size_t... kIndex>
  static HWY_INLINE void Copy(const V (&from)[kCount], V (&to)[kCount],
                              std::index_sequence<kIndex...> /*columns*/) {
    ((to[kIndex] = from[kIndex]), ...);
  }
  template <bool kStreamed, size_t kColumn, size_t... kPart>
  HWY_INLINE void StoreLine(std::byte* out, std::index_sequence<kPart...> /*parts*/) const {
    const hn::Repartition<uint8_t, D> d8;
    if constexpr (kStreamed) {
      (hn::Stream(hn::BitCast(d8, v[kPart][kColumn]), d8,
                  reinterpret_cast<uint8_t*>(out + kPart * kVectorBytes)),
       ...);
    } else {
      (StoreBytes(v[kPart][kColumn], D(), out + kPart * kVectorBytes), ...);
    }
  }
};

/// Transposes the tile at `packed` (rows `row_bytes` apart) into whole lines, `stride` apart.
template <size_t kElementBytes, bool kStreamed>
HWY_INLINE void TransposeTile(const std::byte* packed, size_t row_bytes, std::byte* out,
                              size_t stride) {
  // Not 512 bits: the inserts at load cost more than they save (9.7 against 10.4 GB/s on
  // Zen 4).
  using D = hn::CappedTag<hwy::UnsignedFromSize<kElementBytes>, 32 / kElementBytes>;
  TileVectors<D> tile;  // NOLINT(cppcoreguidelines-pro-type-member-init): the next line fills it
  tile.LoadAndTranspose(packed, row_bytes, typename TileVectors<D>::Parts());
  tile.template Store<kStreamed>(out, stride, typename TileVectors<D>::Columns());
}

struct PackedBlock {
  const std::byte* packed;   ///< rows, with readable bytes up to whole tiles in both directions
  size_t row_bytes;          ///< between packed rows
  size_t n_rows, n_columns;  ///< of them valid
};

/// dst[c * dst_stride + r * kElementBytes] = packed[r][c]. `is_streamed`: whole lines go past the
/// caches; dst and the stride must then be multiples of 64, unless the rows make up less than a
/// line. Calls `between` before each tile, for prefetching.
template <size_t kElementBytes, class Between>
HWY_INLINE void TransposePacked(const PackedBlock& block, std::byte* dst, size_t dst_stride,
                                bool is_streamed, Between&& between) {
  constexpr size_t kRows = kTileRows<kElementBytes>;
  constexpr size_t kColumns = kTileColumns<kElementBytes>;
  // Tiles below one another first: the lines that they write lie side by side.
  for (size_t c = 0; c < block.n_columns; c += kColumns) {
    for (size_t r = 0; r < block.n_rows; r += kRows) {
      between();
      const std::byte* tile = block.packed + r * block.row_bytes + c * kElementBytes;
      std::byte* out = dst + c * dst_stride + r * kElementBytes;
      const size_t valid_bytes = std::min(kLine, (block.n_rows - r) * kElementBytes);
      const size_t valid_columns = std::min(kColumns, block.n_columns - c);
      if (valid_bytes < kLine || valid_columns < kColumns) {
        alignas(kLine) std::byte lines[kColumns * kLine];
        TransposeTile<kElementBytes, false>(tile, block.row_bytes, lines, kLine);
        for (size_t j = 0; j < valid_columns; ++j)
          std::memcpy(out + j * dst_stride, lines + j * kLine, valid_bytes);
      } else if (is_streamed) {
        TransposeTile<kElementBytes, true>(tile, block.row_bytes, out, dst_stride);
      } else {
        TransposeTile<kElementBytes, false>(tile, block.row_bytes, out, dst_stride);
      }
    }
  }
}

#endif  // CKPT_HAVE_SIMD

}  // namespace ckpt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
