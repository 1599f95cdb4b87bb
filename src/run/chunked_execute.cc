#include "run/chunked_execute.h"

#include <algorithm>
#include <atomic>

#include "run/chunked_front.h"
#include "run/chunked_lane.h"
#include "run/crew.h"
#include "run/judge_source.h"

namespace ckpt {
namespace {

Result<void> RunBundles(const ChunkedContext& context, const Work& work, Watch& watch) {
  const ChunkedPlan& plan = context.plan;
  std::vector<std::unique_ptr<ChunkedLane>> lanes;
  for (unsigned i = 0; i < plan.memory.lanes; ++i) {
    CKPT_TRY(std::unique_ptr<ChunkedLane> lane, ChunkedLane::Make(context));
    lanes.push_back(std::move(lane));
  }
  const Journal* journal = work.is_shared ? context.records.journal() : nullptr;
  std::atomic<size_t> next{0};
  const auto run = [&](size_t lane) -> Result<void> {
    Result<void> asked;
    Result<void> done = lanes[lane]->Run([&]() -> const ChunkedBundle* {
      for (size_t i = next++; i < work.bundles.size(); i = next++) {
        const ChunkedBundle& bundle = plan.bundles[work.bundles[i]];
        const Result<bool> has = journal == nullptr ? false : journal->Has(bundle.number);
        if (!has) {
          asked = Fail(has.error());
          return nullptr;
        }
        if (*has) continue;
        context.records.Begin(bundle.number);
        return &bundle;
      }
      return nullptr;
    });
    return done ? std::move(asked) : std::move(done);
  };
  return RunCrew(lanes.size(), run, context.progress, watch);
}

Result<bool> IsAllRecorded(const ChunkedPlan& plan, const Journal* journal) {
  if (journal == nullptr) return true;
  CKPT_TRY(const std::vector<uint32_t> done, journal->List());
  const auto begin = std::upper_bound(done.begin(), done.end(), 0U);
  return static_cast<size_t>(done.end() - begin) >= plan.bundles.size();
}

}  // namespace

Result<std::optional<ChunkedBytes>> ExecuteChunked(
    const ChunkedPlan& plan, const ChunkedTarget& target, Store& source, Store& destination,
    const std::vector<std::string>& folders, ChunkedRecords& records, const Work& work,
    MemoryBudget& budget, Progress& progress, Watch& watch) {
  const ChunkedMemory& memory = plan.memory;
  CKPT_TRY(const Grant fixed, budget.Acquire(memory.fixed_bytes + memory.sides_bytes +
                                             (memory.lanes + 1) * memory.record_bytes));
  SourceChecks checks(plan.catalog);
  ReaderPool readers(source, plan.catalog, ReaderPool::kMostOpen, &checks);
  const ChunkedContext context{plan,    target,  readers, checks,   destination,
                               folders, records, budget,  progress, watch.stop.get_token()};
  CKPT_TRY_VOID(RunBundles(context, work, watch));
  if (watch.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
  CKPT_TRY(const bool is_whole, IsAllRecorded(plan, records.journal()));
  if (!is_whole) return std::optional<ChunkedBytes>();
  CKPT_TRY_VOID(WriteFronts(context));
  if (!plan.catalog.checks.empty()) {
    const EachRecord each = [&](const auto& take) {
      return records.ForEach(plan.bundles.size() + 1, take);
    };
    CKPT_TRY_VOID(JudgeSource(checks, source, each, [&]() -> Result<void> {
      if (records.journal() == nullptr) return {};
      return ForgetDamaged(checks, each, *records.journal());
    }));
  }
  CKPT_TRY(const SourceChecks::Verdict verdict, checks.Finish());
  watch.tick(progress);
  return std::optional(ChunkedBytes{progress.read_bytes, progress.written_bytes, verdict});
}

}  // namespace ckpt
