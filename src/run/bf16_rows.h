#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/float.h"
#include "base/result.h"
#include "base/units.h"
#include "kernel/convert.h"
#include "plan/plan.h"
#include "run/tile_kernel.h"

namespace ckpt {

/// Output made before its CRC is taken: small enough to be still in the first-level cache.
inline constexpr uint64_t kStripeBytes = 8 * kKiB;

inline const BF16* AsBF16(const std::byte* bytes) { return reinterpret_cast<const BF16*>(bytes); }

/// The error for the first NaN or infinity of a row; there must be one.
tl::unexpected<Error> NonFinite(const Plan& plan, size_t array, uint64_t row, const BF16* values);

/// The rows of a tile as bf16: as they lie, or converted into scratch. A row is valid until the
/// next.
class BF16Rows {
 public:
  BF16Rows(const Plan& plan, const Tile& tile, const std::byte* input, const KernelScratch& scratch)
      : rows_(tile, input, scratch.gathered_row),
        elements_(plan.arrays[tile.rows.array].rows.row_elements),
        converted_(scratch.converted_row) {
    const DType source = plan.arrays[tile.rows.array].row_dtype;
    if (source != DType::kBF16) convert_ = FindConvert(source, DType::kBF16);
    CKPT_CHECK(source == DType::kBF16 || convert_ != nullptr);
  }
  uint64_t count() const { return rows_.count(); }
  const BF16* Row(uint64_t i) const {
    const std::byte* row = rows_.Row(i);
    if (convert_ == nullptr) return AsBF16(row);
    convert_(row, converted_, elements_);
    return AsBF16(converted_);
  }

 private:
  TileRows rows_;
  uint64_t elements_;
  std::byte* converted_;
  ConvertFn convert_ = nullptr;
};

/// Takes the CRC of rows while they are made: a stripe at a time, before it leaves the cache.
class StripeCrc {
 public:
  StripeCrc(std::span<const std::byte> out, Crc32c& crc) : rest_(out), crc_(crc) {}
  /// `bytes` more are made.
  void Made(size_t bytes) {
    made_ += bytes;
    if (made_ < kStripeBytes && made_ < rest_.size()) return;
    crc_.Append(rest_.first(made_));
    rest_ = rest_.subspan(std::exchange(made_, 0));
  }

 private:
  std::span<const std::byte> rest_;  // not yet taken
  size_t made_ = 0;                  // of the rest
  Crc32c& crc_;
};

}  // namespace ckpt
