#include "source/folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/text.h"
#include "source/gguf/reader.h"
#include "source/orbax/locate.h"
#include "source/orbax/reader.h"
#include "source/part_name.h"
#include "source/reading.h"
#include "source/safetensors/reader.h"
#include "source/torch/checklist.h"
#include "source/torch/consolidated.h"
#include "source/torch/reader.h"

namespace ckpt {
namespace {

constexpr std::string_view kSafetensorsEnding = ".safetensors";
constexpr std::string_view kGgufEnding = ".gguf";
constexpr std::string_view kBinEnding = ".bin";
constexpr std::string_view kSafetensors = "safetensors";
constexpr std::string_view kTorch = "torch";
constexpr std::string_view kGguf = "gguf";
constexpr std::string_view kOrbax = "orbax";

std::vector<std::string> Names(std::span<const ObjectInfo> objects) {
  std::vector<std::string> names;
  for (const ObjectInfo& object : objects) names.push_back(object.name);
  return names;
}

// The objects directly in `folder` ("" or with its '/'). What lies deeper is never part of a
// checkpoint: repositories of Llama carry the same weights once more under original/.
std::vector<ObjectInfo> DirectlyIn(std::span<const ObjectInfo> objects, std::string_view folder) {
  std::vector<ObjectInfo> here;
  for (const ObjectInfo& object : objects) {
    if (FolderOf(object.name) == folder) here.push_back(object);
  }
  return here;
}

std::vector<ObjectInfo> EndingWith(std::span<const ObjectInfo> objects, std::string_view ending) {
  std::vector<ObjectInfo> found;
  for (const ObjectInfo& object : objects) {
    if (object.name.ends_with(ending)) found.push_back(object);
  }
  return found;
}

std::optional<ObjectInfo> Named(std::span<const ObjectInfo> objects, std::string_view name) {
  const auto at = std::find_if(objects.begin(), objects.end(),
                               [&](const ObjectInfo& o) { return o.name == name; });
  if (at == objects.end()) return std::nullopt;
  return *at;
}

// The one set that the files form: a single file, or all parts of a split one.
Result<std::vector<ObjectInfo>> OneSet(const std::vector<ObjectInfo>& files,
                                       std::string_view format) {
  const auto first = ParsePartName(files.front().name);
  if (files.size() == 1 && !first) return files;
  const auto belongs = [&](const ObjectInfo& file) {
    const auto part = ParsePartName(file.name);
    return part && part->stem == first->stem && part->count == first->count;
  };
  if (first && std::all_of(files.begin(), files.end(), belongs)) return FindParts(files, *first);
  return Fail(
      Code::kBadInput,
      fmt::format("several {} files that are no one set: {}", format, ListSome(Names(files))),
      "name one of them");
}

// Without an index, and no model.safetensors. Other files beside a whole set named model-* do not
// disturb it.
Result<std::vector<ObjectInfo>> SafetensorsSet(const std::vector<ObjectInfo>& files,
                                               std::string_view folder) {
  std::vector<ObjectInfo> model_parts;
  for (const ObjectInfo& file : files) {
    const auto part = ParsePartName(file.name);
    if (part && part->stem == std::string(folder) + "model") model_parts.push_back(file);
  }
  return OneSet(model_parts.empty() ? files : model_parts, "safetensors");
}

tl::unexpected<Error> NothingToRead(std::span<const ObjectInfo> all, std::string_view folder,
                                    std::string_view format) {
  if (all.empty())
    return Fail(Code::kNotFound, "nothing there: no such file or folder, or an empty folder",
                "check the path");
  std::vector<std::string> seen;
  for (const ObjectInfo& object : all) seen.push_back(object.name.substr(folder.size()));
  const std::string there = ListSome(seen);
  if (!format.empty())
    return Fail(Code::kNotFound,
                fmt::format("no weights in the format {}; there are: {}", format, there),
                "leave --source-format out, or name the folder or file that holds such weights");
  return Fail(
      Code::kNotFound,
      fmt::format("no safetensors, PyTorch or GGUF file and no Orbax checkpoint; there are: {}",
                  there),
      "name the folder or file that holds the weights");
}

// What trainers leave beside the weights: pickles of other things.
bool IsOfTrainer(std::string_view name) {
  const std::string_view base = BaseName(name);
  return base == "training_args.bin" || base.starts_with("optimizer") ||
         base.starts_with("scheduler") || base.starts_with("rng_state");
}

std::vector<ObjectInfo> TorchFiles(std::span<const ObjectInfo> here, bool is_bin) {
  std::vector<ObjectInfo> found;
  for (const ObjectInfo& object : here) {
    const bool is_wanted = is_bin ? object.name.ends_with(kBinEnding)
                                  : IsTorchName(object.name) && !ConsolidatedNumber(object.name);
    if (is_wanted && !IsOfTrainer(object.name)) found.push_back(object);
  }
  return found;
}

// The weights' other forms that lie in a folder, or under original/ as in repositories of Llama.
std::vector<std::string> OtherForms(std::span<const ObjectInfo> all,
                                    std::span<const ObjectInfo> here, std::string_view folder) {
  std::vector<std::string> forms;
  const auto add = [&](bool is_there, const char* words) {
    if (is_there) forms.emplace_back(words);
  };
  const auto is_shard = [](const ObjectInfo& object) {
    return ConsolidatedNumber(object.name).has_value();
  };
  const std::vector<ObjectInfo> original = DirectlyIn(all, std::string(folder) + "original/");
  add(!TorchFiles(here, true).empty(), "PyTorch .bin files");
  add(std::any_of(here.begin(), here.end(), is_shard), "Meta's consolidated.*.pth");
  add(std::any_of(original.begin(), original.end(), is_shard),
      "Meta's consolidated.*.pth under original/");
  add(!TorchFiles(here, false).empty(), "other PyTorch files");
  add(!EndingWith(here, kGgufEnding).empty(), "GGUF files");
  return forms;
}

Result<std::optional<Catalog>> OpenSafetensorsFolder(Store& store, std::string_view folder,
                                                     std::span<const ObjectInfo> all,
                                                     std::span<const ObjectInfo> here,
                                                     MemoryBudget& budget) {
  const std::string base(folder);
  Catalog catalog;
  const std::vector<ObjectInfo> files = EndingWith(here, kSafetensorsEnding);
  if (const auto index = Named(here, base + "model.safetensors.index.json")) {
    CKPT_TRY(catalog, ReadSafetensorsIndex(store, index->name, budget));
  } else if (const auto file = Named(here, base + "model.safetensors")) {
    CKPT_TRY(catalog, ReadSafetensors(store, {*file}, budget));
  } else if (!files.empty()) {
    CKPT_TRY(std::vector<ObjectInfo> set, SafetensorsSet(files, folder));
    CKPT_TRY(catalog, ReadSafetensors(store, std::move(set), budget));
  } else {
    return std::optional<Catalog>();
  }
  if (const std::vector<std::string> others = OtherForms(all, here, folder); !others.empty())
    catalog.warnings.push_back(
        fmt::format("the safetensors files are read; there are also {} (--source-format chooses)",
                    fmt::join(others, ", ")));
  return std::optional(std::move(catalog));
}

// Hugging Face's .bin, then Meta's shards, then whatever else torch.save wrote.
Result<std::optional<Catalog>> OpenTorchFolder(Store& store, std::string_view folder,
                                               std::span<const ObjectInfo> here,
                                               MemoryBudget& budget) {
  const auto some = [](Result<Catalog> catalog) {
    return std::move(catalog).map([](Catalog each) { return std::optional(std::move(each)); });
  };
  const std::string base(folder);
  if (const auto index = Named(here, base + "pytorch_model.bin.index.json"))
    return some(ReadTorchIndex(store, index->name, budget));
  if (const auto file = Named(here, base + "pytorch_model.bin"))
    return some(ReadTorch(store, {*file}, budget));
  if (const auto files = TorchFiles(here, true); !files.empty()) {
    CKPT_TRY(std::vector<ObjectInfo> set, OneSet(files, "PyTorch"));
    return some(ReadTorch(store, std::move(set), budget));
  }
  CKPT_TRY(std::vector<ObjectInfo> shards, FindConsolidated(store, here));
  if (!shards.empty()) {
    CKPT_TRY(std::vector<std::string> unverified, HoldToChecklist(store, here));
    CKPT_TRY(Catalog catalog, ReadConsolidated(store, std::move(shards), budget));
    catalog.unverified = std::move(unverified);
    return std::optional(std::move(catalog));
  }
  const std::vector<ObjectInfo> files = TorchFiles(here, false);
  if (files.empty()) return std::optional<Catalog>();
  // Several .pt are the pieces of one checkpoint (Mixtral's): their names are disjoint.
  const bool are_pieces = std::all_of(files.begin(), files.end(), [](const ObjectInfo& file) {
    return file.name.ends_with(".pt");
  });
  if (files.size() == 1 || are_pieces) return some(ReadTorch(store, files, budget));
  return Fail(Code::kBadInput,
              fmt::format("several PyTorch files that are no one set: {}", ListSome(Names(files))),
              "name one of them");
}

}  // namespace

bool IsTorchName(std::string_view name) {
  return name.ends_with(".pth") || name.ends_with(".pt") || name.ends_with(".ckpt");
}

Result<Catalog> OpenFolder(Store& store, std::string_view folder, std::string_view format,
                           MemoryBudget& budget) {
  const std::string_view prefix = folder.substr(0, folder.empty() ? 0 : folder.size() - 1);
  CKPT_TRY(const std::vector<ObjectInfo> all, store.List(prefix));
  const std::vector<ObjectInfo> here = DirectlyIn(all, folder);
  const auto may_be = [&](std::string_view form) { return format.empty() || format == form; };
  if (may_be(kSafetensors)) {
    CKPT_TRY(std::optional<Catalog> found, OpenSafetensorsFolder(store, folder, all, here, budget));
    if (found) return *std::move(found);
  }
  if (may_be(kTorch)) {
    CKPT_TRY(std::optional<Catalog> found, OpenTorchFolder(store, folder, here, budget));
    if (found) return *std::move(found);
  }
  if (may_be(kGguf)) {
    if (const auto files = EndingWith(here, kGgufEnding); !files.empty()) {
      CKPT_TRY(std::vector<ObjectInfo> set, OneSet(files, "GGUF"));
      return ReadGguf(store, std::move(set), budget);
    }
  }
  if (may_be(kOrbax)) {
    CKPT_TRY(const std::optional<std::string> item, FindOrbaxItem(store, folder, all));
    if (item) return ReadOrbax(store, *item, all, budget);
  }
  return NothingToRead(all, folder, format);
}

}  // namespace ckpt
