#pragma once

#include "plan/target.h"

namespace ckpt {

/// Hugging Face's form, as vLLM, SGLang, tpu-inference and transformers load it: safetensors of
/// bounded size with an index where they are several, under the names of the family's "hf" scheme;
/// config.json, which makes it a checkpoint, last; the source's small files beside it, byte for
/// byte. docs/formats/hf.md.
class HfTarget final : public Target {
 public:
  static constexpr std::string_view kName = "hf";  ///< also the naming scheme's
  std::string_view name() const override { return kName; }
  std::span<const std::string> quantizations() const override;
  std::span<const std::string> CompanionNames() const override;
  Result<OutputSpec> Describe(const Model& model, const Catalog& catalog,
                              std::span<const ObjectInfo> source_files,
                              const TargetSettings& settings) const override;
  bool IsMarker(std::string_view object_name) const override;
};

}  // namespace ckpt
