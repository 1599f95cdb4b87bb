#include "source/orbax/locate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <utility>
#include <vector>

#include "base/text.h"
#include "format/orbax/metadata.h"
#include "source/orbax/database.h"
#include "source/reading.h"

namespace ckpt {
namespace {

constexpr std::string_view kTemporaryMark = ".orbax-checkpoint-tmp-";
constexpr auto kItemNames = std::to_array<std::string_view>({"items/", "default/"});
constexpr std::string_view kProcessMark = "ocdbt.process_";

bool Has(std::span<const ObjectInfo> all, const std::string& name) {
  return FindObject(all, name) != nullptr;
}

// Whether `folder` ("" or with its '/') is an item.
bool IsOrbaxItem(std::span<const ObjectInfo> all, const std::string& folder) {
  return Has(all, folder + std::string(kOrbaxMetadataName)) ||
         Has(all, folder + std::string(kOcdbtManifestName));
}

// `folder`, or its "items/" or "default/"; "" is an answer of its own, so: nothing.
std::optional<std::string> ItemOf(std::span<const ObjectInfo> all, const std::string& folder) {
  if (IsOrbaxItem(all, folder)) return folder;
  for (const std::string_view name : kItemNames) {
    if (std::string item = folder + std::string(name); IsOrbaxItem(all, item)) return item;
  }
  return std::nullopt;
}

// The number of a step's folder: "7", "0007", "checkpoint_7".
std::optional<uint64_t> StepNumber(std::string_view name) {
  if (name.find(kTemporaryMark) != std::string_view::npos) return std::nullopt;
  const size_t underscore = name.rfind('_');
  const std::string_view digits =
      underscore == std::string_view::npos ? name : name.substr(underscore + 1);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

// The folders directly below `folder`, each with its '/'.
std::set<std::string> Subfolders(std::span<const ObjectInfo> all, std::string_view folder) {
  std::set<std::string> found;
  for (const ObjectInfo& object : all) {
    if (!object.name.starts_with(folder)) continue;
    const size_t slash = object.name.find('/', folder.size());
    if (slash != std::string::npos) found.insert(object.name.substr(0, slash + 1));
  }
  return found;
}

Error Refusal(const Store& store, const std::string& folder, std::string what, std::string remedy) {
  return InFile(store, folder)(Error{Code::kBadInput, std::move(what), {}, {}, std::move(remedy)});
}

// A rename makes a checkpoint of a folder; a bucket has none, so there a marker does.
bool LacksMarker(const Store& store, std::span<const ObjectInfo> all, const std::string& step) {
  return store.root().scheme() == "gs" && !Has(all, step + std::string(kOrbaxMarkerName));
}

// Errors for an item that its writer has not finished. `step`: the folder by which it was found.
Result<void> CheckFinished(const Store& store, std::span<const ObjectInfo> all,
                           const std::string& item, const std::string& step) {
  const std::string place = store.root().PrintBelow(item);
  if (place.find(kTemporaryMark) != std::string::npos)
    return Fail(Refusal(store, item,
                        "the checkpoint is still being written, or its writer was stopped",
                        "wait for its writer, or name another step"));
  if (!LacksMarker(store, all, step)) return {};
  return Fail(Refusal(
      store, step,
      fmt::format("the checkpoint has no {}: it is still being written, or its writer was stopped",
                  kOrbaxMarkerName),
      "wait for its writer, or name another step"));
}

// The item of the highest step below `folder`.
Result<std::optional<std::string>> ItemOfSteps(const Store& store, const std::string& folder,
                                               std::span<const ObjectInfo> all) {
  std::vector<std::pair<uint64_t, std::string>> steps;
  for (const std::string& step : Subfolders(all, folder)) {
    std::string_view name = step;
    name = name.substr(folder.size(), step.size() - folder.size() - 1);
    const auto number = StepNumber(name);
    if (!number || !ItemOf(all, step) || LacksMarker(store, all, step)) continue;
    steps.emplace_back(*number, step);
  }
  if (steps.empty()) return std::optional<std::string>();
  std::sort(steps.begin(), steps.end());
  if (steps.size() > 1 && steps[steps.size() - 2].first == steps.back().first)
    return Fail(Refusal(
        store, folder,
        fmt::format("two folders are step {}: {} and {}", steps.back().first,
                    Printable(steps[steps.size() - 2].second), Printable(steps.back().second)),
        "name one of them"));
  std::optional<std::string> item = ItemOf(all, steps.back().second);
  CKPT_TRY_VOID(CheckFinished(store, all, *item, steps.back().second));
  return item;
}

// Every item below `folder`, but for the databases of single processes inside one.
std::vector<std::string> AllItems(std::span<const ObjectInfo> all, std::string_view folder) {
  std::vector<std::string> items;
  for (const ObjectInfo& object : all) {
    if (!object.name.starts_with(folder) || object.name.find(kProcessMark) != std::string::npos)
      continue;
    const std::string_view name = BaseName(object.name);
    if (name != kOrbaxMetadataName && name != kOcdbtManifestName) continue;
    std::string item(FolderOf(object.name));
    if (items.empty() || items.back() != item) items.push_back(std::move(item));
  }
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
  return items;
}

}  // namespace

Result<std::optional<std::string>> FindOrbaxItem(const Store& store, std::string_view folder,
                                                 std::span<const ObjectInfo> all) {
  const std::string base(folder);
  if (std::optional<std::string> item = ItemOf(all, base)) {
    // Named directly, an item is asked for its own marker.
    CKPT_TRY_VOID(CheckFinished(store, all, *item, *item));
    return item;
  }
  CKPT_TRY(std::optional<std::string> of_steps, ItemOfSteps(store, base, all));
  if (of_steps) return of_steps;
  const std::vector<std::string> items = AllItems(all, folder);
  if (items.empty()) return std::optional<std::string>();
  if (items.size() > 1)
    return Fail(Refusal(store, base,
                        fmt::format("several Orbax checkpoints lie here: {}", ListSome(items)),
                        "name one of them"));
  CKPT_TRY_VOID(CheckFinished(store, all, items.front(), items.front()));
  return std::optional<std::string>(items.front());
}

}  // namespace ckpt
