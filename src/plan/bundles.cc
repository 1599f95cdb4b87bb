#include "plan/bundles.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked.h"
#include "base/units.h"

namespace ckpt {
namespace {

// What may not be cut: a whole slice, one band, or a transposed array.
struct Unit {
  RowSpan span;
  uint64_t end;  // file offset
};

// The units of one array; bands if it is larger than `most_bytes`, else the whole.
void AppendUnits(const Plan& plan, size_t array, uint64_t most_bytes, std::vector<Unit>& units) {
  const ArrayPlan& made = plan.arrays[array];
  const uint64_t rows = made.rows.n_rows;
  const bool is_whole = made.size_bytes <= most_bytes ||
                        plan.output.arrays[array].encoding == Encoding::kQuantBlocks ||
                        made.rows.rows_per_band >= rows;
  const uint64_t step = is_whole ? rows : made.rows.rows_per_band;
  for (uint64_t row = 0; row < rows; row += step) {
    const uint64_t end = std::min(rows, row + step);
    units.push_back(
        {{array, row, end},
         end == rows ? made.offset + made.size_bytes : made.offset + end * made.row_bytes});
  }
}

void Append(Bundle& bundle, const Unit& unit) {
  // Bands of one array that follow one another are one span.
  if (!bundle.spans.empty() && bundle.spans.back().array == unit.span.array &&
      bundle.spans.back().row_end == unit.span.row_begin) {
    bundle.spans.back().row_end = unit.span.row_end;
  } else {
    bundle.spans.push_back(unit.span);
  }
  bundle.segment.end = unit.end;
}

}  // namespace

uint64_t DefaultBundleBytes(uint64_t largest_output_bytes) {
  return std::max(kLeastBundleBytes, RoundUp(CeilDiv(largest_output_bytes, 3000), 16 * kMiB));
}

void CutBundles(Plan& plan, uint64_t front_bytes) {
  const FileSpec& file = plan.output.file;
  // The head ends with the last array that is made of side values.
  size_t head_count = 0;
  for (size_t i = 0; i < file.arrays.size(); ++i) {
    if (plan.output.arrays[file.arrays[i]].encoding == Encoding::kScales) head_count = i + 1;
  }
  plan.head_end = file.header.size();
  for (size_t i = 0; i < head_count; ++i) {
    plan.head_arrays.push_back(file.arrays[i]);
    plan.head_end = plan.arrays[file.arrays[i]].offset + plan.arrays[file.arrays[i]].size_bytes;
  }

  plan.front = Bundle{0, {plan.head_end, plan.head_end}, {}};
  size_t next = head_count;
  std::vector<Unit> rest;
  for (; next < file.arrays.size(); ++next) {
    const size_t array = file.arrays[next];
    std::vector<Unit> bands;
    AppendUnits(plan, array, 0, bands);
    size_t taken = 0;
    while (taken < bands.size() && plan.front.segment.end < front_bytes)
      Append(plan.front, bands[taken++]);
    if (taken == 0 && !bands.empty()) break;
    if (taken <
        bands.size()) {  // the rest of an array whose first bands are in the front, band by band
      rest.assign(bands.begin() + static_cast<std::ptrdiff_t>(taken), bands.end());
      ++next;
      break;
    }
  }
  for (; next < file.arrays.size(); ++next)
    AppendUnits(plan, file.arrays[next], plan.bundle_bytes, rest);

  // No segment but the last is smaller than what a bucket takes as a part, so that each part of an
  // upload belongs to one bundle.
  const uint64_t least_bytes = std::min(kLeastSegmentBytes, plan.bundle_bytes / 16 * 5);
  uint64_t begin = plan.front.segment.end;
  for (const Unit& unit : rest) {
    const bool is_full = !plan.bundles.empty() &&
                         plan.bundles.back().segment.size() >= least_bytes &&
                         unit.end - plan.bundles.back().segment.begin > plan.bundle_bytes;
    if (plan.bundles.empty() || is_full)
      plan.bundles.push_back({static_cast<uint32_t>(plan.bundles.size() + 1), {begin, begin}, {}});
    Append(plan.bundles.back(), unit);
    begin = unit.end;
  }
  CKPT_CHECK(begin == file.size_bytes);
}

}  // namespace ckpt
