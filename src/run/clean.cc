#include "run/clean.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "run/journal.h"
#include "run/report.h"
#include "run/unfinished_file.h"

namespace ckpt {
namespace {

std::string_view FolderOf(std::string_view name) {
  const size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : name.substr(0, slash);
}

bool IsBelow(std::string_view name, std::string_view folder) {
  return name.size() > folder.size() + 1 && name.starts_with(folder) && name[folder.size()] == '/';
}

// Another version wrote a mark that does not tell what is committed.
bool IsOfOtherVersion(const Mark& mark) { return !mark.run_digest.empty() && mark.done.empty(); }

// Names that no run may touch, whatever its mark says.
class Kept {
 public:
  // A committed output: everything below its root; of one that is a single object, that.
  void AddOutput(const std::string& done) {
    files_.insert(done);
    const std::string_view root = FolderOf(done);
    if (!root.empty()) folders_.emplace_back(root);
  }
  void AddFile(const std::string& name) { files_.insert(name); }
  // All that a run may still make or need.
  void AddClaims(const Mark& mark) {
    for (const std::string& folder : mark.folders) folders_.push_back(folder);
    for (const std::string& done : mark.done) AddOutput(done);
    claimed_.insert(claimed_.end(), mark.files.begin(), mark.files.end());
  }
  bool Has(const std::string& name) const {
    return files_.contains(name) || IsMadeFromAny(name, claimed_) ||
           std::any_of(folders_.begin(), folders_.end(),
                       [&](const std::string& folder) { return IsBelow(name, folder); });
  }
  // Whether something of it is, or lies in, the folder.
  bool Meets(std::string_view folder) const {
    return std::any_of(folders_.begin(), folders_.end(), [&](const std::string& kept) {
      return folder.empty() || kept == folder || IsBelow(kept, folder) || IsBelow(folder, kept);
    });
  }

 private:
  std::set<std::string> files_;
  std::vector<std::string> claimed_;
  std::vector<std::string> folders_;
};

// Names to be removed.
struct Group {
  std::vector<std::string> folders = {};  // whole, which costs a store less than each object
  std::vector<std::string> objects = {};
};

// What is to be removed of one run, in groups that go one after the other.
struct Leftovers {
  Group markers;
  Group records;  // of the journal: a next run trusts nothing any more
  Group outputs;
  Group state;
  std::vector<Unfinished> uploads;      // that the state tells of
  size_t unseen_uploads = 0;            // ... and no listing shows
  std::set<std::string> uploads_below;  // folders
};

class Cleaner {
 public:
  Cleaner(Store& store, const CleanOptions& options) : store_(store), options_(options) {}

  Result<Cleaned> Clean() {
    CKPT_TRY(state_, store_.List(kStateFolder));
    CKPT_TRY_VOID(FindRuns());
    FindStrays();
    if (cleaned_.runs.empty() && cleaned_.strays.empty()) return Fail(NothingHere());
    for (const CleanedRun& run : cleaned_.runs) {
      if (IsOfOtherVersion(run.status.mark)) return Fail(OtherVersion(run.status));
      Keep(run);
    }
    for (CleanedRun& run : cleaned_.runs) {
      if (!run.is_skipped) CKPT_TRY_VOID(CleanRun(run));
    }
    if (!options_.is_dry_run) CKPT_TRY_VOID(Remove({.objects = cleaned_.strays}));
    return std::move(cleaned_);
  }

 private:
  Error NothingHere() const {
    return {Code::kNotFound,
            "nothing of ckpt lies here",
            {},
            {{"folder", store_.root().Print()}},
            "name the folder that ckpt convert wrote to"};
  }
  Error OtherVersion(const RunStatus& run) const {
    return {Code::kBadInput,
            "the state was left by another version of ckpt, and does not tell what is finished",
            {},
            {{"file", store_.root().PrintBelow(MarkName(run.state_name))}},
            "use that version, or remove by hand what you do not need; nothing was changed"};
  }

  Result<void> FindRuns() {
    int64_t now_ns = options_.now_ns;
    CKPT_TRY(std::vector<RunStatus> runs, ReadStatus(store_, now_ns));
    // Whose clock is wrong must not matter: the store's own tells how old a word is.
    const bool has_doubt = std::any_of(runs.begin(), runs.end(), [](const RunStatus& run) {
      return run.is_at_work() || std::any_of(run.shards.begin(), run.shards.end(),
                                             [](const auto& shard) { return shard.is_silent; });
    });
    if (has_doubt && !options_.is_dry_run) {
      CKPT_TRY(now_ns, StoreTime(runs.front().state_name));
      CKPT_TRY(runs, ReadStatus(store_, now_ns));
    }
    for (RunStatus& status : runs) {
      const std::string& name = status.state_name;
      // One that has just begun says nothing yet; a lock tells better.
      const bool is_quiet = status.shards.empty() && options_.locked.contains(name);
      const bool is_at_work = options_.held.contains(name) || (status.is_at_work() && !is_quiet);
      const bool is_skipped = is_at_work && !options_.is_forced;
      cleaned_.is_skipping |= is_skipped;
      cleaned_.runs.push_back(
          {.status = std::move(status), .is_at_work = is_at_work, .is_skipped = is_skipped});
    }
    return {};
  }

  // By an object that is made and removed again.
  Result<int64_t> StoreTime(const std::string& state_name) {
    const std::string probe = ProbeName(state_name);
    CKPT_TRY(const ObjectInfo made, WriteSmallObject(store_, probe, "", {.is_create_only = false}));
    CKPT_TRY_VOID(store_.Remove(probe));
    return made.modified_ns != 0 ? made.modified_ns : options_.now_ns;
  }

  // Probes and halves of marks and reports in state folders that have no mark.
  void FindStrays() {
    for (const ObjectInfo& object : state_) {
      std::string_view folder = FolderOf(object.name);
      for (const std::string_view inside : {"/tmp", "/shards"}) {
        if (folder != kStateFolder && folder.ends_with(inside)) folder = FolderOf(folder);
      }
      const std::string_view name =
          folder == kStateFolder ? std::string_view() : folder.substr(kStateFolder.size() + 1);
      const bool has_run =
          std::any_of(cleaned_.runs.begin(), cleaned_.runs.end(),
                      [&](const CleanedRun& run) { return run.status.state_name == name; });
      if (has_run || !IsLeftover(object.name, name)) continue;
      cleaned_.strays.push_back(object.name);
      cleaned_.stray_bytes += object.size_bytes;
    }
  }

  void Keep(const CleanedRun& run) {
    for (const std::string& done : run.status.committed) kept_.AddOutput(done);
    // Its small files may be of any of them.
    if (!run.status.committed.empty()) {
      for (const std::string& file : run.status.mark.files) kept_.AddFile(file);
    }
    if (run.is_skipped) kept_.AddClaims(run.status.mark);
  }

  // What lies below a folder, listed once.
  Result<const std::vector<ObjectInfo>*> Listed(const std::string& folder) {
    const auto found = listings_.find(folder);
    if (found != listings_.end()) return &found->second;
    CKPT_TRY(std::vector<ObjectInfo> objects, store_.List(folder));
    return &listings_.emplace(folder, std::move(objects)).first->second;
  }

  bool IsFree(const ObjectInfo& object) const {
    return !IsState(object.name) && !kept_.Has(object.name) && !taken_.contains(object.name);
  }

  void Take(CleanedRun& run, const ObjectInfo& object) {
    taken_.insert(object.name);
    run.objects.push_back(object.name);
    run.bytes += object.size_bytes;
  }

  Result<Leftovers> FindLeftovers(CleanedRun& run) {
    Leftovers left;
    for (const std::string& folder : run.status.mark.folders)
      CKPT_TRY_VOID(TakeFolder(run, folder, left));
    for (const std::string& file : run.status.mark.files) CKPT_TRY_VOID(TakeFile(run, file, left));
    CKPT_TRY_VOID(LookBelowOutputs(run, left));
    CKPT_TRY_VOID(TakeUpload(run, left));
    TakeState(run, left);
    std::erase_if(left.uploads_below, [&](const std::string& folder) { return IsOthers(folder); });
    return left;
  }

  Result<void> TakeFolder(CleanedRun& run, const std::string& folder, Leftovers& left) {
    CKPT_TRY(const std::vector<ObjectInfo>* objects, Listed(folder));
    const bool is_whole =
        !kept_.Meets(folder) && std::all_of(objects->begin(), objects->end(),
                                            [&](const ObjectInfo& one) { return IsFree(one); });
    if (is_whole) left.outputs.folders.push_back(folder);
    for (const ObjectInfo& object : *objects) {
      if (!IsFree(object)) continue;
      Take(run, object);
      const std::string_view below = std::string_view(object.name).substr(folder.size() + 1);
      if (options_.is_marker(run.status.mark.target, below)) {
        left.markers.objects.push_back(object.name);
      } else if (!is_whole) {
        left.outputs.objects.push_back(object.name);
      }
    }
    left.uploads_below.insert(folder);
    return {};
  }

  // The file, and what was to become it.
  Result<void> TakeFile(CleanedRun& run, const std::string& file, Leftovers& left) {
    std::vector<ObjectInfo> objects;
    if (store_.RenamesFolders()) {
      CKPT_TRY(const std::vector<ObjectInfo>* beside, Listed(std::string(FolderOf(file))));
      std::copy_if(beside->begin(), beside->end(), std::back_inserter(objects),
                   [&](const ObjectInfo& object) { return IsMadeFrom(object.name, file); });
    } else {
      // In a bucket nothing else is made of it, and a listing may be long.
      Result<ObjectInfo> object = store_.Stat(file);
      if (!object && object.error().code != Code::kNotFound) return Fail(object.error());
      if (object) objects.push_back(*std::move(object));
    }
    for (const ObjectInfo& object : objects) {
      if (!IsFree(object)) continue;
      Take(run, object);
      left.outputs.objects.push_back(object.name);
    }
    return {};
  }

  // The places of outputs: their uploads go; objects only where the mark names the folder.
  Result<void> LookBelowOutputs(CleanedRun& run, Leftovers& left) {
    const Mark& mark = run.status.mark;
    for (const std::string& done : mark.done) {
      const std::string root(FolderOf(done));
      CKPT_TRY(const bool is_ours, IsAllOurs(root, mark));
      if (is_ours) left.uploads_below.insert(root);
      const bool is_committed = std::find(run.status.committed.begin(), run.status.committed.end(),
                                          done) != run.status.committed.end();
      const bool is_named =
          std::find(mark.folders.begin(), mark.folders.end(), root) != mark.folders.end();
      if (root.empty() || is_committed || is_named) continue;
      CKPT_TRY(const std::vector<ObjectInfo>* objects, Listed(root));
      if (!objects->empty()) run.others.push_back(root);
    }
    return {};
  }

  // The destination itself may be shared with programs that are no business of ours, and uploads
  // do not tell whose they are.
  Result<bool> IsAllOurs(const std::string& root, const Mark& mark) {
    if (!root.empty()) return true;
    CKPT_TRY(const std::vector<ObjectInfo>* objects, Listed(root));
    return std::all_of(objects->begin(), objects->end(), [&](const ObjectInfo& object) {
      return IsState(object.name) || IsMadeFromAny(object.name, mark.files);
    });
  }

  // Whether a run that is left alone may have uploads there.
  bool IsOthers(std::string_view folder) const {
    return std::any_of(cleaned_.runs.begin(), cleaned_.runs.end(), [&](const CleanedRun& run) {
      if (!run.is_skipped) return false;
      Kept claims;
      claims.AddClaims(run.status.mark);
      return folder.empty() || claims.Meets(folder);
    });
  }

  // The unfinished file: where it is an object, it was taken already.
  Result<void> TakeUpload(const CleanedRun& run, Leftovers& left) {
    const Result<std::vector<Unfinished>> begun = ReadUnfinished(store_, run.status.state_name);
    if (!begun) {
      // None, or one that is damaged and leads nowhere.
      const Code code = begun.error().code;
      if (code == Code::kNotFound || code == Code::kIo || code == Code::kBadInput) return {};
      return Fail(begun.error());
    }
    const std::vector<std::string>& files = run.status.mark.files;
    for (const Unfinished& one : *begun) {
      if (std::find(files.begin(), files.end(), one.object) == files.end()) continue;
      if (std::none_of(run.objects.begin(), run.objects.end(), [&](const std::string& name) {
            return name != one.object && IsMadeFrom(name, one.object);
          }))
        ++left.unseen_uploads;
      left.uploads.push_back(one);
    }
    return {};
  }

  void TakeState(CleanedRun& run, Leftovers& left) {
    const RunStatus& status = run.status;
    const std::string folder = StateFolder(status.state_name);
    left.records.folders = {folder + "/journal", folder + "/side"};
    left.state.folders = {TemporaryFolder(status.state_name),
                          fmt::format("{}/{}", folder, kShardsFolder)};
    const auto is_in = [](const Group& group, const std::string& name) {
      return std::any_of(group.folders.begin(), group.folders.end(),
                         [&](const std::string& one) { return IsBelow(name, one); });
    };
    for (const ObjectInfo& object : state_) {
      if (!IsBelow(object.name, folder)) continue;
      const bool is_inside = is_in(left.records, object.name) || is_in(left.state, object.name);
      const bool is_end = !is_inside && IsEndOfState(status, object.name);
      const bool is_mark = object.name == MarkName(status.state_name);
      if (!is_inside && !is_end && !(is_mark && status.committed.empty())) continue;
      Take(run, object);
      if (is_end) left.state.objects.push_back(object.name);
    }
  }

  // What else of a state folder goes: all but a report of outputs that stay.
  static bool IsEndOfState(const RunStatus& run, const std::string& name) {
    if (IsLeftover(name, run.state_name)) return true;
    if (IsMadeFrom(name, StateFolder(run.state_name) + "/" + std::string(kUnfinishedName)))
      return true;
    if (name != ReportName(run.state_name)) return false;
    return run.report.kind == ReportState::Kind::kFailed ||
           (run.report.kind == ReportState::Kind::kDone && run.committed.empty());
  }

  Result<void> CleanRun(CleanedRun& run) {
    CKPT_TRY(Leftovers left, FindLeftovers(run));
    run.uploads = left.unseen_uploads;
    if (options_.is_dry_run) return {};
    const RunStatus& status = run.status;
    CKPT_TRY_VOID(CheckStillUncommitted(status));
    // Beyond this point the run is given up: first what makes a loader accept it.
    CKPT_TRY_VOID(Remove(left.markers));
    CKPT_TRY_VOID(Remove(left.records));
    CKPT_TRY(const size_t dropped, DropUploads(left));
    run.uploads += dropped;
    CKPT_TRY_VOID(Remove(left.outputs));
    CKPT_TRY_VOID(Remove(left.state));
    // The mark goes last: until then what is left is known as ours, also after a kill.
    if (status.committed.empty()) return store_.Remove(MarkName(status.state_name));
    if (status.committed.size() == status.mark.done.size()) return {};
    return ReplaceMark(store_, status.state_name, Narrowed(status));
  }

  // A run that is taken for dead may have committed while we looked.
  Result<void> CheckStillUncommitted(const RunStatus& status) {
    for (const std::string& done : status.mark.done) {
      if (std::find(status.committed.begin(), status.committed.end(), done) !=
          status.committed.end())
        continue;
      const Result<ObjectInfo> object = store_.Stat(done);
      if (object)
        return Fail(Code::kTemporary, "a run has committed an output just now",
                    "run ckpt clean again");
      if (object.error().code != Code::kNotFound) return Fail(object.error());
    }
    return {};
  }

  Result<size_t> DropUploads(const Leftovers& left) {
    for (const Unfinished& one : left.uploads)
      CKPT_TRY_VOID(store_.DropUnfinished(one.object, one.session));
    size_t count = 0;
    for (const std::string& folder : left.uploads_below) {
      CKPT_TRY(const size_t dropped, store_.DropUnfinishedBelow(folder));
      count += dropped;
    }
    return count;
  }

  // The mark of the outputs that are committed.
  static Mark Narrowed(const RunStatus& status) {
    Mark mark = status.mark;
    mark.done = status.committed;
    std::erase_if(mark.folders, [&](const std::string& folder) {
      return std::none_of(mark.done.begin(), mark.done.end(),
                          [&](const std::string& done) { return IsBelow(done, folder); });
    });
    return mark;
  }

  Result<void> Remove(const Group& group) {
    for (const std::string& name : group.objects) {
      if (options_.is_stopping()) return Stopped();
      CKPT_TRY_VOID(store_.Remove(name));
    }
    for (const std::string& folder : group.folders) {
      if (options_.is_stopping()) return Stopped();
      CKPT_TRY_VOID(store_.RemoveAll(folder));
    }
    return {};
  }

  static Result<void> Stopped() { return Fail(Code::kInterrupted, "stopped"); }

  Store& store_;
  const CleanOptions& options_;
  std::vector<ObjectInfo> state_;
  std::map<std::string, std::vector<ObjectInfo>> listings_;  // by folder
  std::set<std::string> taken_;
  Kept kept_;
  Cleaned cleaned_;
};

}  // namespace

Result<Cleaned> CleanDestination(Store& store, const CleanOptions& options) {
  return Cleaner(store, options).Clean();
}

}  // namespace ckpt
