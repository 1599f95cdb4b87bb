#include "run/chunked_execute.h"

#include <atomic>

#include "run/chunked_front.h"
#include "run/chunked_lane.h"
#include "run/crew.h"

namespace ckpt {
Result<ChunkedBytes> ExecuteChunked(const ChunkedPlan& plan, const ChunkedTarget& target,
                                    Store& source, Store& destination,
                                    const std::vector<std::string>& folders,
                                    ChunkedRecords& records, MemoryBudget& budget, Watch& watch) {
  const ChunkedMemory& memory = plan.memory;
  CKPT_TRY(const Grant fixed, budget.Acquire(memory.fixed_bytes + memory.sides_bytes +
                                             (memory.lanes + 1) * memory.record_bytes));
  SourceChecks checks(plan.catalog);
  ReaderPool readers(source, plan.catalog, ReaderPool::kMostOpen, &checks);
  Progress progress;
  progress.read_bytes = plan.totals.header_bytes;
  const ChunkedContext context{plan,    target, readers,  destination,           folders,
                               records, budget, progress, watch.stop.get_token()};
  {
    std::vector<std::unique_ptr<ChunkedLane>> lanes;
    for (unsigned i = 0; i < memory.lanes; ++i) {
      CKPT_TRY(std::unique_ptr<ChunkedLane> lane, ChunkedLane::Make(context));
      lanes.push_back(std::move(lane));
    }
    std::atomic<size_t> next{0};
    const auto next_bundle = [&]() -> const ChunkedBundle* {
      const size_t i = next.fetch_add(1);
      return i < plan.bundles.size() ? &plan.bundles[i] : nullptr;
    };
    CKPT_TRY_VOID(RunCrew(
        lanes.size(), [&](size_t i) { return lanes[i]->Run(next_bundle); }, progress, watch));
  }
  if (watch.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
  CKPT_TRY_VOID(WriteFronts(context));
  CKPT_TRY_VOID(checks.Finish());
  watch.tick(progress);
  return ChunkedBytes{progress.read_bytes, progress.written_bytes};
}

}  // namespace ckpt
