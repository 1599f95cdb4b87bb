#include "source/open.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "format/kind/kind.h"
#include "format/orbax/metadata.h"
#include "source/config.h"
#include "source/folder.h"
#include "source/gguf/reader.h"
#include "source/orbax/database.h"
#include "source/part_name.h"
#include "source/reading.h"
#include "source/safetensors/reader.h"
#include "source/torch/consolidated.h"
#include "source/torch/reader.h"

namespace ckpt {
namespace {

Result<FileKind> KindOf(Store& store, const ObjectInfo& file) {
  CKPT_TRY(const std::unique_ptr<ObjectReader> reader, store.Open(file));
  std::string front;
  CKPT_TRY_VOID(AppendRange(*reader, {0, std::min<uint64_t>(file.size_bytes, kKindBytes)}, front));
  return PeekFileKind(front);
}

// A file that stands for the Orbax checkpoint around it.
bool IsOfOrbaxItem(std::string_view name) {
  return BaseName(name) == kOcdbtManifestName || BaseName(name) == kOrbaxMetadataName;
}

// A part of a split set stands for the whole set.
Result<Catalog> OpenGguf(Store& store, const ObjectInfo& file, MemoryBudget& budget) {
  const auto part = ParsePartName(file.name);
  if (!part || part->count == 1) return ReadGguf(store, {file}, budget);
  const std::string_view folder = FolderOf(file.name);
  CKPT_TRY(const std::vector<ObjectInfo> all,
           store.List(folder.substr(0, folder.empty() ? 0 : folder.size() - 1)));
  CKPT_TRY(std::vector<ObjectInfo> set, FindParts(all, *part));
  return ReadGguf(store, std::move(set), budget);
}

Result<Catalog> OpenSafetensors(Store& store, const ObjectInfo& file, MemoryBudget& budget) {
  CKPT_TRY(Catalog catalog, ReadSafetensors(store, {file}, budget));
  if (const auto part = ParsePartName(file.name); part && part->count > 1)
    catalog.warnings.push_back(
        fmt::format("{} is one of {} parts, the others are not read: name their folder for all",
                    PrintObject(catalog, 0), part->count));
  return catalog;
}

Result<Catalog> OpenTorch(Store& store, const ObjectInfo& file, MemoryBudget& budget) {
  CKPT_TRY(Catalog catalog, ReadTorch(store, {file}, budget));
  const auto part = ParsePartName(file.name);
  if (part && part->count > 1)
    catalog.warnings.push_back(
        fmt::format("{} is one of {} parts, the others are not read: name their folder for all",
                    PrintObject(catalog, 0), part->count));
  if (ConsolidatedNumber(file.name))
    catalog.warnings.push_back(
        fmt::format("{} alone is read: name its folder for all shards", PrintObject(catalog, 0)));
  return catalog;
}

// By content first; the ending only chooses whose words are right for a file that is neither.
Result<Catalog> OpenFile(Store& store, const ObjectInfo& file, MemoryBudget& budget) {
  CKPT_TRY(const FileKind kind, KindOf(store, file).map_error(InFile(store, file.name)));
  if (kind == FileKind::kSafetensors) return OpenSafetensors(store, file, budget);
  if (kind == FileKind::kGguf) return OpenGguf(store, file, budget);
  if (kind == FileKind::kTorchZip || kind == FileKind::kTorchPickle)
    return OpenTorch(store, file, budget);
  if (file.name.ends_with(".bin.index.json")) return ReadTorchIndex(store, file.name, budget);
  if (file.name.ends_with(".index.json")) return ReadSafetensorsIndex(store, file.name, budget);
  if (file.name.ends_with(".safetensors")) return OpenSafetensors(store, file, budget);
  if (file.name.ends_with(".gguf")) return OpenGguf(store, file, budget);
  if (file.name.ends_with(".bin") || IsTorchName(file.name)) return OpenTorch(store, file, budget);
  const KindWords words = Words(kind);
  if (words.what.empty())
    return Fail(
        InFile(store, file.name)({Code::kBadInput,
                                  "neither a safetensors nor a PyTorch nor a GGUF file",
                                  {},
                                  {{"byte", "0"}},
                                  "name a file with weights, or the folder that holds them"}));
  return Fail(InFile(store, file.name)({Code::kBadInput,
                                        fmt::format("this is {}", words.what),
                                        {},
                                        {{"byte", "0"}},
                                        std::string(words.remedy)}));
}

// `wanted`: the user's word, or "".
bool IsOfFormat(std::string_view format, std::string_view wanted) {
  if (wanted == "torch" && format == "meta-consolidated") return true;
  return format.starts_with(wanted);
}

}  // namespace

Result<Catalog> OpenSource(const SourcePlace& place, MemoryBudget& budget) {
  Store& store = *place.store;
  std::string folder;  // where the weights lie: "" or with its '/'
  std::optional<ObjectInfo> file;
  if (!place.object.empty()) {
    auto info = store.Stat(place.object);
    if (info && IsOfOrbaxItem(place.object)) {
      folder = FolderOf(place.object);
    } else if (info) {
      file = *std::move(info);
      folder = FolderOf(place.object);
    } else if (info.error().code == Code::kNotFound) {
      folder = place.object + (place.object.ends_with('/') ? "" : "/");
    } else {
      return Fail(std::move(info).error());
    }
  }
  CKPT_TRY(Catalog catalog,
           file ? OpenFile(store, *file, budget)
                : OpenFolder(store, folder, place.format, budget).map_error(InFile(store, folder)));
  CKPT_TRY(std::vector<SourceConfig> configs, ReadConfigs(store, folder, budget));
  if (!IsOfFormat(catalog.format, place.format))
    return Fail(Code::kBadInput,
                fmt::format("the source is {}, not {}", catalog.format, place.format),
                "leave --source-format out");
  for (const SourceConfig& config : configs) catalog.header_bytes += config.text.size();
  // The model's own config leads; a GGUF file's keys follow it.
  catalog.configs.insert(catalog.configs.begin(), std::make_move_iterator(configs.begin()),
                         std::make_move_iterator(configs.end()));
  AddObjectChecks(catalog);
  return catalog;
}

}  // namespace ckpt
