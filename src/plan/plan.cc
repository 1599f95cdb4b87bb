#include "plan/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "base/check.h"
#include "base/checked.h"
#include "plan/box_rows.h"
#include "plan/bundles.h"
#include "plan/digest.h"
#include "plan/layout_faults.h"
#include "plan/memory.h"
#include "plan/read_bytes.h"
#include "plan/tile.h"

namespace ckpt {
namespace {

// Whether each row of the array lies in one tensor of the source, element by element.
bool HasStoredRows(const TensorEntry& tensor, const BoundRole& bound) {
  if (tensor.chunked != nullptr || !bound.parts.empty()) return false;
  const size_t rank = tensor.shape.rank();
  return std::all_of(tensor.pieces.begin(), tensor.pieces.end(), [&](const Piece& piece) {
    return piece.byte_strides.empty() || tensor.shape[rank - 1] <= 1 ||
           piece.byte_strides[rank - 1] == Info(tensor.dtype).block_bytes;
  });
}

// One behind the other, so that blocks of the space are blocks of a file.
void PlaceFiles(std::vector<FileSpec>& files) {
  uint64_t next = 0;
  for (FileSpec& file : files) {
    file.base = next;
    next = RoundUp(file.range().end, kIoAlignment);
  }
}

// A role at one index of an axis, which it has no more.
BoundRole PartOf(BoundRole bound, const ArraySpec::Part& part) {
  const auto axis = static_cast<std::ptrdiff_t>(part.axis);
  if (bound.parts_axis == part.axis) {
    bound.tensor = bound.parts[part.index];
    bound.parts.clear();
    bound.parts_axis.reset();
  } else {
    CKPT_CHECK(!bound.parts_axis);
    bound.view = Cut(bound.view, part.axis, part.index, part.index + 1);
  }
  bound.instance.axes.erase(bound.instance.axes.begin() + axis);
  bound.view.extents.erase(bound.view.extents.begin() + axis);
  bound.view.strides.erase(bound.view.strides.begin() + axis);
  return bound;
}

void SetRowBytes(const ArraySpec& spec, ArrayPlan& array) {
  if (spec.encoding == Encoding::kQuantGroups) {
    array.row_bytes = array.rows.n_rows == 0 ? 0 : array.size_bytes / array.rows.n_rows;
    // What is made together lies in one bundle.
    const uint64_t band = std::lcm(array.rows.rows_per_band, spec.group.RowStep());
    array.rows.rows_per_band = std::min(band, std::max<uint64_t>(1, array.rows.n_rows));
    return;
  }
  // Transposed values are staged in bf16; all others leave row by row in their own dtype.
  const uint64_t element_bytes =
      spec.encoding == Encoding::kQuantBlocks ? 2 : ElementBytes(spec.dtype);
  array.row_bytes = array.rows.row_elements * element_bytes;
}

// Where each array lies and how its rows are read. Collects everything that cannot be done.
Result<void> PlanArrays(Plan& plan) {
  const OutputSpec& output = plan.output;
  plan.arrays.resize(output.arrays.size());
  LayoutFaults faults;
  for (const FileSpec& file : output.files) {
    for (size_t i = 0; i < file.arrays.size(); ++i)
      plan.arrays[file.arrays[i]].offset = file.base + file.offsets[i];
  }
  for (size_t i = 0; i < output.arrays.size(); ++i) {
    const ArraySpec& spec = output.arrays[i];
    ArrayPlan& array = plan.arrays[i];
    CKPT_TRY(array.size_bytes, TensorBytes(spec.dtype, spec.shape));
    if (spec.encoding == Encoding::kScales) plan.arrays[spec.scales_of].scales = i;
    if (spec.encoding == Encoding::kZeroPoints) plan.arrays[spec.scales_of].zero_points = i;
    if (!HasRows(spec.encoding)) continue;
    if (spec.part) array.part = PartOf(plan.model.roles[spec.role], *spec.part);
    const BoundRole& bound = plan.BoundOf(i);
    const TensorEntry& tensor = plan.catalog.tensors[bound.tensor];
    array.tensor = bound.tensor;
    array.value = Then(bound.value, spec.value);
    if (spec.encoding == Encoding::kCast && spec.dtype == DType::kF32)
      array.value = InF32(array.value);
    array.row_dtype = array.value.empty() ? tensor.dtype : DType::kF32;
    Result<void> mapped;
    if (std::optional<RowMap> rows =
            HasStoredRows(tensor, bound) ? MapRows(spec, bound, tensor) : std::nullopt) {
      array.rows = std::move(*rows);
    } else {
      mapped = MapBoxRows(spec, bound, tensor, array);
    }
    if (!mapped) {
      faults.Add(mapped.error());
      continue;
    }
    SetRowBytes(spec, array);
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

// What one reading of each array asks of the source, and what each bundle does: of the front and
// the bundles in the same steps, so that the totals are their sum. Arrays in the head are read
// whole.
std::vector<Reading> CountReadings(Plan& plan) {
  std::vector<Reading> readings(plan.arrays.size());
  const auto add = [&](const RowSpan& span) {
    const Reading reading = ReadingOf(plan, span);
    readings[span.array].bytes += reading.bytes;
    readings[span.array].requests += reading.requests;
    return reading.bytes * ReadingsOf(plan, span.array);
  };
  for (const RowSpan& span : plan.front.spans) plan.front.read_bytes += add(span);
  for (Bundle& bundle : plan.bundles) {
    for (const RowSpan& span : bundle.spans) bundle.read_bytes += add(span);
  }
  for (const CommitRange& range : plan.commits) {
    for (const size_t i : range.arrays) {
      if (HasRows(plan.output.arrays[i].encoding)) add({i, 0, plan.arrays[i].rows.n_rows});
    }
  }
  // The tiles of rows that are read as they lie are all like the first.
  for (size_t i = 0; i < plan.arrays.size(); ++i) {
    const ArrayPlan& array = plan.arrays[i];
    const bool is_made_of_others = !HasRows(plan.output.arrays[i].encoding);
    if (is_made_of_others || array.boxed || array.rows.n_rows == 0) continue;
    const uint64_t rows = RowsPerTile(plan, i);
    Tile tile;
    MakeTile(array.rows, plan.catalog.tensors[array.tensor],
             {i, 0, std::min(rows, array.rows.n_rows)}, tile);
    readings[i].requests = CeilDiv(array.rows.n_rows, rows) * tile.ranges.size();
  }
  return readings;
}

void CountTotals(Plan& plan) {
  Totals& totals = plan.totals;
  totals.header_bytes = plan.catalog.header_bytes;
  totals.read_bytes = totals.header_bytes;
  std::set<std::pair<size_t, uint64_t>> seen;  // tensor and offset: layers may share a tensor
  const auto again = [&](size_t i, std::string why, uint64_t bytes) {
    plan.rereads.push_back({plan.output.arrays[i].name, std::move(why), bytes});
    totals.read_again_bytes += bytes;
    totals.read_bytes += bytes;
  };
  const std::vector<Reading> readings = CountReadings(plan);
  for (size_t i = 0; i < plan.arrays.size(); ++i) {
    const ArraySpec& spec = plan.output.arrays[i];
    if (!HasRows(spec.encoding)) continue;
    const ArrayPlan& array = plan.arrays[i];
    const Reading& reading = readings[i];
    const uint64_t used =
        std::min(reading.bytes, StoredBytesOf(plan.catalog.tensors[array.tensor],
                                              array.rows.n_rows * array.rows.row_elements));
    totals.requests += reading.requests * ReadingsOf(plan, i);
    if (seen.insert({array.tensor, plan.BoundOf(i).view.offset}).second) {
      totals.source_tensor_bytes += used;
      totals.read_bytes += used;
    } else {
      again(i, "shares its tensor with another array", used);
    }
    if (reading.bytes > used)
      again(i, WhyMore(plan.catalog.tensors[array.tensor], "tiles", reading.bytes, used),
            reading.bytes - used);
    if (spec.encoding == Encoding::kQuantColumns)
      again(i, "column maxima before quantizing", reading.bytes);
    if (array.passes > 1)
      again(i, fmt::format("{} passes, each filling a part of the output", array.passes),
            reading.bytes * (array.passes - 1));
  }
  totals.written_bytes = plan.output.FileBytes();
  const auto add = [&](const CompanionSpec& companion) {
    if (companion.text) totals.written_bytes += companion.text->size();
    if (companion.source) {
      totals.written_bytes += companion.source->size_bytes;
      totals.read_bytes += companion.source->size_bytes;
    }
  };
  for (const CompanionSpec& companion : plan.output.companions) add(companion);
  if (plan.output.marker) add(*plan.output.marker);
}

}  // namespace

uint64_t OutputSpec::FileBytes() const {
  uint64_t bytes = 0;
  for (const FileSpec& file : files) bytes += file.size_bytes;
  return bytes;
}

std::optional<size_t> Plan::ArrayAt(uint64_t offset) const {
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (arrays[i].offset <= offset && offset - arrays[i].offset < arrays[i].size_bytes) return i;
  }
  return std::nullopt;
}

uint64_t Plan::MemoryBytes() const {
  uint64_t bytes = sizeof(Plan) + commits.size() * sizeof(CommitRange);
  for (const FileSpec& file : output.files) bytes += sizeof(FileSpec) + file.header.capacity();
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
  PlaceFiles(plan.output.files);
  CKPT_TRY_VOID(PlanArrays(plan));
  plan.bundle_bytes =
      options.bundle_bytes > 0 ? options.bundle_bytes : DefaultBundleBytes(plan.output.FileBytes());
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
