#include "cli/state_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/units.h"
#include "run/journal.h"

namespace ckpt {
namespace {

using Json = nlohmann::ordered_json;
using State = RunStatus::State;

constexpr size_t kMostRanges = 8;
constexpr size_t kMostShardRows = 16;
constexpr double kMinute = 60;
constexpr double kHour = 60 * kMinute;
constexpr double kDay = 24 * kHour;

std::string Line(std::string_view name, std::string_view value) {
  return fmt::format("  {:<9}{}\n", name, value);
}

// What follows a word about several: "1 object", "2 objects".
std::string Count(uint64_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// Outputs by the objects that make them whole: the folder, or a file of its own.
std::vector<std::string> OutputNames(const std::vector<std::string>& done) {
  std::vector<std::string> names;
  names.reserve(done.size());
  for (const std::string& name : done) names.push_back(name.substr(0, name.rfind('/')));
  return names;
}

std::string Headline(const RunStatus& run) {
  std::string text(Name(run.state));
  if (run.state == State::kCommitted || run.bundles == 0) return text;
  text += fmt::format(", {} of {} bundles are done", run.bundles_done, run.bundles);
  if (run.eta_s) text += fmt::format(", {} to go", FormatDuration(*run.eta_s));
  return text;
}

std::string_view StateWord(const ShardStatus& shard) {
  return shard.is_silent ? "silent" : Name(shard.note.state);
}

// Of many shards, those that are done share a line.
bool IsInDoneRow(const ShardStatus& shard, size_t count) {
  return count > kMostShardRows && shard.note.state == ShardNote::State::kDone;
}

std::string DoneRow(const std::vector<ShardStatus>& shards) {
  std::vector<NumberRange> done;
  for (const ShardStatus& shard : shards) {
    const uint32_t index = shard.note.part.index;
    if (!IsInDoneRow(shard, shards.size())) continue;
    if (done.empty() || done.back().last + 1 != index) done.push_back({index, index});
    done.back().last = index;
  }
  if (done.empty()) return "";
  return fmt::format("  done: shards {} of {}\n", RangesText(done, kMostRanges),
                     shards.back().note.part.count);
}

std::string ShardRows(std::vector<ShardStatus> shards) {
  const size_t count = shards.size();
  std::erase_if(shards, [&](const ShardStatus& shard) { return IsInDoneRow(shard, count); });
  std::vector<std::string> names;
  std::vector<std::string> bundles;
  std::vector<std::string> rates;
  const auto width = [](const std::vector<std::string>& column) {
    size_t most = 0;
    for (const std::string& cell : column) most = std::max(most, cell.size());
    return most;
  };
  for (const ShardStatus& shard : shards) {
    names.push_back(fmt::format("shard {} of {}", shard.note.part.index, shard.note.part.count));
    bundles.push_back(
        fmt::format("{} of {} bundles", shard.note.bundles_done, shard.note.bundles_total));
    rates.push_back(
        shard.is_running() && shard.bytes_per_second > 0 ? FormatRate(shard.bytes_per_second) : "");
  }
  const size_t rate_width = width(rates);
  std::string text;
  for (size_t i = 0; i < shards.size(); ++i) {
    text += fmt::format("  {:<{}}  {:<7}  {:<{}}", names[i], width(names), StateWord(shards[i]),
                        bundles[i], width(bundles));
    if (rate_width > 0) text += fmt::format("  {:<{}}", rates[i], rate_width);
    text += "  " + AgoText(shards[i].age_s);
    const std::string& error = shards[i].note.error;
    if (shards[i].note.state == ShardNote::State::kFailed && !error.empty())
      text += ": " + Excerpt(error);
    text += '\n';
  }
  return text;
}

// What to do next, or "".
std::string NextStep(const RunStatus& run) {
  switch (run.state) {
    case State::kRunning:
    case State::kCommitted:
      return "";
    case State::kWaiting:
      if (run.missing.empty()) return "run the command of any shard again: it commits";
      if (!run.not_begun.empty()) return "run the shards that have not begun";
      return "run the command again: it makes what is missing, and commits";
    case State::kStopped:
      return "run the same command again: it goes on from here; ckpt clean gives it up";
    case State::kFailed:
      return "once this is mended, run the same command again; ckpt clean gives it up";
  }
  return "";
}

Json RangesJson(const std::vector<NumberRange>& ranges) {
  Json list = Json::array();
  for (const NumberRange& range : ranges) list.push_back({range.first, range.last});
  return list;
}

Json TextOrNull(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json ShardJson(const ShardStatus& shard) {
  const ShardNote& note = shard.note;
  return {{"shard", note.part.index},
          {"shards", note.part.count},
          {"state", StateWord(shard)},
          {"error", TextOrNull(note.error)},
          {"bundles_done", note.bundles_done},
          {"bundles_total", note.bundles_total},
          {"read_bytes", note.read_bytes},
          {"written_bytes", note.written_bytes},
          {"open", note.open},
          {"bundles_per_second", shard.bundles_per_second},
          {"written_bytes_per_second", shard.bytes_per_second},
          {"age_seconds", shard.age_s},
          {"started", note.started},
          {"updated", note.updated}};
}

std::string_view ReportWord(ReportState::Kind kind) {
  switch (kind) {
    case ReportState::Kind::kNone:
      return "none";
    case ReportState::Kind::kFailed:
      return "failed";
    case ReportState::Kind::kDone:
      return "done";
  }
  return "none";
}

std::string RemovedText(const CleanedRun& run, bool is_dry_run) {
  const bool is_committed = run.status.state == State::kCommitted;
  if (run.objects.empty() && run.uploads == 0)
    return fmt::format("{} to remove", is_committed ? "committed: nothing" : "nothing");
  std::string text = fmt::format("{} {} ({})", is_dry_run ? "would remove" : "removed",
                                 Count(run.objects.size(), "object"), FormatBytes(run.bytes));
  if (run.uploads > 0) text += " and " + Count(run.uploads, "unfinished upload");
  return text + (is_committed ? " beside what is committed" : " of an unfinished run");
}

}  // namespace

std::string RangesText(std::span<const NumberRange> ranges, size_t most) {
  std::vector<std::string> words;
  for (const NumberRange& range : ranges)
    words.push_back(range.first == range.last ? fmt::format("{}", range.first)
                                              : fmt::format("{}-{}", range.first, range.last));
  return ListSome(words, most);
}

std::string AgoText(double seconds) {
  if (seconds < kMinute) return fmt::format("{:.0f} s ago", std::floor(seconds));
  if (seconds < kHour) return fmt::format("{:.0f} min ago", std::floor(seconds / kMinute));
  if (seconds < kDay) return fmt::format("{:.0f} h ago", std::floor(seconds / kHour));
  return fmt::format("{:.0f} d ago", std::floor(seconds / kDay));
}

std::string StatusText(std::string_view place, const RunStatus& run) {
  std::string text = fmt::format("{}: {}\n", place, Headline(run));
  if (!run.state_name.empty()) text += Line("run", Printable(run.state_name));
  if (!run.error.empty()) text += Line("error", Excerpt(run.error));
  if (!run.mark.source.empty()) text += Line("source", Printable(run.mark.source));
  if (!run.mark.target.empty()) text += Line("target", Printable(run.mark.target));
  if (!run.committed.empty())
    text += Line("outputs",
                 fmt::format("{} of {} committed: {}", run.committed.size(), run.mark.done.size(),
                             ListSome(OutputNames(run.committed), kMostNames)));
  if (run.state == State::kCommitted) return text + Line("report", ReportWord(run.report.kind));
  if (!run.missing.empty())
    text += Line("missing", fmt::format("{}: {}", Count(run.bundles - run.bundles_done, "bundle"),
                                        RangesText(run.missing, kMostRanges)));
  text += ShardRows(run.shards) + DoneRow(run.shards);
  if (!run.not_begun.empty())
    text += fmt::format("  not begun: shards {} of {}\n", RangesText(run.not_begun, kMostRanges),
                        run.shards.back().note.part.count);
  if (const std::string next = NextStep(run); !next.empty()) text += Line("next", next);
  return text;
}

Json StatusJson(const RunStatus& run) {
  Json shards = Json::array();
  for (const ShardStatus& shard : run.shards) shards.push_back(ShardJson(shard));
  return {{"name", run.state_name},
          {"state", Name(run.state)},
          {"error", TextOrNull(run.error)},
          {"source", run.mark.source},
          {"target", run.mark.target},
          {"run_digest", run.mark.run_digest},
          {"written_bytes", run.mark.written_bytes},
          {"bundles", run.bundles},
          {"bundles_done", run.bundles_done},
          {"missing", RangesJson(run.missing)},
          {"eta_seconds", run.eta_s ? Json(*run.eta_s) : Json()},
          {"outputs", OutputNames(run.mark.done)},
          {"committed", OutputNames(run.committed)},
          {"report", ReportWord(run.report.kind)},
          {"shards", shards},
          {"not_begun", RangesJson(run.not_begun)}};
}

std::string CleanedText(std::string_view place, const Cleaned& cleaned, bool is_dry_run) {
  std::string text;
  for (const CleanedRun& run : cleaned.runs) {
    const RunStatus& status = run.status;
    if (run.is_skipped) continue;
    const std::string name =
        status.state_name.empty() ? "" : fmt::format(", run {}", Printable(status.state_name));
    text += fmt::format("{}{}: {}\n", place, name, RemovedText(run, is_dry_run));
    if (!status.committed.empty())
      text += Line("stays", fmt::format("{} (committed)",
                                        ListSome(OutputNames(status.committed), kMostNames)));
    if (!run.others.empty())
      text += Line("left", fmt::format("{}: no finished checkpoint, and not named as the run's; "
                                       "remove it by hand",
                                       ListSome(run.others, kMostNames)));
    if (is_dry_run && !run.objects.empty())
      text += Line("objects", ListSome(run.objects, kMostNames));
  }
  if (!cleaned.strays.empty())
    text += fmt::format("{}: {} {} ({}) of runs that were killed as they began\n", place,
                        is_dry_run ? "would remove" : "removed",
                        Count(cleaned.strays.size(), "object"), FormatBytes(cleaned.stray_bytes));
  return text;
}

Json CleanedJson(const Cleaned& cleaned, bool is_dry_run) {
  Json runs = Json::array();
  for (const CleanedRun& run : cleaned.runs)
    runs.push_back({{"name", run.status.state_name},
                    {"was", Name(run.status.state)},
                    {"at_work", run.is_at_work},
                    {"skipped", run.is_skipped},
                    {"objects", run.objects.size()},
                    {"bytes", run.bytes},
                    {"uploads", run.uploads},
                    {"names", is_dry_run ? Json(run.objects) : Json()},
                    {"committed", OutputNames(run.status.committed)},
                    {"left", run.others}});
  return {{"dry_run", is_dry_run},
          {"runs", runs},
          {"strays", {{"objects", cleaned.strays.size()}, {"bytes", cleaned.stray_bytes}}}};
}

}  // namespace ckpt
