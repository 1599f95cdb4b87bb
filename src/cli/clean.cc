#include "run/clean.h"

#include <fmt/format.h>

#include <deque>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/output_lock.h"
#include "cli/plan_view.h"
#include "cli/state_place.h"
#include "cli/state_view.h"
#include "cli/verbs.h"
#include "cli/watched.h"
#include "run/journal.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCleanAgain = "run ckpt clean again: it goes on";

// Whether a loader looks for such an object of an output.
bool IsMarker(std::string_view target, std::string_view object) {
  if (const ChunkedTarget* chunked = FindChunkedTarget(target)) return chunked->IsMarker(object);
  if (const Target* single = FindTarget(target)) return single->IsMarker(object);
  return false;
}

// Folders without any file, which no store lists: `folder` and those in it.
void RemoveEmptyFolders(const fs::path& folder) {
  std::error_code ignored;
  if (fs::symlink_status(folder, ignored).type() != fs::file_type::directory) return;
  std::vector<fs::path> inner;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) inner.push_back(entry.path());
  for (const fs::path& path : inner) RemoveEmptyFolders(path);
  fs::remove(folder, ignored);  // no folder that holds something
}

class CleanVerb final : public Verb {
 public:
  explicit CleanVerb(CLI::App& root)
      : Verb(root, "clean",
             "Remove what an abandoned conversion left; never a committed checkpoint") {
    options.Required("DEST", dest_, "folder or bucket that convert wrote to");
    options.Flag("--dry-run", is_dry_run_, "change nothing, say what would be removed");
    options.Flag("--force", is_forced_, "even if the conversion looks as if it were at work");
    options.Flag("--json", is_json_, "print one JSON object");
    AddRemoteOptions(options, remote_);
  }

  Result<void> Run() override {
    const StoreAccess access{IoMode::kAuto, std::make_shared<Remote>(remote_, ReadEnvironment)};
    CKPT_TRY(const StatePlace place, ReadStateOf(dest_, access));
    Store& store = *place.store;
    StopSignals signals;
    CleanOptions clean{.is_dry_run = is_dry_run_,
                       .is_forced = is_forced_,
                       .now_ns = NowNs(),
                       .is_marker = IsMarker,
                       .is_stopping = [&] { return signals.Poll() != 0; }};
    Result<Cleaned> cleaned = [&] {
      // Held while it is at work: a run that begins meanwhile waits for its end.
      std::deque<OutputLock> locks;
      Lock(place, clean, locks);
      return CleanDestination(store, clean);
    }();
    PrintWarnings(access.remote->TakeWarnings());
    if (!cleaned && cleaned.error().code == Code::kInterrupted && signals.Poll() != 0)
      return StoppedBy(signals.Poll(), kCleanAgain);
    if (!cleaned && cleaned.error().code == Code::kNotFound)
      return Fail(WithPlaceAbove(std::move(cleaned).error(), access));
    if (!cleaned) return Fail(std::move(cleaned).error());
    if (!is_dry_run_) RemoveFolders(store, *cleaned);
    return Tell(store, *cleaned);
  }

 private:
  // The locks of all runs there; of those that others hold, that.
  void Lock(const StatePlace& place, CleanOptions& clean, std::deque<OutputLock>& locks) const {
    for (const RunStatus& run : place.runs) {
      if (is_dry_run_) {
        if (OutputLock::IsHeld(*place.store, run.state_name)) clean.held.insert(run.state_name);
        continue;
      }
      Result<OutputLock> lock = OutputLock::Take(*place.store, run.state_name, false);
      if (!lock) {
        clean.held.insert(run.state_name);
        continue;
      }
      if (lock->is_alone()) clean.locked.insert(run.state_name);
      locks.push_back(*std::move(lock));
    }
  }

  // The folder that holds this output's state may lie above.
  Error WithPlaceAbove(Error error, const StoreAccess& access) const {
    const Result<StatePlace> above = FindStateOf(dest_, access);
    if (above && !above->runs.empty())
      error.remedy = fmt::format("the conversion that makes this has its state in {}: name that",
                                 Printable(above->store->root().Print()));
    return error;
  }

  // What a file store keeps and no store lists.
  static void RemoveFolders(const Store& store, const Cleaned& cleaned) {
    if (store.root().scheme() != "file") return;
    const fs::path root = store.root().path();
    for (const CleanedRun& run : cleaned.runs) {
      if (run.is_skipped) continue;
      RemoveEmptyFolders(root / StateFolder(run.status.state_name));
      for (const std::string& folder : run.status.mark.folders) RemoveEmptyFolders(root / folder);
    }
    std::error_code ignored;
    fs::remove(root / kStateFolder, ignored);
  }

  Result<void> Tell(const Store& store, const Cleaned& cleaned) const {
    const std::string shown = Printable(store.root().Print());
    if (is_json_) {
      nlohmann::ordered_json json = CleanedJson(cleaned, is_dry_run_);
      json["destination"] = store.root().Print();
      fmt::print("{}\n", PrintJson(json));
    } else {
      fmt::print("{}", CleanedText(shown, cleaned, is_dry_run_));
    }
    std::vector<std::string> busy;
    for (const CleanedRun& run : cleaned.runs) {
      if (run.is_at_work) busy.push_back(BusyText(run));
    }
    if (busy.empty()) return {};
    if (!cleaned.is_skipping) {
      for (const std::string& text : busy)
        PrintWarnings({text + ": cleaned all the same, as --force says"});
      return {};
    }
    return Fail(Error{Code::kTemporary,
                      "a conversion is at work here, and was left alone",
                      std::move(busy),
                      {{"folder", shown}},
                      "let it end, or stop it; --force removes also what it made"});
  }

  static std::string BusyText(const CleanedRun& run) {
    std::string text = "a conversion";
    if (!run.status.state_name.empty()) text = "run " + Printable(run.status.state_name);
    for (const ShardStatus& shard : run.status.shards) {
      if (shard.is_running())
        return fmt::format("{}: shard {} of {} said {} that it runs", text, shard.note.part.index,
                           shard.note.part.count, AgoText(shard.age_s));
    }
    if (run.status.is_at_work()) return text + " has just begun";
    return text + " holds its lock";
  }

  std::string dest_;
  RemoteSettings remote_;
  bool is_dry_run_ = false;
  bool is_forced_ = false;
  bool is_json_ = false;
};

}  // namespace

std::unique_ptr<Verb> AddClean(CLI::App& root) { return std::make_unique<CleanVerb>(root); }

}  // namespace ckpt
