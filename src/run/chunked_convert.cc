#include "run/chunked_convert.h"

#include <chrono>
#include <numeric>
#include <optional>
#include <set>

#include "base/text.h"
#include "plan/shards.h"
#include "run/band_kernel.h"
#include "run/chunk_places.h"
#include "run/chunked_destination.h"
#include "run/crew.h"
#include "run/report.h"
#include "run/resume.h"
#include "run/verify_resume.h"

namespace ckpt {
namespace {

// An object of the commit that waits for everything else.
struct FinalObject {
  std::string name;
  std::string bytes;
  bool is_in_place = false;  // makes its output readable by itself: of two committers one makes it
};

class ChunkedCommitter {
 public:
  ChunkedCommitter(const ChunkedPlan& plan, const ChunkedTarget& target, Store& destination,
                   const std::vector<std::string>& folders, const ConvertOptions& options)
      : plan_(plan),
        target_(target),
        destination_(destination),
        folders_(folders),
        options_(options),
        begin_(std::chrono::steady_clock::now()) {}

  // kCommittedByOthers where another committer of the same run had the last word.
  Result<Outcome> Commit(const ChunkedRecords& records, const MemoryBudget& budget,
                         ChunkedResult& result, const Watch& watch) {
    CKPT_TRY_VOID(WriteCompanions());
    // The tables of one output at a time.
    for (size_t o = 0; o < plan_.outputs.size(); ++o) {
      CKPT_TRY(const ChunkPlaces places, CollectPlaces(plan_, o, records));
      result.array_crcs.push_back(ArrayCrcs(plan_, target_, o, places));
      CKPT_TRY_VOID(Prepare(o, places, result));
      CKPT_TRY_VOID(RemoveStrangers(o, result.commit_files.back()));
    }
    CKPT_TRY_VOID(Report(budget, result));
    if (watch.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
    // Beyond this point each output becomes readable: where folders can be renamed, only when all
    // are whole.
    for (const FinalObject& object : finals_) CKPT_TRY_VOID(Write(object));
    Outcome outcome = Outcome::kCommitted;
    for (size_t o = 0; o < plan_.outputs.size(); ++o) {
      CKPT_TRY(outcome, Rename(o));
    }
    return outcome;
  }

 private:
  // Writes what an output's commit needs before the report; what comes after it is kept.
  Result<void> Prepare(size_t output, const ChunkPlaces& places, ChunkedResult& result) {
    std::vector<CompanionResult>& files = result.commit_files.emplace_back();
    for (const CommitObject& object :
         target_.CommitObjects(plan_, output, places.places, places.first)) {
      Crc32c crc;
      CKPT_TRY_VOID(Make(object, output, crc));
      result.written_bytes += crc.size_bytes();
      files.push_back({object.name, crc});
    }
    return {};
  }

  // What gets the output's name must hold the output alone.
  Result<void> RemoveStrangers(size_t output, std::span<const CompanionResult> commit_files) {
    const std::string& folder = folders_[output];
    const ChunkedOutput& spec = plan_.outputs[output];
    if (folder.empty() || folder == spec.root || spec.is_object_per_chunk) return {};
    std::set<std::string> own;
    for (uint32_t number = 0; number <= plan_.bundles.size(); ++number)
      own.insert(Below(folder, target_.DataFileName(plan_, output, number)));
    for (const CompanionResult& file : commit_files) own.insert(Below(folder, file.name));
    CKPT_TRY(const std::vector<ObjectInfo> objects, destination_.List(folder));
    for (const ObjectInfo& object : objects) {
      if (!own.contains(object.name)) CKPT_TRY_VOID(destination_.Remove(object.name));
    }
    return {};
  }

  // One in its place may be another committer's, or of one that was killed behind it.
  Result<void> Write(const FinalObject& object) {
    if (object.is_in_place)
      return WriteSmallObjectOnce(destination_, object.name, object.bytes, OwnObject(plan_));
    CKPT_TRY_VOID(WriteSmallObject(destination_, object.name, object.bytes, OwnObject(plan_)));
    return {};
  }

  // Of an output that is committed (no folder) only the CRC is made, for the report.
  Result<void> Make(const CommitObject& object, size_t output, Crc32c& crc) {
    const std::string& folder = folders_[output];
    const std::string& root = plan_.outputs[output].root;
    std::unique_ptr<ObjectWriter> writer;
    FinalObject kept{Below(folder, object.name), {}, folder == root};
    if (!folder.empty() && !object.is_final) {
      CKPT_TRY(writer, destination_.Create(kept.name, OwnObject(plan_)));
    }
    CKPT_TRY_VOID(object.produce([&](std::span<const std::byte> bytes) -> Result<void> {
      crc.Append(bytes);
      if (writer) return writer->Append(bytes);
      if (object.is_final)
        kept.bytes.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return {};
    }));
    if (writer) CKPT_TRY_VOID(writer->Commit());
    if (!folder.empty() && object.is_final) finals_.push_back(std::move(kept));
    return {};
  }

  // The JSON files that servers of quantized outputs need; outputs may share one.
  Result<void> WriteCompanions() {
    std::set<std::string> written;
    for (const ChunkedOutput& output : plan_.outputs) {
      for (const CompanionSpec& companion : output.companions) {
        if (!written.insert(companion.name).second) continue;
        CKPT_TRY_VOID(WriteSmallObject(destination_, companion.name, companion.text.value_or(""),
                                       OwnObject(plan_)));
      }
    }
    return {};
  }

  Result<void> Report(const MemoryBudget& budget, ChunkedResult& result) {
    RunFigures& figures = result.figures;
    figures.threads = options_.threads;
    figures.io_mode = options_.io_mode;
    figures.wall_s =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    figures.cpu_s = CpuSeconds();
    figures.peak_rss_bytes = PeakRssBytes();
    figures.execute.granted_peak_bytes = budget.peak_bytes();
    figures.shard = result.shard;
    if (options_.network) figures.network = options_.network();
    if (!destination_.KeepsObjects()) return {};
    CKPT_TRY_VOID(WriteSmallObject(destination_, ReportName(plan_.state_name),
                                   MakeChunkedReport(plan_, result, options_.version),
                                   StateObject(plan_.state_name, false)));
    return {};
  }

  Result<Outcome> Rename(size_t output) {
    const std::string& folder = folders_[output];
    const std::string& root = plan_.outputs[output].root;
    if (folder.empty() || folder == root) return Outcome::kCommitted;
    Result<void> renamed = destination_.RenameFolder(folder, root);
    if (renamed) return Outcome::kCommitted;
    // Another committer of the same run may have been faster: then ours is one too many.
    if (!destination_.Stat(Below(root, target_.DoneName())))
      return Fail(std::move(renamed).error());
    CKPT_TRY_VOID(destination_.RemoveAll(folder));
    return Outcome::kCommittedByOthers;
  }

  const ChunkedPlan& plan_;
  const ChunkedTarget& target_;
  Store& destination_;
  const std::vector<std::string>& folders_;
  const ConvertOptions& options_;
  const std::chrono::steady_clock::time_point begin_;
  std::vector<FinalObject> finals_;
};

Result<ChunkedResult> ConvertIntoSink(const ChunkedPlan& plan, const ChunkedTarget& target,
                                      Store& source, Store& destination,
                                      const std::vector<std::string>& folders, MemoryBudget& budget,
                                      const ConvertOptions& options, Watch& watch) {
  ChunkedResult result;
  ChunkedCommitter committer(plan, target, destination, folders, options);
  ChunkedRecords records(nullptr);
  Progress progress;
  progress.read_bytes = plan.totals.header_bytes;
  CKPT_TRY(const std::optional<ChunkedBytes> moved,
           ExecuteChunked(plan, target, source, destination, folders, records,
                          WholeWork(plan.bundles.size()), budget, progress, watch));
  result.figures.execute.read_bytes = moved->read;
  result.figures.execute.source_checks = moved->source_checks;
  result.written_bytes = moved->written;
  CKPT_TRY(result.outcome, committer.Commit(records, budget, result, watch));
  return result;
}

Result<ChunkedResult> ConvertInto(const ChunkedPlan& plan, const ChunkedTarget& target,
                                  Store& source, Store& destination,
                                  std::vector<std::string> folders, MemoryBudget& budget,
                                  const ConvertOptions& options, ShardLog& log, Progress& progress,
                                  Watch& watch) {
  ChunkedResult result;
  Journal journal(destination, plan.run_digest, plan.state_name, plan.memory.lanes + 1);
  progress.read_bytes = plan.totals.header_bytes;
  Part part;
  const auto begin = [&]() -> Result<void> {
    CKPT_TRY_VOID(MarkDestination(destination, plan, target, folders));
    // A stop inside the commit may have left some outputs whole under their names.
    CKPT_TRY(const std::vector<bool> committed, CommittedOutputs(destination, plan, target));
    std::vector<std::string> places = folders;  // where the objects of recorded bundles lie
    for (size_t o = 0; o < folders.size(); ++o) {
      if (!committed[o]) continue;
      folders[o].clear();
      places[o] = plan.outputs[o].root;
    }
    CKPT_TRY_VOID(
        DropLost(plan, target, destination, places, journal, options.is_verifying_resume, budget));
    const BundleBytes bytes{[&](size_t i) { return BundleReadBytes(plan, i); },
                            [&](size_t i) {
                              const std::vector<uint64_t>& sizes = plan.bundles[i].file_bytes;
                              return std::accumulate(sizes.begin(), sizes.end(), uint64_t{0});
                            }};
    CKPT_TRY(part, TakePart(destination, plan, journal, plan.bundles.size(),
                            DealBundles(plan, options.shard.count), bytes, options, progress));
    return {};
  };
  CKPT_TRY_VOID(RunAlone(begin, progress, watch));
  ChunkedCommitter committer(plan, target, destination, folders, options);
  ChunkedRecords records(&journal, &log);
  result.shard = part.figures;
  log.Start(part.figures.own, MostOpenReadBytes(plan), progress);
  CKPT_TRY(const std::optional<ChunkedBytes> moved,
           ExecuteChunked(plan, target, source, destination, folders, records, part.work, budget,
                          progress, watch));
  if (!moved) {
    CKPT_TRY(const std::vector<uint32_t> recorded, journal.List());
    result.shard.recorded = recorded.size();
    result.outcome = Outcome::kWaiting;
    log.End(ShardNote::State::kDone);
    return result;
  }
  result.shard.recorded = plan.bundles.size();
  result.figures.execute.read_bytes = moved->read;
  result.figures.execute.source_checks = moved->source_checks;
  result.written_bytes = moved->written;
  const auto commit = [&]() -> Result<void> {
    CKPT_TRY(result.outcome, committer.Commit(records, budget, result, watch));
    return TidyUp(destination, plan, target);
  };
  CKPT_TRY_VOID(RunAlone(commit, progress, watch));
  return result;
}

}  // namespace

Result<ChunkedResult> ConvertChunked(const ChunkedPlan& plan, const ChunkedTarget& target,
                                     Store& source, Store& destination, MemoryBudget& budget,
                                     const ConvertOptions& options, Watch& watch) {
  CKPT_TRY_VOID(CheckKernels(plan));
  const std::vector<std::string> folders = WorkFolders(plan, target, destination);
  if (!destination.KeepsObjects())
    return ConvertIntoSink(plan, target, source, destination, folders, budget, options, watch);
  const auto end_late = [&]() -> Result<ChunkedResult> {
    CKPT_TRY_VOID(TidyUp(destination, plan, target));
    ChunkedResult late;
    late.outcome = Outcome::kCommittedByOthers;
    return late;
  };
  Result<bool> cleared = ClearDestination(destination, plan, target, options.is_overwriting);
  // Another shard may have committed since this process looked.
  if (!cleared && !options.is_overwriting) {
    CKPT_TRY(const bool is_committed, IsCommitted(destination, plan, target));
    if (is_committed) return end_late();
  }
  if (!cleared) return Fail(std::move(cleared).error());
  Progress progress;  // outlives the log, which tells of it to the end
  ShardLog log(destination, plan.state_name, options.shard);
  Result<ChunkedResult> result = ConvertInto(plan, target, source, destination, folders, budget,
                                             options, log, progress, watch);
  if (result) return result;
  Error error = std::move(result).error();
  const bool is_committed = EndFailedRun(
      error, destination, plan, log, options,
      [&] { return IsCommitted(destination, plan, target); },
      [&] { return RemoveOwnObjects(destination, plan, folders); });
  if (!is_committed) return Fail(std::move(error));
  return end_late();
}

}  // namespace ckpt
