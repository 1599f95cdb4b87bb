#include "run/resume.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "run/mark.h"

namespace ckpt {
namespace {

// What the process before this one had begun of the same shard and left open.
Result<uint64_t> LostBytes(Store& destination, const PlanBase& plan, const Part& part,
                           size_t bundles, const BundleBytes& bytes, const Shard& shard) {
  CKPT_TRY(const std::vector<ShardNote> notes, ReadShardNotes(destination, plan.state_name));
  uint64_t lost = 0;
  for (const ShardNote& note : notes) {
    if (note.part.index != shard.index || note.part.count != shard.count) continue;
    // A run that was killed has not said what was open.
    if (note.state == ShardNote::State::kRunning) {
      lost += note.most_open_bytes;
      continue;
    }
    for (const uint32_t number : note.open) {
      const bool is_recorded =
          std::binary_search(part.recorded.begin(), part.recorded.end(), number);
      if (!is_recorded && number > 0 && number <= bundles) lost += bytes.read(number - 1);
    }
  }
  return lost;
}

bool IsStop(const Error& error) {
  return error.code == Code::kInterrupted || error.code == Code::kTerminated;
}

}  // namespace

Result<Part> TakePart(Store& destination, const PlanBase& plan, const Journal& journal,
                      size_t bundles, const std::vector<uint32_t>& shard_of,
                      const BundleBytes& bytes, const ConvertOptions& options, Progress& progress) {
  Part part;
  CKPT_TRY(part.recorded, journal.List());
  std::erase(part.recorded, 0U);  // the front is the committer's, every time
  part.work.is_shared = !options.is_alone;
  part.figures.bundles = bundles;
  part.figures.kept = part.recorded.size();
  for (size_t i = 0; i < bundles; ++i) {
    const bool is_own = shard_of.empty() || shard_of[i] == options.shard.index;
    const bool is_recorded = std::binary_search(part.recorded.begin(), part.recorded.end(),
                                                static_cast<uint32_t>(i + 1));
    if (is_own && !is_recorded) {
      part.work.bundles.push_back(i);
    } else {
      progress.skipped_read_bytes += bytes.read(i);
      progress.skipped_written_bytes += bytes.written(i);
    }
  }
  part.figures.own = part.work.bundles.size();
  CKPT_TRY(part.figures.read_again_at_most,
           LostBytes(destination, plan, part, bundles, bytes, options.shard));
  return part;
}

bool EndFailedRun(Error& error, Store& destination, const PlanBase& plan, ShardLog& log,
                  const ConvertOptions& options, const std::function<Result<bool>()>& committed,
                  const std::function<Result<void>()>& remove_own) {
  if (!IsStop(error)) {
    const Result<bool> is_committed = committed();
    if (is_committed && *is_committed) return true;
    // What is in the way, or gone, may be so because it is whole. Where a stop kept us from seeing,
    // the next run will see; any other error outweighs a stop.
    const bool may_be_done = error.code == Code::kCannotCreate || error.code == Code::kNotFound;
    if (may_be_done && !is_committed && IsStop(is_committed.error())) error = is_committed.error();
  }
  // Another run was faster, and the destination is its: nothing there is ours.
  const Result<std::optional<Mark>> mark = ReadMark(destination, plan.state_name);
  if (mark && *mark && (*mark)->run_digest != plan.run_digest) return false;
  const Journal journal(destination, plan.run_digest, plan.state_name);
  const Result<std::vector<uint32_t>> recorded = journal.List();
  const bool may_have_company = !options.shard.is_whole() || (!options.is_alone && IsStop(error));
  // Best effort: the error that ended the run matters more than one of tidying up, and the mark
  // stays if this fails.
  if (mark && recorded && recorded->empty() && !may_have_company) {
    (void)remove_own();
    return false;
  }
  log.End(IsStop(error) ? ShardNote::State::kStopped : ShardNote::State::kFailed, error.what);
  if (recorded && !recorded->empty() && !IsStop(error))
    error.details.push_back(
        fmt::format("{} bundles are finished and kept: once this is mended, the same command goes "
                    "on from there",
                    recorded->size()));
  return false;
}

}  // namespace ckpt
