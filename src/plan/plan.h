#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/byte_range.h"
#include "base/result.h"
#include "model/model.h"
#include "plan/plan_base.h"
#include "plan/rows.h"
#include "plan/target.h"
#include "source/catalog.h"

namespace ckpt {

/// A run of whole rows of one array: the work of one bundle on it.
struct RowSpan {
  size_t array = 0;  ///< into OutputSpec::arrays
  uint64_t row_begin = 0;
  uint64_t row_end = 0;
};

/// The unit of work: spans that fill one segment of the file, in file order.
struct Bundle {
  uint32_t number = 0;  ///< its name in the journal
  ByteRange segment;    ///< inside one file
  std::vector<RowSpan> spans;
  size_t file = 0;  ///< into OutputSpec::files
  /// That its rows ask of the source, every pass and their share of a statistic included: a part of
  /// the plan's totals. It follows from the tiles, so from the memory there is; in no digest.
  uint64_t read_bytes = 0;
};

/// What the committer writes of a file: its header and the arrays right behind it, or arrays
/// further on, up to the last of them that is made of side values.
struct CommitRange {
  ByteRange segment;  ///< inside one file
  size_t file = 0;
  std::vector<size_t> arrays;  ///< in file order
};

/// One reading of rows for a statistic that crosses tiles (column maxima), done before the bundles.
struct StatisticTask {
  RowSpan span;
};

/// Where a run's memory goes; peak_bytes is the promise.
struct MemoryPlan {
  uint64_t budget_bytes = 0;
  uint64_t fixed_bytes = 0;       ///< catalog, plan, readers, tables
  uint64_t statistics_bytes = 0;  ///< column maxima and reciprocals
  uint64_t hold_bytes = 0;  ///< of the largest hold: a transposed output collected to be written
  uint64_t hold_pool_bytes = 0;   ///< of all that are being filled at one time
  uint64_t tile_in_bytes = 0;     ///< of one input buffer; a lane has kInputBuffersPerLane
  uint64_t read_bytes = 0;        ///< of it, for tiles that are read as they lie
  uint64_t staged_bytes = 0;      ///< of a lane: a tile laid into order, or its computed values
  uint64_t box_reader_bytes = 0;  ///< of a lane, granted apart: the reader of boxes
  uint64_t tile_out_bytes = 0;
  uint64_t gathered_row_bytes = 0;   ///< of a lane: one source row whose parts lie apart
  uint64_t converted_row_bytes = 0;  ///< of a lane: one row as bf16
  uint64_t column_max_bytes = 0;     ///< of a lane: column maxima being collected
  uint64_t group_row_bytes = 0;      ///< of a lane: codes of one row before they are packed
  uint64_t group_carry_bytes = 0;    ///< of a lane: rows of a group that is not full yet
  uint64_t lane_bytes = 0;           ///< all of one lane's arena: the buffers and the three above
  uint64_t record_bytes =
      0;  ///< side values of the bundle that has most of them; one for each lane and the committer
  UploadBuffers uploads;  ///< of the destination, where it is a bucket
  unsigned lanes = 1;
  uint64_t peak_bytes = 0;  ///< all of it at once
};
inline constexpr unsigned kBuffersPerLane =
    2;  ///< one being filled or emptied while the other is worked on

/// How the rows of an array lie in a tensor that does not hold them as rows (box_rows.h).
struct BoxRows {
  std::vector<size_t> order;        ///< the role's axes, outermost in the array first
  std::vector<uint64_t> extents;    ///< of each of them
  size_t digits = 0;                ///< so many of them number the rows, the others lie inside
  std::vector<size_t> source_axes;  ///< SourceAxes of the role's view
};

/// How one array is made. kScales arrays have no rows of their own.
struct ArrayPlan {
  RowMap rows;  ///< boxed: without strides
  std::optional<BoxRows> boxed;
  ValueProgram value;  ///< stored values of the source -> values of the array
  /// Of the rows that the kernels get: the tensor's, or F32 where values are computed.
  DType row_dtype = DType::kBF16;
  size_t tensor = 0;              ///< into Catalog::tensors
  std::optional<BoundRole> part;  ///< of an array that holds one index of a role axis: the rest
  uint64_t offset = 0;            ///< of its first byte, in the space of all files
  uint64_t size_bytes = 0;
  uint64_t row_bytes =
      0;  ///< of one row as stored; kQuantBlocks: as staged in bf16, for its rows become columns
  std::optional<size_t> scales;       ///< the array of its scales
  std::optional<size_t> zero_points;  ///< the array of its zero points
  uint64_t passes =
      1;  ///< kQuantBlocks: readings of the source, each filling one part of the output
  uint64_t blocks_per_pass =
      0;  ///< kQuantBlocks: column blocks of one part (the last may have fewer)
};

/// Everything a run does, known before the first byte moves. Immutable; outlives the run.
/// Each file is cut into what the committer writes and bundles' segments, without a gap.
struct Plan : PlanBase {
  OutputSpec output;
  std::vector<ArrayPlan> arrays;  ///< parallel to output.arrays
  TargetSettings settings;
  std::vector<CommitRange> commits;  ///< by offset; the first of each file begins with its header
  /// Whole bands behind the head of an only file, to at least 8 MiB; run by the committer, number
  /// 0.
  Bundle front;
  std::vector<Bundle> bundles;  ///< the rest, by offset, numbers from 1
  std::vector<StatisticTask> statistics;
  MemoryPlan memory;

  /// Where an array's values come from: its role, or one part of it.
  const BoundRole& BoundOf(size_t array) const {
    return arrays[array].part ? *arrays[array].part : model.roles[output.arrays[array].role];
  }
  /// The array whose bytes hold this offset; nothing inside a header.
  std::optional<size_t> ArrayAt(uint64_t offset) const;
  uint64_t MemoryBytes() const;
};

inline constexpr uint64_t kFrontBytes =
    8ULL << 20;  ///< the least size of a file's front: a bucket's smallest part fits
struct PlanOptions {
  Resources resources;
  uint64_t bundle_bytes = 0;           ///< --bundle-size; 0: the rule
  uint64_t front_bytes = kFrontBytes;  ///< smaller only in tests of small models
};

/// Makes the plan. Pure: no I/O, no clock, the same on every machine (but for Resources' share).
/// Errors: kUsage with the least budget that would do; kBadInput for what the kernels cannot read,
/// all at once.
Result<Plan> MakePlan(Catalog catalog, Model model, const Target& target, OutputSpec output,
                      const TargetSettings& settings, const PlanOptions& options);

}  // namespace ckpt
