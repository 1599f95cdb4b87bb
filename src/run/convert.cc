#include "run/convert.h"

#include <chrono>
#include <vector>

#include "base/checked.h"
#include "base/units.h"
#include "plan/shards.h"
#include "run/crew.h"
#include "run/destination.h"
#include "run/journal.h"
#include "run/resume.h"
#include "run/tile_kernel.h"
#include "run/unfinished_file.h"
#include "run/verify_resume.h"

namespace ckpt {
namespace {

constexpr uint64_t kCopyBytes = kMiB;

// Copies a source object front to back, or writes a text.
Result<Crc32c> WriteCompanion(const CompanionSpec& companion, Store& source, Store& destination,
                              CreateOptions options, MemoryBudget& budget) {
  CKPT_TRY(const std::unique_ptr<ObjectWriter> writer,
           destination.Create(companion.name, std::move(options)));
  Crc32c crc;
  const auto append = [&](std::span<const std::byte> bytes) {
    crc.Append(bytes);
    return writer->Append(bytes);
  };
  if (companion.text) {
    CKPT_TRY_VOID(append(std::as_bytes(std::span(*companion.text))));
  } else {
    CKPT_TRY(const std::unique_ptr<ObjectReader> reader, source.Open(*companion.source));
    CKPT_TRY(Grant grant, budget.Acquire(kCopyBytes));
    CKPT_TRY(Buffer buffer, Buffer::Allocate(std::move(grant)));
    for (uint64_t at = 0; at < companion.source->size_bytes; at += kCopyBytes) {
      const uint64_t count = std::min(kCopyBytes, companion.source->size_bytes - at);
      CKPT_TRY_VOID(reader->Read({at, at + count}, buffer.span(0, count)));
      CKPT_TRY_VOID(append(buffer.span(0, count)));
    }
  }
  CKPT_TRY_VOID(writer->Commit());
  return crc;
}

// Everything behind the files: what a loader needs beside them, then the report, then the name that
// makes them a checkpoint.
class Committer {
 public:
  Committer(const Plan& plan, Store& source, Store& destination, MemoryBudget& budget,
            const ConvertOptions& options)
      : plan_(plan),
        source_(source),
        destination_(destination),
        budget_(budget),
        options_(options),
        begin_(std::chrono::steady_clock::now()) {}

  Result<void> Commit(RunFigures& figures, const Watch& watch) {
    figures.threads = options_.threads;
    figures.io_mode = options_.io_mode;
    for (const CompanionSpec& companion : plan_.output.companions)
      CKPT_TRY_VOID(Write(companion, figures));
    const auto commit_last = [&]() -> Result<void> {
      CKPT_TRY_VOID(std::exchange(figures.execute.last, nullptr)->Commit());
      return {};
    };
    const std::optional<CompanionSpec>& marker = plan_.output.marker;
    if (marker) {
      CKPT_TRY_VOID(commit_last());
      figures.companions.push_back(
          {marker->name, Crc32c::Of(std::as_bytes(std::span(*marker->text)))});
    }
    CKPT_TRY_VOID(WriteReport(figures));
    if (watch.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
    // Beyond this point the output is whole: readers accept it from the next line on.
    if (!marker) return commit_last();
    // Of two committers one makes it.
    CreateOptions create_only = CompanionOptions();
    create_only.is_create_only = true;
    CKPT_TRY_VOID(WriteCompanion(*marker, source_, destination_, std::move(create_only), budget_));
    return {};
  }

 private:
  Result<void> Write(const CompanionSpec& companion, RunFigures& figures) {
    CKPT_TRY(const Crc32c crc,
             WriteCompanion(companion, source_, destination_, CompanionOptions(), budget_));
    figures.companions.push_back({companion.name, crc});
    if (companion.source) figures.execute.read_bytes += crc.size_bytes();
    return {};
  }

  Result<void> WriteReport(RunFigures& figures) {
    figures.wall_s =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    figures.cpu_s = CpuSeconds();
    figures.peak_rss_bytes = PeakRssBytes();
    figures.execute.granted_peak_bytes = budget_.peak_bytes();
    if (options_.network) figures.network = options_.network();
    if (destination_.KeepsObjects()) {
      CKPT_TRY_VOID(WriteSmallObject(destination_, ReportName(plan_.state_name),
                                     MakeReport(plan_, figures, options_.version),
                                     StateObject(plan_.state_name, false)));
    }
    return {};
  }

  // Another committer of the same run writes the same bytes.
  CreateOptions CompanionOptions() const {
    return {.is_create_only = false, .temporary_folder = TemporaryFolder(plan_.state_name)};
  }

  const Plan& plan_;
  Store& source_;
  Store& destination_;
  MemoryBudget& budget_;
  const ConvertOptions& options_;
  const std::chrono::steady_clock::time_point begin_;
};

// A sink keeps nothing, so there is nothing to come back to: no journal, side values go straight to
// their place.
Result<ConvertResult> ConvertIntoSink(const Plan& plan, Store& source, Store& destination,
                                      MemoryBudget& budget, const ConvertOptions& options,
                                      Watch& watch) {
  ConvertResult result;
  Committer committer(plan, source, destination, budget, options);
  Progress progress;
  progress.read_bytes = plan.totals.header_bytes;
  CKPT_TRY(const std::unique_ptr<OutputFiles> files, MakeOutputFiles(plan, destination));
  CKPT_TRY(std::optional<ExecuteResult> made,
           Execute(plan, source, *files, nullptr, WholeWork(plan.bundles.size()), budget, progress,
                   watch));
  result.figures.execute = *std::move(made);
  CKPT_TRY_VOID(committer.Commit(result.figures, watch));
  return result;
}

Result<ConvertResult> ConvertInto(const Plan& plan, Store& source, Store& destination,
                                  MemoryBudget& budget, const ConvertOptions& options,
                                  ShardLog& log, Progress& progress, Watch& watch) {
  ConvertResult result;
  Committer committer(plan, source, destination, budget, options);
  Journal journal(destination, plan.run_digest, plan.state_name, plan.memory.lanes + 1);
  progress.read_bytes = plan.totals.header_bytes;
  UnfinishedFiles unfinished;
  Part part;
  const auto begin = [&]() -> Result<void> {
    CKPT_TRY_VOID(MarkDestination(destination, plan));
    CKPT_TRY(unfinished, OpenUnfinishedFiles(destination, journal, plan));
    CKPT_TRY_VOID(DropDamaged(plan, destination, journal, unfinished.sessions,
                              options.is_verifying_resume, budget));
    const BundleBytes bytes{[&](size_t i) { return BundleReadBytes(plan, i); },
                            [&](size_t i) { return plan.bundles[i].segment.size(); }};
    CKPT_TRY(part, TakePart(destination, plan, journal, plan.bundles.size(),
                            DealBundles(plan, options.shard.count), bytes, options, progress));
    return {};
  };
  CKPT_TRY_VOID(RunAlone(begin, progress, watch));
  result.shard = part.figures;
  part.work.log = &log;
  // The pieces that a bucket keeps of a file are made once, so all of it goes.
  part.work.forget = [&]() -> Result<void> {
    CKPT_TRY_VOID(journal.DropAll());
    return DropUnfinishedFiles(destination, journal.state_name());
  };
  log.Start(part.figures.own, MostOpenReadBytes(plan), progress);
  CKPT_TRY(std::optional<ExecuteResult> made,
           Execute(plan, source, *unfinished.files, &journal, part.work, budget, progress, watch));
  if (!made) {
    CKPT_TRY(const std::vector<uint32_t> recorded, journal.List());
    result.shard.recorded = recorded.size();
    result.outcome = Outcome::kWaiting;
    log.End(ShardNote::State::kDone);
    return result;
  }
  result.shard.recorded = plan.bundles.size();
  result.figures.shard = result.shard;
  result.figures.execute = *std::move(made);
  const auto commit = [&]() -> Result<void> {
    CKPT_TRY_VOID(committer.Commit(result.figures, watch));
    return TidyUp(destination, plan);
  };
  CKPT_TRY_VOID(RunAlone(commit, progress, watch));
  return result;
}

}  // namespace

Result<ConvertResult> Convert(const Plan& plan, const Target& target, Store& source,
                              Store& destination, MemoryBudget& budget,
                              const ConvertOptions& options, Watch& watch) {
  CKPT_TRY_VOID(CheckKernels(plan));
  if (!destination.KeepsObjects())
    return ConvertIntoSink(plan, source, destination, budget, options, watch);
  // Whoever comes after the commit leaves nothing behind.
  const auto end_late = [&]() -> Result<ConvertResult> {
    CKPT_TRY_VOID(TidyUp(destination, plan));
    ConvertResult late;
    late.outcome = Outcome::kCommittedByOthers;
    return late;
  };
  Result<Cleared> cleared = ClearDestination(destination, plan, target, options.is_overwriting);
  // Another shard may have committed since this process looked.
  if (!cleared && !options.is_overwriting) {
    CKPT_TRY(const bool is_committed, IsCommitted(destination, plan));
    if (is_committed) return end_late();
  }
  if (!cleared) return Fail(std::move(cleared).error());
  Progress progress;  // outlives the log, which tells of it to the end
  ShardLog log(destination, plan.state_name, options.shard);
  Result<ConvertResult> result =
      ConvertInto(plan, source, destination, budget, options, log, progress, watch);
  if (!result) {
    Error error = std::move(result).error();
    const bool is_committed = EndFailedRun(
        error, destination, plan, log, options, [&] { return IsCommitted(destination, plan); },
        [&] { return RemoveOwnObjects(destination, plan); });
    if (!is_committed) return Fail(std::move(error));
    CKPT_TRY(result, end_late());
  }
  result->warnings = std::move(cleared->warnings);
  return result;
}

}  // namespace ckpt
