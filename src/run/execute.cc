#include "run/execute.h"

#include <atomic>

#include "base/check.h"
#include "run/crew.h"
#include "run/head.h"
#include "run/lane.h"
#include "source/source_checks.h"

namespace ckpt {
namespace {

// Thread-safe. Hands out the jobs 0 ... count - 1 in order.
class Counter {
 public:
  explicit Counter(size_t count) : count_(count) {}
  std::optional<size_t> Next() {
    const size_t i = next_.fetch_add(1);
    return i < count_ ? std::optional(i) : std::nullopt;
  }

 private:
  size_t count_;
  std::atomic<size_t> next_{0};
};

// One reader for each object that a tensor lies in whose rows are read as they lie.
Result<std::vector<std::unique_ptr<ObjectReader>>> OpenReaders(const Plan& plan, Store& source,
                                                               SourceChecks& checks) {
  std::vector<std::unique_ptr<ObjectReader>> readers(plan.catalog.objects.size());
  for (size_t i = 0; i < plan.arrays.size(); ++i) {
    if (plan.output.arrays[i].encoding == Encoding::kScales || plan.arrays[i].boxed) continue;
    for (const Piece& piece : plan.catalog.tensors[plan.arrays[i].tensor].pieces) {
      if (readers[piece.object]) continue;
      CKPT_TRY(std::unique_ptr<ObjectReader> reader,
               source.Open(plan.catalog.objects[piece.object]));
      readers[piece.object] = checks.Watch(std::move(reader), piece.object);
    }
  }
  return readers;
}

std::vector<Crc32c> JoinParts(const Plan& plan, const std::vector<ArrayPart>& parts) {
  std::vector<Crc32c> crcs(plan.arrays.size());
  for (const ArrayPart& part : parts) {
    CKPT_CHECK(part.offset_bytes == crcs[part.array].size_bytes());
    crcs[part.array].Append(part.crc);
  }
  // Every output byte was made exactly once.
  for (size_t i = 0; i < crcs.size(); ++i)
    CKPT_CHECK(crcs[i].size_bytes() == plan.arrays[i].size_bytes);
  return crcs;
}

}  // namespace

Result<ExecuteResult> Execute(const Plan& plan, Store& source, PositionedWriter& writer,
                              Journal* journal, MemoryBudget& budget, Watch& watch) {
  const MemoryPlan& memory = plan.memory;
  CKPT_TRY(const Grant fixed,
           budget.Acquire(memory.fixed_bytes + (memory.lanes + 1) * memory.record_bytes));
  SourceChecks checks(plan.catalog);
  CKPT_TRY(const std::vector<std::unique_ptr<ObjectReader>> readers,
           OpenReaders(plan, source, checks));
  ReaderPool pool(source, plan.catalog, ReaderPool::kMostOpen, &checks);
  CKPT_TRY(StatisticTable statistics, StatisticTable::Make(plan, budget));
  CKPT_TRY(const std::unique_ptr<HoldPool> holds,
           HoldPool::Make(budget, memory.hold_slots, memory.hold_bytes));
  RecordSink records(writer, journal);
  Progress progress;
  progress.read_bytes = plan.totals.header_bytes;
  const RunContext context{plan,   readers, pool,       writer,   records,
                           budget, *holds,  statistics, progress, watch.stop.get_token()};
  std::vector<std::unique_ptr<Lane>> lanes;
  for (unsigned i = 0; i < memory.lanes; ++i) {
    CKPT_TRY(std::unique_ptr<Lane> lane, Lane::Make(context));
    lanes.push_back(std::move(lane));
  }
  const auto on_all = [&](const std::function<Result<void>(Lane&)>& work) {
    return RunCrew(
        lanes.size(), [&](size_t i) { return work(*lanes[i]); }, progress, watch);
  };

  // Statistics cross all tiles of a tensor, so they are whole before any bundle begins.
  if (!plan.statistics.empty()) {
    Counter tasks(plan.statistics.size());
    CKPT_TRY_VOID(on_all([&](Lane& lane) {
      return lane.RunStatistics([&]() -> std::optional<Job> {
        const auto i = tasks.Next();
        return i ? std::optional(Job{nullptr, {&plan.statistics[*i].span, 1}}) : std::nullopt;
      });
    }));
    statistics.Fix();
  }

  // The bundles, then the front; whoever comes last takes it.
  Counter jobs(plan.bundles.size() + 1);
  CKPT_TRY_VOID(on_all([&](Lane& lane) {
    return lane.RunBundles([&]() -> std::optional<Job> {
      auto i = jobs.Next();
      if (i && *i < plan.bundles.size()) return Job{&plan.bundles[*i], plan.bundles[*i].spans};
      if (i && !plan.front.spans.empty()) return Job{&plan.front, plan.front.spans};
      return std::nullopt;
    });
  }));
  if (plan.front.spans.empty()) CKPT_TRY_VOID(records.Finish({}));

  if (watch.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
  CKPT_TRY_VOID(WriteHeadAndRagged(context, *lanes.front(), journal));
  CKPT_TRY_VOID(checks.Finish());
  watch.tick(progress);
  return ExecuteResult{JoinParts(plan, records.TakeParts()), progress.read_bytes,
                       budget.peak_bytes()};
}

}  // namespace ckpt
