#include "plan/bundles.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "base/units.h"

namespace ckpt {
namespace {

// Arrays of no more bytes than this that lie before one of side values are the committer's, too:
// else each of them would be a segment of its own.
constexpr uint64_t kMostBetween = kMiB;

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

// Cuts one file into what the committer writes and bundles.
class FileCutter {
 public:
  FileCutter(Plan& plan, size_t file)
      : plan_(plan), spec_(plan.output.files[file]), file_(file), end_(spec_.base) {}

  // `front_bytes`: what the first bands are the front's up to; 0: there is none.
  void Cut(uint64_t front_bytes) {
    plan_.commits.push_back({{end_, end_ + spec_.header.size()}, file_, {}});
    end_ += spec_.header.size();
    if (file_ == 0) plan_.front = Bundle{0, {end_, end_}, {}};
    bool is_first = true;
    for (size_t next = 0; next < spec_.arrays.size();) {
      next = ExtendCommit(next);
      const size_t begin = next;
      while (next < spec_.arrays.size() && !IsNeeded(next)) ++next;
      std::vector<Unit> units;
      if (std::exchange(is_first, false) && front_bytes > 0) {
        plan_.front.segment = {end_, end_};
        CutFront(begin, next, front_bytes, units);
      } else {
        for (size_t i = begin; i < next; ++i)
          AppendUnits(plan_, spec_.arrays[i], plan_.bundle_bytes, units);
      }
      AppendBundles(units, next == spec_.arrays.size());
      if (next < spec_.arrays.size()) plan_.commits.push_back({{end_, end_}, file_, {}});
    }
    CKPT_CHECK(end_ == spec_.range().end);
  }

 private:
  // Made of side values.
  bool IsSide(size_t i) const { return !HasRows(plan_.output.arrays[spec_.arrays[i]].encoding); }

  // Whether array i belongs to the committer: one of side values, or a small one before such.
  bool IsNeeded(size_t i) const {
    uint64_t between = 0;
    for (; i < spec_.arrays.size() && between <= kMostBetween; ++i) {
      if (IsSide(i)) return true;
      if (plan_.output.arrays[spec_.arrays[i]].encoding != Encoding::kCast) return false;
      between += plan_.arrays[spec_.arrays[i]].size_bytes;
    }
    return false;
  }

  size_t ExtendCommit(size_t next) {
    CommitRange& commit = plan_.commits.back();
    for (; next < spec_.arrays.size() && IsNeeded(next); ++next) {
      commit.arrays.push_back(spec_.arrays[next]);
      end_ += plan_.arrays[spec_.arrays[next]].size_bytes;
    }
    commit.segment.end = end_;
    return next;
  }

  // The front's bands; what is left goes to `rest`, that of an array whose first bands are in the
  // front band by band.
  void CutFront(size_t begin, size_t end, uint64_t front_bytes, std::vector<Unit>& rest) {
    for (size_t i = begin; i < end; ++i) {
      std::vector<Unit> bands;
      AppendUnits(plan_, spec_.arrays[i], 0, bands);
      auto band = bands.begin();
      for (; band != bands.end() && plan_.front.segment.end < front_bytes; ++band)
        Append(plan_.front, *band);
      end_ = plan_.front.segment.end;
      if (band == bands.end()) continue;
      if (band != bands.begin()) {
        rest.assign(band, bands.end());
        ++i;
      }
      for (; i < end; ++i) AppendUnits(plan_, spec_.arrays[i], plan_.bundle_bytes, rest);
    }
  }

  // No segment but a file's last is smaller than what a bucket takes as a part, so that each part
  // of an upload belongs to one bundle.
  void AppendBundles(const std::vector<Unit>& units, bool is_last) {
    const uint64_t least_bytes = std::min(kLeastSegmentBytes, plan_.bundle_bytes / 16 * 5);
    const size_t first = plan_.bundles.size();
    for (const Unit& unit : units) {
      const bool is_full = plan_.bundles.size() > first &&
                           plan_.bundles.back().segment.size() >= least_bytes &&
                           unit.end - plan_.bundles.back().segment.begin > plan_.bundle_bytes;
      if (plan_.bundles.size() == first || is_full)
        plan_.bundles.push_back(
            {static_cast<uint32_t>(plan_.bundles.size() + 1), {end_, end_}, {}, file_});
      Append(plan_.bundles.back(), unit);
      end_ = unit.end;
    }
    if (is_last || plan_.bundles.size() < first + 2) return;
    const Bundle last = plan_.bundles.back();
    if (last.segment.size() >= least_bytes) return;
    plan_.bundles.pop_back();
    for (const RowSpan& span : last.spans) Append(plan_.bundles.back(), {span, last.segment.end});
  }

  Plan& plan_;
  const FileSpec& spec_;
  const size_t file_;
  uint64_t end_;  // of what is dealt with
};

}  // namespace

uint64_t DefaultBundleBytes(uint64_t largest_output_bytes) {
  return std::max(kLeastBundleBytes, RoundUp(CeilDiv(largest_output_bytes, 3000), 16 * kMiB));
}

void CutBundles(Plan& plan, uint64_t front_bytes) {
  for (size_t file = 0; file < plan.output.files.size(); ++file)
    FileCutter(plan, file).Cut(plan.output.files.size() == 1 ? front_bytes : 0);
}

}  // namespace ckpt
