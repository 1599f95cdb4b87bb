#include "target/hf/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "base/checked.h"
#include "base/units.h"
#include "model/family.h"
#include "model/ties.h"
#include "target/hf/config_check.h"
#include "target/hf/index_json.h"
#include "target/hf/losses.h"
#include "target/hf/modules.h"
#include "target/hf/schemes.h"
#include "target/safetensors/layout.h"

namespace ckpt {
namespace {

// Of whole files: their weights, and room for the header.
constexpr uint64_t kHeaderBytesPerTensor = 512;
const safetensors::Metadata kMetadata = {{"format", "pt"}};
constexpr std::string_view kConfigName = "config.json";

// Copied byte for byte when the source has them.
const std::array<std::string, 27> kCompanions = {"generation_config.json",
                                                 "tokenizer.json",
                                                 "tokenizer.model",
                                                 "tokenizer_config.json",
                                                 "special_tokens_map.json",
                                                 "added_tokens.json",
                                                 "vocab.json",
                                                 "vocab.txt",
                                                 "merges.txt",
                                                 "chat_template.jinja",
                                                 "chat_template.json",
                                                 "preprocessor_config.json",
                                                 "processor_config.json",
                                                 "LICENSE",
                                                 "LICENSE.txt",
                                                 "LICENSE.md",
                                                 "LICENSE.pdf",
                                                 "license.txt",
                                                 "NOTICE",
                                                 "NOTICE.txt",
                                                 "Notice.txt",
                                                 "USE_POLICY.md",
                                                 "USE_POLICY.txt",
                                                 "SECURITY.md",
                                                 "README.md",
                                                 "params.json",
                                                 "tekken.json"};

// The arrays of one output, and what the format cannot hold.
class Describer {
 public:
  // `quantizer`: null where nothing is quantized.
  Describer(const Model& model, const Catalog& catalog, const SourceConfig& config,
            const TargetSettings& settings, ModuleQuantizer* quantizer)
      : model_(model),
        catalog_(catalog),
        config_(config),
        settings_(settings),
        quantizer_(quantizer) {}

  Result<OutputSpec> Describe() {
    output_.name = settings_.quantize.empty() ? "bf16" : settings_.quantize;
    for (size_t role = 0; role < model_.roles.size(); ++role) {
      if (IsTied(model_.roles[role])) continue;
      CKPT_TRY(const std::optional<CellInstance> cell,
               CellIn(model_, model_.roles[role].instance, HfTarget::kName));
      if (cell) CKPT_TRY_VOID(AddRole(role, *cell));
    }
    CKPT_TRY_VOID(std::move(faults_).Get());
    output_.warnings = CastWarnings(casts_, settings_.is_dtype_preserved);
    CKPT_TRY(const std::vector<std::string> losses, LossesOf(model_, catalog_));
    output_.warnings.insert(output_.warnings.end(), losses.begin(), losses.end());
    CKPT_TRY_VOID(LayOut());
    return std::move(output_);
  }

 private:
  // What shares another role's tensor is no tensor of its own where config.json says so, too.
  bool IsTied(const BoundRole& bound) const {
    const std::optional<Tie>& tie = model_.family->rows()[bound.instance.row].tied;
    return !bound.tied_to.empty() && tie && AbsentMeansTied(*tie, &config_);
  }

  Result<void> AddRole(size_t role, const CellInstance& cell) {
    const BoundRole& bound = model_.roles[role];
    const TensorEntry& tensor = catalog_.tensors[bound.tensor];
    if (faults_.AddUnlessFloat(tensor.name, tensor.dtype)) return {};
    ++casts_[tensor.dtype];
    ArraySpec array;
    array.role = role;
    array.dtype = CastDType(tensor.dtype, settings_.is_dtype_preserved);
    array.value = cell.value;
    array.shape = cell.view.tensor;
    array.view = cell.view;
    if (!cell.parts_axis) {
      array.name = cell.name;
      return Append(std::move(array), cell, bound.instance);
    }
    // An axis with a tensor for each index: of each array it is no axis.
    const auto axis = static_cast<std::ptrdiff_t>(*cell.parts_axis);
    array.view.extents.erase(array.view.extents.begin() + axis);
    array.view.strides.erase(array.view.strides.begin() + axis);
    for (size_t i = 0; i < cell.part_names.size(); ++i) {
      ArraySpec part = array;
      part.name = cell.part_names[i];
      part.part = ArraySpec::Part{*cell.parts_axis, i};
      CKPT_TRY_VOID(Append(std::move(part), cell, bound.instance));
    }
    return {};
  }

  // A weight, or what it becomes.
  Result<void> Append(ArraySpec weight, const CellInstance& cell, const RoleInstance& instance) {
    std::vector<ArraySpec> arrays;
    if (quantizer_ == nullptr) {
      arrays.push_back(std::move(weight));
    } else {
      CKPT_TRY(arrays,
               quantizer_->Quantize(std::move(weight), cell, instance, output_.arrays.size()));
    }
    groups_.emplace_back();
    for (ArraySpec& array : arrays) {
      groups_.back().push_back(output_.arrays.size());
      output_.arrays.push_back(std::move(array));
    }
    return {};
  }

  // What belongs together stays in one file; a new one begins where the next would be too much.
  Result<void> LayOut() {
    const uint64_t most =
        settings_.max_shard_bytes > 0 ? settings_.max_shard_bytes : kMaxShardBytes;
    std::vector<std::vector<size_t>> files(1);
    uint64_t filled = 0;
    for (const std::vector<size_t>& group : groups_) {
      uint64_t bytes = 0;
      for (const size_t i : group) {
        CKPT_TRY(const uint64_t tensor,
                 TensorBytes(output_.arrays[i].dtype, output_.arrays[i].shape));
        bytes += tensor + kHeaderBytesPerTensor;
      }
      if (!files.back().empty() && filled + bytes > most) {
        files.emplace_back();
        filled = 0;
      }
      filled += bytes;
      files.back().insert(files.back().end(), group.begin(), group.end());
    }
    for (size_t i = 0; i < files.size(); ++i) {
      std::string name = files.size() == 1
                             ? "model.safetensors"
                             : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, files.size());
      CKPT_TRY(FileSpec file, LayOutFile(output_, files[i], std::move(name), kMetadata));
      output_.files.push_back(std::move(file));
    }
    return {};
  }

  const Model& model_;
  const Catalog& catalog_;
  const SourceConfig& config_;
  const TargetSettings& settings_;
  ModuleQuantizer* quantizer_;
  OutputSpec output_;
  std::vector<std::vector<size_t>> groups_;  // arrays that stay in one file
  std::map<DType, size_t> casts_;
  TensorFaults faults_;
};

// The configuration that the source brings, or that the user gave.
Result<const SourceConfig*> ConfigOf(const Catalog& catalog) {
  for (const SourceConfig& config : catalog.configs) {
    if (config.kind == "hf" && !config.text.empty()) return &config;
  }
  return Fail(Code::kUsage, "the source has no config.json, without which nothing loads the output",
              "give --config FILE, the config.json of this very model from its Hugging Face "
              "repository");
}

}  // namespace

std::span<const std::string> HfTarget::quantizations() const { return CtWords(); }

std::span<const std::string> HfTarget::CompanionNames() const { return kCompanions; }

Result<OutputSpec> HfTarget::Describe(const Model& model, const Catalog& catalog,
                                      std::span<const ObjectInfo> source_files,
                                      const TargetSettings& settings) const {
  CKPT_TRY_VOID(CheckCasts(settings));
  if (settings.quantize.empty() && (!settings.ignore.empty() || settings.is_quotient_rounded))
    return Fail(Code::kUsage, "--ignore and --ct-arithmetic are for --quantize",
                "leave them out, or give --quantize");
  CKPT_TRY(const SourceConfig* const own, ConfigOf(catalog));
  CKPT_TRY_VOID(CheckConfig(model, catalog, *own));
  std::string config = own->text;
  std::optional<ModuleQuantizer> quantizer;
  const CtScheme* const scheme = FindCtScheme(settings.quantize);
  if (scheme != nullptr) {
    CKPT_TRY(IgnoreList ignore, IgnoreList::Parse(settings.ignore));
    quantizer.emplace(model, *scheme, settings, std::move(ignore));
  }
  CKPT_TRY(OutputSpec output,
           Describer(model, catalog, *own, settings, quantizer ? &*quantizer : nullptr).Describe());
  if (quantizer) {
    CKPT_TRY_VOID(quantizer->Check());
    for (std::string& warning : quantizer->Warnings())
      output.warnings.push_back(std::move(warning));
    CKPT_TRY(config, WithQuantization(config, *scheme, quantizer->Ignored()));
  } else {
    CKPT_TRY(config, WithoutQuantization(config));
  }
  for (const ObjectInfo& object : source_files)
    output.companions.push_back({object.name, std::nullopt, object});
  if (output.files.size() > 1)
    output.companions.push_back({std::string(kIndexName), PrintIndex(output), std::nullopt});
  output.marker = CompanionSpec{std::string(kConfigName), std::move(config), std::nullopt};
  output.how_to_load.emplace_back(quantizer ? "vllm serve DEST --quantization compressed-tensors"
                                            : "vllm serve DEST");
  if (quantizer)
    output.how_to_load.push_back(
        fmt::format("--tensor-parallel-size {} at most: more would cut heads or groups",
                    quantizer->MostParallel()));
  return output;
}

bool HfTarget::IsMarker(std::string_view object_name) const {
  return object_name == kConfigName || IsSafetensorsName(object_name);
}

}  // namespace ckpt
