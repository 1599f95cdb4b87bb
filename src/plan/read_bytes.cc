#include "plan/read_bytes.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "plan/box_rows.h"
#include "plan/chunk_box.h"
#include "plan/role_work.h"

namespace ckpt {

uint64_t StoredBytesOf(const TensorEntry& tensor, uint64_t elements) {
  const DTypeInfo& info = Info(tensor.dtype);
  const uint64_t bytes = elements / info.block_elements * info.block_bytes;
  if (tensor.chunked == nullptr || tensor.size_bytes == 0) return bytes;
  return CeilDiv(StoredBytes(tensor), CeilDiv(tensor.size_bytes, std::max<uint64_t>(1, bytes)));
}

Reading ReadingOf(const Plan& plan, const RowSpan& span) {
  const ArrayPlan& array = plan.arrays[span.array];
  Reading reading;
  if (!array.boxed) {
    reading.bytes = StoredBytesOf(plan.catalog.tensors[array.tensor],
                                  (span.row_end - span.row_begin) * array.rows.row_elements);
    return reading;
  }
  for (uint64_t row = span.row_begin; row < span.row_end;) {
    const BoxTile tile = NextBoxTile(plan, span.array, row, span.row_end);
    reading.bytes += TouchedBytes(plan.catalog.tensors[tile.tensor], tile.box);
    ++reading.requests;
    row = tile.rows.row_end;
  }
  return reading;
}

uint64_t ReadingsOf(const Plan& plan, size_t array) {
  const bool has_statistic = plan.output.arrays[array].encoding == Encoding::kQuantColumns;
  return plan.arrays[array].passes + (has_statistic ? 1 : 0);
}

std::string WhyMore(const TensorEntry& tensor, std::string_view boxes, uint64_t read,
                    uint64_t used) {
  const bool is_compressed =
      tensor.chunked != nullptr &&
      tensor.chunked->meta.element_codecs().compression != Compression::kNone;
  return fmt::format(
      "stored in another order: up to {} {} meet in a {}",
      CeilDiv(read, std::max<uint64_t>(1, used)), boxes,
      is_compressed ? "compressed chunk, and each may read it anew" : "chunk or request");
}

uint64_t BandReadBytes(const ChunkedPlan& plan, const RoleWork& work, uint64_t band) {
  const BoundRole& bound = plan.model.roles[work.role];
  const TensorEntry& tensor = plan.catalog.tensors[TensorOf(work, bound, band)];
  if (work.is_boxed)
    return TouchedBytes(tensor, TensorBox(bound, work.source_axis, BandBox(work, band)));
  const RowSpan rows = BandRows(work, bound, band);
  return StoredBytesOf(tensor, (rows.row_end - rows.row_begin) * work.rows.row_elements);
}

}  // namespace ckpt
