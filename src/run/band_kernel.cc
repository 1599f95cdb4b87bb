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
#include "run/row_segments.h"

namespace ckpt {
namespace {

constexpr uint16_t kInfinityBits = 0x7f80;

// A row of the band and where its first element goes in a chunk.
struct PlacedRow {
  uint64_t row = 0;
  uint64_t offset = 0;  // elements
};
// A run of columns and where it goes.
struct ColumnRun {
  uint64_t column = 0;
  uint64_t count = 0;
  uint64_t offset = 0;  // elements
  uint64_t stride = 0;  // elements
};

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

// All index tuples of the axes [first, last) of a box, in C order.
template <class Visit>
void ForEachIndex(const RoleBox& box, size_t first, size_t last, Visit visit) {
  for (size_t k = first; k < last; ++k) {
    if (box.begin[k] >= box.end[k]) return;
  }
  std::vector<uint64_t> at(box.begin.begin() + static_cast<std::ptrdiff_t>(first),
                           box.begin.begin() + static_cast<std::ptrdiff_t>(last));
  while (true) {
    visit(std::span<const uint64_t>(at));
    size_t k = last;
    while (k > first && ++at[k - 1 - first] == box.end[k - 1]) {
      at[k - 1 - first] = box.begin[k - 1];
      --k;
    }
    if (k == first) return;
  }
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
        band_(BandBox(work, input.band)),
        strides_(ChunkStrides(slice_, array_)),
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
  bool IsVector() const { return work_.band_axis >= work_.first_column_axis; }

  // Number of a row of the band, from the indexes of the row axes.
  uint64_t RowOf(std::span<const uint64_t> at) const {
    if (IsVector()) return 0;
    uint64_t row = 0;
    for (size_t k = work_.band_axis; k < work_.first_column_axis; ++k) {
      const bool is_band = k == work_.band_axis;
      const uint64_t extent = is_band ? band_.end[k] - band_.begin[k] : work_.axes[k].extent;
      row = row * extent + at[k] - (is_band ? band_.begin[k] : 0);
    }
    return row;
  }

  std::vector<PlacedRow> RowsOf(const RoleBox& box) const {
    std::vector<PlacedRow> rows;
    ForEachIndex(box, 0, work_.first_column_axis, [&](std::span<const uint64_t> at) {
      uint64_t offset = 0;
      for (size_t k = 0; k < at.size(); ++k) offset += (at[k] - box.begin[k]) * strides_[k];
      rows.push_back({RowOf(at), offset});
    });
    std::sort(rows.begin(), rows.end(),
              [](const PlacedRow& a, const PlacedRow& b) { return a.offset < b.offset; });
    return rows;
  }

  // The columns of a box as runs that are as long as both sides allow.
  std::vector<ColumnRun> ColumnsOf(const RoleBox& box) const {
    const size_t rank = work_.axes.size();
    const size_t first = work_.first_column_axis;
    if (first == rank) return {{0, 1, 0, 1}};
    std::vector<uint64_t> column_strides(rank);
    uint64_t stride = 1;
    for (size_t k = rank; k-- > first;) {
      column_strides[k] = stride;
      stride *= ExtentInBuffer(k);
    }
    size_t inner = rank - 1;
    uint64_t count = box.end[inner] - box.begin[inner];
    while (inner > first) {
      const bool is_whole = count == column_strides[inner - 1];
      const bool follows = strides_[inner - 1] == strides_[rank - 1] * count;
      if (!is_whole || !follows) break;
      --inner;
      count *= box.end[inner] - box.begin[inner];
    }
    std::vector<ColumnRun> runs;
    if (count == 0) return runs;
    uint64_t inner_column = 0;
    for (size_t k = inner; k < rank; ++k)
      inner_column += (box.begin[k] - BaseInBuffer(k)) * column_strides[k];
    ForEachIndex(box, first, inner, [&](std::span<const uint64_t> at) {
      ColumnRun run{inner_column, count, 0, strides_[rank - 1]};
      for (size_t k = 0; k < at.size(); ++k) {
        run.column += (at[k] - BaseInBuffer(first + k)) * column_strides[first + k];
        run.offset += (at[k] - box.begin[first + k]) * strides_[first + k];
      }
      runs.push_back(run);
    });
    return runs;
  }

  // A boxed vector's buffer holds only its band.
  bool IsBandInBuffer(size_t axis) const {
    return work_.is_boxed && IsVector() && axis == work_.band_axis;
  }
  uint64_t BaseInBuffer(size_t axis) const { return IsBandInBuffer(axis) ? band_.begin[axis] : 0; }
  uint64_t ExtentInBuffer(size_t axis) const {
    return IsBandInBuffer(axis) ? band_.end[axis] - band_.begin[axis] : work_.axes[axis].extent;
  }

  void Fill(const RoleBox& box, std::byte* chunk) const {
    const std::vector<PlacedRow> rows = RowsOf(box);
    if (rows.empty()) return;
    for (const ColumnRun& run : ColumnsOf(box)) {
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
    std::array<const std::byte*, kStripeRows> pointers;
    if (!is_quantized_) {
      size_t direct = 0;
      for (; direct < rows.size(); ++direct) {
        pointers[direct] = segments_.Direct(rows[direct].row, run.column, run.count);
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
    const std::byte* values = segments_.Direct(row, column, count);
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
    // The scale of a row lies where its index does, with the reduced axes gone.
    const std::vector<uint64_t> strides = ScaleStrides();
    std::vector<std::pair<uint64_t, uint64_t>> places;  // of the scale, row
    ForEachIndex(band_, 0, work_.first_column_axis, [&](std::span<const uint64_t> at) {
      uint64_t place = 0;
      for (size_t k = 0; k < at.size(); ++k) place += at[k] * strides[k];
      places.emplace_back(place, RowOf(at));
    });
    std::sort(places.begin(), places.end());
    CKPT_CHECK(places.size() == count);
    if (places.empty()) return {};
    CKPT_CHECK(places.back().first - places.front().first + 1 == count);
    made.first_scale = places.front().first;
    for (const auto& [place, row] : places) {
      const uint16_t bits = scales_[row].scale.bits;
      made.scales.push_back(static_cast<std::byte>(bits));
      made.scales.push_back(static_cast<std::byte>(bits >> 8U));
    }
    return {};
  }

  std::vector<uint64_t> ScaleStrides() const {
    const ChunkedArray& scales = output_.arrays[array_.scales];
    const size_t rank = array_.shape.rank();
    std::vector<uint64_t> whole(rank);
    std::vector<uint64_t> reduced(rank);
    uint64_t whole_stride = 1;
    uint64_t reduced_stride = 1;
    for (size_t a = rank; a-- > 0;) {
      whole[a] = whole_stride;
      reduced[a] = reduced_stride;
      whole_stride *= array_.shape[a];
      reduced_stride *= scales.shape[a];
    }
    std::vector<uint64_t> strides;
    for (size_t k = 0; k < work_.axes.size(); ++k) {
      const size_t a = slice_.array_axis[k];
      strides.push_back(slice_.view.strides[k] / whole[a] * reduced[a]);
    }
    return strides;
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
    // Back from the row's number to the role's indexes, and from these to the tensor's.
    std::vector<uint64_t> at = band_.begin;
    for (size_t k = work_.axes.size(); k-- > work_.first_column_axis;) {
      at[k] = column % work_.axes[k].extent;
      column /= work_.axes[k].extent;
    }
    for (size_t k = work_.first_column_axis; k-- > work_.band_axis;) {
      const uint64_t extent =
          k == work_.band_axis ? band_.end[k] - band_.begin[k] : work_.axes[k].extent;
      at[k] = row % extent + (k == work_.band_axis ? band_.begin[k] : 0);
      row /= extent;
    }
    uint64_t element = bound_.view.offset;
    for (size_t k = 0; k < at.size(); ++k) element += at[k] * bound_.view.strides[k];
    std::vector<uint64_t> index(tensor_.shape.rank());
    for (size_t axis = index.size(); axis-- > 0;) {
      index[axis] = element % tensor_.shape[axis];
      element /= tensor_.shape[axis];
    }
    Error error{Code::kBadInput,
                fmt::format("{} at index [{}] cannot be quantized", is_nan ? "NaN" : "infinity",
                            fmt::join(index, ", ")),
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
  const RoleBox band_;
  const std::vector<uint64_t> strides_;
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
  if (missing.empty()) return {};
  Error error{Code::kBadInput,
              "the source holds tensors of types that this version cannot read",
              {},
              {},
              "convert from a file in BF16, F16, F32, Q8_0, Q6_K, Q4_1 or Q4_0"};
  for (const auto& [dtype, names] : missing)
    error.details.push_back(
        fmt::format("{}: {} tensors, first \"{}\"", Name(dtype), names.size(), names.front()));
  return Fail(std::move(error));
}

Result<MadeProduct> MakeProduct(const ChunkedPlan& plan, const RoleWork& work,
                                const Product& product, const BandInput& input,
                                std::span<std::byte> staging, std::span<std::byte> out) {
  return ProductMaker(plan, work, product, input, staging, out).Run();
}

}  // namespace ckpt
