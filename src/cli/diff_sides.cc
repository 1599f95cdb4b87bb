#include "cli/diff_sides.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "base/text.h"
#include "cli/registry.h"
#include "run/scaled_store.h"
#include "source/config.h"

namespace ckpt {
namespace {

// A configuration that a side may be understood by.
struct ConfigChoice {
  std::vector<SourceConfig> configs;
  std::string reading;  // as OpenedSide says it
  std::string place;    // where it lies, where that is not the side's own folder
};

// The configuration in a file by itself: Meta's where it is called so, else Hugging Face's.
Result<SourceConfig> ReadGivenConfig(const std::string& argument, const StoreAccess& access) {
  CKPT_TRY(const SourcePlace place, FindSource(argument, access));
  if (place.object.empty())
    return Fail(Code::kUsage, fmt::format("{} is no file", Printable(argument)),
                "name the configuration itself: config.json, or Meta's params.json");
  const std::string name = place.object.substr(place.object.rfind('/') + 1);
  CKPT_TRY(std::string text, place.store->ReadWhole(place.object, kMaxConfigBytes));
  return FlattenConfig(name == "params.json" ? "meta" : "hf", name, std::move(text))
      .map_error(Where("file", place.store->root().PrintBelow(place.object)));
}

// Headers of one side, beside those of the other in memory.
Result<OpenedSide> OpenOne(const SideWords& words, const Settings& settings, uint64_t held_bytes) {
  OpenedSide opened;
  const Resources& resources = settings.plan.resources;
  const uint64_t bytes =
      resources.memory_bytes > 0 ? resources.memory_bytes : resources.least_memory_bytes;
  MemoryBudget budget(bytes - std::min(bytes, held_bytes));
  CKPT_TRY(opened.place, FindSource(words.place, settings.access, &budget));
  opened.place.format = settings.source_format;
  const Uri& root = opened.place.store->root();
  opened.name =
      Printable(opened.place.object.empty() ? root.Print() : root.PrintBelow(opened.place.object));
  CKPT_TRY(opened.catalog, OpenSource(opened.place, budget));
  CKPT_TRY_VOID(ReadScaledAsBF16(opened.place.store, opened.catalog));
  if (words.config.empty()) return opened;
  CKPT_TRY(SourceConfig config, ReadGivenConfig(words.config, settings.access));
  opened.catalog.configs = {std::move(config)};
  opened.reading = Printable(words.config);
  return opened;
}

std::vector<ConfigChoice> ChoicesOf(size_t side, const std::array<OpenedSide, 2>& sides,
                                    const std::array<std::vector<SourceConfig>, 2>& own) {
  const size_t other = 1 - side;
  const bool is_given = !sides[side].reading.empty();
  std::vector<ConfigChoice> choices;
  if (!own[side].empty()) choices.push_back({own[side], sides[side].reading, sides[side].reading});
  if (!own[other].empty() && !is_given)
    choices.push_back({own[other], "that of " + SideName(other),
                       sides[other].catalog.root.PrintBelow(own[other].front().object)});
  if (own[side].empty()) choices.emplace_back();
  return choices;
}

Error AtConfig(Error error, const Catalog& catalog, const ConfigChoice& choice) {
  if (choice.place.empty()) return error;
  const std::string assumed = catalog.root.PrintBelow(choice.configs.front().object);
  for (Place& place : error.where) {
    if (place.value == assumed) place.value = choice.place;
  }
  return error;
}

Result<void> BindSide(OpenedSide& opened, const std::vector<ConfigChoice>& choices,
                      const Settings& settings) {
  std::optional<Error> first;
  for (const ConfigChoice& choice : choices) {
    opened.catalog.configs = choice.configs;
    Result<Model> model = BindWith(opened.catalog, settings);
    if (model) {
      opened.model = *std::move(model);
      opened.reading = choice.reading;
      return {};
    }
    if (!first) first = AtConfig(std::move(model).error(), opened.catalog, choice);
  }
  return Fail(*std::move(first));
}

}  // namespace

std::string SideName(size_t side) { return side == 0 ? "A" : "B"; }

Result<std::array<OpenedSide, 2>> OpenSides(const std::array<SideWords, 2>& words,
                                            const std::array<Settings, 2>& settings) {
  std::array<OpenedSide, 2> sides;
  for (size_t side = 0; side < 2; ++side) {
    CKPT_TRY(sides[side],
             OpenOne(words[side], settings[side], side == 0 ? 0 : MemoryBytes(sides[0].catalog))
                 .map_error(Where("side", SideName(side))));
  }
  const std::array<std::vector<SourceConfig>, 2> own = {sides[0].catalog.configs,
                                                        sides[1].catalog.configs};
  for (size_t side = 0; side < 2; ++side) {
    CKPT_TRY_VOID(BindSide(sides[side], ChoicesOf(side, sides, own), settings[side])
                      .map_error(Where("side", SideName(side))));
  }
  return sides;
}

}  // namespace ckpt
