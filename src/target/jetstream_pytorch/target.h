#pragma once

#include "plan/target.h"

namespace ckpt {

/// Checkpoints of the JetStream-PyTorch server (converter and loader as of jetstream-v0.2.3): one
/// model.safetensors in Meta's names, every weight [out, in]; params.json where the source had
/// Meta's; tokenizer files beside it. Quantized forms: docs/formats/jetstream-pytorch.md.
class JetstreamPytorchTarget final : public Target {
 public:
  static constexpr std::string_view kName = "jetstream-pytorch";  ///< also the naming scheme's
  std::string_view name() const override { return kName; }
  std::span<const std::string> quantizations() const override;
  std::span<const std::string> CompanionNames() const override;
  Result<OutputSpec> Describe(const Model& model, const Catalog& catalog,
                              std::span<const ObjectInfo> source_files,
                              const TargetSettings& settings) const override;
  bool IsMarker(std::string_view object_name) const override;
};

}  // namespace ckpt
