#include "run/convert.h"

#include <chrono>
#include <vector>

#include "base/checked.h"
#include "base/units.h"
#include "run/destination.h"
#include "run/journal.h"
#include "run/tile_kernel.h"

namespace ckpt {
namespace {

constexpr uint64_t kCopyBytes = kMiB;

// Copies a source object front to back, or writes a text.
Result<Crc32c> WriteCompanion(const CompanionSpec& companion, Store& source, Store& destination,
                              MemoryBudget& budget) {
  CKPT_TRY(const std::unique_ptr<ObjectWriter> writer,
           destination.Create(companion.name, {.is_create_only = true}));
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

Result<ConvertResult> ConvertInto(const Plan& plan, Store& source, Store& destination,
                                  MemoryBudget& budget, const ConvertOptions& options,
                                  Watch& watch) {
  const auto begin = std::chrono::steady_clock::now();
  ConvertResult result;
  RunFigures& figures = result.figures;
  figures.threads = options.threads;
  figures.io_mode = options.io_mode;

  // A sink keeps nothing, so there is nothing to come back to: no journal, side values go straight
  // to their place.
  Journal journal(destination, plan.run_digest);
  const bool is_kept = destination.KeepsObjects();
  if (is_kept) CKPT_TRY_VOID(MarkDestination(destination, plan));
  {
    CreateOptions file_options{.is_create_only = true};
    for (const Bundle& bundle : plan.bundles) file_options.borders.push_back(bundle.segment.begin);
    CKPT_TRY(const std::unique_ptr<PositionedWriter> writer,
             destination.CreatePositioned(plan.output.file.name, plan.output.file.size_bytes,
                                          std::move(file_options)));
    CKPT_TRY(figures.execute,
             Execute(plan, source, *writer, is_kept ? &journal : nullptr, budget, watch));
    CKPT_TRY_VOID(writer->Settle({}));

    // Everything that a loader needs beside the file, then the report, then the name that makes it
    // a checkpoint.
    for (const CompanionSpec& companion : plan.output.companions) {
      CKPT_TRY(const Crc32c crc, WriteCompanion(companion, source, destination, budget));
      figures.companions.push_back({companion.name, crc});
      if (companion.source) figures.execute.read_bytes += crc.size_bytes();
    }
    figures.wall_s =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    figures.cpu_s = CpuSeconds();
    figures.peak_rss_bytes = PeakRssBytes();
    figures.execute.granted_peak_bytes = budget.peak_bytes();
    if (options.network) figures.network = options.network();
    if (is_kept) {
      CKPT_TRY_VOID(WriteSmallObject(destination, ReportName(),
                                     MakeReport(plan, figures, options.version),
                                     {.is_create_only = false}));
    }
    if (watch.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
    // Beyond this point the output is whole: readers accept it from the next line on.
    CKPT_TRY_VOID(writer->Commit());
  }
  if (is_kept) CKPT_TRY_VOID(journal.Clear());
  return result;
}

}  // namespace

Result<ConvertResult> Convert(const Plan& plan, const Target& target, Store& source,
                              Store& destination, MemoryBudget& budget,
                              const ConvertOptions& options, Watch& watch) {
  CKPT_TRY_VOID(CheckKernels(plan));
  CKPT_TRY(std::vector<std::string> warnings,
           ClearDestination(destination, plan, target, options.is_overwriting));
  Result<ConvertResult> result = ConvertInto(plan, source, destination, budget, options, watch);
  if (!result) {
    // Best effort: the error that ended the run matters more than one of tidying up, and the mark
    // stays if this fails.
    (void)RemoveOwnObjects(destination, plan);
    return result;
  }
  result->warnings = std::move(warnings);
  return result;
}

}  // namespace ckpt
