#include "run/lane.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/checked.h"
#include "base/units.h"
#include "kernel/compressed.h"
#include "kernel/quantize.h"
#include "plan/memory.h"

namespace ckpt {
namespace {

// A hold is written in steps, side by side.
constexpr uint64_t kHoldStepBytes = 16 * kMiB;

}  // namespace

Result<std::unique_ptr<Lane>> Lane::Make(const RunContext& context) {
  const MemoryPlan& memory = context.plan.memory;
  std::unique_ptr<Lane> lane(
      new Lane(context));  // NOLINT(cppcoreguidelines-owning-memory): the constructor is private
  CKPT_TRY(Grant grant, context.budget.Acquire(memory.lane_bytes, context.stop));
  CKPT_TRY(lane->arena_, Buffer::Allocate(std::move(grant)));
  uint64_t at = 0;
  const auto take = [&](uint64_t bytes) {
    const std::span<std::byte> span = lane->arena_.span(at, bytes);
    at += bytes;
    return span;
  };
  for (unsigned i = 0; i < kInputBuffersPerLane; ++i)
    lane->in_buffers_.push_back(take(memory.tile_in_bytes));
  lane->staged_ = take(memory.staged_bytes);
  for (unsigned i = 0; i < kBuffersPerLane; ++i)
    lane->out_buffers_.push_back(take(memory.tile_out_bytes));
  lane->writes_.resize(kBuffersPerLane);
  lane->scratch_.gathered_row = take(memory.gathered_row_bytes).data();
  lane->scratch_.converted_row = take(memory.converted_row_bytes).data();
  lane->scratch_.group_row = take(memory.group_row_bytes).data();
  lane->group_carry_ = take(memory.group_carry_bytes);
  const std::span<std::byte> maxima = take(memory.column_max_bytes);
  lane->column_max_ = {reinterpret_cast<uint16_t*>(maxima.data()),
                       maxima.size() / sizeof(uint16_t)};
  return lane;
}

Result<void> Lane::RunBundles(const std::function<std::optional<Job>()>& next) {
  TileFeed feed(context_, in_buffers_, staged_, next);
  // Before the first tile is waited for: from there on the thread's log is one bundle's at a time.
  context_.records.StartChecks();
  while (true) {
    Result<FedTile> fed = feed.Next();
    if (fed && fed->tile == nullptr) return {};
    Result<void> done = fed ? Process(*fed) : Result<void>(Fail(std::move(fed).error()));
    if (!done) {
      Abandon();
      return done;
    }
  }
}

Result<void> Lane::Process(const FedTile& fed) {
  if (!open_) {
    CKPT_TRY(std::shared_ptr<PositionedWriter> file, context_.files.Open(fed.bundle->file));
    const uint64_t base = context_.plan.output.files[fed.bundle->file].base;
    SegmentWriter writer(*file, fed.bundle->segment, base);
    open_.emplace(OpenBundle{fed.bundle, std::move(file), base, std::move(writer), {}});
    open_->record.number = fed.bundle->number;
  }
  context_.records.Pulse();
  const Encoding encoding = context_.plan.output.arrays[fed.tile->rows.array].encoding;
  CKPT_TRY_VOID(encoding == Encoding::kQuantBlocks   ? ProcessBlocks(fed)
                : encoding == Encoding::kQuantGroups ? ProcessGroups(fed)
                                                     : ProcessRows(fed));
  if (fed.is_last_of_job) return FinishBundle();
  return {};
}

Result<void> Lane::ProcessRows(const FedTile& fed) {
  const RowSpan& rows = fed.tile->rows;
  const ArrayPlan& array = context_.plan.arrays[rows.array];
  const uint64_t bytes = (rows.row_end - rows.row_begin) * array.row_bytes;
  const uint64_t offset = rows.row_begin * array.row_bytes;
  CKPT_CHECK(open_->writer.next_offset() + waiting_.size() == array.offset + offset);
  CKPT_TRY(const std::span<std::byte> out, RoomForRows(bytes));
  std::vector<BF16> scales;
  Crc32c crc;
  CKPT_TRY_VOID(MakeRows(context_, *fed.tile, fed.input, scratch_, out, scales, crc));
  AddPart(rows.array, offset, crc);
  if (!scales.empty()) AddScales(rows.array, rows.row_begin, scales);
  const bool is_by_column =
      context_.plan.output.arrays[rows.array].encoding == Encoding::kQuantColumns;
  if (is_by_column && rows.row_begin == 0)
    AddScales(rows.array, 0, context_.statistics.Scales(rows.array));
  WriteRows(out);
  context_.progress.written_bytes += bytes;
  return {};
}

Result<void> Lane::ProcessGroups(const FedTile& fed) {
  const RowSpan& rows = fed.tile->rows;
  const ArrayPlan& array = context_.plan.arrays[rows.array];
  if (context_.plan.output.arrays[rows.array].group.rows > 1) return ProcessGroupsOfRows(fed);
  const uint64_t bytes = (rows.row_end - rows.row_begin) * array.row_bytes;
  CKPT_TRY(const std::span<std::byte> out, RoomForRows(bytes));
  GroupSides sides;
  Crc32c crc;
  CKPT_TRY_VOID(MakeGroupRows(context_, *fed.tile, fed.input, scratch_, out, sides, crc));
  return WriteGroups(rows.array, rows.row_begin, out, sides, crc);
}

// Rows wait as bf16 until their group is full: tiles end anywhere.
Result<void> Lane::ProcessGroupsOfRows(const FedTile& fed) {
  const RowSpan& rows = fed.tile->rows;
  const ArrayPlan& array = context_.plan.arrays[rows.array];
  const uint64_t step = context_.plan.output.arrays[rows.array].group.rows;
  const uint64_t n = array.rows.row_elements;
  auto* const carry = reinterpret_cast<BF16*>(group_carry_.data());
  for (uint64_t row = rows.row_begin; row < rows.row_end;) {
    const uint64_t waiting = row % step;
    const uint64_t end = std::min(array.rows.n_rows, row - waiting + step);
    const uint64_t count = std::min(rows.row_end, end) - row;
    CopyRows(context_, *fed.tile, fed.input, scratch_, row - rows.row_begin, count,
             carry + waiting * n);
    row += count;
    if (row < end) return {};
    const uint64_t begin = end - (waiting + count);
    const uint64_t bytes = (end - begin) * array.row_bytes;
    CKPT_TRY(const std::span<std::byte> out, RoomForRows(bytes));
    GroupSides sides;
    Crc32c crc;
    CKPT_TRY_VOID(
        MakeRowsOfGroups(context_, rows.array, begin, end - begin, carry, out, sides, crc));
    CKPT_TRY_VOID(WriteGroups(rows.array, begin, out, sides, crc));
  }
  return {};
}

Result<void> Lane::WriteGroups(size_t array, uint64_t row, std::span<std::byte> out,
                               const GroupSides& sides, const Crc32c& crc) {
  const ArrayPlan& planned = context_.plan.arrays[array];
  const GroupForm& group = context_.plan.output.arrays[array].group;
  CKPT_CHECK(open_->writer.next_offset() + waiting_.size() ==
             planned.offset + row * planned.row_bytes);
  AddPart(array, row * planned.row_bytes, crc);
  AddScales(array, row / group.rows * group.GroupsOf(planned.rows.row_elements), sides.scales);
  if (planned.zero_points) AddZeroPoints(array, row, sides.zeros);
  WriteRows(out);
  context_.progress.written_bytes += out.size();
  return {};
}

// Values, then the scales. Values of 8 bits lie at the file offset's place in its block, so they
// are written from there; those of 4 bits lie two to a byte.
Lane::Collected Lane::CollectedIn(size_t array, uint64_t blocks) const {
  const int bits = context_.plan.output.arrays[array].bits;
  const uint64_t n_rows = context_.plan.arrays[array].rows.n_rows;
  const uint64_t bytes = blocks * CollectedBlockBytes(bits) * n_rows;
  const uint64_t lead = bits == 8 ? open_->writer.next_offset() % kIoAlignment : 0;
  return {hold_.span().subspan(lead, bytes),
          reinterpret_cast<BF16*>(hold_.span().data() + RoundUp(kIoAlignment + bytes, 64))};
}

Result<void> Lane::ProcessBlocks(const FedTile& fed) {
  const size_t index = fed.tile->rows.array;
  const ArrayPlan& array = context_.plan.arrays[index];
  const uint64_t n_rows = array.rows.n_rows;
  const uint64_t all_blocks = array.rows.row_elements / kQuantBlock;
  const uint64_t block_begin = fed.pass * array.blocks_per_pass;
  const uint64_t blocks = std::min(array.blocks_per_pass, all_blocks - block_begin);
  if (fed.is_first_of_pass) {
    CKPT_TRY(hold_, context_.holds.Acquire(HoldBytes(context_.plan, index), context_.stop));
  }
  Flush();
  const Collected collected = CollectedIn(index, blocks);
  CKPT_TRY(const std::span<std::byte> staging,
           NextOutBuffer(0, (fed.tile->rows.row_end - fed.tile->rows.row_begin) * array.row_bytes));
  CKPT_TRY_VOID(MakeBlocks(context_, *fed.tile, fed.input, scratch_, staging, block_begin, blocks,
                           collected.values.data(), collected.scales));
  if (!fed.is_last_of_pass) return {};
  AddScales(index, block_begin * n_rows, {collected.scales, blocks * n_rows});
  Crc32c crc;
  CKPT_TRY_VOID(context_.plan.output.arrays[index].bits == 8
                    ? WriteHold(collected.values, crc)
                    : WriteUnpacked(collected.values, n_rows, crc));
  AddPart(index, block_begin * kQuantBlock * n_rows, crc);
  hold_ = {};
  return {};
}

Result<void> Lane::WriteHold(std::span<std::byte> values, Crc32c& crc) {
  CKPT_TRY_VOID(WaitForWrites());
  std::vector<IoFuture> writes;
  while (!values.empty() && !context_.stop.stop_requested()) {
    const std::span<std::byte> step = values.first(std::min(kHoldStepBytes, values.size()));
    crc.Append(step);
    // The writer puts its carry into the memory before `step`: the end of the step before, which
    // holds these very bytes and is no part of that step's write.
    writes.push_back(open_->writer.Write(step));
    context_.progress.written_bytes += step.size();
    values = values.subspan(step.size());
  }
  // All of them end before the hold goes to somebody else, whatever one of them says.
  Result<void> written;
  for (IoFuture& write : writes) {
    Result<void> done = write.get();
    if (!done && written) written = std::move(done);
  }
  CKPT_TRY_VOID(std::move(written));
  if (context_.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
  return {};
}

// By way of the output buffers, which are written while the hold is somebody else's already.
Result<void> Lane::WriteUnpacked(std::span<const std::byte> packed, uint64_t n_rows, Crc32c& crc) {
  const uint64_t most = context_.plan.memory.tile_out_bytes - 2 * kIoAlignment;
  const uint64_t end = 2 * packed.size();
  for (uint64_t at = 0; at < end;) {
    if (context_.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
    CKPT_TRY(const std::span<std::byte> out, RoomForRows(std::min(most, end - at)));
    UnpackBlocks(packed, n_rows, at, out, crc);
    WriteRows(out);
    context_.progress.written_bytes += out.size();
    at += out.size();
  }
  return {};
}

Result<void> Lane::FinishBundle() {
  Flush();
  CKPT_TRY_VOID(WaitForWrites());
  for (SideValue& side : open_->writer.Finish()) open_->record.sides.push_back(std::move(side));
  CKPT_TRY_VOID(context_.records.Finish(*open_->bundle, std::move(open_->record),
                                        {open_->file.get(), open_->base}));
  open_.reset();
  ++context_.progress.bundles_done;
  return {};
}

void Lane::AddPart(size_t array, uint64_t offset_bytes, const Crc32c& crc) {
  std::vector<ArrayPart>& parts = open_->record.parts;
  // Tiles alternate between values, their scales and zero points, so the part that this one
  // continues is one of the last three.
  for (size_t back = 1; back <= std::min<size_t>(3, parts.size()); ++back) {
    ArrayPart& part = parts[parts.size() - back];
    if (part.array != array || part.offset_bytes + part.crc.size_bytes() != offset_bytes) continue;
    part.crc.Append(crc);
    return;
  }
  parts.push_back({static_cast<uint32_t>(array), offset_bytes, crc});
}

void Lane::AddScales(size_t array, uint64_t first_element, std::span<const BF16> scales) {
  const size_t target = *context_.plan.arrays[array].scales;
  const std::span<const std::byte> bytes = std::as_bytes(scales);
  AddSide(target, first_element * sizeof(BF16), bytes);
}

// `row`: the first of those whose zero points are given, one group after the other. Rows that share
// words wait for one another.
void Lane::AddZeroPoints(size_t array, uint64_t row, std::span<const int8_t> zeros) {
  const ArrayPlan& planned = context_.plan.arrays[array];
  const GroupForm& group = context_.plan.output.arrays[array].group;
  const uint64_t groups = group.GroupsOf(planned.rows.row_elements);
  const uint64_t step = group.RowStep();
  const uint64_t begin = row - zeros_.size() / groups;
  zeros_.insert(zeros_.end(), zeros.begin(), zeros.end());
  const uint64_t rows = zeros_.size() / groups;
  const bool is_end = begin + rows == planned.rows.n_rows;
  const uint64_t whole = is_end ? rows : rows / step * step;
  if (whole == 0) return;
  std::vector<std::byte> words(CeilDiv(whole, step) * groups * sizeof(uint32_t));
  PackZeroPoints(zeros_.data(), whole, groups, group.bits,
                 reinterpret_cast<uint8_t*>(words.data()));
  zeros_.erase(zeros_.begin(), zeros_.begin() + static_cast<std::ptrdiff_t>(whole * groups));
  AddSide(*planned.zero_points, begin / step * groups * sizeof(uint32_t), words);
}

void Lane::AddSide(size_t array, uint64_t offset_bytes, std::span<const std::byte> bytes) {
  const uint64_t file_offset = context_.plan.arrays[array].offset + offset_bytes;
  BundleRecord& record = open_->record;
  AddPart(array, offset_bytes, Crc32c::Of(bytes));
  // Tiles of one array follow one another: their scales, or zero points, grow one value.
  for (size_t back = 1; back <= std::min<size_t>(2, record.sides.size()); ++back) {
    SideValue& side = record.sides[record.sides.size() - back];
    if (side.file_offset + side.bytes.size() != file_offset) continue;
    side.bytes.insert(side.bytes.end(), bytes.begin(), bytes.end());
    context_.progress.written_bytes += bytes.size();
    return;
  }
  record.sides.push_back({file_offset, {bytes.begin(), bytes.end()}});
  context_.progress.written_bytes += bytes.size();
}

Result<std::span<std::byte>> Lane::NextOutBuffer(uint64_t file_offset, uint64_t bytes) {
  out_turn_ = (out_turn_ + 1) % out_buffers_.size();
  if (writes_[out_turn_].valid()) CKPT_TRY_VOID(writes_[out_turn_].get());
  const std::span<std::byte> buffer = out_buffers_[out_turn_];
  const uint64_t lead = file_offset % kIoAlignment;
  CKPT_CHECK(lead + bytes <= buffer.size());
  return buffer.subspan(lead, bytes);
}

// For the rows that are made next: behind those that wait, where the writer gathers them, or the
// next buffer.
Result<std::span<std::byte>> Lane::RoomForRows(uint64_t bytes) {
  if (bytes <= RoomBehind()) return std::span<std::byte>(waiting_.data() + waiting_.size(), bytes);
  Flush();
  CKPT_TRY(const std::span<std::byte> buffer, NextOutBuffer(open_->writer.next_offset(), bytes));
  CKPT_TRY(const std::span<std::byte> room, open_->writer.Room(bytes));
  return room.empty() ? buffer : room;
}

// The rows in `out`, which RoomForRows() gave. In a buffer of ours they wait while more of their
// size fits behind them: small tiles become large writes.
void Lane::WriteRows(std::span<std::byte> out) {
  const std::span<std::byte> buffer = out_buffers_[out_turn_];
  const bool is_ours = out.data() >= buffer.data() && out.data() < buffer.data() + buffer.size();
  if (!is_ours) {
    writes_[out_turn_] = open_->writer.Write(out);
    return;
  }
  waiting_ = {waiting_.empty() ? out.data() : waiting_.data(), waiting_.size() + out.size()};
  if (RoomBehind() < out.size()) Flush();
}

// Bytes of the buffer behind the rows that wait there; 0 when none do.
uint64_t Lane::RoomBehind() const {
  if (waiting_.empty()) return 0;
  const std::span<std::byte> buffer = out_buffers_[out_turn_];
  return static_cast<uint64_t>(buffer.data() + buffer.size() - (waiting_.data() + waiting_.size()));
}

void Lane::Flush() {
  if (waiting_.empty()) return;
  writes_[out_turn_] = open_->writer.Write(std::exchange(waiting_, {}));
}

Result<void> Lane::WaitForWrites() {
  for (IoFuture& write : writes_) {
    if (write.valid()) CKPT_TRY_VOID(write.get());
  }
  return {};
}

void Lane::Abandon() {
  for (IoFuture& write : writes_) {
    if (write.valid()) write.wait();
  }
  waiting_ = {};
  open_.reset();
  hold_ = {};
  zeros_.clear();
}

Result<void> Lane::RunStatistics(const std::function<std::optional<Job>()>& next) {
  TileFeed feed(context_, in_buffers_, staged_, next);
  while (true) {
    CKPT_TRY(const FedTile fed, feed.Next());
    if (fed.tile == nullptr) return {};
    const size_t array = fed.tile->rows.array;
    const std::span<uint16_t> maxima =
        column_max_.first(context_.plan.arrays[array].rows.row_elements);
    if (fed.is_first_of_pass) std::fill(maxima.begin(), maxima.end(), uint16_t{0});
    CKPT_TRY_VOID(AddColumnMax(context_, *fed.tile, fed.input, scratch_, maxima));
    if (fed.is_last_of_pass) context_.statistics.Merge(array, maxima);
  }
}

Result<void> Lane::StreamRows(const RowSpan& span,
                              const std::function<Result<void>(std::span<const std::byte>)>& take) {
  bool is_taken = false;
  TileFeed feed(context_, in_buffers_, staged_, [&]() -> std::optional<Job> {
    if (std::exchange(is_taken, true)) return std::nullopt;
    return Job{nullptr, {&span, 1}};
  });
  while (true) {
    CKPT_TRY(const FedTile fed, feed.Next());
    if (fed.tile == nullptr) return {};
    const uint64_t bytes = (fed.tile->rows.row_end - fed.tile->rows.row_begin) *
                           context_.plan.arrays[span.array].row_bytes;
    // The second buffer: the first is the caller's spare one.
    const std::span<std::byte> out = out_buffers_[1].first(bytes);
    std::vector<BF16> scales;
    Crc32c crc;
    CKPT_TRY_VOID(MakeRows(context_, *fed.tile, fed.input, scratch_, out, scales, crc));
    CKPT_TRY_VOID(take(out));
  }
}

}  // namespace ckpt
