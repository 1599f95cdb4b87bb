#include "run/band_kernel.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "base/check.h"
#include "base/checked.h"
#include "kernel/aqt.h"
#include "kernel/quantize.h"
#include "kernel/transpose.h"
#include "plan/chunked_memory.h"
#include "plan/role_work.h"
#include "run/band_map.h"
#include "run/kernel_faults.h"
#include "run/row_segments.h"

namespace ckpt {
namespace {

constexpr uint16_t kInfinityBits = 0x7f80;

AqtType TypeOf(QuantType type) {
  switch (type) {
    case QuantType::kInt8:
      return AqtType::kInt8;
    case QuantType::kInt4:
      return AqtType::kInt4;
    case QuantType::kFp8E4M3:
      break;
  }
  return AqtType::kFp8E4M3;
}

class ProductMaker {
 public:
  ProductMaker(const ChunkedPlan& plan, const RoleWork& work, const Product& product,
               const BandInput& input, std::span<std::byte> staging, std::span<std::byte> out)
      : plan_(plan),
        work_(work),
        product_(product),
        output_(plan.outputs[product.slices.front().output]),
        slice_(output_.slices[product.slices.front().slice]),
        array_(output_.arrays[slice_.array]),
        bound_(plan.model.roles[work.role]),
        tensor_(plan.catalog.tensors[TensorOf(work, bound_, input.band)]),
        input_(input),
        map_(work, slice_, ChunkStrides(slice_, array_), input.band),
        element_bytes_(ElementBytes(array_.dtype)),
        is_quantized_(array_.making == ChunkMaking::kQuantize),
        segments_(*input.tile, input.bytes, tensor_.dtype, work.rows.row_elements, slice_.value,
                  is_quantized_ ? DType::kBF16 : array_.dtype, staging.first(kSegmentScratchBytes)),
        converted_(staging.data() + kSegmentScratchBytes),
        row_values_(converted_ + kStripeRows * kStripeColumns * sizeof(float)),
        out_(out) {
    CKPT_CHECK(staging.size() >=
               kSegmentScratchBytes +
                   (kStripeRows * kStripeColumns + kStripeColumns) * sizeof(float));
  }

  Result<MadeProduct> Run() {
    MadeProduct made;
    made.chunks = BandChunks(plan_, work_, product_.slices.front(), input_.band);
    CKPT_CHECK(made.chunks.size() == product_.chunks);
    if (is_quantized_) CKPT_TRY_VOID(MakeScales(made));
    for (size_t i = 0; i < made.chunks.size(); ++i) {
      const std::span<std::byte> place =
          out_.subspan(i * product_.stride_bytes, product_.stride_bytes);
      const std::span<std::byte> chunk = place.first(product_.chunk_bytes);
      if (!made.chunks[i].is_full) std::memset(chunk.data(), 0, chunk.size());
      Fill(made.chunks[i].box, chunk.data());
      Crc32c crc = Crc32c::Of(chunk);
      uint64_t stored = product_.chunk_bytes;
      if (output_.codec == ChunkCodec::kCrc32c) {
        const uint32_t value = crc.value();
        for (size_t b = 0; b < sizeof(value); ++b)
          place[stored + b] = static_cast<std::byte>(value >> (8 * b));
        crc.Append(place.subspan(stored, sizeof(value)));
        stored += sizeof(value);
      }
      std::memset(place.data() + stored, 0, place.size() - stored);
      made.crcs.push_back(crc);
    }
    return made;
  }

 private:
  void Fill(const RoleBox& box, std::byte* chunk) const {
    const std::vector<PlacedRow> rows = map_.Rows(box);
    if (rows.empty()) return;
    for (const ColumnRun& run : map_.Columns(box)) {
      if (run.stride == 1 || run.count == 1) {
        for (const PlacedRow& row : rows) FillStraight(row, run, chunk);
        continue;
      }
      // Rows that are neighbours in the chunk are transposed together.
      for (size_t begin = 0; begin < rows.size();) {
        size_t end = begin + 1;
        while (end < rows.size() && end - begin < kStripeRows &&
               rows[end].offset == rows[end - 1].offset + 1)
          ++end;
        FillTransposed(std::span(rows).subspan(begin, end - begin), run, chunk);
        begin = end;
      }
    }
  }

  void FillStraight(const PlacedRow& row, const ColumnRun& run, std::byte* chunk) const {
    std::byte* to = chunk + (row.offset + run.offset) * element_bytes_;
    for (uint64_t done = 0; done < run.count;) {
      const uint64_t count = std::min(kStripeColumns, run.count - done);
      Elements(row.row, run.column + done, count, to + done * element_bytes_);
      done += count;
    }
  }

  void FillTransposed(std::span<const PlacedRow> rows, const ColumnRun& run,
                      std::byte* chunk) const {
    std::byte* to = chunk + (rows.front().offset + run.offset) * element_bytes_;
    const uint64_t stride_bytes = run.stride * element_bytes_;
    std::array<const std::byte*, kStripeRows> pointers{};
    if (!is_quantized_) {
      size_t direct = 0;
      for (; direct < rows.size(); ++direct) {
        pointers[direct] = segments_.Direct(rows[direct].row, run.column);
        if (pointers[direct] == nullptr) break;
      }
      if (direct == rows.size()) {
        TransposeRows(pointers.data(), rows.size(), run.count, element_bytes_, to, stride_bytes);
        return;
      }
    }
    for (uint64_t done = 0; done < run.count;) {
      const uint64_t count = std::min(kStripeColumns, run.count - done);
      for (size_t i = 0; i < rows.size(); ++i) {
        std::byte* staged = converted_ + i * kStripeColumns * element_bytes_;
        Elements(rows[i].row, run.column + done, count, staged);
        pointers[i] = staged;
      }
      TransposeRows(pointers.data(), rows.size(), count, element_bytes_, to + done * stride_bytes,
                    stride_bytes);
      done += count;
    }
  }

  // Some elements of a row in the array's type.
  void Elements(uint64_t row, uint64_t column, uint64_t count, std::byte* into) const {
    if (!is_quantized_) {
      segments_.Convert(row, column, count, into);
      return;
    }
    const std::byte* values = Values(row, column, count);
    AqtQuantizeRow(reinterpret_cast<const BF16*>(values), count, scales_[row].reciprocal,
                   TypeOf(*array_.quant), into);
  }

  // Some elements of a row as bf16, before quantizing.
  const std::byte* Values(uint64_t row, uint64_t column, uint64_t count) const {
    const std::byte* values = segments_.Direct(row, column);
    if (values != nullptr) return values;
    segments_.Convert(row, column, count, row_values_);
    return row_values_;
  }

  // One scale for each row of the band, and their place in the array of scales.
  Result<void> MakeScales(MadeProduct& made) {
    const uint64_t elements = work_.rows.row_elements;
    const uint64_t count = input_.tile->rows.row_end - input_.tile->rows.row_begin;
    for (uint64_t row = 0; row < count; ++row) {
      uint16_t abs_max = 0;
      for (uint64_t column = 0; column < elements; column += kStripeColumns) {
        const uint64_t n = std::min(kStripeColumns, elements - column);
        abs_max =
            std::max(abs_max, AbsMaxBF16(reinterpret_cast<const BF16*>(Values(row, column, n)), n));
      }
      if (abs_max >= kInfinityBits) return NonFinite(row);
      scales_.push_back(AqtScaleOf(abs_max, TypeOf(*array_.quant)));
    }
    const std::vector<BandMap::PlacedScale> places =
        map_.Scales(array_.shape, output_.arrays[array_.scales].shape);
    CKPT_CHECK(places.size() == count);
    if (places.empty()) return {};
    CKPT_CHECK(places.back().place - places.front().place + 1 == count);
    made.first_scale = places.front().place;
    for (const BandMap::PlacedScale& place : places) {
      const uint16_t bits = scales_[place.row].scale.bits;
      made.scales.push_back(static_cast<std::byte>(bits));
      made.scales.push_back(static_cast<std::byte>(bits >> 8U));
    }
    return {};
  }

  // The error for the first NaN or infinity of a row.
  tl::unexpected<Error> NonFinite(uint64_t row) const {
    const uint64_t elements = work_.rows.row_elements;
    for (uint64_t column = 0; column < elements; column += kStripeColumns) {
      const uint64_t n = std::min(kStripeColumns, elements - column);
      const std::byte* values = Values(row, column, n);
      const size_t at = FindNonFiniteBF16(reinterpret_cast<const BF16*>(values), n);
      if (at == n) continue;
      uint16_t bits = 0;
      std::memcpy(&bits, values + at * sizeof(BF16), sizeof(bits));
      return NonFinite(row, column + at, std::isnan(ToF32(BF16{bits})));
    }
    CKPT_UNREACHABLE("a maximum without its value");
  }

  tl::unexpected<Error> NonFinite(uint64_t row, uint64_t column, bool is_nan) const {
    Error error{
        Code::kBadInput,
        fmt::format("{} at index [{}] cannot be quantized", is_nan ? "NaN" : "infinity",
                    fmt::join(map_.SourceIndex(bound_.view, tensor_.shape, row, column), ", ")),
        {},
        {},
        "the weights are damaged or were trained to infinity: fetch them again, or leave "
        "the quantized output out"};
    error.where.push_back({"tensor", tensor_.name});
    return Fail(std::move(error));
  }

  const ChunkedPlan& plan_;
  const RoleWork& work_;
  const Product& product_;
  const ChunkedOutput& output_;
  const ChunkedSlice& slice_;
  const ChunkedArray& array_;
  const BoundRole& bound_;
  const TensorEntry& tensor_;
  const BandInput& input_;
  const BandMap map_;
  const uint32_t element_bytes_;
  const bool is_quantized_;
  const RowSegments segments_;
  std::byte* const converted_;   // a stripe in the array's type
  std::byte* const row_values_;  // a segment of one row as bf16
  const std::span<std::byte> out_;
  std::vector<AqtScale> scales_;  // by row of the band
};

}  // namespace

Result<void> CheckKernels(const ChunkedPlan& plan) {
  std::map<DType, std::vector<std::string>> missing;
  for (const RoleWork& work : plan.works) {
    const TensorEntry& tensor =
        plan.catalog.tensors[TensorOf(work, plan.model.roles[work.role], 0)];
    for (const Product& product : work.products) {
      const SliceRef& ref = product.slices.front();
      const ChunkedSlice& slice = plan.outputs[ref.output].slices[ref.slice];
      const ChunkedArray& array = plan.outputs[ref.output].arrays[slice.array];
      const DType to = array.making == ChunkMaking::kQuantize ? DType::kBF16 : array.dtype;
      if (RowSegments::Exists(tensor.dtype, to, slice.value)) continue;
      missing[tensor.dtype].push_back(tensor.name);
      break;
    }
  }
  return RefuseUnreadable(missing);
}

Result<MadeProduct> MakeProduct(const ChunkedPlan& plan, const RoleWork& work,
                                const Product& product, const BandInput& input,
                                std::span<std::byte> staging, std::span<std::byte> out) {
  return ProductMaker(plan, work, product, input, staging, out).Run();
}

}  // namespace ckpt
