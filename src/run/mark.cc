#include "run/mark.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/text.h"
#include "run/find_object.h"
#include "run/journal.h"
#include "run/report.h"
#include "run/report_state.h"
#include "run/unfinished_file.h"

namespace ckpt {
namespace {

// shards/00000-of-00001.json: what shards say of themselves.
bool IsShardNote(std::string_view name) {
  constexpr std::string_view pattern = "shards/00000-of-00000.json";  // any digit for a 0
  return name.size() == pattern.size() &&
         std::equal(name.begin(), name.end(), pattern.begin(), [](char letter, char wanted) {
           return wanted == '0' ? letter >= '0' && letter <= '9' : letter == wanted;
         });
}

// The names of a list; nothing for a list that is none, or holds what is no name.
std::optional<std::vector<std::string>> NamesIn(const nlohmann::json& json, const char* key) {
  const auto list = json.find(key);
  if (list == json.end() || !list->is_array()) return std::nullopt;
  std::vector<std::string> names;
  for (const auto& name : *list) {
    if (!name.is_string() || !SafeName(name.get<std::string>())) return std::nullopt;
    names.push_back(name.get<std::string>());
  }
  return names;
}

// ".PID-RANDOM.tmp", as file stores end the names of what is not whole yet. What a user calls .tmp
// is none of ours.
bool IsTemporaryEnding(std::string_view ending) {
  if (!ending.starts_with('.') || !ending.ends_with(".tmp")) return false;
  const std::string_view middle = ending.substr(1, ending.size() - 5);
  const size_t dash = middle.find('-');
  const auto is_of = [](std::string_view text, std::string_view digits) {
    return !text.empty() && text.find_first_not_of(digits) == std::string_view::npos;
  };
  return dash != std::string_view::npos && is_of(middle.substr(0, dash), "0123456789") &&
         is_of(middle.substr(dash + 1), "0123456789abcdef");
}

// A name with that ending.
bool IsTemporary(std::string_view name) {
  const size_t end = name.rfind('.');
  if (end == std::string_view::npos || end == 0) return false;
  const size_t begin = name.rfind('.', end - 1);
  return begin != std::string_view::npos && IsTemporaryEnding(name.substr(begin));
}

std::optional<Mark> ParseMark(const std::string& text) {
  const auto json = ParseJson(text);
  if (!json.is_object() || json.value("program", nlohmann::json()) != "ckpt") return std::nullopt;
  Mark mark;
  if (const auto digest = json.find("run_digest"); digest != json.end() && digest->is_string())
    mark.run_digest = digest->get<std::string>();
  const auto files = NamesIn(json, "files");
  const auto folders = json.contains("folders") ? NamesIn(json, "folders")
                                                : std::optional(std::vector<std::string>());
  if (!files || !folders) return std::nullopt;
  mark.files = *files;
  mark.folders = *folders;
  if (json.contains("done")) {
    const auto done = NamesIn(json, "done");
    if (!done) return std::nullopt;
    mark.done = *done;
  }
  const auto word = [&](const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto number = [&](const char* key) -> uint64_t {
    const auto found = json.find(key);
    return found != json.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
  };
  mark.target = word("target");
  mark.source = word("source");
  mark.bundles = number("bundles");
  mark.written_bytes = number("written_bytes");
  return mark;
}

std::string Print(const Mark& mark) {
  nlohmann::ordered_json json;
  json["schema_version"] = 2;
  json["program"] = "ckpt";
  json["target"] = mark.target;
  json["source"] = mark.source;
  json["run_digest"] = mark.run_digest;
  json["bundles"] = mark.bundles;
  json["written_bytes"] = mark.written_bytes;
  if (!mark.folders.empty()) json["folders"] = mark.folders;
  json["files"] = mark.files;
  json["done"] = mark.done;
  return PrintJson(json) + "\n";
}

}  // namespace

std::string MarkName(std::string_view state_name) {
  return StateFolder(state_name) + "/state.json";
}

Result<std::optional<Mark>> ReadMark(Store& destination, std::string_view state_name) {
  const Result<std::string> text = destination.ReadWhole(MarkName(state_name), kMostMarkBytes);
  if (text) return ParseMark(*text);
  const Code code = text.error().code;
  if (code == Code::kNotFound || code == Code::kBadInput) return std::nullopt;
  return Fail(text.error());
}

Result<void> WriteMark(Store& destination, const PlanBase& plan, const Mark& mark) {
  Mark whole = mark;
  whole.target = plan.target;
  whole.source = plan.catalog.root.Print();
  whole.run_digest = plan.run_digest;
  whole.written_bytes = plan.totals.written_bytes;
  const Result<ObjectInfo> made = WriteSmallObject(
      destination, MarkName(plan.state_name), Print(whole), StateObject(plan.state_name, true));
  if (made) return {};
  if (made.error().code != Code::kCannotCreate) return Fail(made.error());
  CKPT_TRY(const std::optional<Mark> other, ReadMark(destination, plan.state_name));
  if (!other) return Fail(made.error());
  if (other->run_digest == plan.run_digest) return {};
  return Result<void>(Fail(Code::kTemporary, "another run has begun in this destination",
                           "let it end, or name another output"))
      .map_error(Where("folder", destination.root().Print()));
}

Result<void> ReplaceMark(Store& destination, std::string_view state_name, const Mark& mark) {
  CKPT_TRY_VOID(
      WriteSmallObject(destination, MarkName(state_name), Print(mark), {.is_create_only = false}));
  return {};
}

Result<bool> IsAllThere(Store& destination, const Mark& mark) {
  if (mark.done.empty()) return false;
  for (const std::string& name : mark.done) {
    CKPT_TRY(const std::optional<ObjectInfo> done, FindObject(destination, name));
    if (!done) return false;
  }
  return true;
}

Result<bool> HasMarkChanged(Store& destination, const std::optional<Mark>& seen,
                            std::string_view state_name) {
  CKPT_TRY(const std::optional<Mark> now, ReadMark(destination, state_name));
  if (!now || !seen) return now.has_value() != seen.has_value();
  return now->run_digest != seen->run_digest;
}

Result<bool> IsMarkOf(Store& destination, const PlanBase& plan) {
  CKPT_TRY(const std::optional<Mark> mark, ReadMark(destination, plan.state_name));
  return mark && mark->run_digest == plan.run_digest;
}

Result<bool> IsMarkedAnew(Store& destination, const PlanBase& plan, bool had_mark) {
  if (had_mark) return false;
  return IsMarkOf(destination, plan);
}

Result<Standing> StandingOf(Store& destination, const std::optional<Mark>& mark,
                            const PlanBase& plan) {
  if (!mark || mark->run_digest.empty()) return Standing::kUnmarked;
  CKPT_TRY(const bool is_there, IsAllThere(destination, *mark));
  if (is_there) return Standing::kFinished;
  return mark->run_digest == plan.run_digest ? Standing::kOwnUnfinished
                                             : Standing::kOthersUnfinished;
}

tl::unexpected<Error> RefuseDestination(const Store& destination, Standing standing,
                                        std::span<const std::string> names) {
  const std::string list =
      ListSome(std::vector<std::string>(names.begin(), names.end()), kMostNames);
  Error error{
      Code::kCannotCreate,
      standing == Standing::kFinished
          ? fmt::format("the destination holds a finished checkpoint: {}", list)
      : standing == Standing::kOthersUnfinished
          ? fmt::format("the destination holds an unfinished conversion of another source "
                        "or with other settings: {}",
                        list)
          : fmt::format("the destination is not empty: {}", list),
      {},
      {},
      standing == Standing::kOthersUnfinished
          ? "name another folder; or end that conversion by its own command, remove it with "
            "\"ckpt clean\", or give --overwrite to replace it"
          : "name an empty or new folder, or give --overwrite to replace what lies there"};
  error.where.push_back({"folder", destination.root().Print()});
  return Fail(std::move(error));
}

std::string LockName(std::string_view state_name) { return StateFolder(state_name) + "/lock"; }
std::string ProbeName(std::string_view state_name) { return StateFolder(state_name) + "/probe"; }

bool IsLeftover(std::string_view name, std::string_view state_name) {
  if (IsMadeFrom(name, ProbeName(state_name))) return true;
  if (IsTemporary(name) && name.starts_with(TemporaryFolder(state_name) + "/")) return true;
  // A service may carry out what a run that failed no longer waited for: after it had removed all.
  const std::string folder = StateFolder(state_name) + "/";
  if (name.starts_with(folder) && IsShardNote(name.substr(folder.size()))) return true;
  return name.ends_with(".tmp") &&
         (IsMadeFrom(name, MarkName(state_name)) || IsMadeFrom(name, ReportName(state_name)));
}

bool IsStray(std::string_view name, const ReportState& report, std::string_view state_name) {
  if (name == ReportName(state_name)) return report.kind == ReportState::Kind::kFailed;
  const std::string folder = StateFolder(state_name) + "/";
  if (!name.starts_with(folder)) return false;
  const std::string_view rest = name.substr(folder.size());
  if (rest == kUnfinishedName) return true;
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view kind = rest.substr(0, slash);
  const std::string_view number = rest.substr(slash + 1);
  return (kind == "journal" || kind == "side") && !number.empty() &&
         number.find_first_not_of("0123456789") == std::string_view::npos;
}

bool IsState(std::string_view name) { return name.starts_with(std::string(kStateFolder) + "/"); }

bool IsMadeFrom(std::string_view name, std::string_view file) {
  if (!name.starts_with(file)) return false;
  const std::string_view rest = name.substr(file.size());
  return rest.empty() || rest == ".part" || IsTemporaryEnding(rest);
}

bool IsMadeFromAny(std::string_view name, std::span<const std::string> files) {
  return std::any_of(files.begin(), files.end(),
                     [&](const std::string& file) { return IsMadeFrom(name, file); });
}

Result<std::vector<ObjectInfo>> ListDestination(Store& destination, std::string_view folder) {
  Result<std::vector<ObjectInfo>> objects = destination.List(folder);
  if (objects) return objects;
  Error error = std::move(objects).error();
  if (error.code == Code::kBadInput || error.code == Code::kNotFound)
    error.code = Code::kCannotCreate;
  return Fail(std::move(error));
}

}  // namespace ckpt
