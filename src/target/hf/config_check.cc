#include "target/hf/config_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "model/config.h"
#include "model/dims.h"
#include "model/family.h"

namespace ckpt {
namespace {

// Where the configuration of a model of several parts has that of its language model.
constexpr std::string_view kTextPart = "text_config.";

}  // namespace

Result<void> CheckConfig(const Model& model, const Catalog& catalog, const SourceConfig& config) {
  const bool is_nested =
      std::any_of(config.values.begin(), config.values.end(),
                  [](const auto& value) { return value.first.starts_with(kTextPart); });
  if (is_nested)
    return Fail(Code::kUsage,
                fmt::format("{} is of a model that holds more than text, and only its text is "
                            "written: loaders would look for the rest",
                            config.object),
                "give --config FILE, the config.json of the text model (what its text_config "
                "says, with architectures)");
  const SourceConfig* const used = PickConfig(catalog, model.source_scheme);
  if (used == &config) return {};
  CKPT_TRY(const Dims dims,
           ReadDims(*model.family, model.source_scheme, catalog, &config, /*served=*/nullptr));
  Error error{Code::kBadInput,
              fmt::format("{} is of another model than the weights", config.object),
              {},
              {},
              "give the config.json of this very model"};
  for (const DimRule& rule : model.family->table().dims) {
    const auto keys = rule.keys.find(config.kind);
    const auto own = model.dims.find(rule.name);
    const auto told = dims.find(rule.name);
    if (keys == rule.keys.end() || own == model.dims.end() || told == dims.end()) continue;
    // What neither the other configuration nor a shape tells is a default: nothing to hold to.
    const bool is_known =
        (used != nullptr && rule.keys.contains(used->kind)) || !rule.shape.empty();
    if (!is_known || own->second == told->second) continue;
    error.details.push_back(
        fmt::format("{}: {}, the weights have {}", keys->second.back(), told->second, own->second));
  }
  if (error.details.empty()) return {};
  return Fail(std::move(error));
}

}  // namespace ckpt
