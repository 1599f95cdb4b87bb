#include "cli/state_place.h"

#include <algorithm>
#include <chrono>

#include "base/text.h"
#include "cli/paths.h"
#include "run/journal.h"

namespace ckpt {
namespace {

// Whether the run makes an output that `part` is, lies in or holds.
bool TellsOf(const Mark& mark, const std::string& part) {
  const auto is_related = [&](const std::string& path) { return AreRelated(path, part); };
  if (std::any_of(mark.folders.begin(), mark.folders.end(), is_related)) return true;
  return std::any_of(mark.done.begin(), mark.done.end(), [&](const std::string& done) {
    const size_t slash = done.rfind('/');
    return is_related(slash == std::string::npos ? done : done.substr(0, slash));
  });
}

}  // namespace

Result<StatePlace> ReadStateOf(const std::string& dest, const StoreAccess& access) {
  StatePlace place;
  CKPT_TRY(place.store, OpenDestination(dest, access));
  if (!place.store->KeepsObjects())
    return Fail(Code::kUsage, fmt::format("{} keeps nothing", Printable(dest)),
                "name the folder or bucket that ckpt convert writes to");
  CKPT_TRY(place.runs, ReadStatus(*place.store, NowNs()));
  return place;
}

Result<StatePlace> FindStateOf(const std::string& dest, const StoreAccess& access) {
  CKPT_TRY(StatePlace place, ReadStateOf(dest, access));
  if (!place.runs.empty() || place.store->root().scheme() != "file") return place;
  const std::string asked = AbsolutePath(place.store->root().path());
  std::string folder = asked;
  for (int level = 0; level < kMostParents && folder != "/"; ++level) {
    folder = FolderAbove(folder);
    if (!IsFolder(Below(folder, kStateFolder))) continue;
    CKPT_TRY(StatePlace above, ReadStateOf(folder, access));
    const std::string part = PathBelow(asked, folder).value_or("");
    std::erase_if(above.runs, [&](const RunStatus& run) { return !TellsOf(run.mark, part); });
    return above.runs.empty() ? place : above;
  }
  return place;
}

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace ckpt
