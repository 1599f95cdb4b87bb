#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plan/chunked_target.h"
#include "plan/plan_base.h"
#include "plan/rows.h"

namespace ckpt {

/// An array to be filled from a band: the index of its output, and of its slice there.
struct SliceRef {
  size_t output = 0;
  size_t slice = 0;
};

/// Elements made once from a band and delivered to one or more outputs: slices of equal dtype,
/// arithmetic and layout (scanned and unscanned).
struct Product {
  std::vector<SliceRef> slices;
  uint64_t chunk_bytes = 0;   ///< of one chunk's elements
  uint64_t chunks = 1;        ///< of one band
  uint64_t stride_bytes = 0;  ///< from one chunk to the next in the data file (uncompressed)
};

/// One role as work: which rows are read, how they fall into bands.
/// A row is a run of source elements over the role's trailing axes (its columns); rows follow the
/// canonical order of the leading axes. A band is an interval of the band axis at one expert.
struct RoleWork {
  size_t role = 0;
  std::vector<Axis> axes;        ///< of the role, in canonical order
  size_t first_column_axis = 0;  ///< axes before it make rows, the others columns
  bool is_boxed = false;  ///< the source is chunked or transposed: a band is read as a box and laid
                          ///< into canonical order
  std::vector<size_t> source_axis;    ///< by axis: the axis of the source tensor that it lies in
  RowMap rows;                        ///< of one expert's tensor, or of all experts
  std::optional<size_t> expert_axis;  ///< role axis that is taken one index at a time
  uint64_t experts = 1;
  size_t band_axis = 0;        ///< role axis
  uint64_t band_extent = 1;    ///< units of one band
  uint64_t bands = 1;          ///< of one expert; those beyond the source's units are all fill
  uint64_t rows_per_unit = 1;  ///< of the band axis; rows_per_unit * units = rows of an expert
  uint64_t units = 1;          ///< of the band axis in the source
  std::vector<Product> products;

  /// The band axis is among the columns: a band is one row, and rows_per_unit has no meaning.
  bool IsVector() const { return band_axis >= first_column_axis; }
};

/// Consecutive bands of one role: band number = expert * bands + band.
struct BandSpan {
  size_t work = 0;  ///< index into ChunkedPlan::works
  uint64_t band_begin = 0;
  uint64_t band_end = 0;
};

/// The unit of work: bands that fill one data file of each output.
struct ChunkedBundle {
  uint32_t number = 0;  ///< from 1; 0 is the last data file, of scales and constants
  std::vector<BandSpan> spans;
  std::vector<uint64_t> file_bytes;  ///< by output, uncompressed
  uint64_t read_bytes = 0;           ///< that its bands ask of the source: a part of the totals
};

/// Scales and constants of one output: the last data file.
struct FrontChunk {
  size_t array = 0;
  uint64_t offset = 0;  ///< in that file
};

/// Where a run's memory goes; peak_bytes is the promise.
struct ChunkedMemory {
  uint64_t budget_bytes = 0;
  uint64_t fixed_bytes = 0;
  uint64_t in_bytes = 0;          ///< of one input buffer: a band as read
  uint64_t boxed_bytes = 0;       ///< of a lane: a band laid into canonical order
  uint64_t box_reader_bytes = 0;  ///< of a lane: working memory of the reader of boxes
  uint64_t out_bytes = 0;         ///< of one output buffer: all products of a band
  uint64_t staging_bytes = 0;     ///< of a lane: rows converted or quantized
  uint64_t packed_bytes = 0;      ///< of a lane: one compressed chunk
  unsigned in_buffers = 2;
  unsigned out_buffers = 2;
  uint64_t lane_bytes = 0;
  uint64_t record_bytes = 0;  ///< one bundle's journal record and side values
  uint64_t sides_bytes = 0;   ///< scales kept in memory (null only)
  UploadBuffers uploads;      ///< of the destination, where it is a bucket
  unsigned lanes = 1;
  uint64_t peak_bytes = 0;
};

/// Everything a run into a chunked target does, known before the first byte moves. Immutable;
/// outlives the run.
struct ChunkedPlan : PlanBase {
  ChunkedSettings settings;
  std::vector<ChunkedOutput> outputs;
  std::vector<RoleWork> works;  ///< canonical order of roles
  std::vector<ChunkedBundle> bundles;
  std::vector<std::vector<FrontChunk>> front;  ///< by output: scales in array order, then constants
  std::vector<uint64_t> front_bytes;           ///< by output: size of the last data file
  ChunkedMemory memory;

  uint64_t MemoryBytes() const;
};

/// Stored chunks of uncompressed outputs begin at multiples of this, so that kernels write into
/// aligned buffers.
inline constexpr uint64_t kChunkAlignment = 4096;
/// Bytes that a chunk of `bytes` takes as stored: its checksum included.
uint64_t StoredChunkBytes(ChunkCodec codec, uint64_t bytes);

struct ChunkedOptions {
  Resources resources;
  uint64_t bundle_bytes = 0;  ///< --bundle-size; 0: the rule
  bool keeps_sides = false;   ///< the destination keeps nothing: scales wait in memory
};

/// Makes the plan. Pure: no I/O, no clock, the same on every machine (but for Resources' share).
/// Errors: kUsage with the least budget that would do; kBadInput for what cannot be laid out, all
/// at once.
Result<ChunkedPlan> MakeChunkedPlan(Catalog catalog, Model model, const ChunkedTarget& target,
                                    std::vector<ChunkedOutput> outputs,
                                    const ChunkedSettings& settings, const ChunkedOptions& options);

/// Chunks of an array in all.
uint64_t ChunkCount(const ChunkedArray& array);

/// Bytes that one band of `work` takes in the data file of `output` (uncompressed).
uint64_t BandFileBytes(const RoleWork& work, size_t output);

}  // namespace ckpt
