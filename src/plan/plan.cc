#include "plan/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "base/check.h"
#include "plan/bundles.h"
#include "plan/digest.h"
#include "plan/layout_faults.h"
#include "plan/memory.h"
#include "plan/tile.h"

namespace ckpt {
namespace {

// Rows that are read as they lie need their elements side by side.
bool HasStoredRows(const TensorEntry& tensor) {
  const size_t rank = tensor.shape.rank();
  return std::all_of(tensor.pieces.begin(), tensor.pieces.end(), [&](const Piece& piece) {
    return piece.byte_strides.empty() || tensor.shape[rank - 1] <= 1 ||
           piece.byte_strides[rank - 1] == Info(tensor.dtype).block_bytes;
  });
}

tl::unexpected<Error> Scattered(const TensorEntry& tensor, const Plan& plan) {
  return Fail(Code::kBadInput,
              fmt::format("\"{}\" is stored as a view whose rows are scattered (transposed or "
                          "expanded), which cannot be turned into {}",
                          tensor.name, plan.target),
              "call .contiguous() on the tensor and save the file again");
}

// Where each array lies and how its rows are read. Collects everything that cannot be done.
Result<void> PlanArrays(Plan& plan) {
  const OutputSpec& output = plan.output;
  // Rows of a file come from rows of a file.
  for (const TensorEntry& tensor : plan.catalog.tensors) {
    if (tensor.chunked == nullptr) continue;
    return Fail(Code::kBadInput,
                fmt::format("the source is stored in chunks ({}), which cannot be turned into {}",
                            plan.catalog.format, plan.target),
                "convert from the Hugging Face, Meta or GGUF form of this model");
  }
  plan.arrays.resize(output.arrays.size());
  LayoutFaults faults;
  for (size_t i = 0; i < output.file.arrays.size(); ++i)
    plan.arrays[output.file.arrays[i]].offset = output.file.offsets[i];
  for (size_t i = 0; i < output.arrays.size(); ++i) {
    const ArraySpec& spec = output.arrays[i];
    ArrayPlan& array = plan.arrays[i];
    CKPT_TRY(array.size_bytes, TensorBytes(spec.dtype, spec.shape));
    if (spec.encoding == Encoding::kScales) {
      plan.arrays[spec.scales_of].scales = i;
      continue;
    }
    const BoundRole& bound = plan.model.roles[spec.role];
    const TensorEntry& tensor = plan.catalog.tensors[bound.tensor];
    array.tensor = bound.tensor;
    array.source_dtype = tensor.dtype;
    Result<RowMap> rows = HasStoredRows(tensor) ? MapRows(spec, bound, tensor)
                                                : Result<RowMap>(Scattered(tensor, plan));
    if (!rows) {
      faults.Add(rows.error());
      continue;
    }
    array.rows = std::move(*rows);
    // Transposed values are staged in bf16; all others leave row by row in their own dtype.
    const uint64_t element_bytes =
        spec.encoding == Encoding::kQuantBlocks ? 2 : ElementBytes(spec.dtype);
    array.row_bytes = array.rows.row_elements * element_bytes;
  }
  return std::move(faults).Get();
}

// Column maxima cross all tiles of a tensor: read once for them, once more to quantize. Holding the
// tensor instead would save the second reading and cost the first touch of its memory, which is
// dearer (docs/decisions/0004-statistics.md).
void PlanStatistics(Plan& plan) {
  for (size_t i = 0; i < plan.arrays.size(); ++i) {
    if (plan.output.arrays[i].encoding != Encoding::kQuantColumns) continue;
    const RowMap& rows = plan.arrays[i].rows;
    for (uint64_t row = 0; row < rows.n_rows; row += rows.rows_per_band)
      plan.statistics.push_back({{i, row, std::min(rows.n_rows, row + rows.rows_per_band)}});
  }
}

uint64_t RequestsOf(const Plan& plan, size_t i) {
  const ArrayPlan& array = plan.arrays[i];
  const TensorEntry& tensor = plan.catalog.tensors[array.tensor];
  if (array.rows.n_rows == 0) return 0;
  const uint64_t rows =
      RowsPerTile(array, tensor, plan.memory.tile_in_bytes, plan.memory.tile_out_bytes);
  Tile tile;
  MakeTile(array.rows, tensor, {i, 0, std::min(rows, array.rows.n_rows)}, tile);
  const uint64_t tiles = (array.rows.n_rows + rows - 1) / rows;
  return tiles * tile.ranges.size() * array.passes;
}

void CountTotals(Plan& plan) {
  Totals& totals = plan.totals;
  totals.header_bytes = plan.catalog.header_bytes;
  totals.read_bytes = totals.header_bytes;
  std::unordered_set<size_t> seen;
  const auto again = [&](size_t i, std::string why, uint64_t bytes) {
    plan.rereads.push_back({plan.output.arrays[i].name, std::move(why), bytes});
    totals.read_again_bytes += bytes;
    totals.read_bytes += bytes;
  };
  for (size_t i = 0; i < plan.arrays.size(); ++i) {
    const ArraySpec& spec = plan.output.arrays[i];
    if (spec.encoding == Encoding::kScales) continue;
    const ArrayPlan& array = plan.arrays[i];
    const DTypeInfo& info = Info(array.source_dtype);
    const uint64_t bytes =
        array.rows.n_rows * (array.rows.row_elements / info.block_elements * info.block_bytes);
    totals.requests += RequestsOf(plan, i);
    if (seen.insert(array.tensor).second) {
      totals.source_tensor_bytes += bytes;
      totals.read_bytes += bytes;
    } else {
      again(i, "shares its tensor with another array", bytes);
    }
    if (spec.encoding == Encoding::kQuantColumns) {
      again(i, "column maxima before quantizing", bytes);
      totals.requests += RequestsOf(plan, i);
    }
    if (array.passes > 1)
      again(i, fmt::format("{} passes, each filling a part of the output", array.passes),
            bytes * (array.passes - 1));
  }
  totals.written_bytes = plan.output.file.size_bytes;
  for (const CompanionSpec& companion : plan.output.companions) {
    if (companion.text) totals.written_bytes += companion.text->size();
    if (companion.source) {
      totals.written_bytes += companion.source->size_bytes;
      totals.read_bytes += companion.source->size_bytes;
    }
  }
}

}  // namespace

std::optional<size_t> Plan::ArrayAt(uint64_t file_offset) const {
  for (const size_t i : output.file.arrays) {
    if (arrays[i].offset <= file_offset && file_offset - arrays[i].offset < arrays[i].size_bytes)
      return i;
  }
  return std::nullopt;
}

uint64_t Plan::MemoryBytes() const {
  uint64_t bytes = sizeof(Plan) + output.file.header.capacity();
  for (size_t i = 0; i < arrays.size(); ++i) {
    bytes += sizeof(ArrayPlan) + sizeof(ArraySpec) + 3 * output.arrays[i].name.capacity() + 512;
  }
  bytes += model.roles.size() * (sizeof(BoundRole) + 512);
  bytes += (bundles.size() + statistics.size()) * (sizeof(Bundle) + 4 * sizeof(RowSpan));
  return bytes;
}

Result<Plan> MakePlan(Catalog catalog, Model model, const Target& target, OutputSpec output,
                      const TargetSettings& settings, const PlanOptions& options) {
  Plan plan;
  plan.catalog = std::move(catalog);
  plan.model = std::move(model);
  plan.output = std::move(output);
  plan.target = target.name();
  plan.settings = settings;
  CKPT_TRY_VOID(PlanArrays(plan));
  plan.bundle_bytes = options.bundle_bytes > 0 ? options.bundle_bytes
                                               : DefaultBundleBytes(plan.output.file.size_bytes);
  CutBundles(plan, options.front_bytes);
  PlanStatistics(plan);
  CKPT_TRY_VOID(PlanMemory(plan, options.resources));
  CountTotals(plan);
  plan.layout_digest = LayoutDigest(plan);
  plan.run_digest = RunDigest(plan);
  plan.warnings = plan.catalog.warnings;
  plan.warnings.insert(plan.warnings.end(), plan.model.warnings.begin(), plan.model.warnings.end());
  plan.warnings.insert(plan.warnings.end(), plan.output.warnings.begin(),
                       plan.output.warnings.end());
  return plan;
}

}  // namespace ckpt
