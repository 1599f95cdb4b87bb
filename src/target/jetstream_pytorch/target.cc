#include "target/jetstream_pytorch/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "base/check.h"
#include "kernel/quantize.h"
#include "model/family.h"
#include "target/jetstream_pytorch/params_json.h"
#include "target/safetensors/layout.h"

namespace ckpt {
namespace {

constexpr std::string_view kScalerSuffix = "_scaler";
constexpr std::string_view kLinear = "linear";
constexpr std::string_view kEmbedding = "embedding";
constexpr std::string_view kFileName = "model.safetensors";
// Copied byte for byte when the source has them.
const std::array<std::string, 4> kTokenizerFiles = {
    "tokenizer.model", "tokenizer.json", "tokenizer_config.json", "generation_config.json"};

struct Quantization {
  int bits;
  bool is_blockwise;
};

const std::array<std::string, 4> kWords = {"int8_per_channel", "int4_per_channel", "int8_blockwise",
                                           "int4_blockwise"};
constexpr std::array<Quantization, 4> kQuantizations = {
    {{8, false}, {4, false}, {8, true}, {4, true}}};

// Makes the arrays of one output and collects what the format cannot hold.
class Describer {
 public:
  Describer(const Model& model, const Catalog& catalog, const TargetSettings& settings)
      : model_(model), catalog_(catalog), settings_(settings) {
    const auto word = std::find(kWords.begin(), kWords.end(), settings.quantize);
    if (word != kWords.end())
      quantization_ = kQuantizations[static_cast<size_t>(word - kWords.begin())];
  }

  Result<OutputSpec> Describe() {
    output_.name = quantization_ ? settings_.quantize : "bf16";
    for (size_t role = 0; role < model_.roles.size(); ++role) {
      CKPT_TRY(const std::optional<CellInstance> cell,
               CellIn(model_, model_.roles[role].instance, JetstreamPytorchTarget::kName));
      if (cell) AddRole(role, *cell);
    }
    CKPT_TRY_VOID(std::move(faults_).Get());
    NoteCasts();
    std::vector<size_t> all(output_.arrays.size());
    std::iota(all.begin(), all.end(), size_t{0});
    CKPT_TRY(FileSpec file, LayOutFile(output_, all, std::string(kFileName), std::nullopt));
    output_.files.push_back(std::move(file));
    return std::move(output_);
  }

 private:
  void AddRole(size_t role, const CellInstance& cell) {
    const TensorEntry& tensor = catalog_.tensors[model_.roles[role].tensor];
    if (faults_.AddUnlessFloat(tensor.name, tensor.dtype)) return;
    ArraySpec array;
    array.name = cell.name;
    array.view = cell.view;
    array.value = cell.value;
    array.shape = cell.view.tensor;
    array.role = role;
    if (quantization_ && cell.quantize == kLinear) {
      AddLinear(std::move(array));
    } else if (quantization_ && cell.quantize == kEmbedding) {
      AddQuantized(std::move(array), Encoding::kQuantColumns, 8,
                   Shape{cell.view.tensor.extents.back()});
    } else {
      array.dtype = CastDType(tensor.dtype, settings_.is_dtype_preserved);
      if (tensor.dtype != DType::kBF16) ++casts_[tensor.dtype];
      output_.arrays.push_back(std::move(array));
      return;
    }
    if (tensor.dtype != DType::kBF16) ++casts_[tensor.dtype];
  }

  void AddLinear(ArraySpec array) {
    const Shape values = array.shape;
    if (!quantization_->is_blockwise) {
      // One scale for each row, whatever numbers the rows: experts have two axes of them.
      AddQuantized(std::move(array), Encoding::kQuantRows, quantization_->bits,
                   Shape{{values.extents.begin(), values.extents.end() - 1}});
      return;
    }
    if (values.rank() != 2) {
      faults_.Add(
          Code::kUsage,
          fmt::format("{} is not supported for the experts of \"{}\": the server has no such "
                      "layer",
                      settings_.quantize, array.name),
          fmt::format("choose --quantize {}_per_channel",
                      quantization_->bits == 8 ? "int8" : "int4"));
      return;
    }
    if (values[1] % kQuantBlock != 0) {
      faults_.Add(Code::kUsage,
                  fmt::format("\"{}\" has rows of {} elements, {} needs whole blocks of {}",
                              array.name, values[1], settings_.quantize, kQuantBlock),
                  fmt::format("choose --quantize {}_per_channel",
                              quantization_->bits == 8 ? "int8" : "int4"));
      return;
    }
    const uint64_t blocks = values[1] / kQuantBlock;
    if (blocks == 1) ++single_blocks_;
    array.shape = Shape{blocks, kQuantBlock, values[0]};
    AddQuantized(std::move(array), Encoding::kQuantBlocks, quantization_->bits,
                 Shape{blocks, values[0]});
  }

  void AddQuantized(ArraySpec array, Encoding encoding, int bits, Shape scale_shape) {
    array.dtype = DType::kI8;
    array.encoding = encoding;
    array.bits = bits;
    ArraySpec scales;
    scales.name = array.name + std::string(kScalerSuffix);
    scales.dtype = DType::kBF16;
    // The original squeezes: axes of one element vanish.
    std::erase(scale_shape.extents, 1U);
    scales.shape = std::move(scale_shape);
    scales.encoding = Encoding::kScales;
    scales.role = array.role;
    scales.scales_of = output_.arrays.size();
    output_.arrays.push_back(std::move(array));
    output_.arrays.push_back(std::move(scales));
  }

  void NoteCasts() {
    output_.warnings = CastWarnings(casts_, settings_.is_dtype_preserved);
    if (single_blocks_ > 0)
      output_.warnings.push_back(
          fmt::format("{} weights have a single block of {} columns: their scales are [out], not "
                      "[1, out], as the original converter squeezes them",
                      single_blocks_, kQuantBlock));
  }

  const Model& model_;
  const Catalog& catalog_;
  const TargetSettings& settings_;
  std::optional<Quantization> quantization_;
  OutputSpec output_;
  std::map<DType, size_t> casts_;
  size_t single_blocks_ = 0;
  TensorFaults faults_;
};

// The original hands on the parameters of releases that are not in Hugging Face's form: Meta's, and
// config.json beside PyTorch files with names of their own (Gemma's .ckpt, Mixtral's .pt).
bool IsHandedOn(const SourceConfig& config, const Model& model, const Catalog& catalog) {
  return config.kind == "meta" || (config.kind == "hf" && model.source_scheme != "hf" &&
                                   catalog.format.starts_with("torch"));
}

Result<void> AddCompanions(const Model& model, const Catalog& catalog,
                           std::span<const ObjectInfo> source_files, OutputSpec& output) {
  for (const SourceConfig& config : catalog.configs) {
    if (!IsHandedOn(config, model, catalog)) continue;
    CKPT_TRY(std::string text, DumpLikePython(config.text));
    output.companions.push_back({"params.json", std::move(text), std::nullopt});
  }
  for (const ObjectInfo& object : source_files)
    output.companions.push_back({object.name, std::nullopt, object});
  return {};
}

}  // namespace

std::span<const std::string> JetstreamPytorchTarget::quantizations() const { return kWords; }

std::span<const std::string> JetstreamPytorchTarget::CompanionNames() const {
  return kTokenizerFiles;
}

Result<OutputSpec> JetstreamPytorchTarget::Describe(const Model& model, const Catalog& catalog,
                                                    std::span<const ObjectInfo> source_files,
                                                    const TargetSettings& settings) const {
  CKPT_TRY_VOID(CheckCasts(settings));
  CKPT_TRY(OutputSpec output, Describer(model, catalog, settings).Describe());
  for (const NameRule& rule : model.family->table().unserved) {
    if (rule.scheme == name() && rule.name == output.name)
      output.warnings.push_back(fmt::format("no server loads {} of family {}: {}", output.name,
                                            model.family->name(), rule.text));
  }
  CKPT_TRY_VOID(AddCompanions(model, catalog, source_files, output));
  output.how_to_load.push_back(
      settings.quantize.empty()
          ? "--checkpoint_path=DEST/model.safetensors (JetStream with PyTorch/XLA)"
          : fmt::format("--checkpoint_path=DEST/model.safetensors --quantize_weights=True "
                        "--quantize_type={} (JetStream with PyTorch/XLA)",
                        settings.quantize));
  return output;
}

bool JetstreamPytorchTarget::IsMarker(std::string_view object_name) const {
  // The server takes a folder with exactly one *.safetensors.
  return IsSafetensorsName(object_name);
}

}  // namespace ckpt
