#include "run/status.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "run/find_object.h"
#include "run/journal.h"

namespace ckpt {
namespace {

constexpr double kNsPerSecond = 1e9;
constexpr std::array<std::string_view, 5> kRunStates = {"running", "waiting", "stopped", "failed",
                                                        "committed"};

// Seconds since 1970 of a time as notes spell it.
std::optional<int64_t> ParseTime(const std::string& text) {
  std::tm parts{};
  const char* end = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return timegm(&parts);
}

// When something was said: by the store's clock, or by the speaker's where the store tells no time.
int64_t SaidAt(const ShardNote& note) {
  if (note.updated_ns != 0) return note.updated_ns;
  return ParseTime(note.updated).value_or(0) * int64_t{1'000'000'000};
}

ShardStatus StatusOf(ShardNote note, int64_t now_ns) {
  ShardStatus shard;
  const int64_t age_ns = std::max<int64_t>(0, now_ns - SaidAt(note));
  shard.age_s = static_cast<double>(age_ns) / kNsPerSecond;
  shard.is_silent = note.state == ShardNote::State::kRunning && age_ns > kSilentAfterNs;
  // Both times are of the speaker's clock.
  const auto started = ParseTime(note.started);
  const auto updated = ParseTime(note.updated);
  if (started && updated && *updated > *started) {
    const auto seconds = static_cast<double>(*updated - *started);
    shard.bundles_per_second = static_cast<double>(note.bundles_done) / seconds;
    shard.bytes_per_second = static_cast<double>(note.written_bytes) / seconds;
  }
  shard.note = std::move(note);
  return shard;
}

// Notes of a run that was cut into another number of shards before say nothing of this one, unless
// they are of a process at work.
void DropSuperseded(std::vector<ShardStatus>& shards) {
  const auto newest = std::min_element(
      shards.begin(), shards.end(), [](const ShardStatus& a, const ShardStatus& b) {
        return a.age_s != b.age_s ? a.age_s < b.age_s : a.note.part.count > b.note.part.count;
      });
  if (newest == shards.end()) return;
  const unsigned count = newest->note.part.count;
  std::erase_if(shards, [&](const ShardStatus& shard) {
    return shard.note.part.count != count && !shard.is_running();
  });
}

// Of first ... last, those that are not among `present` (ascending), as ranges.
std::vector<NumberRange> Absent(uint32_t first, uint64_t last,
                                const std::vector<uint32_t>& present) {
  std::vector<NumberRange> absent;
  uint64_t next = first;
  const auto up_to = [&](uint64_t end) {
    if (next < end) absent.push_back({static_cast<uint32_t>(next), static_cast<uint32_t>(end - 1)});
  };
  for (const uint32_t number : present) {
    if (number < first || number > last) continue;
    up_to(number);
    next = uint64_t{number} + 1;
  }
  up_to(last + 1);
  return absent;
}

Result<std::vector<std::string>> CommittedOf(Store& store, const Mark& mark) {
  std::vector<std::string> committed;
  for (const std::string& name : mark.done) {
    CKPT_TRY(const std::optional<ObjectInfo> done, FindObject(store, name));
    if (done) committed.push_back(name);
  }
  return committed;
}

// The shards of the run's present division that never said anything.
std::vector<NumberRange> NotBegun(const std::vector<ShardStatus>& shards) {
  if (shards.empty()) return {};
  const unsigned count = shards.back().note.part.count;
  std::vector<uint32_t> known;
  for (const ShardStatus& shard : shards) {
    if (shard.note.part.count == count) known.push_back(shard.note.part.index);
  }
  return Absent(0, count - 1, known);
}

bool HasAny(const std::vector<ShardStatus>& shards, ShardNote::State state) {
  return std::any_of(shards.begin(), shards.end(),
                     [&](const ShardStatus& shard) { return shard.note.state == state; });
}

RunStatus::State StateOf(const RunStatus& run, bool is_fresh) {
  using State = RunStatus::State;
  const std::vector<ShardStatus>& shards = run.shards;
  if (!run.mark.done.empty() && run.committed.size() == run.mark.done.size())
    return State::kCommitted;
  if (shards.empty() && run.report.kind == ReportState::Kind::kFailed) return State::kFailed;
  if (shards.empty()) return is_fresh ? State::kRunning : State::kStopped;
  if (std::any_of(shards.begin(), shards.end(), [](const auto& s) { return s.is_running(); }))
    return State::kRunning;
  if (HasAny(shards, ShardNote::State::kFailed)) return State::kFailed;
  const bool are_done = std::all_of(shards.begin(), shards.end(), [](const ShardStatus& shard) {
    return shard.note.state == ShardNote::State::kDone;
  });
  return are_done ? State::kWaiting : State::kStopped;
}

// What the one that failed last said, else the report.
std::string ErrorOf(const RunStatus& run) {
  const ShardStatus* last = nullptr;
  for (const ShardStatus& shard : run.shards) {
    if (shard.note.state == ShardNote::State::kFailed &&
        (last == nullptr || shard.age_s < last->age_s))
      last = &shard;
  }
  return last != nullptr ? last->note.error : run.report.error;
}

std::optional<double> EtaOf(const RunStatus& run) {
  double per_second = 0;
  for (const ShardStatus& shard : run.shards) {
    if (shard.is_running()) per_second += shard.bundles_per_second;
  }
  if (run.state != RunStatus::State::kRunning || per_second <= 0) return std::nullopt;
  return static_cast<double>(run.bundles - run.bundles_done) / per_second;
}

Result<RunStatus> ReadRun(Store& store, const std::string& state_name, Mark mark, int64_t marked_ns,
                          int64_t now_ns) {
  RunStatus run;
  run.state_name = state_name;
  run.mark = std::move(mark);
  CKPT_TRY(run.report, ReadReportState(store, state_name));
  CKPT_TRY(run.committed, CommittedOf(store, run.mark));
  CKPT_TRY(std::vector<ShardNote> notes, ReadShardNotes(store, state_name));
  for (ShardNote& note : notes) run.shards.push_back(StatusOf(std::move(note), now_ns));
  DropSuperseded(run.shards);
  std::sort(run.shards.begin(), run.shards.end(), [](const ShardStatus& a, const ShardStatus& b) {
    const Shard& x = a.note.part;
    const Shard& y = b.note.part;
    return x.count != y.count ? x.count < y.count : x.index < y.index;
  });
  run.state = StateOf(run, marked_ns != 0 && now_ns - marked_ns <= kSilentAfterNs);
  // The mark counts the commit as one bundle more.
  run.bundles = run.mark.bundles > 0 ? run.mark.bundles - 1 : 0;
  if (run.state == RunStatus::State::kCommitted) {
    run.bundles_done = run.bundles;
    return run;
  }
  CKPT_TRY(const std::vector<uint32_t> recorded,
           Journal(store, run.mark.run_digest, state_name).List());
  run.missing = Absent(1, run.bundles, recorded);
  run.bundles_done = run.bundles;
  for (const NumberRange& range : run.missing)
    run.bundles_done -= uint64_t{range.last} - range.first + 1;
  run.not_begun = NotBegun(run.shards);
  if (run.state == RunStatus::State::kFailed) run.error = ErrorOf(run);
  run.eta_s = EtaOf(run);
  return run;
}

// "" of ".ckpt-state/state.json", NAME of ".ckpt-state/NAME/state.json"; nothing for other objects.
std::optional<std::string> MarkedName(std::string_view object) {
  const std::string mark = MarkName();
  if (object == mark) return "";
  const std::string_view leaf = std::string_view(mark).substr(kStateFolder.size());
  if (!object.ends_with(leaf)) return std::nullopt;
  const std::string_view folder = object.substr(0, object.size() - leaf.size());
  return std::string(folder.substr(kStateFolder.size() + 1));
}

}  // namespace

bool RunStatus::is_at_work() const {
  if (std::any_of(shards.begin(), shards.end(), [](const auto& s) { return s.is_running(); }))
    return true;
  return shards.empty() && state == State::kRunning;
}

std::string_view Name(RunStatus::State state) { return kRunStates.at(static_cast<size_t>(state)); }

Result<std::vector<RunStatus>> ReadStatus(Store& store, int64_t now_ns) {
  CKPT_TRY(const std::vector<ObjectInfo> objects, store.List(kStateFolder));
  for (const ObjectInfo& object : objects) now_ns = std::max(now_ns, object.modified_ns);
  std::vector<RunStatus> runs;
  for (const ObjectInfo& object : objects) {
    const std::optional<std::string> name = MarkedName(object.name);
    if (!name) continue;
    CKPT_TRY(std::optional<Mark> mark, ReadMark(store, *name));
    if (!mark) continue;
    CKPT_TRY(RunStatus run, ReadRun(store, *name, *std::move(mark), object.modified_ns, now_ns));
    runs.push_back(std::move(run));
  }
  std::sort(runs.begin(), runs.end(),
            [](const RunStatus& a, const RunStatus& b) { return a.state_name < b.state_name; });
  return runs;
}

}  // namespace ckpt
