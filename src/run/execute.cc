#include "run/execute.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <set>
#include <utility>

#include "base/check.h"
#include "run/crew.h"
#include "run/head.h"
#include "run/judge_source.h"
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
    if (!HasRows(plan.output.arrays[i].encoding) || plan.arrays[i].boxed) continue;
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

// What the records tell the committer of one file: how every bundle's bytes became durable, and
// which parts of arrays it made.
Result<void> TakeRecords(const Plan& plan, const Journal& journal, size_t file,
                         PositionedWriter& writer, RecordSink& records) {
  std::vector<uint32_t> numbers;
  if (file == 0) numbers.push_back(0);
  for (const Bundle& bundle : plan.bundles) {
    if (bundle.file == file) numbers.push_back(bundle.number);
  }
  const uint64_t base = plan.output.files[file].base;
  const auto take = [&](BundleRecord record) -> Result<void> {
    CKPT_CHECK(record.number <= plan.bundles.size());
    if (record.number > 0) {
      const ByteRange& segment = plan.bundles[record.number - 1].segment;
      CKPT_TRY_VOID(writer.TakeOver({segment.begin - base, segment.end - base}, record.receipt));
    }
    records.AddParts(record.parts);
    return {};
  };
  return journal.ForEach(numbers, take, nullptr, Sides::kLeft);
}

// The statistics that some bundles, and the front, need.
std::vector<const StatisticTask*> TasksOf(const Plan& plan, const std::vector<size_t>& bundles,
                                          bool with_front) {
  std::set<size_t> arrays;
  const auto add = [&](const Bundle& bundle) {
    for (const RowSpan& span : bundle.spans) arrays.insert(span.array);
  };
  for (const size_t i : bundles) add(plan.bundles[i]);
  if (with_front) add(plan.front);
  std::vector<const StatisticTask*> tasks;
  for (const StatisticTask& task : plan.statistics) {
    if (arrays.contains(task.span.array)) tasks.push_back(&task);
  }
  return tasks;
}

// The largest array of a bundle that is collected whole before it is written; 0: there is none.
uint64_t CollectedBytes(const Plan& plan, const Bundle& bundle) {
  uint64_t largest = 0;
  for (const RowSpan& span : bundle.spans) {
    if (plan.output.arrays[span.array].encoding == Encoding::kQuantBlocks)
      largest = std::max(largest, plan.arrays[span.array].size_bytes);
  }
  return largest;
}

// The order in which bundles are begun: that of the plan, but those that collect an array first,
// the largest ahead. At the end a lane would fill one alone, with nothing to write meanwhile.
std::vector<const Bundle*> InOrder(const Plan& plan, const std::vector<size_t>& bundles) {
  std::vector<const Bundle*> order;
  order.reserve(bundles.size());
  for (const size_t i : bundles) order.push_back(&plan.bundles[i]);
  std::stable_sort(order.begin(), order.end(), [&](const Bundle* a, const Bundle* b) {
    return CollectedBytes(plan, *a) > CollectedBytes(plan, *b);
  });
  return order;
}

// All the lanes of a run at work.
class Crew {
 public:
  Crew(const RunContext& context, const Work& work, Journal* journal, Watch& watch)
      : context_(context), work_(work), journal_(journal), watch_(watch) {}

  Result<void> Make() {
    for (unsigned i = 0; i < context_.plan.memory.lanes; ++i) {
      CKPT_TRY(std::unique_ptr<Lane> lane, Lane::Make(context_));
      lanes_.push_back(std::move(lane));
    }
    return {};
  }

  // Statistics cross all tiles of a tensor, so they are whole before any bundle begins.
  Result<void> RunStatistics(const std::vector<const StatisticTask*>& tasks) {
    Counter next(tasks.size());
    const auto next_job = [&]() -> std::optional<Job> {
      const auto i = next.Next();
      return i ? std::optional(Job{nullptr, {&tasks[*i]->span, 1}}) : std::nullopt;
    };
    CKPT_TRY_VOID(OnAll([&](Lane& lane) { return lane.RunStatistics(next_job); }));
    context_.statistics.Fix();
    return {};
  }

  // `with_front`: nobody else has bundles to do, so the front can be begun before all are done.
  Result<void> RunBundles(bool with_front) {
    std::vector<const Bundle*> order = InOrder(context_.plan, work_.bundles);
    if (with_front && HasFront()) order.push_back(&context_.plan.front);
    Counter next(order.size());
    return OnAll([&](Lane& lane) -> Result<void> {
      Result<void> asked;
      Result<void> done = lane.RunBundles([&]() -> std::optional<Job> {
        while (const auto i = next.Next()) {
          const Bundle& bundle = *order[*i];
          if (!IsDoneByOthers(bundle.number, asked)) return Begin(bundle);
          if (!asked) break;
        }
        return std::nullopt;
      });
      return done ? std::move(asked) : std::move(done);
    });
  }

  // Nothing is left but what the committer does.
  Result<void> RunFront() {
    const Bundle& front = context_.plan.front;
    if (!HasFront()) return context_.records.Finish(front, {}, {});
    Counter next(1);
    return OnAll([&](Lane& lane) {
      return lane.RunBundles([&]() -> std::optional<Job> {
        return next.Next() ? std::optional(Begin(front)) : std::nullopt;
      });
    });
  }
  bool HasFront() const { return !context_.plan.front.spans.empty(); }

  Lane& first() { return *lanes_.front(); }

 private:
  Job Begin(const Bundle& bundle) {
    context_.records.Begin(bundle);
    return {&bundle, bundle.spans};
  }

  Result<void> OnAll(const std::function<Result<void>(Lane&)>& work) {
    return RunCrew(
        lanes_.size(), [&](size_t i) { return work(*lanes_[i]); }, context_.progress, watch_);
  }

  bool IsDoneByOthers(uint32_t number, Result<void>& asked) {
    if (!work_.is_shared || journal_ == nullptr) return false;
    const Result<bool> has = journal_->Has(number);
    if (!has) asked = Fail(has.error());
    return !has || *has;
  }

  const RunContext& context_;
  const Work& work_;
  Journal* journal_;
  Watch& watch_;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace

Work WholeWork(size_t bundles) {
  Work work;
  work.bundles.resize(bundles);
  std::iota(work.bundles.begin(), work.bundles.end(), size_t{0});
  return work;
}

Result<std::optional<ExecuteResult>> Execute(const Plan& plan, Store& source, OutputFiles& files,
                                             Journal* journal, const Work& work,
                                             MemoryBudget& budget, Progress& progress,
                                             Watch& watch) {
  const MemoryPlan& memory = plan.memory;
  CKPT_TRY(const Grant fixed,
           budget.Acquire(memory.fixed_bytes + (memory.lanes + 1) * memory.record_bytes));
  SourceChecks checks(plan.catalog);
  CKPT_TRY(const std::vector<std::unique_ptr<ObjectReader>> readers,
           OpenReaders(plan, source, checks));
  ReaderPool pool(source, plan.catalog, ReaderPool::kMostOpen, &checks);
  CKPT_TRY(StatisticTable statistics, StatisticTable::Make(plan, budget));
  CKPT_TRY(const std::unique_ptr<HoldPool> holds, HoldPool::Make(budget, memory.hold_pool_bytes));
  RecordSink records(checks, journal, work.log);
  const RunContext context{plan,   readers, pool,       files,    records,
                           budget, *holds,  statistics, progress, watch.stop.get_token()};
  Crew crew(context, work, journal, watch);
  CKPT_TRY_VOID(crew.Make());

  // What the front needs is known already where this process has the tensor's bundles too.
  const std::vector<const StatisticTask*> tasks = TasksOf(plan, work.bundles, false);
  const std::vector<const StatisticTask*> all_tasks = TasksOf(plan, work.bundles, true);
  const bool has_all_work = work.bundles.size() == plan.bundles.size();
  const bool is_front_ready = has_all_work || tasks.size() == all_tasks.size();
  CKPT_TRY_VOID(crew.RunStatistics(is_front_ready ? all_tasks : tasks));
  const bool is_alone = has_all_work && !work.is_shared;
  CKPT_TRY_VOID(crew.RunBundles(is_alone));
  if (watch.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");

  if (journal != nullptr) {
    CKPT_TRY(const std::vector<uint32_t> done, journal->List());
    const auto begin = std::upper_bound(done.begin(), done.end(), 0U);
    if (static_cast<size_t>(done.end() - begin) < plan.bundles.size())
      return std::optional<ExecuteResult>();
  }
  if (!is_front_ready) CKPT_TRY_VOID(crew.RunStatistics(TasksOf(plan, {}, true)));
  if (!is_alone || !crew.HasFront()) CKPT_TRY_VOID(crew.RunFront());
  if (watch.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
  std::shared_ptr<PositionedWriter> last;
  SourceChecks::Verdict verdict;
  const EachRecord each = [&](const auto& take) {
    std::vector<uint32_t> numbers(plan.bundles.size() + 1);
    std::iota(numbers.begin(), numbers.end(), 0U);
    return journal->ForEach(numbers, take, nullptr, Sides::kLeft);
  };
  const auto finish = [&]() -> Result<void> {
    // Of several files the first may be read before the last is whole.
    if (journal != nullptr && !plan.catalog.checks.empty())
      CKPT_TRY_VOID(JudgeSource(checks, source, each, work.forget));
    for (size_t file = 0; file < plan.output.files.size(); ++file) {
      // One after the other: each may hold buffers of its own until it is whole.
      if (last) {
        CKPT_TRY_VOID(std::exchange(last, nullptr)->Commit());
        if (watch.stop.stop_requested()) return Fail(Code::kInterrupted, "stopped");
      }
      CKPT_TRY(last, files.Open(file));
      CKPT_TRY_VOID(WriteCommitRanges(context, *last, file, crew.first(), journal));
      if (journal != nullptr) CKPT_TRY_VOID(TakeRecords(plan, *journal, file, *last, records));
    }
    // With what the commit itself has read.
    CKPT_TRY_VOID(checks.ReadTheRest(source));
    CKPT_TRY(verdict, checks.Finish());
    return {};
  };
  CKPT_TRY_VOID(RunAlone(finish, progress, watch));
  watch.tick(progress);
  return std::optional(ExecuteResult{JoinParts(plan, records.TakeParts()), progress.read_bytes,
                                     budget.peak_bytes(), verdict, std::move(last)});
}

}  // namespace ckpt
