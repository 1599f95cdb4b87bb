#pragma once

#include "target/orbax/target.h"

namespace ckpt {

/// Orbax checkpoints as JetStream and MaxText load them: scanned, unscanned and quantized trees.
class MaxTextTarget final : public OrbaxTarget {
 public:
  std::string_view name() const override { return "maxtext"; }
  std::span<const std::string> OutputNames() const override;
  Result<std::vector<ChunkedOutput>> Describe(const Model& model, const ChunkedSettings& settings,
                                              std::vector<std::string>& warnings) const override;

 private:
  static Result<ChunkedOutput> Make(const Model& model, const ChunkedSettings& settings,
                                    const std::string& name);
};

}  // namespace ckpt
