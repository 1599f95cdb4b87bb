#include "run/chunked_convert.h"

#include <chrono>
#include <set>

#include "run/band_kernel.h"
#include "run/chunk_places.h"
#include "run/chunked_destination.h"
#include "run/report.h"

namespace ckpt {
namespace {

// An object of the commit that waits for everything else.
struct FinalObject {
  std::string name;
  std::string bytes;
};

// Writes what an output's commit needs before the report; what comes after it is kept in `finals`.
Result<void> PrepareCommit(const ChunkedPlan& plan, const ChunkedTarget& target, size_t output,
                           const ChunkPlaces& places, Store& destination, const std::string& folder,
                           ChunkedResult& result, std::vector<FinalObject>& finals) {
  std::vector<CompanionResult>& files = result.commit_files.emplace_back();
  for (const CommitObject& object :
       target.CommitObjects(plan, output, places.places, places.first)) {
    const std::string name = Below(folder, object.name);
    Crc32c crc;
    if (object.is_final) {
      FinalObject& kept = finals.emplace_back(FinalObject{name, {}});
      CKPT_TRY_VOID(object.produce([&](std::span<const std::byte> bytes) -> Result<void> {
        crc.Append(bytes);
        kept.bytes.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return {};
      }));
    } else {
      CKPT_TRY(const std::unique_ptr<ObjectWriter> writer,
               destination.Create(name, {.is_create_only = true}));
      CKPT_TRY_VOID(object.produce([&](std::span<const std::byte> bytes) {
        crc.Append(bytes);
        return writer->Append(bytes);
      }));
      CKPT_TRY_VOID(writer->Commit());
    }
    result.written_bytes += crc.size_bytes();
    files.push_back({object.name, crc});
  }
  return {};
}

// The JSON files that servers of quantized outputs need; outputs may share one.
Result<void> WriteCompanions(const ChunkedPlan& plan, Store& destination) {
  std::set<std::string> written;
  for (const ChunkedOutput& output : plan.outputs) {
    for (const CompanionSpec& companion : output.companions) {
      if (!written.insert(companion.name).second) continue;
      CKPT_TRY_VOID(WriteSmallObject(destination, companion.name, companion.text.value_or(""),
                                     {.is_create_only = false}));
    }
  }
  return {};
}

Result<ChunkedResult> ConvertInto(const ChunkedPlan& plan, const ChunkedTarget& target,
                                  Store& source, Store& destination,
                                  const std::vector<std::string>& folders, MemoryBudget& budget,
                                  const ConvertOptions& options, Watch& watch) {
  const auto begin = std::chrono::steady_clock::now();
  ChunkedResult result;
  RunFigures& figures = result.figures;
  figures.threads = options.threads;
  figures.io_mode = options.io_mode;
  const bool is_kept = destination.KeepsObjects();
  Journal journal(destination, plan.run_digest, plan.state_name);
  ChunkedRecords records(is_kept ? &journal : nullptr);
  if (is_kept) CKPT_TRY_VOID(MarkDestination(destination, plan, folders));
  CKPT_TRY(const ChunkedBytes moved,
           ExecuteChunked(plan, target, source, destination, folders, records, budget, watch));
  figures.execute.read_bytes = moved.read;
  result.written_bytes = moved.written;
  CKPT_TRY_VOID(WriteCompanions(plan, destination));

  // The tables of one output at a time.
  std::vector<FinalObject> finals;
  for (size_t o = 0; o < plan.outputs.size(); ++o) {
    CKPT_TRY(const ChunkPlaces places, CollectPlaces(plan, o, records));
    result.array_crcs.push_back(ArrayCrcs(plan, target, o, places));
    CKPT_TRY_VOID(PrepareCommit(plan, target, o, places, destination, folders[o], result, finals));
  }
  figures.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  figures.cpu_s = CpuSeconds();
  figures.peak_rss_bytes = PeakRssBytes();
  figures.execute.granted_peak_bytes = budget.peak_bytes();
  if (options.network) figures.network = options.network();
  if (is_kept) {
    CKPT_TRY_VOID(WriteSmallObject(destination, ReportName(plan.state_name),
                                   MakeChunkedReport(plan, result, options.version),
                                   {.is_create_only = false}));
  }
  if (watch.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
  // Beyond this point each output becomes readable: where folders can be renamed, only when all are
  // whole.
  for (const FinalObject& object : finals) {
    CKPT_TRY_VOID(
        WriteSmallObject(destination, object.name, object.bytes, {.is_create_only = true}));
  }
  for (size_t o = 0; o < plan.outputs.size(); ++o) {
    if (folders[o] != plan.outputs[o].root)
      CKPT_TRY_VOID(destination.RenameFolder(folders[o], plan.outputs[o].root));
  }
  if (is_kept) CKPT_TRY_VOID(journal.Clear());
  return result;
}

}  // namespace

Result<ChunkedResult> ConvertChunked(const ChunkedPlan& plan, const ChunkedTarget& target,
                                     Store& source, Store& destination, MemoryBudget& budget,
                                     const ConvertOptions& options, Watch& watch) {
  CKPT_TRY_VOID(CheckKernels(plan));
  CKPT_TRY_VOID(ClearDestination(destination, plan, target, options.is_overwriting));
  const std::vector<std::string> folders = WorkFolders(plan, target, destination);
  Result<ChunkedResult> result =
      ConvertInto(plan, target, source, destination, folders, budget, options, watch);
  if (!result) {
    // Best effort: the error that ended the run matters more than one of tidying up, and the mark
    // stays if this fails.
    (void)RemoveOwnObjects(destination, plan, folders);
  }
  return result;
}

}  // namespace ckpt
